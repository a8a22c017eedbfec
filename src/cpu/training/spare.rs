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
    /// The lengths that the last batch has asked for.
    asked: Vec<usize>,
}

impl Spare {
    /// A list of so many numbers, whatever they are.
    pub(super) fn list(&mut self, length: usize) -> Result<Vec<f32>> {
        if !self.asked.contains(&length) {
            self.asked.push(length);
        }
        match self.lists.iter().position(|list| list.len() == length) {
            Some(place) => Ok(self.lists.swap_remove(place)),
            None => RUN.zeros(length),
        }
    }

    /// Takes lists back for others of the same batch: those of lengths that were asked for.
    pub(super) fn put<const N: usize>(&mut self, lists: [Vec<f32>; N]) {
        let asked = &self.asked;
        self.lists
            .extend(lists.into_iter().filter(|list| asked.contains(&list.len())));
    }

    /// Takes gradients back that the next batch will ask for; all others go, as those of a large embedding.
    pub(super) fn take_back(&mut self, lists: impl Iterator<Item = Vec<f32>>) {
        let asked = std::mem::take(&mut self.asked);
        self.lists = lists.filter(|list| asked.contains(&list.len())).collect();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_asked_for_stays() {
        let mut spare = Spare::default();
        for _ in 0..3 {
            assert_eq!(spare.list(4).unwrap(), [0.0; 4]); // a way back without a step
        }
        assert_eq!(spare.asked, [4]);
        let used = [4, 1000].map(|length| vec![1.0; length]);
        spare.take_back(used.into_iter());
        assert_eq!(spare.lists.len(), 1);
        assert_eq!(spare.list(4).unwrap(), [1.0; 4]); // the one that was used
        assert!(spare.lists.is_empty());
    }
}
