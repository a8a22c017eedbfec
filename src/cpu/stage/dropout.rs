//! `dropout`: some values of each row are left out, the others grow so that the expected value stays; in inference all stay as they are.

use super::gather::Gathered;
use crate::cpu::product::matrix::ROWS_PER_TASK;
use crate::cpu::threads::pool;
use crate::model::planned_dropout::PlannedDropout;
use crate::random::Noise;
use rayon::prelude::*;

/// `rows[r] = factors · source[index[r]]`, the factors by the number that `numbers` has for the row.
pub(crate) fn dropout(
    dropout: &PlannedDropout,
    noise: Option<Noise>,
    (input, numbers): (Gathered<'_>, &[u32]),
    (rows, width): (&mut [f32], usize),
) {
    rows.chunks_exact_mut(width.max(1))
        .zip(input.index)
        .for_each(|(row, &number)| {
            row.iter_mut()
                .zip(input.source.row(number))
                .for_each(|(to, &from)| *to = from);
        });
    leave_out(dropout, noise, numbers, (rows, width));
}

/// What forward and backward do alike: each row times its factors.
pub(crate) fn leave_out(
    dropout: &PlannedDropout,
    noise: Option<Noise>,
    numbers: &[u32],
    (rows, width): (&mut [f32], usize),
) {
    let Some(noise) = noise.filter(|_| width > 0) else {
        return;
    };
    let task = |rows: &mut [f32], numbers: &[u32]| {
        let mut factors = [0.0; FACTORS];
        for (row, &number) in rows.chunks_exact_mut(width).zip(numbers) {
            for (part, row) in row.chunks_mut(FACTORS).enumerate() {
                let factors = factors.get_mut(..row.len()).unwrap_or_default();
                noise.dropout((dropout.layer, number), dropout.rate, part * FACTORS, factors);
                row.iter_mut()
                    .zip(factors)
                    .for_each(|(value, factor)| *value = times(*value, *factor));
            }
        }
    };
    if numbers.len() <= ROWS_PER_TASK || pool::count() == 1 {
        return task(rows, numbers);
    }
    let tasks = rows
        .par_chunks_mut(ROWS_PER_TASK * width)
        .zip(numbers.par_chunks(ROWS_PER_TASK));
    tasks.for_each(|(rows, numbers)| task(rows, numbers));
}

/// A value times its factor; one that is left out is 0 whatever it was.
pub(crate) fn times(value: f32, factor: f32) -> f32 {
    if factor == 0.0 { 0.0 } else { value * factor }
}

/// The factors that are made at once: whole words of the generator.
const FACTORS: usize = 64;
