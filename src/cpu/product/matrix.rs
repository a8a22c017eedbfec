//! The product of rows and a matrix, which any number of rows shares.

use std::ops::Range;

use rayon::prelude::*;

use super::path::Path;
use super::simd::{LINE, Simd, Work};
use crate::cpu::memory::buffer::Lines;
use crate::cpu::threads::pool;
use crate::error::Result;

/// The rows that one task should compute: with them the columns of a panel are read from memory once.
pub(crate) const ROWS_PER_TASK: usize = 48;

/// With fewer weights no other thread is woken to put them in order.
pub(super) const WORTH_SHARING: usize = 1 << 16;

/// The most vectors of a panel.
const VECTORS: usize = 4;

/// So many products are summed up before they are added to what there is: a sum of short sums is more exact than a long one. So much of a
/// panel fits into the first cache, beside the rows that it meets.
const DEPTH: usize = 128;

/// Of a single row so many parts of a panel, of [`DEPTH`] numbers each, can meet it in any order: their sums are held until all are there.
const PARTS: usize = 32;

/// So many numbers of each row meet all panels before the next ones: those of the rows of a task stay in the second cache. (No more rows than a
/// tile has leave it to the weights: they meet the whole of a panel before the next one.)
const TOGETHER: usize = 8 * DEPTH;

/// A matrix (depth, columns).
///
/// The weights are `[panel][depth][column]`: a panel has four vectors of columns, the last one as many as are needed, of
/// one, two and four. A tile of a few rows and one panel holds its sums in registers. Each sum is made in the same order
/// whatever the number of rows, so that the bits of a row do not depend on its neighbours.
#[derive(Debug)]
pub(crate) struct Matrix {
    depth: usize,
    columns: usize,
    weights: Lines,
}

impl Matrix {
    /// A matrix without a size, to be filled by [`Matrix::refill_panels`].
    pub(crate) fn empty() -> Self {
        Self {
            depth: 0,
            columns: 0,
            weights: Lines::default(),
        }
    }

    /// Another matrix in the same memory, taken in panels, each by a thread: `fill` is given the first column of a panel, how many columns it
    /// has, and the panel, which is (depth, columns) with columns to fill it up.
    pub(crate) fn refill_panels(
        &mut self,
        (depth, columns): (usize, usize),
        path: Path,
        fill: impl Fn(usize, usize, &mut [f32]) + Sync,
    ) -> Result<()> {
        let weights = self.weights.resize(depth * filled(columns, path))?;
        (self.depth, self.columns) = (depth, columns);
        let (numbers, _) = path.tile();
        let most = VECTORS * numbers;
        // all but the last one are as wide as this
        let of_panel = |(panel, weights): (usize, &mut [f32])| {
            let first = panel * most;
            fill(first, most.min(columns - first), weights);
        };
        let length = (depth * most).max(1);
        match weights.len() < WORTH_SHARING || pool::count() == 1 {
            true => weights.chunks_mut(length).enumerate().for_each(of_panel),
            false => weights.par_chunks_mut(length).enumerate().for_each(of_panel),
        }
        Ok(())
    }

    /// `sums = bias + rows · matrix`, and without a bias `sums += rows · matrix`. Row r of the sums begins at `r * stride`.
    /// `path` is the one that the matrix was made for.
    pub(crate) fn multiply(&self, path: Path, rows: &[&[f32]], bias: Option<&[f32]>, sums: &mut [f32], stride: usize) {
        path.run(Product {
            matrix: self,
            panels: 0..usize::MAX,
            backwards: false,
            rows,
            bias,
            sums,
            stride,
        });
    }

    /// `sums += rows · matrix` in the columns of some panels alone. `backwards` says whether the last panel is the first to be multiplied: a few rows
    /// after the other, in turn forwards and backwards, find in the caches what the ones before have left there. (In the same order each time, weights
    /// that are larger than a cache that drops what is oldest would find nothing in it.) It changes no bit.
    pub(crate) fn multiply_panels(
        &self,
        (path, panels, backwards): (Path, Range<usize>, bool),
        rows: &[&[f32]],
        sums: &mut [f32],
        stride: usize,
    ) {
        path.run(Product {
            matrix: self,
            panels,
            backwards,
            rows,
            bias: None,
            sums,
            stride,
        });
    }

    /// How many columns a panel has, but for the last one.
    pub(crate) fn panel_columns(path: Path) -> usize {
        VECTORS * path.tile().0
    }
}

/// The columns of all panels.
fn filled(columns: usize, path: Path) -> usize {
    let (numbers, _) = path.tile();
    panels(columns, numbers).map(|(_, width)| width).sum()
}

/// The panels: the first column of each, and how many columns it has.
fn panels(columns: usize, numbers: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..columns.div_ceil(VECTORS * numbers)).map(move |number| panel(columns, numbers, number))
}

/// The first column of a panel, and how many columns it has.
#[inline(always)]
fn panel(columns: usize, numbers: usize, number: usize) -> (usize, usize) {
    let first = number * VECTORS * numbers;
    let vectors = columns.saturating_sub(first).div_ceil(numbers).next_power_of_two();
    (first, vectors.min(VECTORS) * numbers)
}

#[derive(Debug)]
struct Product<'a> {
    matrix: &'a Matrix,
    panels: Range<usize>,
    backwards: bool,
    rows: &'a [&'a [f32]],
    bias: Option<&'a [f32]>,
    sums: &'a mut [f32],
    stride: usize,
}

impl Work for Product<'_> {
    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        let rows = self.rows.iter();
        let depth = rows.map(|row| row.len()).min().unwrap_or(0).min(self.matrix.depth);
        let together = if self.rows.len() <= S::ROWS { depth } else { TOGETHER };
        let all = self.matrix.columns.div_ceil(VECTORS * S::WIDTH);
        let (begin, end) = (self.panels.start.min(all), self.panels.end.min(all));
        // once without a depth too: then the sums are the bias
        for first in (0..depth.max(1)).step_by(together.max(1)) {
            let numbers = first..depth.min(first + together);
            for place in begin..end {
                let number = if self.backwards { begin + end - 1 - place } else { place };
                self.panel(simd, number, numbers.clone());
            }
        }
    }
}

impl Product<'_> {
    /// A panel and some numbers of each row.
    #[inline(always)]
    fn panel<S: Simd>(&mut self, simd: S, number: usize, numbers: Range<usize>) {
        let Self { matrix, rows, .. } = *self;
        let (column, width) = panel(matrix.columns, S::WIDTH, number);
        let columns = width.min(matrix.columns - column);
        let place = Place {
            bias: (self.bias).map(|bias| bias.get(column..column + columns).unwrap_or_default()),
            columns,
            stride: self.stride,
        };
        let of_panel = |k: usize| matrix.depth * column + k * width;
        if let ([row], true) = (rows, self.backwards && numbers.len() <= PARTS * DEPTH) {
            let weights = matrix.weights.get(of_panel(numbers.start)..).unwrap_or_default();
            let row = row.get(numbers).unwrap_or_default();
            let sums = self.sums.get_mut(column..).unwrap_or_default();
            let columns = columns.min(sums.len());
            let sums = sums.get_mut(..columns).unwrap_or_default();
            return match width / S::WIDTH {
                1 => last_first::<S, 1>(simd, (row, weights), sums),
                2 => last_first::<S, 2>(simd, (row, weights), sums),
                _ => last_first::<S, VECTORS>(simd, (row, weights), sums),
            };
        }
        let beside = match self.backwards {
            // but for the last one all panels are of one width
            true => of_panel(numbers.start).wrapping_sub(matrix.depth * VECTORS * S::WIDTH),
            false => of_panel(matrix.depth + numbers.start),
        };
        for begin in (numbers.start..numbers.end.max(numbers.start + 1)).step_by(DEPTH) {
            let end = numbers.end.min(begin + DEPTH);
            let next = if end < numbers.end { of_panel(end) } else { beside };
            let part = Part {
                numbers: begin..end,
                weights: matrix.weights.get(of_panel(begin)..).unwrap_or_default(),
                next: next.wrapping_sub(of_panel(begin)),
            };
            let sums = self.sums.get_mut(column..).unwrap_or_default();
            match width / S::WIDTH {
                1 => part.of::<S, 1>(simd, rows, sums, place),
                2 => part.of::<S, 2>(simd, rows, sums, place),
                _ => part.of::<S, VECTORS>(simd, rows, sums, place),
            }
        }
    }
}

/// What the sums of a tile begin from, one number for each column (without a bias from what there is), and where they lie: row r
/// at `r · stride`.
#[derive(Clone, Copy, Debug)]
struct Place<'a> {
    bias: Option<&'a [f32]>,
    columns: usize,
    stride: usize,
}

/// A part of a panel, which all rows meet before the next one: only the first of them find it not in a near cache.
#[derive(Debug)]
struct Part<'a> {
    /// Which numbers of each row meet it.
    numbers: Range<usize>,
    /// The weights from there on.
    weights: &'a [f32],
    /// Where those begin that come next, as seen from these; it wraps around where that is before them.
    next: usize,
}

impl Part<'_> {
    #[inline(always)]
    fn of<S: Simd, const V: usize>(&self, simd: S, rows: &[&[f32]], sums: &mut [f32], place: Place<'_>) {
        // as many sums as the registers hold: S::ROWS · 4 vectors
        let most = S::ROWS * VECTORS / V;
        let (mut first, mut next) = (0, self.next);
        while first < rows.len() {
            let tile = Tile {
                rows: rows.get(first..).unwrap_or_default(),
                part: self,
                next,
            };
            let sums = sums.get_mut(first * place.stride..).unwrap_or_default();
            first += match (rows.len() - first).min(most) {
                8.. => tile.run::<S, 8, V>(simd, sums, place),
                6..8 => tile.run::<S, 6, V>(simd, sums, place),
                4..6 => tile.run::<S, 4, V>(simd, sums, place),
                3 => tile.run::<S, 3, V>(simd, sums, place),
                2 => tile.run::<S, 2, V>(simd, sums, place),
                _ => tile.run::<S, 1, V>(simd, sums, place),
            };
            next = next.wrapping_add(self.numbers.len() * (LINE / size_of::<f32>()));
        }
    }
}

/// Some rows and a part of a panel.
struct Tile<'t, 'a> {
    rows: &'t [&'a [f32]],
    part: &'t Part<'t>,
    /// From where on among the weights of the part it asks for those that come next: a line with each number of a row.
    next: usize,
}

impl Tile<'_, '_> {
    /// `sums = bias + rows · weights` for R rows and V vectors of columns; gives R.
    #[inline(always)]
    fn run<S: Simd, const R: usize, const V: usize>(self, simd: S, sums: &mut [f32], place: Place<'_>) -> usize {
        let width = V * S::WIDTH;
        let products = self.products::<S, R, V>(simd);
        let bias = place.bias.filter(|_| self.part.numbers.start == 0);
        for (number, products) in products.iter().enumerate() {
            let begin = number * place.stride;
            match (bias, sums.get_mut(begin..begin + width)) {
                (None, Some(sums)) if place.columns == width => {
                    for (sums, &product) in sums.chunks_exact_mut(S::WIDTH).zip(products) {
                        simd.store(simd.add(simd.load(sums), product), sums);
                    }
                }
                _ => {
                    let sums = sums.get_mut(begin..).unwrap_or_default();
                    let columns = place.columns.min(sums.len());
                    put(simd, products, bias, sums.get_mut(..columns).unwrap_or_default());
                }
            }
        }
        R
    }

    /// The sums of R rows and V vectors of columns.
    ///
    /// They come back as a value: what reads them one by one needs them in memory, and sums that stand in the same array would be written
    /// there after every product.
    #[inline(always)]
    fn products<S: Simd, const R: usize, const V: usize>(&self, simd: S) -> [[S::Vector; V]; R] {
        let Part { numbers, weights, .. } = self.part;
        let mut sums = [[simd.splat(0.0); V]; R];
        // all of one length, which the compiler then knows: no checks within the loops
        let count = numbers.len();
        let mut rows: [&[f32]; R] = [&[]; R];
        for (to, row) in rows.iter_mut().zip(self.rows) {
            *to = &row[numbers.start..numbers.start + count];
        }
        for (k, of_number) in (0..count).zip(weights.chunks_exact(V * S::WIDTH)) {
            if R > 1 {
                simd.prefetch(weights, self.next.wrapping_add(k * (LINE / size_of::<f32>())));
            }
            let mut values = [simd.splat(0.0); R];
            for (value, row) in values.iter_mut().zip(&rows) {
                *value = simd.splat(row[k]);
            }
            for vector in 0..V {
                let weights = simd.load(of_number.get(vector * S::WIDTH..).unwrap_or_default());
                for (sums, value) in sums.iter_mut().zip(values) {
                    sums[vector] = simd.mul_add(value, weights, sums[vector]);
                }
            }
        }
        sums
    }
}

/// `sums += row · weights`, a part of the panel after the other, the last one first, as [`Part`]s have them the other way round: with the same bits,
/// as the sums of the parts are added in their order.
#[inline(always)]
fn last_first<S: Simd, const V: usize>(simd: S, (row, weights): (&[f32], &[f32]), sums: &mut [f32]) {
    let mut products = [[simd.splat(0.0); V]; PARTS];
    let count = row.len().div_ceil(DEPTH).min(PARTS);
    for part in (0..count).rev() {
        let begin = part * DEPTH;
        let part = Part {
            numbers: begin..row.len().min(begin + DEPTH),
            weights: weights.get(begin * V * S::WIDTH..).unwrap_or_default(),
            next: 0,
        };
        let tile = Tile {
            rows: &[row],
            part: &part,
            next: 0,
        };
        let [sum] = tile.products::<S, 1, V>(simd);
        products[begin / DEPTH] = sum;
    }
    for products in products.iter().take(count) {
        put(simd, products, None, sums);
    }
}

/// The sums of a row that begin from a bias, or of fewer columns than vectors have.
#[inline(always)]
fn put<S: Simd, const V: usize>(simd: S, products: &[S::Vector; V], bias: Option<&[f32]>, sums: &mut [f32]) {
    for (vector, &product) in products.iter().enumerate() {
        let first = vector * S::WIDTH;
        let sums = sums.get_mut(first..).unwrap_or_default();
        let before = match bias {
            Some(bias) => simd.load(bias.get(first..).unwrap_or_default()),
            None => simd.load(sums),
        };
        simd.store(simd.add(before, product), sums);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
#[path = "matrix_tests.rs"]
mod tests;
