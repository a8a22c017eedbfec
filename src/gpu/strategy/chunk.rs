//! Steps that are run at once, and where their rows are.

use std::ops::Range;

/// Steps that are projected at once, and where their rows are.
#[derive(Clone, Debug)]
pub(crate) struct Chunk<'a> {
    /// For each step of the schedule the row of position 0, and one more for the end.
    pub(crate) starts: &'a [u32],
    /// For each position of the schedule its steps.
    pub(crate) lengths: &'a [u32],
    pub(crate) steps: Range<usize>,
    /// The first step whose rows are projected at the same time.
    pub(crate) projected_step: usize,
    /// The first step whose rows lie in this buffer.
    pub(crate) segment_step: usize,
    /// The sequences that the buffers have room for.
    pub(crate) batch: usize,
    /// Rows of `hidden` from one direction to the next,
    pub(crate) hidden_pitch: usize,
    /// and of `projected`.
    pub(crate) projected_pitch: usize,
}

impl Chunk<'_> {
    /// The row of position 0 at a step.
    pub(crate) fn start(&self, step: usize) -> usize {
        let start = self.starts.get(step).or(self.starts.last());
        start.map_or(0, |&start| start as usize)
    }

    /// The positions that run a step.
    pub(crate) fn active(&self, step: usize) -> usize {
        self.start(step + 1) - self.start(step)
    }

    /// The row of `hidden` with the state of position 0 before a step.
    pub(crate) fn previous_row(&self, step: usize) -> usize {
        match step.checked_sub(1) {
            Some(previous) if step > self.segment_step => self.current_row(previous),
            _ => 0,
        }
    }

    /// The row of `hidden` for the state of position 0 after a step.
    pub(crate) fn current_row(&self, step: usize) -> usize {
        self.batch + self.start(step) - self.start(self.segment_step)
    }

    /// The row of `projected` of position 0 at a step.
    pub(crate) fn projected_row(&self, step: usize) -> usize {
        self.start(step) - self.start(self.projected_step)
    }

    /// The rows that some positions have in some steps.
    pub(crate) fn rows_within(&self, positions: Range<usize>, steps: Range<usize>) -> usize {
        let lengths = self.lengths.iter().take(positions.end).skip(positions.start);
        let rows = lengths.map(|&length| (length as usize).min(steps.end).saturating_sub(steps.start));
        rows.sum()
    }
}
