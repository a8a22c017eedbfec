//! `gather` and `place`: rows by their numbers.

use ndarray::{Array2, ArrayView2, Axis};

use crate::flow::{Flow, Input};

/// The rows of the input that the flow reads.
pub(crate) fn input_rows(flow: &Flow, input: Input<'_>) -> Array2<f32> {
    let Input::Values(values) = input else {
        return Array2::zeros((0, 0));
    };
    let (_, time_steps, features) = values.dim();
    let mut rows = Array2::zeros((flow.input_steps.len(), features));
    for (mut row, &step) in rows.outer_iter_mut().zip(&flow.input_steps) {
        let step = step as usize;
        row.assign(
            &values
                .index_axis(Axis(0), step / time_steps)
                .index_axis(Axis(0), step % time_steps),
        );
    }
    rows
}

/// `source[index[r]]` for every r; zeros where the index is none.
pub(crate) fn gather(source: ArrayView2<'_, f32>, index: &[u32]) -> Array2<f32> {
    let mut rows = Array2::zeros((index.len(), source.ncols()));
    gather_into(source, index.iter().copied(), &mut rows);
    rows
}

/// The same into rows that are there; `rows` has at least as many as `index`.
pub(crate) fn gather_into(source: ArrayView2<'_, f32>, index: impl Iterator<Item = u32>, rows: &mut Array2<f32>) {
    for (mut row, entry) in rows.outer_iter_mut().zip(index) {
        // `NONE` is no row of any source
        if (entry as usize) < source.nrows() {
            row.assign(&source.row(entry as usize));
        } else {
            row.fill(0.0);
        }
    }
}
