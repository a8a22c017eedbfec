//! The product of rows and panels, one tile at a time, with the sums in registers.

use std::ops::Range;

use super::panels::Weight;
use super::simd::{LINE, MOST_ROWS, Simd};

/// Some numbers of rows times the weights of one panel that belong to them; no rows are no summand.
#[derive(Clone, Debug)]
pub(crate) struct Factors<'a, W> {
    pub(crate) rows: &'a [&'a [f32]],
    pub(crate) numbers: Range<usize>,
    pub(crate) weights: &'a [W],
    /// The weights that will be wanted next: a line of them is asked for with each number.
    pub(crate) ahead: &'a [W],
}

/// Rows of numbers at equal distances: row r is `values[r * stride ..]`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rows<'a> {
    pub(crate) values: &'a [f32],
    pub(crate) stride: usize,
}

/// `sums[r * stride ..] = begin + first + second` for `rows` rows of one panel with L lanes, at most `S::ROWS`; without a begin they go on from what
/// there is.
#[inline(always)]
pub(crate) fn product<S: Simd, W: Weight, const L: usize>(
    simd: S,
    rows: usize,
    begin: Option<Rows<'_>>,
    summands: [Factors<'_, W>; 2],
    sums: &mut [f32],
    stride: usize,
) {
    const { assert!(S::ROWS <= MOST_ROWS) };
    // each number of rows has its code, as many as there can be on this path
    match rows {
        1 => tile::<S, W, L, 1>(simd, begin, summands, sums, stride),
        2 => tile::<S, W, L, 2>(simd, begin, summands, sums, stride),
        3 if S::ROWS >= 3 => tile::<S, W, L, 3>(simd, begin, summands, sums, stride),
        4 if S::ROWS >= 4 => tile::<S, W, L, 4>(simd, begin, summands, sums, stride),
        5 if S::ROWS >= 5 => tile::<S, W, L, 5>(simd, begin, summands, sums, stride),
        6 if S::ROWS >= 6 => tile::<S, W, L, 6>(simd, begin, summands, sums, stride),
        _ => {}
    }
}

impl<'a> Rows<'a> {
    /// The rows from this one on.
    #[inline(always)]
    pub(crate) fn from(&self, number: usize) -> Self {
        Self {
            values: self.values.get(number * self.stride..).unwrap_or_default(),
            stride: self.stride,
        }
    }

    /// The first `length` numbers of a row; none past the last.
    #[inline(always)]
    pub(crate) fn row(&self, number: usize, length: usize) -> &'a [f32] {
        let row = self.values.get(number * self.stride..);
        row.and_then(|row| row.get(..length)).unwrap_or_default()
    }
}

#[inline(always)]
fn tile<S: Simd, W: Weight, const L: usize, const R: usize>(
    simd: S,
    begin: Option<Rows<'_>>,
    summands: [Factors<'_, W>; 2],
    sums: &mut [f32],
    stride: usize,
) {
    let mut registers = [[simd.splat(0.0); L]; R];
    for (number, row) in registers.iter_mut().enumerate() {
        let from = match begin {
            Some(begin) => begin.values.get(number * begin.stride..),
            None => sums.get(number * stride..),
        };
        *row = lanes(simd, from.unwrap_or_default());
    }
    let [first, second] = summands;
    registers = multiply(simd, registers, first);
    registers = multiply(simd, registers, second);
    for (number, row) in registers.iter().enumerate() {
        let sums = sums.get_mut(number * stride..).unwrap_or_default();
        for (lane, &vector) in row.iter().enumerate() {
            simd.store(vector, sums.get_mut(lane * S::WIDTH..).unwrap_or_default());
        }
    }
}

#[inline(always)]
fn lanes<S: Simd, const L: usize>(simd: S, values: &[f32]) -> [S::Vector; L] {
    let mut lanes = [simd.splat(0.0); L];
    for (lane, vector) in lanes.iter_mut().enumerate() {
        *vector = simd.load(values.get(lane * S::WIDTH..).unwrap_or_default());
    }
    lanes
}

/// `sums + rows · weights`, from the first number to the last: in this order for any number of rows, so that the bits of a sequence depend
/// neither on its neighbours in the batch nor on the number of threads.
#[inline(always)]
fn multiply<S: Simd, W: Weight, const L: usize, const R: usize>(
    simd: S,
    mut sums: [[S::Vector; L]; R],
    factors: Factors<'_, W>,
) -> [[S::Vector; L]; R] {
    let width = L * S::WIDTH;
    if factors.rows.len() < R {
        return sums; // no such summand
    }
    let mut rows: [&[f32]; R] = [&[]; R];
    for (row, values) in rows.iter_mut().zip(factors.rows) {
        *row = values.get(factors.numbers.clone()).unwrap_or_default();
    }
    let depth = rows.iter().map(|row| row.len()).min().unwrap_or(0);
    let depth = depth.min(factors.weights.len() / width);
    // All of one length, which the compiler then knows: no checks within the loops. (Loops, not `map`, which is not always
    // inlined.)
    for row in &mut rows {
        *row = &row[..depth];
    }
    for (k, weights) in (0..depth).zip(factors.weights.chunks_exact(width)) {
        if R > 1 {
            // (A single row reads four lines with each number: it has no time to ask for others.)
            simd.prefetch(factors.ahead, k * (LINE / size_of::<W>()));
        }
        fused(simd, &mut sums, &rows, k, weights);
    }
    sums
}

/// `sums + rows[..][k] · weights`: one lane after the other, so that beside the sums only the values and one vector of
/// weights are held.
#[inline(always)]
fn fused<S: Simd, W: Weight, const L: usize, const R: usize>(
    simd: S,
    sums: &mut [[S::Vector; L]; R],
    rows: &[&[f32]; R],
    k: usize,
    weights: &[W],
) {
    let mut values = [simd.splat(0.0); R];
    for (value, row) in values.iter_mut().zip(rows) {
        *value = simd.splat(row[k]);
    }
    for lane in 0..L {
        let weights = W::load(simd, weights.get(lane * S::WIDTH..).unwrap_or_default());
        for (sums, value) in sums.iter_mut().zip(values) {
            sums[lane] = simd.mul_add(value, weights, sums[lane]);
        }
    }
}
