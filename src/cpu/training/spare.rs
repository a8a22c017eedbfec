//! Memory of gradients that were used up, for those of the next batch: what is new the system has to make page by page.

use crate::cpu::memory::buffer::Lines;
use crate::error::Result;
use crate::memory::RUN;

/// What sums over rows are written to.
#[derive(Debug, Default)]
pub(super) struct Spare {
    /// What they are added up in.
    pub(super) added: Lines,
    /// Gradients that nobody needs any more.
    lists: Vec<Vec<f32>>,
}

impl Spare {
    /// A list of so many numbers, whatever they are.
    pub(super) fn list(&mut self, length: usize) -> Result<Vec<f32>> {
        match self.lists.iter().position(|list| list.len() == length) {
            Some(place) => Ok(self.lists.swap_remove(place)),
            None => RUN.zeros(length),
        }
    }

    /// Takes gradients back; those of earlier batches that were not asked for go.
    pub(super) fn take_back(&mut self, lists: Vec<Vec<f32>>) {
        self.lists = lists;
    }
}
