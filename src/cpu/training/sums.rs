//! Sums over rows: the gradients of weights, `xᵀ · d` with a row for each feature of x and a column for each number of d.

use rayon::prelude::*;

use crate::cpu::cell::by_lane::copy_parts;
use crate::cpu::memory::buffer::Lines;
use crate::cpu::product::matrix::Matrix;
use crate::cpu::product::path::Path;
use crate::cpu::threads::pool;
use crate::error::{Error, Result};
use crate::memory::RUN;

/// The rows that are summed up at once; then the sums of all blocks are added, in their order. The size depends on nothing: so neither do the bits.
const BLOCK: usize = 256;

/// How many rows are turned together: what they are written to is a line of the cache.
const TURNED: usize = 16;

/// Fewer columns are no work for a thread.
const COLUMNS: usize = 64;

/// Rows of one width by their number.
pub(super) trait Rows<'a>: Fn(usize) -> &'a [f32] + Sync {}
impl<'a, F: Fn(usize) -> &'a [f32] + Sync> Rows<'a> for F {}

/// What is summed up.
pub(super) struct Sums<'b, X, D> {
    pub(super) path: Path,
    /// How many rows there are.
    pub(super) count: usize,
    pub(super) x: X,
    pub(super) features: usize,
    pub(super) d: D,
    /// Which parts of d: part after part, each `width` numbers, a part by its place in d.
    pub(super) parts: &'b [Option<usize>],
    pub(super) width: usize,
}

impl<'a, X: Rows<'a>, D: Rows<'a>> Sums<'_, X, D> {
    /// `(features + 1, parts · width)`: a row for each feature, and at the end the sums of d alone, which are the gradient of a bias.
    pub(super) fn run(&self) -> Result<Vec<f32>> {
        let columns = self.parts.len() * self.width;
        let rows = self.features + 1;
        let mut sums = RUN.zeros(rows * columns)?;
        let tasks = pool::count().clamp(1, columns.div_ceil(COLUMNS).max(1));
        let each = columns.div_ceil(tasks).next_multiple_of(COLUMNS).max(1);
        let ranges: Vec<_> = (0..columns)
            .step_by(each)
            .map(|first| (first, each.min(columns - first)))
            .collect();
        if let [(_, width)] = ranges[..] {
            self.columns(0, width, &mut sums)?;
            return Ok(sums);
        }
        let run = |&(first, width): &(usize, usize)| {
            let mut part = RUN.zeros(rows * width)?;
            self.columns(first, width, &mut part)?;
            Ok(part)
        };
        let parts: Vec<Result<Vec<f32>>> = ranges.par_iter().with_max_len(1).map(run).collect();
        for (&(first, width), part) in ranges.iter().zip(parts) {
            let part = part?;
            for (to, from) in sums.chunks_exact_mut(columns).zip(part.chunks_exact(width)) {
                let to = to
                    .get_mut(first..first + width)
                    .ok_or_else(|| Error::defect("a sum over rows"))?;
                to.copy_from_slice(from);
            }
        }
        Ok(sums)
    }

    /// Some columns, into `sums` of (features + 1, width).
    fn columns(&self, first: usize, width: usize, sums: &mut [f32]) -> Result<()> {
        let stride = BLOCK + TURNED; // not a power of two, so that the lines of a row do not fall onto each other in the cache
        let mut turned = Lines::default();
        let turned = turned.resize((self.features + 1) * stride)?;
        let mut matrix = Matrix::empty();
        for begin in (0..self.count).step_by(BLOCK) {
            let count = BLOCK.min(self.count - begin);
            self.turn(begin, count, turned, stride);
            matrix.refill((count, width), self.path, |row, column, span| {
                copy_parts((self.d)(begin + row), (self.parts, self.width), first + column, span);
            })?;
            let rows = turned
                .chunks_exact(stride)
                .map(|row| row.get(..count).unwrap_or_default());
            let rows = RUN.collected(rows)?;
            matrix.multiply(self.path, &rows, None, sums, width);
        }
        Ok(())
    }

    /// The features of some rows of x as rows, and a row of ones behind them.
    fn turn(&self, begin: usize, count: usize, turned: &mut [f32], stride: usize) {
        for group in (0..count).step_by(TURNED) {
            let members = TURNED.min(count - group);
            let mut rows: [&[f32]; TURNED] = [&[]; TURNED];
            for (member, row) in rows.iter_mut().take(members).enumerate() {
                *row = (self.x)(begin + group + member)
                    .get(..self.features)
                    .unwrap_or_default();
            }
            for (feature, line) in turned.chunks_exact_mut(stride).take(self.features).enumerate() {
                let line = line.get_mut(group..group + members).unwrap_or_default();
                for (to, row) in line.iter_mut().zip(&rows) {
                    *to = row.get(feature).copied().unwrap_or(0.0);
                }
            }
        }
        if let Some(ones) = turned.get_mut(self.features * stride..) {
            ones.fill(1.0);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;

    fn number(a: usize, b: usize) -> f32 {
        ((a * 31 + b * 17) % 101) as f32 / 50.0 - 1.0
    }

    /// Around the edges of blocks, groups, panels and threads, against a loop in f64; and the same bits for any number of threads.
    #[test]
    fn they_are_the_sums_and_the_same_bits_for_any_threads() {
        for (count, features, width, places) in [
            (0, 3, 4, &[0][..]),
            (1, 1, 1, &[0]),
            (17, 5, 3, &[0, 2]),
            (255, 2, 65, &[0, 1, 3]),
            (257, 33, 16, &[2, 0]),
            (600, 7, 130, &[0]),
        ] {
            let parts: Vec<Option<usize>> = places.iter().copied().map(Some).collect();
            let widest = places.iter().max().map_or(0, |part| part + 1) * width;
            let x: Vec<Vec<f32>> = (0..count)
                .map(|row| (0..features).map(|f| number(row, f)).collect())
                .collect();
            let d: Vec<Vec<f32>> = (0..count)
                .map(|row| (0..widest).map(|c| number(c, row + 3)).collect())
                .collect();
            let mut first = None;
            for threads in [1, 2, 3] {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                for path in Path::all() {
                    let sums = Sums {
                        path,
                        count,
                        x: |row: usize| x[row].as_slice(),
                        features,
                        d: |row: usize| d[row].as_slice(),
                        parts: &parts,
                        width,
                    };
                    let sums = pool.install(|| sums.run()).unwrap();
                    let columns = places.len() * width;
                    assert_eq!(sums.len(), (features + 1) * columns);
                    for (place, &sum) in sums.iter().enumerate() {
                        let (feature, column) = (place / columns, place % columns);
                        let column = places[column / width] * width + column % width;
                        let terms = (0..count).map(|row| {
                            let x = x[row].get(feature).map_or(1.0, |&x| f64::from(x));
                            x * f64::from(d[row][column])
                        });
                        let wanted: f64 = terms.sum();
                        assert!(
                            (f64::from(sum) - wanted).abs() < 1e-4,
                            "{count}, {place}: {sum}, {wanted}"
                        );
                    }
                    if path.name() == Path::all()[0].name() {
                        let bits: Vec<u32> = sums.iter().map(|sum| sum.to_bits()).collect();
                        assert_eq!(first.get_or_insert_with(|| bits.clone()), &bits, "{threads} threads");
                    }
                }
            }
        }
    }
}
