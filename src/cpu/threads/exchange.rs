//! What the members of a crew tell each other: h, after every step.

#[cfg(target_has_atomic = "64")]
use std::sync::atomic::AtomicU64 as Word;
use std::sync::atomic::Ordering;

use crate::cpu::memory::buffer::reserve;
use crate::error::Result;

/// The units of a block. Blocks lie on lines of the cache of their own, so that each is written by one core alone; the units
/// of a share are whole blocks.
pub(crate) const BLOCK: usize = 16;

/// Where the machine has no such word, [`Split`](super::split::Split) makes no crews, and this is only right, not fast.
#[cfg(not(target_has_atomic = "64"))]
#[derive(Debug)]
struct Word(std::sync::Mutex<u64>);

#[cfg(not(target_has_atomic = "64"))]
impl Word {
    const fn new(value: u64) -> Self {
        Self(std::sync::Mutex::new(value))
    }

    fn load(&self, _: Ordering) -> u64 {
        *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn store(&self, value: u64, _: Ordering) {
        *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = value;
    }
}

#[derive(Debug)]
#[repr(align(128))]
struct Block([Word; BLOCK]);

/// h before even steps and before odd ones. A word holds a number and, above it, the step plus one, so that a number and
/// whether it is there already are read at once: the message takes one trip from core to core, and needs no order of the
/// memory but that of each word.
///
/// Two steps are enough: who writes h of step s + 1 has read all of step s, so that nobody is at step s - 1 any more, except
/// who is late and will see that.
#[derive(Debug)]
pub(crate) struct Exchange {
    blocks_of_row: usize,
    rows: usize,
    /// (2, rows, blocks_of_row)
    blocks: Vec<Block>,
}

/// What stands in the exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// What was asked for.
    Ready,
    /// Somebody has yet to write it.
    Missing,
    /// It was of this later step.
    Later(usize),
}

impl Exchange {
    pub(crate) fn new(rows: usize, units: usize) -> Result<Self> {
        let blocks_of_row = units.div_ceil(BLOCK);
        let count = 2 * rows * blocks_of_row;
        let mut blocks = Vec::new();
        reserve(&mut blocks, count)?;
        blocks.resize_with(count, || Block([const { Word::new(0) }; BLOCK]));
        Ok(Self {
            blocks_of_row,
            rows,
            blocks,
        })
    }

    /// The length of a row of so many units.
    pub(crate) fn stride_of(units: usize) -> usize {
        units.div_ceil(BLOCK) * BLOCK
    }

    /// The length of a row that [`Exchange::read`] fills.
    pub(crate) fn stride(&self) -> usize {
        self.blocks_of_row * BLOCK
    }

    pub(crate) fn blocks_of_row(&self) -> usize {
        self.blocks_of_row
    }

    fn row(&self, step: usize, row: usize) -> &[Block] {
        let begin = (step % 2 * self.rows + row) * self.blocks_of_row;
        self.blocks.get(begin..begin + self.blocks_of_row).unwrap_or_default()
    }

    /// Writes h of `step` of the units from `first_unit` on, which begins a block.
    pub(crate) fn write(&self, step: usize, row: usize, first_unit: usize, values: &[f32]) {
        let tag = (step as u64 + 1) << 32;
        let blocks = self.row(step, row).iter().skip(first_unit / BLOCK);
        for (block, values) in blocks.zip(values.chunks(BLOCK)) {
            // What a row has too few units for is written too: a block is there when all of its words are.
            let values = values.iter().copied().chain(std::iter::repeat(0.0));
            for (word, value) in block.0.iter().zip(values) {
                word.store(tag | u64::from(value.to_bits()), Ordering::Relaxed);
            }
        }
    }

    /// Reads a block of h of `step`.
    pub(crate) fn read(&self, step: usize, row: usize, block: usize, values: &mut [f32]) -> Found {
        let Some(block) = self.row(step, row).get(block) else {
            return Found::Ready; // there is no such unit
        };
        let tag = step as u64 + 1;
        let mut different = 0;
        for (word, value) in block.0.iter().zip(values) {
            let word = word.load(Ordering::Relaxed);
            *value = f32::from_bits(word as u32);
            different |= (word >> 32) ^ tag;
        }
        if different == 0 {
            return Found::Ready;
        }
        let last = block.0.iter().map(|word| word.load(Ordering::Relaxed) >> 32).max();
        match last {
            Some(last) if last > tag => Found::Later(last as usize - 1),
            _ => Found::Missing,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_there_when_all_of_it_is() {
        let exchange = Exchange::new(2, 20).unwrap();
        assert_eq!(exchange.stride(), 32);
        let mut values = [0.0; BLOCK];
        assert_eq!(exchange.read(0, 1, 0, &mut values), Found::Missing);
        exchange.write(0, 1, 0, &[1.5; 20]);
        assert_eq!(exchange.read(0, 1, 0, &mut values), Found::Ready);
        assert_eq!(values, [1.5; BLOCK]);
        assert_eq!(exchange.read(0, 1, 1, &mut values), Found::Ready);
        assert_eq!((values[3], values[4]), (1.5, 0.0));
        // row 0 and the other step are not touched; who asks for an older step sees that it is late
        assert_eq!(exchange.read(0, 0, 0, &mut values), Found::Missing);
        assert_eq!(exchange.read(1, 1, 0, &mut values), Found::Missing);
        exchange.write(2, 1, 16, &[2.5; 4]);
        assert_eq!(exchange.read(2, 1, 1, &mut values), Found::Ready);
        assert_eq!(exchange.read(0, 1, 1, &mut values), Found::Later(2));
    }
}
