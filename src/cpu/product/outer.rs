//! Sums of outer products: of rows of x and a panel of as many rows, `xᵀ · panel`.

use std::ops::Range;

use super::simd::{Simd, Work};

/// The most vectors of a panel.
const VECTORS: usize = 4;

/// How many vectors a panel has that begins with `left` columns to come: 1, 2 or 4.
pub(crate) fn panel_vectors(left: usize, numbers: usize) -> usize {
    left.div_ceil(numbers).next_power_of_two().min(VECTORS)
}

/// `sums += xᵀ · panel` for some features of x: a row of sums for each of them.
#[derive(Debug)]
pub(crate) struct Outer<'a> {
    /// Rows of x.
    pub(crate) rows: &'a [&'a [f32]],
    pub(crate) features: Range<usize>,
    /// As many rows, of `vectors` vectors each.
    pub(crate) panel: &'a [f32],
    /// 1, 2 or 4.
    pub(crate) vectors: usize,
    /// (features, numbers of the vectors)
    pub(crate) sums: &'a mut [f32],
}

impl Work for Outer<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        match self.vectors {
            1 => self.of::<S, 1>(simd),
            2 => self.of::<S, 2>(simd),
            _ => self.of::<S, VECTORS>(simd),
        }
    }
}

impl Outer<'_> {
    #[inline(always)]
    fn of<S: Simd, const V: usize>(self, simd: S) {
        let (mut feature, mut sums) = (self.features.start, self.sums);
        while feature < self.features.end {
            let place = (self.rows, feature, self.panel);
            let done = match (self.features.end - feature).min(S::ROWS) {
                6.. => tile::<S, 6, V>(simd, place, sums),
                4..6 => tile::<S, 4, V>(simd, place, sums),
                3 => tile::<S, 3, V>(simd, place, sums),
                2 => tile::<S, 2, V>(simd, place, sums),
                _ => tile::<S, 1, V>(simd, place, sums),
            };
            sums = sums.get_mut(done * V * S::WIDTH..).unwrap_or_default();
            feature += done;
        }
    }
}

/// R features from `feature` on; gives R.
#[inline(always)]
fn tile<S: Simd, const R: usize, const V: usize>(
    simd: S,
    (rows, feature, panel): (&[&[f32]], usize, &[f32]),
    sums: &mut [f32],
) -> usize {
    let width = V * S::WIDTH;
    let mut products = [[simd.splat(0.0); V]; R];
    // (Plain loops: a `zip` is not always inlined.)
    let mut left = panel;
    for row in rows {
        let Some((weights, rest)) = left.split_at_checked(width) else {
            break;
        };
        left = rest;
        let Some(values) = row.get(feature..).and_then(|row| row.first_chunk::<R>()) else {
            continue; // no such features
        };
        let mut vectors = [simd.splat(0.0); V];
        for (number, vector) in vectors.iter_mut().enumerate() {
            *vector = simd.load(weights.get(number * S::WIDTH..).unwrap_or_default());
        }
        for feature in 0..R {
            let value = simd.splat(values[feature]);
            for vector in 0..V {
                products[feature][vector] = simd.mul_add(value, vectors[vector], products[feature][vector]);
            }
        }
    }
    for (products, sums) in products.iter().zip(sums.chunks_exact_mut(width)) {
        for (&product, sums) in products.iter().zip(sums.chunks_exact_mut(S::WIDTH)) {
            simd.store(simd.add(simd.load(sums), product), sums);
        }
    }
    R
}

/// `sums += Σ rows of the panel`
#[derive(Debug)]
pub(crate) struct ColumnSums<'a> {
    pub(crate) panel: &'a [f32],
    /// As many numbers as a row of the panel has, which are whole vectors.
    pub(crate) sums: &'a mut [f32],
}

impl Work for ColumnSums<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let width = self.sums.len().max(1);
        for (vector, sums) in self.sums.chunks_exact_mut(S::WIDTH).enumerate() {
            let mut sum = simd.splat(0.0);
            for row in self.panel.chunks_exact(width) {
                sum = simd.add(sum, simd.load(row.get(vector * S::WIDTH..).unwrap_or_default()));
            }
            simd.store(simd.add(simd.load(sums), sum), sums);
        }
    }
}
