//! `input_projection`: rows times weights plus bias, one product for all rows.

use ndarray::linalg::general_mat_mul;
use ndarray::{Array1, Array2, ArrayView2, ArrayViewMut2, Axis};
use rayon::prelude::*;

use super::threads;
use crate::activation::Activation;
use crate::layer::weights::DenseWeights;

/// `projected = rows · kernel + bias`.
pub(crate) fn input_projection(
    rows: ArrayView2<'_, f32>,
    kernel: ArrayView2<'_, f32>,
    bias: Option<&Array1<f32>>,
    mut projected: ArrayViewMut2<'_, f32>,
) {
    match bias {
        Some(bias) => projected.outer_iter_mut().for_each(|mut row| row.assign(bias)),
        None => projected.fill(0.0),
    }
    general_mat_mul(1.0, &rows, &kernel, 1.0, &mut projected);
}

/// A Dense layer: the projection and its activation, the rows split over the threads.
pub(crate) fn dense(rows: ArrayView2<'_, f32>, weights: &DenseWeights, activation: Activation) -> Array2<f32> {
    const ROWS_PER_TASK: usize = 64;
    let units = weights.kernel.ncols();
    let mut projected = Array2::zeros((rows.nrows(), units));
    let run = |(mut projected, rows): (ArrayViewMut2<'_, f32>, ArrayView2<'_, f32>)| {
        input_projection(rows, weights.kernel.view(), weights.bias.as_ref(), projected.view_mut());
        if let Some(values) = projected.as_slice_mut() {
            activation.apply(values, units);
        }
    };
    let chunks = projected.axis_chunks_iter_mut(Axis(0), ROWS_PER_TASK);
    let sources = rows.axis_chunks_iter(Axis(0), ROWS_PER_TASK);
    if rows.nrows() <= ROWS_PER_TASK || threads::count() == 1 {
        chunks.zip(sources).for_each(run);
    } else {
        chunks.into_par_iter().zip(sources).for_each(run);
    }
    projected
}
