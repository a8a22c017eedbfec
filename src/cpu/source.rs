//! Rows that stages read, wherever they lie.

use rayon::prelude::*;

use crate::error::Result;
use crate::memory::OUTPUT;

/// Rows of one width, one after another, read by their numbers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Source<'a> {
    values: &'a [f32],
    width: usize,
    /// Where the rows are chosen ones of `values`: which.
    chosen: Option<&'a [u32]>,
    /// At least one row of zeros.
    zeros: &'a [f32],
}

impl<'a> Source<'a> {
    /// `zeros` has to be as long as a row.
    pub(super) fn new(values: &'a [f32], width: usize, zeros: &'a [f32]) -> Self {
        Self {
            values,
            width,
            chosen: None,
            zeros: zeros.get(..width).unwrap_or(zeros),
        }
    }

    /// Row r is row `chosen[r]`.
    pub(super) fn chosen(self, chosen: &'a [u32]) -> Self {
        Self {
            chosen: Some(chosen),
            ..self
        }
    }

    /// One row; zeros for a number that is none.
    pub(super) fn row(&self, number: u32) -> &'a [f32] {
        let number = match self.chosen {
            Some(chosen) => chosen.get(number as usize).copied().unwrap_or(u32::MAX),
            None => number,
        };
        let begin = (number as usize).saturating_mul(self.width);
        self.values
            .get(begin..begin.saturating_add(self.width))
            .unwrap_or(self.zeros)
    }

    /// The rows `index`, one after another.
    pub(super) fn gather(&self, index: &[u32]) -> Result<Vec<f32>> {
        const ROWS_PER_TASK: usize = 1024;
        // Numbers that the allocator gets from the system for this one call: what costs time is that each page is touched
        // for the first time, and the threads share that. Below, memory that was used before is not filled twice.
        const FRESH: usize = 4 << 20;
        let length = index.len() * self.width;
        if length < FRESH {
            let mut rows = OUTPUT.list(length)?;
            index
                .iter()
                .for_each(|&number| rows.extend_from_slice(self.row(number)));
            return Ok(rows);
        }
        let mut rows = OUTPUT.zeros(length)?;
        rows.par_chunks_mut(ROWS_PER_TASK * self.width)
            .zip(index.par_chunks(ROWS_PER_TASK))
            .for_each(|(rows, index)| {
                let rows = rows.chunks_exact_mut(self.width.max(1));
                rows.zip(index)
                    .for_each(|(row, &number)| row.copy_from_slice(self.row(number)));
            });
        Ok(rows)
    }
}
