//! The order in which the valid steps of a batch are run.

use std::cmp::Reverse;
use std::ops::Range;

use ndarray::ArrayView2;

use crate::error::{Error, Result};
use crate::memory::STEPS;

/// The direction in which a layer walks through time.
///
/// ```
/// # use cellstate::{Direction, Schedule};
/// let forward = Schedule::new(None, 1, 3, Direction::Forward)?;
/// let backward = Schedule::new(None, 1, 3, Direction::Backward)?;
/// assert_eq!((forward.sources(), backward.sources()), (&[0, 1, 2][..], &[2, 1, 0][..]));
/// # Ok::<(), cellstate::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Direction {
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
///
/// ```
/// use cellstate::{Direction, Schedule};
/// use ndarray::array;
///
/// // two sequences of 1 and 3 valid steps, padded to 3
/// let mask = array![[true, false, false], [true, true, true]];
/// let schedule = Schedule::new(Some(mask.view()), 2, 3, Direction::Forward)?;
/// assert_eq!(schedule.rows(), 4);
/// assert_eq!((schedule.active(0), schedule.active(1), schedule.active(2)), (2, 1, 1));
/// assert_eq!(schedule.order(), [1, 0]); // position 0 is sequence 1, the longer one
/// # Ok::<(), cellstate::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
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
    ///
    /// ```
    /// # use cellstate::{Direction, Schedule};
    /// # use ndarray::array;
    /// let mask = array![[true, false, true]];
    /// assert_eq!(Schedule::new(Some(mask.view()), 1, 3, Direction::Forward)?.rows(), 2);
    /// assert_eq!(Schedule::new(None, 1, 3, Direction::Forward)?.rows(), 3);
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    pub fn new(
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
    ///
    /// ```
    /// # use cellstate::{Direction, Schedule};
    /// assert_eq!(Schedule::new(None, 2, 3, Direction::Forward)?.batch(), 2);
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[must_use]
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// The padded number of time steps.
    ///
    /// ```
    /// # use cellstate::{Direction, Schedule};
    /// assert_eq!(Schedule::new(None, 2, 3, Direction::Forward)?.time_steps(), 3);
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[must_use]
    pub fn time_steps(&self) -> usize {
        self.time_steps
    }

    /// The number of steps that are run: the valid steps of the sequence that has most of them.
    ///
    /// ```
    /// # use cellstate::{Direction, Schedule};
    /// # use ndarray::array;
    /// let mask = array![[true, false, false], [true, true, false]];
    /// assert_eq!(Schedule::new(Some(mask.view()), 2, 3, Direction::Forward)?.steps(), 2);
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[must_use]
    pub fn steps(&self) -> usize {
        self.offsets.len() - 1
    }

    /// The number of rows: the valid steps of all sequences.
    ///
    /// ```
    /// # use cellstate::{Direction, Schedule};
    /// # use ndarray::array;
    /// let mask = array![[true, false, false], [true, true, false]];
    /// assert_eq!(Schedule::new(Some(mask.view()), 2, 3, Direction::Forward)?.rows(), 1 + 2);
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[must_use]
    pub fn rows(&self) -> usize {
        self.sources.len()
    }

    /// The number of sequences that still run at `step`; zero past the last step.
    ///
    /// ```
    /// # use cellstate::{Direction, Schedule};
    /// # use ndarray::array;
    /// let mask = array![[true, false, false], [true, true, false]];
    /// let schedule = Schedule::new(Some(mask.view()), 2, 3, Direction::Forward)?;
    /// assert_eq!([schedule.active(0), schedule.active(1), schedule.active(2)], [2, 1, 0]);
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[must_use]
    pub fn active(&self, step: usize) -> usize {
        self.rows_of(step).len()
    }

    /// The rows of `step`; empty past the last step.
    ///
    /// ```
    /// # use cellstate::{Direction, Schedule};
    /// # use ndarray::array;
    /// let mask = array![[true, false, false], [true, true, false]];
    /// let schedule = Schedule::new(Some(mask.view()), 2, 3, Direction::Forward)?;
    /// assert_eq!((schedule.rows_of(0), schedule.rows_of(1)), (0..2, 2..3));
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[must_use]
    pub fn rows_of(&self, step: usize) -> Range<usize> {
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
    ///
    /// ```
    /// # use cellstate::{Direction, Schedule};
    /// # use ndarray::array;
    /// let mask = array![[true, false, false], [true, true, false]];
    /// assert_eq!(Schedule::new(Some(mask.view()), 2, 3, Direction::Forward)?.order(), [1, 0]);
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[must_use]
    pub fn order(&self) -> &[u32] {
        &self.order
    }

    /// The number of valid steps of the sequence at each position, in falling order.
    ///
    /// ```
    /// # use cellstate::{Direction, Schedule};
    /// # use ndarray::array;
    /// let mask = array![[true, false, false], [true, true, false]];
    /// assert_eq!(Schedule::new(Some(mask.view()), 2, 3, Direction::Forward)?.lengths(), [2, 1]);
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[must_use]
    pub fn lengths(&self) -> &[u32] {
        &self.lengths
    }

    /// For each row the step `sequence * time_steps + time_step` that it runs.
    ///
    /// ```
    /// # use cellstate::{Direction, Schedule};
    /// # use ndarray::array;
    /// let mask = array![[true, false, false], [false, true, true]];
    /// // steps 1 and 2 of sequence 1, the longer one, and between them step 0 of sequence 0
    /// assert_eq!(Schedule::new(Some(mask.view()), 2, 3, Direction::Forward)?.sources(), [3 + 1, 0, 3 + 2]);
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[must_use]
    pub fn sources(&self) -> &[u32] {
        &self.sources
    }

    /// The row after which the sequence at `position` is finished; `None` if it has no valid step.
    ///
    /// ```
    /// # use cellstate::{Direction, Schedule};
    /// # use ndarray::array;
    /// let mask = array![[true, true], [true, false], [false, false]];
    /// let schedule = Schedule::new(Some(mask.view()), 3, 2, Direction::Forward)?;
    /// assert_eq!([0, 1, 2].map(|position| schedule.last_row(position)), [Some(2), Some(1), None]);
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[must_use]
    pub fn last_row(&self, position: usize) -> Option<usize> {
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
}
