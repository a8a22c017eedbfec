//! `transform`: each row becomes another of the same width, by itself; the rows split over the threads.

use super::gather::Source;
use super::tasks::over_rows;
use crate::model::transform::{Scale, Transform};

/// `rows[r]` is made of `source[index[r]]`, for every r.
pub(crate) fn transform(transform: &Transform, source: Source<'_>, index: &[u32], width: usize, rows: &mut [f32]) {
    over_rows((rows, width), index, |rows, index| {
        for (row, &number) in rows.chunks_exact_mut(width.max(1)).zip(index) {
            one(transform, source.row(number), row);
        }
        transform.activation().apply(rows, width);
    });
}

fn one(transform: &Transform, values: &[f32], row: &mut [f32]) {
    match transform {
        // activation(x · scale + shift)
        Transform::Scale {
            by: Some(Scale { scale, shift, .. }),
            ..
        } => {
            for (((to, x), scale), shift) in row.iter_mut().zip(values).zip(scale).zip(shift) {
                *to = x * scale + shift;
            }
        }
        Transform::Scale { by: None, .. } => row.iter_mut().zip(values).for_each(|(to, x)| *to = *x),
        // mean = Σ x / n, variance = Σ (x − mean)² / n, activation((x − mean) / √(variance + epsilon) · gamma + beta)
        Transform::Normalize {
            gamma, beta, epsilon, ..
        } => {
            let count = values.len() as f64;
            let mean = sum(values, |x| x) / count;
            let variance = sum(values, |x| (x - mean) * (x - mean)) / count;
            let inverse = 1.0 / (variance + f64::from(*epsilon)).sqrt();
            for (((to, &x), gamma), beta) in row.iter_mut().zip(values).zip(gamma).zip(beta) {
                let normal = (f64::from(x) - mean) * inverse;
                *to = normal as f32 * gamma + beta;
            }
        }
    }
}

/// The sum over all values of what is made of each, by eight sums that run beside each other.
fn sum(values: &[f32], of: impl Fn(f64) -> f64) -> f64 {
    let mut sums = [0.0; 8];
    for values in values.chunks(sums.len()) {
        for (sum, &value) in sums.iter_mut().zip(values) {
            *sum += of(f64::from(value));
        }
    }
    sums.iter().sum()
}
