//! Which rows of a schedule one thread runs, or one crew.

use crate::schedule::Schedule;

/// The positions `first`, `first + hands`, `first + 2 · hands` and so on of a schedule: dealt out like cards, so that long
/// and short sequences are shared evenly. A hand runs its sequences from the first step to the last and waits for no other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hand<'a> {
    pub(crate) schedule: &'a Schedule,
    pub(crate) first: usize,
    pub(crate) hands: usize,
}

impl<'a> Hand<'a> {
    /// The sequences of the hand, position by position.
    pub(crate) fn sequences(&self) -> impl Iterator<Item = usize> + use<'a> {
        let order = self.schedule.order().iter().skip(self.first);
        order.step_by(self.hands).map(|&sequence| sequence as usize)
    }

    /// The number of sequences that still run at `step`.
    pub(crate) fn active(&self, step: usize) -> usize {
        self.schedule
            .active(step)
            .saturating_sub(self.first)
            .div_ceil(self.hands)
    }

    /// The number of steps of its longest sequence.
    pub(crate) fn steps(&self) -> usize {
        self.schedule
            .lengths()
            .get(self.first)
            .map_or(0, |&length| length as usize)
    }

    /// The number of rows of all its steps.
    pub(crate) fn rows(&self) -> usize {
        let lengths = self.schedule.lengths().iter().skip(self.first);
        lengths.step_by(self.hands).map(|&length| length as usize).sum()
    }

    /// The rows of the schedule at `step`.
    pub(crate) fn rows_of(&self, step: usize) -> impl Iterator<Item = usize> + use<> {
        self.schedule.rows_of(step).skip(self.first).step_by(self.hands)
    }
}
