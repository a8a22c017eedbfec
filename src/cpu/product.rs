//! The product of rows and panels, one tile at a time, with the sums in registers.

use super::panels::Weight;
use super::simd::{GATES, MOST_ROWS, Simd};

/// Rows times the weights of one panel; no rows and no weights are no summand.
#[derive(Clone, Copy, Debug)]
pub(super) struct Factors<'a, W> {
    pub(super) rows: &'a [&'a [f32]],
    pub(super) panel: &'a [W],
}

/// What the sums begin from: row r is `values[r * stride ..]`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Begin<'a> {
    pub(super) values: &'a [f32],
    pub(super) stride: usize,
}

/// `sums[r * stride ..] = begin + first + second` for `rows` rows of four gates of one panel, at most `S::ROWS`.
#[inline(always)]
pub(super) fn product<S: Simd, W: Weight>(
    simd: S,
    rows: usize,
    begin: Begin<'_>,
    summands: [Factors<'_, W>; 2],
    sums: &mut [f32],
    stride: usize,
) {
    const { assert!(S::ROWS <= MOST_ROWS) };
    // each number of rows has its code, as many as there can be on this path
    match rows {
        1 => tile::<S, W, 1>(simd, begin, summands, sums, stride),
        2 => tile::<S, W, 2>(simd, begin, summands, sums, stride),
        3 if S::ROWS >= 3 => tile::<S, W, 3>(simd, begin, summands, sums, stride),
        4 if S::ROWS >= 4 => tile::<S, W, 4>(simd, begin, summands, sums, stride),
        5 if S::ROWS >= 5 => tile::<S, W, 5>(simd, begin, summands, sums, stride),
        6 if S::ROWS >= 6 => tile::<S, W, 6>(simd, begin, summands, sums, stride),
        _ => {}
    }
}

#[inline(always)]
fn tile<S: Simd, W: Weight, const R: usize>(
    simd: S,
    begin: Begin<'_>,
    [first, second]: [Factors<'_, W>; 2],
    sums: &mut [f32],
    stride: usize,
) {
    let mut registers = [[simd.splat(0.0); GATES]; R];
    for (number, row) in registers.iter_mut().enumerate() {
        *row = gates(simd, begin.values.get(number * begin.stride..).unwrap_or_default());
    }
    registers = multiply(simd, registers, first);
    registers = multiply(simd, registers, second);
    for (number, row) in registers.iter().enumerate() {
        let sums = sums.get_mut(number * stride..).unwrap_or_default();
        for (gate, &vector) in row.iter().enumerate() {
            simd.store(vector, sums.get_mut(gate * S::LANES..).unwrap_or_default());
        }
    }
}

#[inline(always)]
fn gates<S: Simd>(simd: S, values: &[f32]) -> [S::Vector; GATES] {
    let mut gates = [simd.splat(0.0); GATES];
    for (gate, vector) in gates.iter_mut().enumerate() {
        *vector = simd.load(values.get(gate * S::LANES..).unwrap_or_default());
    }
    gates
}

/// `sums + rows · panel`, from the first row of the weights to the last: in this order for any number of rows, so that the
/// bits of a sequence depend neither on its neighbours in the batch nor on the number of threads.
#[inline(always)]
fn multiply<S: Simd, W: Weight, const R: usize>(
    simd: S,
    mut sums: [[S::Vector; GATES]; R],
    factors: Factors<'_, W>,
) -> [[S::Vector; GATES]; R] {
    let width = GATES * S::LANES;
    if factors.rows.len() < R {
        return sums; // no such summand
    }
    let depth = factors.rows.iter().map(|row| row.len()).min().unwrap_or(0);
    let depth = depth.min(factors.panel.len() / width);
    // All of one length, which the compiler then knows: no checks within the loops. (Loops, not `map`, which is not always
    // inlined.)
    let mut rows: [&[f32]; R] = [&[]; R];
    for (row, values) in rows.iter_mut().zip(factors.rows) {
        *row = &values[..depth];
    }
    for (k, weights) in (0..depth).zip(factors.panel.chunks_exact(width)) {
        fused(simd, &mut sums, &rows, k, weights);
    }
    sums
}

/// `sums + rows[..][k] · weights`: one gate after the other, so that beside the sums only the values and one vector of
/// weights are held.
#[inline(always)]
fn fused<S: Simd, W: Weight, const R: usize>(
    simd: S,
    sums: &mut [[S::Vector; GATES]; R],
    rows: &[&[f32]; R],
    k: usize,
    weights: &[W],
) {
    let mut values = [simd.splat(0.0); R];
    for (value, row) in values.iter_mut().zip(rows) {
        *value = simd.splat(row[k]);
    }
    for gate in 0..GATES {
        let weights = W::load(simd, weights.get(gate * S::LANES..).unwrap_or_default());
        for (sums, value) in sums.iter_mut().zip(values) {
            sums[gate] = simd.mul_add(value, weights, sums[gate]);
        }
    }
}
