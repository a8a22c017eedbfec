//! Sums of outer products: of rows of x and a panel of as many rows, `xᵀ · panel`.

use std::ops::Range;

use super::simd::{LINE, Simd, Work};

/// The most vectors of a panel.
const VECTORS: usize = 4;

/// How many vectors a panel has that begins with `left` columns to come: 1, 2 or 4.
pub(crate) fn panel_vectors(left: usize, numbers: usize) -> usize {
    left.div_ceil(numbers).next_power_of_two().min(VECTORS)
}

/// So many tiles are filled at once: of each row of x a few whole lines of the cache are read, and not one more than once.
const TILES: usize = 8;

/// Some features of rows of x in the order in which [`Outer`] reads them, `[tile][row][feature]`: a tile has as many features as its sums fit
/// into registers, the last one those that are left.
#[derive(Debug)]
pub(crate) struct PackedRows<'a> {
    pub(crate) rows: &'a [&'a [f32]],
    pub(crate) features: Range<usize>,
    /// As many numbers as all rows have of these features.
    pub(crate) to: &'a mut [f32],
}

impl Work for PackedRows<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        match most_features::<S>() {
            6 => self.of::<6>(),
            3 => self.of::<3>(),
            2 => self.of::<2>(),
            _ => self.of::<1>(),
        }
    }
}

impl PackedRows<'_> {
    /// Tiles of R features.
    #[inline(always)]
    fn of<const R: usize>(self) {
        let count = self.rows.len();
        let whole = self.features.end - self.features.len() % R;
        let (tiles, rest) = self
            .to
            .split_at_mut_checked(count * (whole - self.features.start))
            .unwrap_or_default();
        let (mut tiles, _) = tiles.as_chunks_mut::<R>();
        for first in (self.features.start..whole).step_by(TILES * R) {
            let features = first..whole.min(first + TILES * R);
            let (now, later) = tiles
                .split_at_mut_checked(count * features.len() / R)
                .unwrap_or_default();
            tiles = later;
            for (number, row) in self.rows.iter().enumerate() {
                // a row that is not whole is one of zeros, and not what stood here before
                let Some(values) = row.get(features.clone()) else {
                    let tiles = now.iter_mut().skip(number).step_by(count);
                    tiles.for_each(|tile| *tile = [0.0; R]);
                    continue;
                };
                let (values, _) = values.as_chunks::<R>();
                for (tile, values) in values.iter().enumerate() {
                    if let Some(to) = now.get_mut(tile * count + number) {
                        *to = *values;
                    }
                }
            }
        }
        let left = self.features.end - whole;
        for (to, row) in rest.chunks_exact_mut(left.max(1)).zip(self.rows) {
            match row.get(whole..self.features.end) {
                Some(values) => to.copy_from_slice(values),
                None => to.fill(0.0),
            }
        }
    }
}

/// The features of a tile.
const fn most_features<S: Simd>() -> usize {
    match S::ROWS {
        6.. => 6,
        3..6 => 3,
        2 => 2,
        _ => 1,
    }
}

/// `sums += xᵀ · panel` for some features of x: a row of sums for each of them.
#[derive(Debug)]
pub(crate) struct Outer<'a> {
    /// Rows of x, as [`PackedRows`] leaves them.
    pub(crate) x: &'a [f32],
    pub(crate) features: usize,
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
        let count = self.panel.len() / (V * S::WIDTH);
        let (mut left, mut x, mut sums) = (self.features, self.x, self.sums);
        while left > 0 {
            let features = left.min(most_features::<S>());
            let (tile, behind) = x.split_at_checked(count * features).unwrap_or_default();
            let (own, rest) = std::mem::take(&mut sums)
                .split_at_mut_checked(features * V * S::WIDTH)
                .unwrap_or_default();
            match features {
                6 => add_tile::<S, 6, V>(simd, (tile, self.panel), own),
                5 => add_tile::<S, 5, V>(simd, (tile, self.panel), own),
                4 => add_tile::<S, 4, V>(simd, (tile, self.panel), own),
                3 => add_tile::<S, 3, V>(simd, (tile, self.panel), own),
                2 => add_tile::<S, 2, V>(simd, (tile, self.panel), own),
                _ => add_tile::<S, 1, V>(simd, (tile, self.panel), own),
            }
            (left, x, sums) = (left - features, behind, rest);
        }
    }
}

/// R features.
#[inline(always)]
fn add_tile<S: Simd, const R: usize, const V: usize>(simd: S, factors: (&[f32], &[f32]), sums: &mut [f32]) {
    let width = V * S::WIDTH;
    let products = products::<S, R, V>(simd, factors, sums);
    for (products, sums) in products.iter().zip(sums.chunks_exact_mut(width)) {
        for (&product, sums) in products.iter().zip(sums.chunks_exact_mut(S::WIDTH)) {
            simd.store(simd.add(simd.load(sums), product), sums);
        }
    }
}

/// The sums of R features. (They come back as a value: see `Tile::products` of a matrix.)
#[inline(always)]
fn products<S: Simd, const R: usize, const V: usize>(
    simd: S,
    (x, panel): (&[f32], &[f32]),
    sums: &[f32],
) -> [[S::Vector; V]; R] {
    let mut products = [[simd.splat(0.0); V]; R];
    let rows = x.chunks_exact(R).zip(panel.chunks_exact(V * S::WIDTH));
    for (number, (values, weights)) in rows.enumerate() {
        // what the products are added to
        simd.prefetch(sums, number * (LINE / size_of::<f32>()));
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
    products
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
