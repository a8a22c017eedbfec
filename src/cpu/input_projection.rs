//! `input_projection`: rows times weights plus bias, one product for all rows.

use ndarray::linalg::general_mat_mul;
use ndarray::{Array1, ArrayView2, ArrayViewMut2};

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
