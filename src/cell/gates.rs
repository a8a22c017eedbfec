//! The orders in which frameworks keep the gates of a cell: the one place that states them.
//!
//! Here the gates stand in Keras's order, i f g o and z r n. An order below says, for each of these, where another framework
//! keeps it.

use ndarray::{Array, Array1, Array2, ArrayView, ArrayView1, ArrayView2, Axis, Dimension, RemoveAxis};

/// PyTorch's LSTM: i f g o.
pub(crate) const LSTM_PYTORCH: &[usize] = &[0, 1, 2, 3];
/// ONNX's LSTM: i o f c.
pub(crate) const LSTM_ONNX: &[usize] = &[0, 2, 3, 1];
/// ONNX's peepholes: i o f. Here i f o.
pub(crate) const PEEPHOLES_ONNX: &[usize] = &[0, 2, 1];
/// PyTorch's GRU: r z n.
pub(crate) const GRU_PYTORCH: &[usize] = &[1, 0, 2];
/// ONNX's GRU: z r h.
pub(crate) const GRU_ONNX: &[usize] = &[0, 1, 2];
/// One gate.
pub(crate) const SIMPLE_RNN: &[usize] = &[0];

/// Blocks of rows in the order of this crate, from a tensor whose first axis has one block for each gate in another order.
fn in_our_order<D: Dimension + RemoveAxis>(tensor: ArrayView<'_, f32, D>, order: &[usize]) -> Array<f32, D> {
    let units = tensor.len_of(Axis(0)) / order.len().max(1);
    let rows: Vec<usize> = order.iter().flat_map(|gate| gate * units..(gate + 1) * units).collect();
    tensor.select(Axis(0), &rows)
}

/// (gates·units, n) with the gates in another order, as (n, gates·units) in ours: what PyTorch and ONNX call W or R.
pub(crate) fn kernel_from(weights: ArrayView2<'_, f32>, order: &[usize]) -> Array2<f32> {
    in_our_order(weights, order)
        .reversed_axes()
        .as_standard_layout()
        .into_owned()
}

/// (gates·units) with the gates in another order, as one row in ours.
pub(crate) fn row_from(values: ArrayView1<'_, f32>, order: &[usize]) -> Array2<f32> {
    in_our_order(values, order).insert_axis(Axis(0))
}

/// The other way of `order`: where a framework wants each of our gates.
#[allow(
    dead_code,
    reason = "only formats that are written need this, and each is behind a feature"
)]
fn in_their_order<D: Dimension + RemoveAxis>(tensor: ArrayView<'_, f32, D>, order: &[usize]) -> Array<f32, D> {
    let mut ours = vec![0; order.len()];
    for (gate, &theirs) in order.iter().enumerate() {
        if let Some(ours) = ours.get_mut(theirs) {
            *ours = gate;
        }
    }
    in_our_order(tensor, &ours)
}

/// A kernel, (inputs, gates·units), as (gates·units, inputs) in the framework's order: [`kernel_from`] the other way.
#[allow(
    dead_code,
    reason = "only formats that are written need this, and each is behind a feature"
)]
pub(crate) fn kernel_into(kernel: ArrayView2<'_, f32>, order: &[usize]) -> Array2<f32> {
    in_their_order(kernel.reversed_axes(), order)
        .as_standard_layout()
        .into_owned()
}

/// A bias, (gates·units), in the framework's order: [`row_from`] the other way.
#[allow(
    dead_code,
    reason = "only formats that are written need this, and each is behind a feature"
)]
pub(crate) fn row_into(values: ArrayView1<'_, f32>, order: &[usize]) -> Array1<f32> {
    in_their_order(values, order)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn gates_come_into_our_order() {
        let onnx = array![[1.0, 10.0], [2.0, 20.0], [3.0, 30.0], [4.0, 40.0]]; // i o f c
        assert_eq!(
            kernel_from(onnx.view(), LSTM_ONNX),
            array![[1.0, 3.0, 4.0, 2.0], [10.0, 30.0, 40.0, 20.0]]
        );
        let pytorch = array![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]; // r r z z n n
        assert_eq!(
            row_from(pytorch.view(), GRU_PYTORCH),
            array![[3.0, 4.0, 1.0, 2.0, 5.0, 6.0]]
        );
    }
    #[test]
    fn gates_go_back_into_the_order_that_they_came_from() {
        let kernel = Array2::from_shape_fn((8, 3), |(row, column)| (10 * row + column) as f32);
        let bias = kernel.column(1);
        for order in [LSTM_PYTORCH, LSTM_ONNX] {
            assert_eq!(kernel_into(kernel_from(kernel.view(), order).view(), order), kernel);
            assert_eq!(row_into(row_from(bias, order).row(0), order), bias);
        }
        // an order that is not its own inverse
        let turned: &[usize] = &[1, 2, 3, 0];
        assert_eq!(kernel_into(kernel_from(kernel.view(), turned).view(), turned), kernel);
    }
}
