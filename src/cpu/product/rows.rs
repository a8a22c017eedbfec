//! Rows of one width in a list, and tasks over them.

use rayon::prelude::*;

use super::matrix::{Matrix, ROWS_PER_TASK};
use super::path::Path;
use crate::cpu::threads::pool;

/// Row `number` of rows of a width; empty where there is none.
pub(crate) fn row_of(rows: &[f32], width: usize, number: usize) -> &[f32] {
    let begin = number.saturating_mul(width);
    rows.get(begin..begin.saturating_add(width)).unwrap_or_default()
}

/// `sums += rows · matrix`, a row of the sums every `stride` numbers, as many rows as have sums.
pub(crate) fn add<'r>(
    path: Path,
    matrix: &Matrix,
    row: impl Fn(usize) -> &'r [f32],
    (sums, stride): (&mut [f32], usize),
) {
    multiply(path, (matrix, None), row, (sums, stride));
}

/// As [`add`]; `backwards` as [`Matrix::multiply_panels`] has it.
pub(crate) fn add_in_turn<'r>(
    path: Path,
    (matrix, backwards): (&Matrix, bool),
    row: impl Fn(usize) -> &'r [f32],
    (sums, stride): (&mut [f32], usize),
) {
    by_tasks(row, (sums, stride), |rows, sums| {
        matrix.multiply_panels((path, 0..usize::MAX, backwards), rows, sums, stride);
    });
}

/// `sums = bias + rows · matrix`, and without a bias as [`add`].
pub(crate) fn multiply<'r>(
    path: Path,
    (matrix, bias): (&Matrix, Option<&[f32]>),
    row: impl Fn(usize) -> &'r [f32],
    (sums, stride): (&mut [f32], usize),
) {
    by_tasks(row, (sums, stride), |rows, sums| {
        matrix.multiply(path, rows, bias, sums, stride)
    });
}

/// A task for each [`ROWS_PER_TASK`] rows.
fn by_tasks<'r>(
    row: impl Fn(usize) -> &'r [f32],
    (sums, stride): (&mut [f32], usize),
    task: impl Fn(&[&[f32]], &mut [f32]),
) {
    for (number, sums) in sums.chunks_mut((ROWS_PER_TASK * stride).max(1)).enumerate() {
        let count = sums.len().div_ceil(stride.max(1)).min(ROWS_PER_TASK);
        let mut list: [&[f32]; ROWS_PER_TASK] = [&[]; ROWS_PER_TASK];
        for (number, to) in (number * ROWS_PER_TASK..).zip(list.iter_mut().take(count)) {
            *to = row(number);
        }
        task(list.get(..count).unwrap_or_default(), sums);
    }
}

/// Runs a task for each [`ROWS_PER_TASK`] rows of a width, with the number of the first.
pub(crate) fn over_rows((rows, width): (&mut [f32], usize), task: impl Fn(&mut [f32], usize) + Sync) {
    let length = ROWS_PER_TASK * width.max(1);
    if rows.len() <= length || pool::count() == 1 {
        let tasks = rows.chunks_mut(length).enumerate();
        tasks.for_each(|(number, rows)| task(rows, number * ROWS_PER_TASK));
    } else {
        let tasks = rows.par_chunks_mut(length).enumerate();
        tasks.for_each(|(number, rows)| task(rows, number * ROWS_PER_TASK));
    }
}
