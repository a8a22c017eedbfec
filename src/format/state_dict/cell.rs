//! The weights of recurrent modules, as this crate keeps them and as PyTorch does.

use ndarray::{Array1, Array2, ArrayView1, ArrayView2};

use crate::cell::{Cell, CellWeights, Rule, ValueRange, gates};
use crate::error::{Error, Result};
use crate::layer::gru::GruWeights;
use crate::layer::lstm::LstmWeights;
use crate::layer::simple_rnn::SimpleRnnWeights;

/// The tensors of one layer and direction, under PyTorch's names.
#[derive(Clone, Debug)]
pub(crate) struct PytorchWeights {
    pub(crate) weight_ih: Array2<f32>,
    pub(crate) weight_hh: Array2<f32>,
    pub(crate) bias_ih: Option<Array1<f32>>,
    pub(crate) bias_hh: Option<Array1<f32>>,
    pub(crate) weight_hr: Option<Array2<f32>>,
}

/// The weights for a cell. What PyTorch computes otherwise than the cell, though their shapes are alike, is an error.
pub(crate) fn from_pytorch(
    cell: &Cell,
    weights: &PytorchWeights,
    module: &str,
    range: ValueRange,
) -> Result<CellWeights> {
    let (w_ih, w_hh) = (weights.weight_ih.view(), weights.weight_hh.view());
    let biases = [&weights.bias_ih, &weights.bias_hh].map(|bias| bias.as_ref().map(|bias| bias.view()));
    match cell.rule {
        Rule::Lstm(_) => {
            let converted = LstmWeights::of_pytorch(w_ih, w_hh, biases, range)?;
            Ok(match &weights.weight_hr {
                Some(weight_hr) => converted.with_projection(turned(weight_hr.view())),
                None => converted,
            }
            .into())
        }
        Rule::Gru(options) if !options.reset_after => Err(Error::Unsupported {
            layer: module.to_owned(),
            option: "a layer with reset_after(false)".to_owned(),
            instead: "leave `reset_after(false)` out: PyTorch's GRU multiplies by the reset gate after the product"
                .to_owned(),
        }),
        Rule::Gru(_) => Ok(GruWeights::of_pytorch(w_ih, w_hh, biases, range)?.into()),
        Rule::SimpleRnn(_) => Ok(SimpleRnnWeights::of_pytorch(w_ih, w_hh, biases, range)?.into()),
    }
}

/// The other way: the weights of a cell as PyTorch keeps them. The bias stands in `bias_ih`, and `bias_hh` is zero, but for a GRU, which
/// needs both.
pub(crate) fn to_pytorch(cell: &Cell, weights: &CellWeights) -> PytorchWeights {
    let order = match cell.rule {
        Rule::Lstm(_) => gates::LSTM_PYTORCH,
        Rule::Gru(_) => gates::GRU_PYTORCH,
        Rule::SimpleRnn(_) => gates::SIMPLE_RNN,
    };
    let rows = |kernel: ArrayView2<'_, f32>| gates::kernel_into(kernel, order);
    let row = |row: ArrayView1<'_, f32>| gates::row_into(row, order);
    let bias = |index: usize| {
        weights.bias.as_ref().map(|bias| match index < bias.nrows() {
            true => row(bias.row(index)),
            false => Array1::zeros(bias.ncols()),
        })
    };
    PytorchWeights {
        weight_ih: rows(weights.kernel.view()),
        weight_hh: rows(weights.recurrent_kernel.view()),
        bias_ih: bias(0),
        bias_hh: bias(1),
        weight_hr: weights.projection.as_ref().map(|projection| turned(projection.view())),
    }
}

/// What of a cell's options no module of PyTorch computes; `None` if one does.
pub(crate) fn obstacle(cell: &Cell) -> Option<&'static str> {
    use crate::activation::Activation::{Relu, Sigmoid, Tanh};
    if cell.clip().is_some() {
        return Some("clip");
    }
    match cell.rule {
        Rule::Lstm(options) if options.activations() != [Tanh, Sigmoid, Tanh] => Some("other activations"),
        Rule::Lstm(options) if options.peepholes => Some("peepholes"),
        Rule::Lstm(options) if options.input_forget => Some("input_forget"),
        Rule::Gru(options) if !options.reset_after => Some("reset_after(false)"),
        Rule::Gru(options) if (options.activation, options.recurrent_activation) != (Tanh, Sigmoid) => {
            Some("other activations")
        }
        Rule::SimpleRnn(options) if ![Tanh, Relu].contains(&options.activation) => Some("another activation"),
        _ => None,
    }
}

pub(crate) fn turned(matrix: ArrayView2<'_, f32>) -> Array2<f32> {
    matrix.reversed_axes().as_standard_layout().into_owned()
}
