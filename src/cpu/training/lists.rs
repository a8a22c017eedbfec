//! Rows of training: products with each, and sums over those who read one.

use std::borrow::Cow;

use ndarray::ArrayD;

use crate::cpu::product::matrix::ROWS_PER_TASK;
use crate::cpu::product::rows::over_rows;
use crate::error::Result;
use crate::flow::backward::Readers;
use crate::memory::RUN;

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

/// The gradients of rows: of each the sum over its readers, list by list, entry by entry.
pub(super) fn read_back(given: &[(&Readers, &[f32])], width: usize, count: usize) -> Result<Vec<f32>> {
    let mut gradients = RUN.zeros(count * width)?;
    over_rows((&mut gradients, width), |rows, first| {
        for (number, row) in (first..).zip(rows.chunks_exact_mut(width.max(1))) {
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

/// The numbers of an array row by row.
pub(super) fn flat(array: &ArrayD<f32>) -> Result<Cow<'_, [f32]>> {
    Ok(match array.as_slice() {
        Some(values) => Cow::Borrowed(values),
        None => Cow::Owned(RUN.listed(array.iter().copied())?),
    })
}
