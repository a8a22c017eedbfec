//! Rows of training: products with each, and sums over those who read one.

use rayon::prelude::*;

use crate::cpu::product::matrix::ROWS_PER_TASK;
use crate::cpu::threads::pool;
use crate::error::Result;
use crate::flow::backward::Readers;
use crate::memory::RUN;

/// Runs a task for each [`ROWS_PER_TASK`] rows of a width, with the number of the first.
pub(super) fn over_rows((rows, width): (&mut [f32], usize), task: impl Fn(&mut [f32], usize) + Sync) {
    let length = ROWS_PER_TASK * width.max(1);
    if rows.len() <= length || pool::count() == 1 {
        let tasks = rows.chunks_mut(length).enumerate();
        tasks.for_each(|(number, rows)| task(rows, number * ROWS_PER_TASK));
    } else {
        let tasks = rows.par_chunks_mut(length).enumerate();
        tasks.for_each(|(number, rows)| task(rows, number * ROWS_PER_TASK));
    }
}

/// Rows by their number from `first` on, and how many of them: at most [`ROWS_PER_TASK`].
pub(super) fn listed<'a>(
    first: usize,
    count: usize,
    row: impl Fn(usize) -> &'a [f32],
) -> ([&'a [f32]; ROWS_PER_TASK], usize) {
    let count = count.min(ROWS_PER_TASK);
    let mut list: [&[f32]; ROWS_PER_TASK] = [&[]; ROWS_PER_TASK];
    for (number, to) in (first..).zip(list.iter_mut().take(count)) {
        *to = row(number);
    }
    (list, count)
}

/// The gradients of rows: of each the sum over its readers, list by list, entry by entry. `order` says which row stands at which place; without it
/// they stand in order.
pub(super) fn read_back(
    given: &[(&Readers, &[f32])],
    width: usize,
    (count, order): (usize, Option<&[u32]>),
) -> Result<Vec<f32>> {
    let mut gradients = RUN.zeros(count * width)?;
    over_rows((&mut gradients, width), |rows, first| {
        for (place, row) in (first..).zip(rows.chunks_exact_mut(width.max(1))) {
            let number = order.map_or(place, |order| order.get(place).map_or(usize::MAX, |&row| row as usize));
            for (readers, entries) in given {
                for &entry in readers.of(number) {
                    let begin = entry as usize * width;
                    let from = entries.get(begin..begin + width).unwrap_or_default();
                    row.iter_mut().zip(from).for_each(|(to, from)| *to += from);
                }
            }
        }
    });
    Ok(gradients)
}
