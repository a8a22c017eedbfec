//! The weights of a SimpleRNN, and those of other frameworks made into them.

use ndarray::{Array1, Array2, ArrayView1, ArrayView2};

use crate::cell::{CellWeights, ValueRange, gates};
use crate::error::Result;
use crate::layer::weights::{Foreign, ONNX_NAMES, PYTORCH_NAMES, first_row, one_row, onnx_biases};

/// The weights of one SimpleRNN.
///
/// ```
/// use cellstate::{SimpleRnn, SimpleRnnWeights};
///
/// let trained: SimpleRnnWeights = SimpleRnn::new(2, 8).seed(7).weights()?;
/// assert_eq!(SimpleRnn::new(2, 8).with(trained.clone())?.weights()?, trained);
/// # Ok::<(), cellstate::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct SimpleRnnWeights {
    /// From the input, (features, units).
    pub kernel: Array2<f32>,
    /// From the hidden state, (units, units).
    pub recurrent_kernel: Array2<f32>,
    /// Added to both, (units); absent with `use_bias(false)`.
    pub bias: Option<Array1<f32>>,
}

impl SimpleRnnWeights {
    /// Weights as Keras keeps them. Nothing is checked until a layer takes them.
    ///
    /// ```
    /// # use cellstate::{SimpleRnn, SimpleRnnWeights};
    /// # use ndarray::Array2;
    /// let weights = SimpleRnnWeights::new(Array2::zeros((2, 8)), Array2::zeros((8, 8)), None);
    /// assert!(SimpleRnn::new(2, 8).with(weights).is_ok());
    /// ```
    #[must_use]
    pub fn new(kernel: Array2<f32>, recurrent_kernel: Array2<f32>, bias: Option<Array1<f32>>) -> Self {
        Self {
            kernel,
            recurrent_kernel,
            bias,
        }
    }

    /// The weights of one layer and direction of PyTorch's `nn.RNN`: `weight_ih` (units, features), `weight_hh` (units, units),
    /// and `bias_ih` and `bias_hh` (units), whose sum is the bias.
    ///
    /// # Errors
    ///
    /// [`Error::Size`](crate::Error::Size) where the shapes do not fit each other,
    /// [`Error::NotFinite`](crate::Error::NotFinite) for NaN or infinity.
    ///
    /// ```
    /// # use cellstate::SimpleRnnWeights;
    /// # use ndarray::{Array2, array};
    /// let weights = SimpleRnnWeights::from_pytorch(array![[1.0, 2.0]].view(), array![[3.0]].view(), None, None)?;
    /// assert_eq!(weights.kernel, array![[1.0], [2.0]]);
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    pub fn from_pytorch(
        w_ih: ArrayView2<'_, f32>,
        w_hh: ArrayView2<'_, f32>,
        b_ih: Option<ArrayView1<'_, f32>>,
        b_hh: Option<ArrayView1<'_, f32>>,
    ) -> Result<Self> {
        Self::of_pytorch(w_ih, w_hh, [b_ih, b_hh], ValueRange::Finite)
    }

    pub(crate) fn of_pytorch(
        w_ih: ArrayView2<'_, f32>,
        w_hh: ArrayView2<'_, f32>,
        biases: [Option<ArrayView1<'_, f32>>; 2],
        range: ValueRange,
    ) -> Result<Self> {
        Self::from_foreign(Foreign {
            names: PYTORCH_NAMES,
            order: gates::SIMPLE_RNN,
            kernel: w_ih,
            recurrent_kernel: w_hh,
            biases,
            range,
        })
    }

    /// The weights of one direction of ONNX's `RNN`: `W` (units, features), `R` (units, units) and `B` (2·units).
    ///
    /// # Errors
    ///
    /// [`Error::Size`](crate::Error::Size) where the shapes do not fit each other,
    /// [`Error::NotFinite`](crate::Error::NotFinite) for NaN or infinity.
    ///
    /// ```
    /// # use cellstate::SimpleRnnWeights;
    /// # use ndarray::array;
    /// let bias = array![0.5, 0.25];
    /// let weights = SimpleRnnWeights::from_onnx(array![[1.0, 2.0]].view(), array![[3.0]].view(), Some(bias.view()))?;
    /// assert_eq!(weights.bias, Some(array![0.75]));
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    pub fn from_onnx(w: ArrayView2<'_, f32>, r: ArrayView2<'_, f32>, b: Option<ArrayView1<'_, f32>>) -> Result<Self> {
        Self::of_onnx(w, r, b, ValueRange::Finite)
    }

    pub(crate) fn of_onnx(
        w: ArrayView2<'_, f32>,
        r: ArrayView2<'_, f32>,
        b: Option<ArrayView1<'_, f32>>,
        range: ValueRange,
    ) -> Result<Self> {
        Self::from_foreign(Foreign {
            names: ONNX_NAMES,
            order: gates::SIMPLE_RNN,
            kernel: w,
            recurrent_kernel: r,
            biases: onnx_biases(b, w.nrows())?,
            range,
        })
    }

    fn from_foreign(weights: Foreign<'_>) -> Result<Self> {
        let converted = weights.convert()?;
        let bias = converted.bias();
        Ok(Self::new(converted.kernel, converted.recurrent_kernel, bias))
    }
}

impl From<SimpleRnnWeights> for CellWeights {
    fn from(weights: SimpleRnnWeights) -> Self {
        Self {
            kernel: weights.kernel.into_shared(),
            recurrent_kernel: weights.recurrent_kernel.into_shared(),
            bias: weights.bias.map(one_row),
            peepholes: None,
            projection: None,
        }
    }
}

impl From<CellWeights> for SimpleRnnWeights {
    fn from(weights: CellWeights) -> Self {
        Self {
            kernel: weights.kernel.into_owned(),
            recurrent_kernel: weights.recurrent_kernel.into_owned(),
            bias: weights.bias.as_ref().map(first_row),
        }
    }
}
