//! Rows of one width in a list, and tasks over them.

use rayon::prelude::*;

use super::matrix::ROWS_PER_TASK;
use crate::cpu::threads::pool;

/// Row `number` of rows of a width; empty where there is none.
pub(crate) fn row_of(rows: &[f32], width: usize, number: usize) -> &[f32] {
    let begin = number.saturating_mul(width);
    rows.get(begin..begin.saturating_add(width)).unwrap_or_default()
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
