//! `dense`: rows times weights plus bias, and the activation, the rows split over the threads.

use rayon::prelude::*;

use super::gather::Source;
use crate::activation::Activation;
use crate::cpu::memory::buffer::Lines;
use crate::cpu::product::path::Path;
use crate::cpu::product::simd::{Simd, Work};
use crate::cpu::threads::pool;
use crate::model::plan::PlannedDense;

/// The rows that one task computes: with them the columns of a panel are read from memory once.
const ROWS_PER_TASK: usize = 48;

/// The most vectors of a panel.
const VECTORS: usize = 4;

/// So many products are summed up before they are added to what there is: a sum of short sums is more exact than a long one.
/// It is how ndarray's products are summed, too.
const DEPTH: usize = 256;

/// One Dense layer, ready to run.
///
/// The weights are `[panel][depth][column]`: a panel has four vectors of columns, the last one as many as are needed, of
/// one, two and four. A tile of a few rows and one panel holds its sums in registers. Each sum is made in the same order
/// whatever the number of rows, so that the bits of a row do not depend on its neighbours.
#[derive(Debug)]
pub(crate) struct Dense {
    path: Path,
    depth: usize,
    units: usize,
    weights: Lines,
    bias: Vec<f32>,
    activation: Activation,
}

impl Dense {
    pub(crate) fn new(part: &PlannedDense, path: Path) -> Self {
        let kernel = &part.weights.kernel;
        let (depth, units) = kernel.dim();
        let (numbers, _) = path.tile();
        let mut weights = Lines::zeros(depth * panels(units, numbers).map(|(_, width)| width).sum::<usize>());
        let mut places = weights.iter_mut();
        for (first, width) in panels(units, numbers) {
            for row in kernel.outer_iter() {
                for (column, place) in (first..first + width).zip(places.by_ref()) {
                    *place = row.get(column).copied().unwrap_or(0.0);
                }
            }
        }
        let bias = part.weights.bias.as_ref();
        Self {
            path,
            depth,
            units,
            weights,
            bias: bias.map_or_else(|| vec![0.0; units], |bias| bias.to_vec()),
            activation: part.activation,
        }
    }

    /// `projected[r] = activation(source[index[r]] · kernel + bias)` for every r.
    pub(crate) fn run(&self, source: Source<'_>, index: &[u32], projected: &mut [f32]) {
        if self.units == 0 {
            return;
        }
        let task = |(projected, index): (&mut [f32], &[u32])| {
            let mut rows: [&[f32]; ROWS_PER_TASK] = [&[]; ROWS_PER_TASK];
            for (row, &number) in rows.iter_mut().zip(index) {
                *row = source.row(number);
            }
            self.path.run(Product {
                dense: self,
                rows: rows.get(..index.len()).unwrap_or_default(),
                projected,
            });
            self.activation.apply(projected, self.units);
        };
        let length = ROWS_PER_TASK * self.units;
        if index.len() <= ROWS_PER_TASK || pool::count() == 1 {
            projected
                .chunks_mut(length)
                .zip(index.chunks(ROWS_PER_TASK))
                .for_each(task);
        } else {
            projected
                .par_chunks_mut(length)
                .zip(index.par_chunks(ROWS_PER_TASK))
                .for_each(task);
        }
    }
}

/// The panels: the first column of each, and how many columns it has.
fn panels(units: usize, numbers: usize) -> impl Iterator<Item = (usize, usize)> {
    let most = VECTORS * numbers;
    (0..units).step_by(most).map(move |first| {
        let vectors = (units - first).div_ceil(numbers).next_power_of_two();
        (first, vectors.min(VECTORS) * numbers)
    })
}

/// `projected = rows · kernel + bias` for the rows of one task.
#[derive(Debug)]
struct Product<'a> {
    dense: &'a Dense,
    rows: &'a [&'a [f32]],
    projected: &'a mut [f32],
}

impl Work for Product<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { dense, rows, projected } = self;
        let units = dense.units;
        let mut weights: &[f32] = &dense.weights;
        for (column, width) in panels(units, S::WIDTH) {
            let (panel, rest) = weights.split_at((dense.depth * width).min(weights.len()));
            weights = rest;
            let mut first = 0;
            while first < rows.len() {
                let left = rows.get(first..).unwrap_or_default();
                let sums = projected.get_mut(first * units + column..).unwrap_or_default();
                let place = Place {
                    bias: dense.bias.get(column..(column + width).min(units)).unwrap_or_default(),
                    units,
                };
                first += match width / S::WIDTH {
                    1 => rows_of_panel::<S, 1>(simd, left, panel, sums, place),
                    2 => rows_of_panel::<S, 2>(simd, left, panel, sums, place),
                    _ => rows_of_panel::<S, VECTORS>(simd, left, panel, sums, place),
                };
            }
        }
    }
}

/// What the sums of a tile begin from, one number for each column, and where they lie: row r at `r · units`.
#[derive(Clone, Copy, Debug)]
struct Place<'a> {
    bias: &'a [f32],
    units: usize,
}

/// Does as many of the rows as a tile of this path has, and tells how many.
#[inline(always)]
fn rows_of_panel<S: Simd, const V: usize>(
    simd: S,
    rows: &[&[f32]],
    panel: &[f32],
    sums: &mut [f32],
    place: Place<'_>,
) -> usize {
    // as many sums as the registers hold: S::ROWS · 4 vectors
    let most = S::ROWS * VECTORS / V;
    match rows.len().min(most) {
        8.. => tile::<S, 8, V>(simd, rows, panel, sums, place),
        6..8 => tile::<S, 6, V>(simd, rows, panel, sums, place),
        4..6 => tile::<S, 4, V>(simd, rows, panel, sums, place),
        3 => tile::<S, 3, V>(simd, rows, panel, sums, place),
        2 => tile::<S, 2, V>(simd, rows, panel, sums, place),
        _ => tile::<S, 1, V>(simd, rows, panel, sums, place),
    }
}

/// `sums = bias + rows · panel` for R rows and V vectors of columns; gives R.
#[inline(always)]
fn tile<S: Simd, const R: usize, const V: usize>(
    simd: S,
    rows: &[&[f32]],
    panel: &[f32],
    sums: &mut [f32],
    place: Place<'_>,
) -> usize {
    let width = V * S::WIDTH;
    let depth = rows.iter().take(R).map(|row| row.len()).min().unwrap_or(0);
    let depth = depth.min(panel.len() / width);
    // once without a depth too: then the sums are the bias
    for begin in (0..depth.max(1)).step_by(DEPTH) {
        let count = DEPTH.min(depth - begin);
        // all of one length, which the compiler then knows: no checks within the loops
        let mut parts: [&[f32]; R] = [&[]; R];
        for (part, row) in parts.iter_mut().zip(rows) {
            *part = &row[begin..begin + count];
        }
        let panel = panel.get(begin * width..).unwrap_or_default();
        let mut products = [[simd.splat(0.0); V]; R];
        for (k, weights) in (0..count).zip(panel.chunks_exact(width)) {
            let mut values = [simd.splat(0.0); R];
            for (value, part) in values.iter_mut().zip(&parts) {
                *value = simd.splat(part[k]);
            }
            for vector in 0..V {
                let weights = simd.load(weights.get(vector * S::WIDTH..).unwrap_or_default());
                for (products, value) in products.iter_mut().zip(values) {
                    products[vector] = simd.mul_add(value, weights, products[vector]);
                }
            }
        }
        for (number, products) in products.iter().enumerate() {
            let sums = sums.get_mut(number * place.units..).unwrap_or_default();
            let columns = place.bias.len().min(sums.len());
            let sums = sums.get_mut(..columns).unwrap_or_default();
            for (vector, &product) in products.iter().enumerate() {
                let first = vector * S::WIDTH;
                let sums = sums.get_mut(first..).unwrap_or_default();
                let before = match begin {
                    0 => simd.load(place.bias.get(first..).unwrap_or_default()),
                    _ => simd.load(sums),
                };
                simd.store(simd.add(before, product), sums);
            }
        }
    }
    R
}

#[cfg(test)]
mod tests {
    use ndarray::linalg::general_mat_mul;
    use ndarray::{Array1, Array2};

    use super::*;
    use crate::layer::weights::DenseWeights;

    /// Around the edges of vectors, panels, tiles, tasks and sums: what ndarray gives, which sums in the same order.
    #[test]
    fn it_is_ndarrays_product() {
        let number = |a: usize, b: usize| ((a * 31 + b * 17) % 101) as f32 / 50.0 - 1.0;
        for path in Path::all() {
            for (depth, units) in [
                (1, 1),
                (5, 16),
                (64, 17),
                (256, 33),
                (257, 48),
                (600, 65),
                (3, 130),
                (0, 4),
            ] {
                let kernel = Array2::from_shape_fn((depth, units), |(k, unit)| number(k, unit));
                let bias = Array1::from_shape_fn(units, |unit| number(unit, 7));
                let part = PlannedDense {
                    weights: DenseWeights {
                        kernel: kernel.clone(),
                        bias: Some(bias.clone()),
                    },
                    activation: Activation::Linear,
                };
                let dense = Dense::new(&part, path);
                for rows in [0, 1, 2, 3, 5, 7, 8, 13, 64, 65, 200] {
                    let input = Array2::from_shape_fn((rows, depth), |(row, k)| number(row + 3, k));
                    let mut want = Array2::from_shape_fn((rows, units), |(_, unit)| bias[unit]);
                    general_mat_mul(1.0, &input, &kernel, 1.0, &mut want);
                    let mut got = vec![f32::NAN; rows * units];
                    let zeros = vec![0.0; depth];
                    let source = Source::new(input.as_slice().unwrap_or_default(), depth, &zeros);
                    let index: Vec<u32> = (0..rows as u32).collect();
                    dense.run(source, &index, &mut got);
                    for (got, want) in got.iter().zip(&want) {
                        assert!(
                            (got - want).abs() < 2e-5 * want.abs().max(1.0),
                            "{}: {rows} rows, {depth} to {units}: {got} for {want}",
                            path.name()
                        );
                    }
                }
            }
        }
    }
}
