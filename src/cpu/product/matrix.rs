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

/// So many numbers of each row meet all panels before the next ones: those of the rows of a task stay in the second cache.
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
            rows,
            bias,
            sums,
            stride,
        });
    }

    /// `sums += rows · matrix` in the columns of some panels alone.
    pub(crate) fn multiply_panels(
        &self,
        (path, panels): (Path, Range<usize>),
        rows: &[&[f32]],
        sums: &mut [f32],
        stride: usize,
    ) {
        path.run(Product {
            matrix: self,
            panels,
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
    let most = VECTORS * numbers;
    (0..columns).step_by(most).map(move |first| {
        let vectors = (columns - first).div_ceil(numbers).next_power_of_two();
        (first, vectors.min(VECTORS) * numbers)
    })
}

#[derive(Debug)]
struct Product<'a> {
    matrix: &'a Matrix,
    panels: Range<usize>,
    rows: &'a [&'a [f32]],
    bias: Option<&'a [f32]>,
    sums: &'a mut [f32],
    stride: usize,
}

impl Work for Product<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self {
            matrix,
            panels: wanted,
            rows,
            bias,
            sums,
            stride,
        } = self;
        let depth = rows.iter().map(|row| row.len()).min().unwrap_or(0).min(matrix.depth);
        // once without a depth too: then the sums are the bias
        for first in (0..depth.max(1)).step_by(TOGETHER) {
            let last = depth.min(first + TOGETHER);
            for (number, (column, width)) in panels(matrix.columns, S::WIDTH).enumerate() {
                if !wanted.contains(&number) {
                    continue;
                }
                let columns = width.min(matrix.columns - column);
                let place = Place {
                    bias: bias.map(|bias| bias.get(column..column + columns).unwrap_or_default()),
                    columns,
                    stride,
                };
                let of_panel = |k: usize| matrix.depth * column + k * width;
                for begin in (first..last.max(first + 1)).step_by(DEPTH) {
                    let end = last.min(begin + DEPTH);
                    let part = Part {
                        numbers: begin..end,
                        weights: matrix.weights.get(of_panel(begin)..).unwrap_or_default(),
                        next: match end < last {
                            true => of_panel(end) - of_panel(begin),
                            false => of_panel(matrix.depth + first) - of_panel(begin),
                        },
                    };
                    let sums = sums.get_mut(column..).unwrap_or_default();
                    match width / S::WIDTH {
                        1 => part.of::<S, 1>(simd, rows, sums, place),
                        2 => part.of::<S, 2>(simd, rows, sums, place),
                        _ => part.of::<S, VECTORS>(simd, rows, sums, place),
                    }
                }
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
    /// Where among them those begin that come next.
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
            next += self.numbers.len() * (LINE / size_of::<f32>());
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
                simd.prefetch(weights, self.next + k * (LINE / size_of::<f32>()));
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
