//! The weights of a layer as numbers, in Keras's layout; the only place that states the order of the gates.

use ndarray::{Array1, Array2, ArrayView, ArrayView1, Dimension};

use crate::error::{Error, Result};

/// The number of gates of an LSTM.
///
/// They stand in Keras's order everywhere: `i` (input), `f` (forget), `g` (cell candidate, Keras's `c`), `o` (output).
/// The columns of gate number `n` in a kernel are `n * units .. (n + 1) * units`.
///
/// ```
/// use cellstate::{Lstm, layer::weights::GATES};
///
/// let (features, units) = (2, 8);
/// let kernel = Lstm::new(features, units).weights()?.kernel;
/// assert_eq!(kernel.dim(), (features, GATES * units));
/// # Ok::<(), cellstate::Error>(())
/// ```
pub const GATES: usize = 4;

/// The number of the forget gate, whose bias begins at one (`unit_forget_bias`).
pub(crate) const FORGET_GATE: usize = 1;

/// The weights of one LSTM, as `layer.get_weights()` gives them in Keras.
///
/// ```
/// use cellstate::{Lstm, LstmWeights};
///
/// let trained: LstmWeights = Lstm::new(2, 8).seed(7).weights()?;
/// let LstmWeights { kernel, recurrent_kernel, bias } = trained.clone();
/// assert_eq!(Lstm::new(2, 8).with_weights(kernel, recurrent_kernel, bias)?.weights()?, trained);
/// # Ok::<(), cellstate::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct LstmWeights {
    /// From the input to the gates, (features, 4·units), gates in the order i f g o.
    pub kernel: Array2<f32>,
    /// From the hidden state to the gates, (units, 4·units).
    pub recurrent_kernel: Array2<f32>,
    /// Added to the gates, (4·units); absent with `use_bias(false)`.
    pub bias: Option<Array1<f32>>,
}

/// The weights of a [`Dense`](crate::Dense) layer, as `layer.get_weights()` gives them in Keras.
///
/// ```
/// use cellstate::{Dense, DenseWeights};
///
/// let trained: DenseWeights = Dense::new(16, 5).seed(7).weights()?;
/// let dense = Dense::new(16, 5).with_weights(trained.kernel.clone(), trained.bias.clone())?;
/// assert_eq!(dense.weights()?, trained);
/// # Ok::<(), cellstate::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct DenseWeights {
    /// From the input to the output, (features, units).
    pub kernel: Array2<f32>,
    /// Added to the output, (units); absent with `use_bias(false)`.
    pub bias: Option<Array1<f32>>,
}

/// Checks the shape and that every value is finite.
pub(crate) fn check_tensor<D: Dimension>(
    name: &str,
    tensor: &ArrayView<'_, f32, D>,
    shape: &[usize],
    axes: &str,
) -> Result<()> {
    let repair = "pass the array as Keras's `get_weights()` gives it";
    check_tensor_or(name, tensor, shape, axes, repair)
}

/// As [`check_tensor`], with what repairs a shape that is not just transposed.
pub(crate) fn check_tensor_or<D: Dimension>(
    name: &str,
    tensor: &ArrayView<'_, f32, D>,
    shape: &[usize],
    axes: &str,
    otherwise: &str,
) -> Result<()> {
    if tensor.shape() != shape {
        let transposed: Vec<usize> = tensor.shape().iter().rev().copied().collect();
        let repair = if transposed == shape && shape.len() == 2 {
            "the axes look swapped: pass its transpose, `.reversed_axes()` (PyTorch keeps weights transposed)"
        } else {
            otherwise
        };
        return Err(Error::Size {
            argument: name.to_owned(),
            expected: format!("{axes} = {shape:?}"),
            found: format!("shape {:?}", tensor.shape()),
            repair: repair.to_owned(),
        });
    }
    for (flat, value) in tensor.iter().enumerate() {
        if !value.is_finite() {
            return Err(Error::NotFinite {
                tensor: name.to_owned(),
                index: unflatten(flat, shape),
                value: value.to_string(),
                repair: "the training may have diverged; save the weights of an earlier epoch".to_owned(),
            });
        }
    }
    Ok(())
}

/// Holds the weights to `use_bias`: without it the bias is left out, with it there has to be one.
pub(crate) fn reconcile_bias(use_bias: bool, bias: &mut Option<Array1<f32>>) -> Result<()> {
    if !use_bias {
        *bias = None;
    } else if bias.is_none() {
        return Err(Error::Value {
            argument: "use_bias".to_owned(),
            expected: "false, for the weights given have no bias".to_owned(),
            found: "true".to_owned(),
            repair: "call `use_bias(true)` before `with_weights`, and give a bias".to_owned(),
        });
    }
    Ok(())
}

fn unflatten(mut flat: usize, shape: &[usize]) -> Vec<usize> {
    let mut index: Vec<usize> = shape
        .iter()
        .rev()
        .map(|&length| {
            let here = flat % length.max(1);
            flat /= length.max(1);
            here
        })
        .collect();
    index.reverse();
    index
}

/// The gates of each unit side by side: from a row of 4·units columns, gate by gate, to units times i f g o.
pub(crate) fn gates_of(row: ArrayView1<'_, f32>, units: usize) -> impl Iterator<Item = [f32; GATES]> {
    (0..units).map(move |unit| std::array::from_fn(|gate| row.get(gate * units + unit).copied().unwrap_or(0.0)))
}
