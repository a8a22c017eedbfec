//! Which rows of a schedule one team of threads runs.

use super::source::Source;
use crate::schedule::Schedule;

/// The rows of a schedule, and what they read: row r is row `index[r]` of `source`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reading<'a> {
    pub(super) schedule: &'a Schedule,
    pub(super) index: &'a [u32],
    pub(super) source: Source<'a>,
}

/// The positions `first`, `first + hands`, `first + 2 · hands` and so on of a schedule: dealt out like cards, so that long
/// and short sequences are shared evenly. A hand runs its sequences from the first step to the last and waits for no other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hand<'a> {
    pub(super) reading: Reading<'a>,
    pub(super) first: usize,
    pub(super) hands: usize,
}

impl<'a> Hand<'a> {
    /// The sequences of the hand, position by position.
    pub(super) fn sequences(&self) -> impl Iterator<Item = usize> + use<'a> {
        let order = self.reading.schedule.order().iter().skip(self.first);
        order.step_by(self.hands).map(|&sequence| sequence as usize)
    }

    /// The number of sequences that still run at `step`.
    pub(super) fn active(&self, step: usize) -> usize {
        self.reading
            .schedule
            .active(step)
            .saturating_sub(self.first)
            .div_ceil(self.hands)
    }

    /// The number of steps of its longest sequence.
    pub(super) fn steps(&self) -> usize {
        self.reading
            .schedule
            .lengths()
            .get(self.first)
            .map_or(0, |&length| length as usize)
    }

    /// The number of rows of all its steps.
    pub(super) fn rows(&self) -> usize {
        let lengths = self.reading.schedule.lengths().iter().skip(self.first);
        lengths.step_by(self.hands).map(|&length| length as usize).sum()
    }

    /// The rows of the input at `step`.
    pub(super) fn inputs(&self, step: usize) -> impl Iterator<Item = &'a [f32]> + use<'a> {
        let Reading { index, source, .. } = self.reading;
        let rows = self.reading.schedule.rows_of(step).skip(self.first).step_by(self.hands);
        rows.map(move |row| source.row(index.get(row).copied().unwrap_or(u32::MAX)))
    }
}

/// Deals the rows of a schedule out to `hands`: for each row, the number of its hand.
pub(super) fn dealt(schedule: &Schedule, hands: usize) -> impl Iterator<Item = usize> {
    let hands_of_step = move |step| (0..hands).cycle().take(schedule.active(step));
    (0..schedule.steps()).flat_map(hands_of_step)
}
