//! The order in which the valid steps of a batch are run.

use std::cmp::Reverse;
use std::ops::Range;

use ndarray::ArrayView2;

use crate::error::{Error, Result};
use crate::memory::STEPS;

/// The direction in which a layer walks through time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Direction {
    /// From the first time step to the last.
    Forward,
    /// From the last time step to the first (Keras's `go_backwards`).
    Backward,
}

/// The order in which the valid steps of a batch are run.
///
/// A masked step changes nothing, so a mask only says which steps of each sequence are run. A schedule lists them:
/// sequences are sorted by their number of valid steps, longest first (equal ones in their own order), and numbered by
/// *position*; the sequences that still run at step `s` are the first `active(s)` positions, and `active` never grows.
/// Each pair (step, position) is a *row*; rows are numbered step by step, so that the rows of one step are neighbours
/// and `rows` is the number of valid steps of the whole batch. Padding has no row: it is neither uploaded, nor
/// multiplied, nor read.
///
/// The order is that of a packed sequence (PyTorch's `pack_padded_sequence`, cuDNN), extended to masks with holes: what
/// Keras means by a masked step, the state being carried over it. The input projection of all rows is one matrix product
/// (Appleyard, Kočiský and Blunsom 2016, "Optimizing performance of recurrent neural networks on GPUs").
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Schedule {
    batch: usize,
    time_steps: usize,
    order: Vec<u32>,
    lengths: Vec<u32>,
    /// `offsets[s]` is the first row of step s; one more entry than steps.
    offsets: Vec<u32>,
    /// For each row the flat step `sequence * time_steps + time_step` that it is.
    sources: Vec<u32>,
}

impl Schedule {
    /// The schedule of a mask of shape (batch, time_steps), `true` where a step counts; `None` where all count.
    ///
    /// # Errors
    ///
    /// [`Error::Size`] if the mask has another shape, [`Error::TooLarge`] if the batch has more than 2³¹ steps,
    /// [`Error::Memory`] if the lists of its steps do not fit into memory.
    pub(crate) fn new(
        mask: Option<ArrayView2<'_, bool>>,
        batch: usize,
        time_steps: usize,
        direction: Direction,
    ) -> Result<Self> {
        if let Some(mask) = mask.filter(|mask| mask.dim() != (batch, time_steps)) {
            return Err(Error::Size {
                argument: "mask".to_owned(),
                expected: format!("shape (batch, time_steps) = ({batch}, {time_steps})"),
                found: format!("shape {:?}", mask.shape()),
                repair: "give one boolean for each step of each sequence".to_owned(),
            });
        }
        check_steps(batch, time_steps)?;
        let valid = |sequence: usize, time_step: usize| {
            mask.is_none_or(|mask| mask.get((sequence, time_step)).copied().unwrap_or(false))
        };
        let count = |sequence| match mask {
            Some(_) => (0..time_steps).filter(|&time_step| valid(sequence, time_step)).count() as u32,
            None => time_steps as u32,
        };
        let mut sorted = STEPS.listed((0..batch).map(|sequence| (count(sequence), sequence as u32)))?;
        // equal ones in their own order; a stable sort would allocate
        sorted.sort_unstable_by_key(|&(count, sequence)| (Reverse(count), sequence));
        let lengths = STEPS.listed(sorted.iter().map(|&(count, _)| count))?;
        let order = STEPS.listed(sorted.iter().map(|&(_, sequence)| sequence))?;
        drop(sorted);
        let offsets = offsets(&lengths)?;
        let rows = offsets.last().copied().unwrap_or(0) as usize;
        let mut sources = STEPS.filled(rows, 0_u32)?;
        for (position, &sequence) in order.iter().enumerate() {
            let base = sequence as usize * time_steps;
            let in_order = (0..time_steps).map(|step| match direction {
                Direction::Forward => step,
                Direction::Backward => time_steps - 1 - step,
            });
            let valid_steps = in_order.filter(|&time_step| valid(sequence as usize, time_step));
            for (time_step, &offset) in valid_steps.zip(&offsets) {
                if let Some(source) = sources.get_mut(offset as usize + position) {
                    *source = (base + time_step) as u32;
                }
            }
        }
        Ok(Self {
            batch,
            time_steps,
            order,
            lengths,
            offsets,
            sources,
        })
    }

    /// The number of sequences.
    #[must_use]
    pub(crate) fn batch(&self) -> usize {
        self.batch
    }

    /// The number of steps that are run: the valid steps of the sequence that has most of them.
    #[must_use]
    pub(crate) fn steps(&self) -> usize {
        self.offsets.len() - 1
    }

    /// The number of rows: the valid steps of all sequences.
    #[must_use]
    pub(crate) fn rows(&self) -> usize {
        self.sources.len()
    }

    /// The number of sequences that still run at `step`; zero past the last step.
    #[must_use]
    pub(crate) fn active(&self, step: usize) -> usize {
        self.rows_of(step).len()
    }

    /// The rows of `step`; empty past the last step.
    #[must_use]
    pub(crate) fn rows_of(&self, step: usize) -> Range<usize> {
        match (self.offsets.get(step), self.offsets.get(step.saturating_add(1))) {
            (Some(&start), Some(&end)) => start as usize..end as usize,
            _ => self.rows()..self.rows(),
        }
    }

    /// The first row of each step, and one more entry for the end.
    pub(crate) fn offsets(&self) -> &[u32] {
        &self.offsets
    }

    /// The sequence at each position, longest first.
    #[must_use]
    pub(crate) fn order(&self) -> &[u32] {
        &self.order
    }

    /// The number of valid steps of the sequence at each position, in falling order.
    #[must_use]
    pub(crate) fn lengths(&self) -> &[u32] {
        &self.lengths
    }

    /// For each row the step `sequence * time_steps + time_step` that it runs.
    #[must_use]
    pub(crate) fn sources(&self) -> &[u32] {
        &self.sources
    }

    /// Some of the steps as a schedule of their own, of the sequences that still run at the first one. Its rows are those of these steps, from 0 on.
    pub(crate) fn piece(&self, steps: Range<usize>) -> Result<Self> {
        let Range { start, end } = steps;
        let active = self.active(start);
        let (first, behind) = (self.rows_of(start).start, self.rows_of(end).start);
        let lengths = self.lengths.iter().take(active);
        let lengths = lengths.map(|&length| (length as usize).min(end).saturating_sub(start) as u32);
        let lengths = STEPS.listed(lengths)?;
        let sources = self.sources.get(first..behind).unwrap_or_default();
        Ok(Self {
            batch: self.batch,
            time_steps: self.time_steps,
            order: STEPS.listed(self.order.iter().take(active).copied())?,
            offsets: offsets(&lengths)?,
            lengths,
            sources: STEPS.listed(sources.iter().copied())?,
        })
    }

    /// The row after which the sequence at `position` is finished; `None` if it has no valid step.
    #[must_use]
    pub(crate) fn last_row(&self, position: usize) -> Option<usize> {
        let length = *self.lengths.get(position)? as usize;
        let offset = *self.offsets.get(length.checked_sub(1)?)? as usize;
        Some(offset + position)
    }
}

/// The first row of each step, and one more entry for the end; `lengths` fall.
fn offsets(lengths: &[u32]) -> Result<Vec<u32>> {
    let steps = lengths.first().copied().unwrap_or(0) as usize;
    let mut offsets = STEPS.list(steps + 1)?;
    offsets.push(0_u32);
    let mut active = lengths.len();
    let mut row = 0_u32;
    for step in 0..steps {
        while active > 0 && lengths.get(active - 1).is_some_and(|&length| length as usize <= step) {
            active -= 1;
        }
        row += active as u32;
        offsets.push(row);
    }
    Ok(offsets)
}

/// Row and step numbers are 32-bit, on the GPU too.
pub(crate) fn check_steps(batch: usize, time_steps: usize) -> Result<()> {
    const LIMIT: usize = 1 << 31;
    // a batch without a time step has a state, and time steps without a sequence are counted too
    match batch.max(1).checked_mul(time_steps.max(1)) {
        Some(steps) if steps <= LIMIT => Ok(()),
        _ => Err(Error::TooLarge {
            what: format!("a batch of {batch} sequences of {time_steps} time steps"),
            needed: (batch.max(1) as u64).saturating_mul(time_steps.max(1) as u64),
            limit: LIMIT as u64,
            limit_name: "time steps of all sequences, counted",
            repair: "run fewer sequences at once, or the sequences piece by piece with `run_from`".to_owned(),
        }),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn holes_are_skipped_in_both_directions() {
        let mask = array![
            [false, true, false, true],
            [false, false, false, false],
            [true, true, true, false]
        ];
        let forward = Schedule::new(Some(mask.view()), 3, 4, Direction::Forward).unwrap();
        assert_eq!(forward.order(), [2, 0, 1]);
        assert_eq!(forward.lengths(), [3, 2, 0]);
        assert_eq!(forward.sources(), [8, 1, 9, 3, 10]);
        assert_eq!(
            (0..4).map(|step| forward.active(step)).collect::<Vec<_>>(),
            [2, 2, 1, 0]
        );
        assert_eq!(
            [forward.last_row(0), forward.last_row(1), forward.last_row(2)],
            [Some(4), Some(3), None]
        );
        let backward = Schedule::new(Some(mask.view()), 3, 4, Direction::Backward).unwrap();
        assert_eq!(backward.sources(), [10, 3, 9, 1, 8]);
    }

    #[test]
    fn pieces_have_the_steps_of_the_whole() {
        let mask = array![
            [true, true, false, false, true],
            [true, true, true, true, true],
            [false, false, true, false, false],
            [false, false, false, false, false]
        ];
        let whole = Schedule::new(Some(mask.view()), 4, 5, Direction::Forward).unwrap();
        let piece = whole.piece(1..4).unwrap();
        assert_eq!(piece.order(), [1, 0]);
        assert_eq!(piece.lengths(), [3, 2]);
        assert_eq!(piece.offsets(), [0, 2, 4, 5]);
        assert_eq!(piece.sources(), [6, 1, 7, 4, 8]);
        assert_eq!(piece.batch(), 4);
        assert_eq!(whole.piece(0..5).unwrap().sources(), whole.sources());
        let nothing = whole.piece(0..0).unwrap();
        assert_eq!((nothing.rows(), nothing.steps()), (0, 0));
    }

    #[test]
    fn empty_batches_have_no_rows() {
        for (batch, time_steps) in [(0, 5), (3, 0), (0, 0)] {
            let schedule = Schedule::new(None, batch, time_steps, Direction::Forward).unwrap();
            assert_eq!((schedule.rows(), schedule.steps(), schedule.active(0)), (0, 0, 0));
            assert_eq!(schedule.last_row(0), None);
        }
    }

    #[test]
    fn sizes_are_checked() {
        let mask = array![[true, false]];
        assert!(matches!(
            Schedule::new(Some(mask.view()), 2, 1, Direction::Forward),
            Err(Error::Size { .. })
        ));
        for (batch, time_steps) in [
            (usize::MAX, 3),
            (usize::MAX, 0),
            (0, usize::MAX),
            (1 << 40, 0),
            (1 << 20, 1 << 20),
        ] {
            assert!(matches!(
                Schedule::new(None, batch, time_steps, Direction::Forward),
                Err(Error::TooLarge { .. })
            ));
        }
    }

    #[test]
    fn schedules_of_any_size() {
        for (batch, time_steps) in [(usize::MAX, usize::MAX), (usize::MAX, 0), (0, usize::MAX), (1 << 40, 1)] {
            for direction in [Direction::Forward, Direction::Backward] {
                let error = Schedule::new(None, batch, time_steps, direction).unwrap_err();
                assert!(matches!(error, Error::TooLarge { .. }) && error.to_string().contains("run_from"));
            }
        }
        let mask = ndarray::Array2::from_elem((2, 3), true);
        let error = Schedule::new(Some(mask.view()), 3, 2, Direction::Forward).unwrap_err();
        assert!(error.to_string().contains("(batch, time_steps) = (3, 2)"), "{error}");
        let schedule = Schedule::new(Some(mask.view()), 2, 3, Direction::Forward).unwrap();
        for past in [3, 1000, usize::MAX - 1, usize::MAX] {
            assert_eq!(schedule.active(past), 0);
            assert!(schedule.rows_of(past).is_empty());
            assert_eq!(schedule.last_row(past), None);
        }
    }
}
