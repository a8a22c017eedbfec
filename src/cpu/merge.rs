//! `merge`: the outputs of two directions become one.

use ndarray::{Array2, Axis, concatenate};

use crate::layer::bidirectional::MergeMode;

/// Merges rows of the forward and the backward layer.
pub(crate) fn merge(mode: MergeMode, forward: Array2<f32>, backward: Array2<f32>) -> Array2<f32> {
    match mode {
        // the rows are equally many, so `concatenate` cannot fail
        MergeMode::Concat => {
            concatenate(Axis(1), &[forward.view(), backward.view()]).unwrap_or_else(|_| Array2::zeros((0, 0)))
        }
        MergeMode::Sum => forward + backward,
        MergeMode::Multiply => forward * backward,
        MergeMode::Average => (forward + backward) * 0.5,
        MergeMode::Separate => forward,
    }
}
