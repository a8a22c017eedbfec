//! What the weights of several layers have in common, and those of a Dense layer.

use ndarray::{ArcArray2, Array1, Array2, ArrayView1, ArrayView2, Axis, concatenate};

use crate::cell::ValueRange;
use crate::cell::gates::{kernel_from, row_from};
use crate::error::{Error, Result};

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

/// Holds the weights to `use_bias`: without it the bias is left out, with it there has to be one.
pub(crate) fn reconcile_bias(use_bias: bool, bias: &mut Option<Array1<f32>>) -> Result<()> {
    if !use_bias {
        *bias = None;
    } else if bias.is_none() {
        return Err(no_bias());
    }
    Ok(())
}

/// The error for `use_bias(true)` behind weights without a bias.
pub(crate) fn no_bias() -> Error {
    Error::Value {
        argument: "use_bias".to_owned(),
        expected: "false, for the weights given have no bias".to_owned(),
        found: "true".to_owned(),
        repair: "call `use_bias(true)` before `with_weights`, and give a bias".to_owned(),
    }
}

/// One row, as the bias of a cell.
pub(crate) fn one_row(bias: Array1<f32>) -> ArcArray2<f32> {
    bias.insert_axis(Axis(0)).into_shared()
}

/// The first row.
pub(crate) fn first_row(bias: &ArcArray2<f32>) -> Array1<f32> {
    bias.row(0).to_owned()
}

/// What PyTorch calls the weights of a layer.
pub(crate) const PYTORCH_NAMES: [&str; 4] = [
    "w_ih (PyTorch's weight_ih)",
    "w_hh (PyTorch's weight_hh)",
    "b_ih (PyTorch's bias_ih)",
    "b_hh (PyTorch's bias_hh)",
];

/// What ONNX calls them.
pub(crate) const ONNX_NAMES: [&str; 4] = ["w (ONNX's W)", "r (ONNX's R)", "b (ONNX's B)", "b (ONNX's B)"];

/// The weights of another framework for one layer and one direction: PyTorch's `weight_ih`, `weight_hh` and biases, or ONNX's
/// `W`, `R` and the halves of `B`. Each has a block of rows for each gate.
pub(crate) struct Foreign<'a> {
    /// Whose they are, and what they are called there: kernel, recurrent kernel, bias of the input, bias of the state.
    pub(crate) names: [&'static str; 4],
    /// Where each gate of ours stands among theirs.
    pub(crate) order: &'static [usize],
    /// (gates·units, features)
    pub(crate) kernel: ArrayView2<'a, f32>,
    /// (gates·units, output)
    pub(crate) recurrent_kernel: ArrayView2<'a, f32>,
    /// (gates·units) each.
    pub(crate) biases: [Option<ArrayView1<'a, f32>>; 2],
    /// Which values they may have.
    pub(crate) range: ValueRange,
}

/// The same in this crate's order.
pub(crate) struct Converted {
    pub(crate) kernel: Array2<f32>,
    pub(crate) recurrent_kernel: Array2<f32>,
    /// (2, gates·units): one that is absent is zero; `None` if both are.
    pub(crate) biases: Option<Array2<f32>>,
}

impl Foreign<'_> {
    pub(crate) fn convert(&self) -> Result<Converted> {
        let [kernel, recurrent_kernel, ..] = self.names;
        let (rows, gates) = (self.kernel.nrows(), self.order.len());
        if rows == 0 || rows % gates != 0 {
            return Err(Error::Size {
                argument: kernel.to_owned(),
                expected: format!("(gates·units, features): rows for each of {gates} gates"),
                found: format!("shape {:?}", self.kernel.shape()),
                repair: "pass the tensor of one layer and one direction as the framework keeps it".to_owned(),
            });
        }
        let range = self.range;
        range.check(kernel, &self.kernel)?;
        let shape = [rows, self.recurrent_kernel.ncols()];
        range.check_tensor(recurrent_kernel, &self.recurrent_kernel, &shape, "(gates·units, units)")?;
        for (name, bias) in self.names.iter().skip(2).zip(&self.biases) {
            if let Some(bias) = bias {
                range.check_tensor(name, bias, &[rows], "(gates·units)")?;
            }
        }
        let zeros = Array1::zeros(rows);
        let rows: Vec<Array2<f32>> = self
            .biases
            .iter()
            .map(|bias| row_from(bias.unwrap_or(zeros.view()), self.order))
            .collect();
        let views: Vec<ArrayView2<'_, f32>> = rows.iter().map(|row| row.view()).collect();
        let biases = match self.biases.iter().any(Option::is_some) {
            true => Some(concatenate(Axis(0), &views).map_err(|_| Error::defect("the rows of a bias"))?),
            false => None,
        };
        Ok(Converted {
            kernel: kernel_from(self.kernel, self.order),
            recurrent_kernel: kernel_from(self.recurrent_kernel, self.order),
            biases,
        })
    }
}

impl Converted {
    /// Both biases as one, their sum.
    pub(crate) fn bias(&self) -> Option<Array1<f32>> {
        self.biases.as_ref().map(|biases| biases.sum_axis(Axis(0)))
    }
}

/// The two halves of ONNX's `B`, (2·gates·units): what belongs to `W`, and to `R`.
pub(crate) fn onnx_biases<'a>(
    bias: Option<ArrayView1<'a, f32>>,
    rows: usize,
) -> Result<[Option<ArrayView1<'a, f32>>; 2]> {
    let Some(bias) = bias else {
        return Ok([None, None]);
    };
    if bias.len() != 2 * rows {
        return Err(Error::Size {
            argument: "b (ONNX's B)".to_owned(),
            expected: format!("(2·gates·units) = [{}]", 2 * rows),
            found: format!("shape {:?}", bias.shape()),
            repair: "pass the row of one direction as ONNX keeps it: the bias of W, then that of R".to_owned(),
        });
    }
    let (first, second) = bias.split_at(Axis(0), rows);
    Ok([Some(first), Some(second)])
}
