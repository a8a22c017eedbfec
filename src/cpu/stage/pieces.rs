//! A recurrence of a training with little memory: it runs piece by piece of time and keeps the states before each, from which the way back runs a piece
//! again.
//!
//! Pieces of about the root of all steps take the least memory in all: Chen, Xu, Zhang and Guestrin 2016, "Training deep nets with sublinear memory cost";
//! for recurrent networks Gruslys and others 2016, "Memory-efficient backpropagation through time".

use std::ops::Range;

use super::gather::{Gathered, Source};
use super::recurrence::{Recurrence, States};
use super::work::Work;
use crate::cpu::memory::saved::SavedStates;
use crate::cpu::memory::workspace::{Scratch, StageRows};
use crate::error::Result;
use crate::schedule::Schedule;

/// The rows that are summed up at once (`training/sums.rs`). A piece is made for no fewer, for with each the gradients of the weights are added once more.
const ROWS: usize = 128;

/// The steps of a piece, of so many steps of at most so many sequences. They follow from the batch alone: so do the bits of all sums over rows.
pub(crate) fn steps_of_piece(steps: usize, sequences: usize) -> usize {
    let root = steps.isqrt() + 1;
    root.max(ROWS.div_ceil(sequences.max(1))).min(steps).max(1)
}

/// The rows of a piece, where there are no more steps and sequences than these.
pub(crate) fn most_rows_of_piece(steps: usize, sequences: usize) -> usize {
    let root = sequences.saturating_mul(steps.isqrt() + 1);
    root.max(ROWS.saturating_add(sequences))
}

/// The steps of each piece; of a schedule without any step there is one piece without any.
fn pieces(schedule: &Schedule) -> Vec<Range<usize>> {
    let steps = schedule.steps();
    let each = steps_of_piece(steps, schedule.active(0));
    let firsts = (0..steps.max(1)).step_by(each);
    firsts.map(|first| first..steps.min(first + each)).collect()
}

/// What a recurrence runs over in some of its steps.
#[derive(Debug)]
pub(crate) struct Piece<'a> {
    pub(crate) schedule: Schedule,
    pub(crate) gathered: Gathered<'a>,
    /// The row of the whole with which it begins.
    pub(crate) first_row: usize,
}

impl<'a> Piece<'a> {
    pub(crate) fn new(work: &Work<'a>, steps: Range<usize>) -> Result<Self> {
        let first_row = work.schedule.rows_of(steps.start).start;
        let schedule = work.schedule.piece(steps)?;
        let Gathered { source, index } = work.gathered;
        let index = index.get(first_row..first_row + schedule.rows()).unwrap_or_default();
        Ok(Self {
            schedule,
            gathered: Gathered { source, index },
            first_row,
        })
    }

    pub(crate) fn work(&self) -> Work<'_> {
        Work {
            schedule: &self.schedule,
            gathered: self.gathered,
        }
    }
}

impl Recurrence {
    /// As [`run_keeping`](Self::run_keeping), piece by piece, each in room of its own; the states before each are saved. Of several pieces the rows lie in
    /// order.
    ///
    /// # Errors
    ///
    /// [`Error::Memory`](crate::Error::Memory).
    pub(crate) fn run_in_pieces(
        &self,
        work: &Work<'_>,
        states: States<'_>,
        (scratch, saved, of_piece): (&mut Vec<Scratch>, &mut SavedStates, &mut StageRows),
        rows: &mut StageRows,
    ) -> Result<usize> {
        let States { hidden, cell_state } = states;
        let pieces = pieces(work.schedule);
        saved.begin(pieces.clone(), [hidden.len(), cell_state.len()])?;
        if pieces.len() < 2 {
            let states = States { hidden, cell_state };
            return self.run_keeping(*work, states, (scratch, None), rows);
        }
        let width = self.output();
        let mut to = rows
            .in_order(work.schedule.rows() * width)?
            .chunks_exact_mut(width.max(1));
        let mut rows_run = 0;
        for (number, steps) in pieces.into_iter().enumerate() {
            saved.save(number, [&*hidden, &*cell_state]);
            let states = States {
                hidden: &mut *hidden,
                cell_state: &mut *cell_state,
            };
            let piece = Piece::new(work, steps)?;
            rows_run += self.run_keeping(piece.work(), states, (&mut *scratch, None), of_piece)?;
            let made = Source::of_stage(of_piece, width, &[]);
            let rows = 0..piece.schedule.rows() as u32;
            rows.zip(&mut to)
                .for_each(|(row, to)| to.copy_from_slice(made.row(row)));
        }
        Ok(rows_run)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_have_about_the_root_of_all_steps_and_rows_enough() {
        for (steps, sequences, wanted) in [
            (0, 5, 1),
            (1, 1, 1),
            (100, 1, 100),
            (1000, 1, 128),
            (1000, 64, 32),
            (10_000, 8, 101),
            (2, 4096, 2),
        ] {
            let each = steps_of_piece(steps, sequences);
            assert_eq!(each, wanted, "{steps} steps of {sequences}");
            assert!(each * sequences <= most_rows_of_piece(steps, sequences));
        }
    }
}
