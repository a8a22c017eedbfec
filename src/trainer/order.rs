//! In which order an epoch goes over its examples, and which of them make a batch.

use crate::random::philox;

/// How many batches are sorted by length together: as many as leave the order random from epoch to epoch.
const SORTED_TOGETHER: usize = 50;

/// What the counters of this generator have in their third word: no layer of a model has it, so that nothing else is drawn alike.
const STREAM: u32 = u32::MAX;

/// How the batches of an epoch are made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Order<'a> {
    pub(super) examples: usize,
    pub(super) batch_size: usize,
    /// The seed, if the examples are shuffled.
    pub(super) seed: Option<u64>,
    /// The length of each sequence, if those of a batch should have similar ones.
    pub(super) lengths: Option<&'a [usize]>,
}

impl Order<'_> {
    /// The batches of an epoch, whatever it is numbered by: the same for the same seed and number. The last one may be smaller.
    pub(super) fn batches(&self, epoch: u64) -> Vec<Vec<usize>> {
        let size = self.batch_size.max(1);
        let mut rows: Vec<usize> = (0..self.examples).collect();
        if let Some(seed) = self.seed {
            shuffle(&mut rows, Draws::new(seed, epoch, 0));
        }
        if let Some(lengths) = self.lengths {
            // equal ones stay in their random order
            let length = |row: &usize| lengths.get(*row).copied().unwrap_or(0);
            for together in rows.chunks_mut(size.saturating_mul(SORTED_TOGETHER)) {
                together.sort_by_key(length);
            }
        }
        let mut batches: Vec<Vec<usize>> = rows.chunks(size).map(<[usize]>::to_vec).collect();
        if let (Some(seed), Some(_)) = (self.seed, self.lengths) {
            shuffle(&mut batches, Draws::new(seed, epoch, 1));
        }
        batches
    }
}

/// Puts a list into a random order (Fisher and Yates 1938, from the end).
fn shuffle<T>(list: &mut [T], mut draws: Draws) {
    for last in (1..list.len()).rev() {
        list.swap(last, draws.below(last + 1));
    }
}

/// Numbers that are counted: the same for the same seed, epoch and purpose.
struct Draws {
    key: [u32; 2],
    epoch: u64,
    purpose: u32,
    count: u32,
}

impl Draws {
    fn new(seed: u64, epoch: u64, purpose: u32) -> Self {
        Self {
            key: [seed as u32, (seed >> 32) as u32],
            epoch,
            purpose,
            count: 0,
        }
    }

    /// A number from 0 up to, but not, `limit`: the high word of a product (Lemire 2019), whose bias is below 2⁻³² of the limit.
    fn below(&mut self, limit: usize) -> usize {
        let epoch = (self.epoch as u32).wrapping_add(((self.epoch >> 32) as u32).rotate_left(16));
        let [high, low, ..] = philox([self.count, epoch, STREAM, self.purpose], self.key);
        self.count = self.count.wrapping_add(1);
        let word = u128::from(u64::from(high) << 32 | u64::from(low));
        ((word * limit as u128) >> 64) as usize
    }
}

/// Keras's split: the last share of the examples is for validation. How many are for training; `None` where one of both would be empty.
pub(super) fn split(examples: usize, share: f64) -> Option<usize> {
    let training = (examples as f64 * (1.0 - share)).floor() as usize;
    (training > 0 && training < examples).then_some(training)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(seed: Option<u64>, lengths: Option<&[usize]>) -> Order<'_> {
        Order {
            examples: 10,
            batch_size: 4,
            seed,
            lengths,
        }
    }

    #[test]
    fn batches_have_every_example_once() {
        let lengths: Vec<usize> = (0..10).map(|row| (row * 7) % 10).collect();
        for order in [
            order(None, None),
            order(Some(3), None),
            order(Some(3), Some(&lengths)),
            order(None, Some(&lengths)),
        ] {
            let batches = order.batches(2);
            let mut sizes: Vec<usize> = batches.iter().map(Vec::len).collect();
            sizes.sort_unstable();
            assert_eq!(sizes, [2, 4, 4]);
            let mut all: Vec<usize> = batches.into_iter().flatten().collect();
            all.sort_unstable();
            assert_eq!(all, (0..10).collect::<Vec<_>>());
        }
        assert_eq!(order(None, None).batches(5).concat(), (0..10).collect::<Vec<_>>());
    }

    #[test]
    fn seed_and_epoch_say_the_order() {
        let one = order(Some(3), None);
        assert_eq!(one.batches(0), one.batches(0));
        assert_ne!(one.batches(0), one.batches(1));
        assert_ne!(one.batches(0), order(Some(4), None).batches(0));
    }

    #[test]
    fn batches_have_similar_lengths() {
        let lengths = [5, 1, 9, 1, 5, 9, 5, 1, 9, 1];
        let batches = order(Some(1), Some(&lengths)).batches(0);
        let spread = |batch: &Vec<usize>| {
            let of = |row: &usize| lengths[*row];
            batch.iter().map(of).max().unwrap_or(0) - batch.iter().map(of).min().unwrap_or(0)
        };
        assert!(batches.iter().map(spread).max() <= Some(4), "{batches:?}");
    }

    #[test]
    fn every_place_is_as_likely() {
        let mut first = [0; 5];
        for epoch in 0..5_000 {
            let mut list = [0, 1, 2, 3, 4];
            shuffle(&mut list, Draws::new(9, epoch, 0));
            first[list[0]] += 1;
        }
        assert!(first.iter().all(|count| (900..1_100).contains(count)), "{first:?}");
    }

    #[test]
    fn the_split_is_that_of_keras() {
        assert_eq!(
            [split(10, 0.2), split(3, 0.5), split(10, 0.01), split(1, 0.5)],
            [Some(8), Some(1), Some(9), None]
        );
        assert_eq!([split(10, 0.0), split(10, 0.999)], [None, None]);
    }
}
