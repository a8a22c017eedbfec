//! Rows that are made one by one, split over the threads.

use rayon::prelude::*;

use crate::cpu::product::matrix::ROWS_PER_TASK;
use crate::cpu::threads::pool;

/// Runs a task for each [`ROWS_PER_TASK`] rows of a width, with the entries of the index that belong to them.
pub(super) fn over_rows((rows, width): (&mut [f32], usize), index: &[u32], task: impl Fn(&mut [f32], &[u32]) + Sync) {
    if width == 0 {
        return;
    }
    let length = ROWS_PER_TASK * width;
    if index.len() <= ROWS_PER_TASK || pool::count() == 1 {
        let tasks = rows.chunks_mut(length).zip(index.chunks(ROWS_PER_TASK));
        tasks.for_each(|(rows, index)| task(rows, index));
    } else {
        let tasks = rows.par_chunks_mut(length).zip(index.par_chunks(ROWS_PER_TASK));
        tasks.for_each(|(rows, index)| task(rows, index));
    }
}
