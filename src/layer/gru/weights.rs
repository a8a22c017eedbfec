//! The weights of a GRU, and those of other frameworks made into them.

use ndarray::{Array2, ArrayView1, ArrayView2, Axis};

use crate::cell::{CellWeights, ValueRange, gates};
use crate::error::Result;
use crate::layer::weights::{Foreign, ONNX_NAMES, PYTORCH_NAMES, onnx_biases};

/// The weights of one GRU, gates in the order z r n, which is Keras's (z r h).
///
/// ```
/// use cellstate::{Gru, GruWeights};
///
/// let trained: GruWeights = Gru::new(2, 8).seed(7).weights()?;
/// assert_eq!(Gru::new(2, 8).with(trained.clone())?.weights()?, trained);
/// # Ok::<(), cellstate::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct GruWeights {
    /// From the input to the gates, (features, 3·units).
    pub kernel: Array2<f32>,
    /// From the hidden state to the gates, (units, 3·units).
    pub recurrent_kernel: Array2<f32>,
    /// What is added to the input's product and to the recurrent one, (2, 3·units); their sum, (1, 3·units), with
    /// `reset_after(false)`; absent with `use_bias(false)`.
    pub bias: Option<Array2<f32>>,
}

impl GruWeights {
    /// Weights as Keras keeps them (its bias of `reset_after=False` has an axis less). Nothing is checked until a layer takes them.
    ///
    /// ```
    /// # use cellstate::{Gru, GruWeights};
    /// # use ndarray::Array2;
    /// let weights = GruWeights::new(Array2::zeros((2, 24)), Array2::zeros((8, 24)), None);
    /// assert!(Gru::new(2, 8).with(weights).is_ok());
    /// ```
    #[must_use]
    pub fn new(kernel: Array2<f32>, recurrent_kernel: Array2<f32>, bias: Option<Array2<f32>>) -> Self {
        Self {
            kernel,
            recurrent_kernel,
            bias,
        }
    }

    /// The weights of one layer and direction of PyTorch's `nn.GRU`, for `reset_after(true)`: `weight_ih`
    /// (3·units, features), `weight_hh` (3·units, units), `bias_ih` and `bias_hh` (3·units), gates in PyTorch's order r z n.
    ///
    /// # Errors
    ///
    /// [`Error::Size`](crate::Error::Size) where the shapes do not fit each other,
    /// [`Error::NotFinite`](crate::Error::NotFinite) for NaN or infinity.
    ///
    /// ```
    /// # use cellstate::GruWeights;
    /// # use ndarray::{Array2, array};
    /// let (w_ih, w_hh, bias) = (array![[1.0], [2.0], [3.0]], Array2::zeros((3, 1)), array![0.1, 0.2, 0.3]); // r z n
    /// let weights = GruWeights::from_pytorch(w_ih.view(), w_hh.view(), Some(bias.view()), None)?;
    /// assert_eq!(weights.kernel, array![[2.0, 1.0, 3.0]]); // z r n
    /// assert_eq!(weights.bias, Some(array![[0.2, 0.1, 0.3], [0.0, 0.0, 0.0]]));
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
        let converted = Foreign {
            names: PYTORCH_NAMES,
            order: gates::GRU_PYTORCH,
            kernel: w_ih,
            recurrent_kernel: w_hh,
            biases,
            range,
        }
        .convert()?;
        Ok(Self::new(
            converted.kernel,
            converted.recurrent_kernel,
            converted.biases,
        ))
    }

    /// The weights of one direction of ONNX's `GRU`: `W` (3·units, features), `R` (3·units, units) and `B` (6·units), gates in
    /// the order z r h. `linear_before_reset` is the node's attribute, and the layer's `reset_after`.
    ///
    /// # Errors
    ///
    /// [`Error::Size`](crate::Error::Size) where the shapes do not fit each other,
    /// [`Error::NotFinite`](crate::Error::NotFinite) for NaN or infinity.
    ///
    /// ```
    /// # use cellstate::{Gru, GruWeights};
    /// # use ndarray::{Array1, Array2};
    /// let (w, r, b) = (Array2::zeros((24, 2)), Array2::zeros((24, 8)), Array1::zeros(48));
    /// let weights = GruWeights::from_onnx(w.view(), r.view(), Some(b.view()), false)?;
    /// assert!(Gru::new(2, 8).reset_after(false).with(weights).is_ok());
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    pub fn from_onnx(
        w: ArrayView2<'_, f32>,
        r: ArrayView2<'_, f32>,
        b: Option<ArrayView1<'_, f32>>,
        linear_before_reset: bool,
    ) -> Result<Self> {
        Self::of_onnx(w, r, b, linear_before_reset, ValueRange::Finite)
    }

    pub(crate) fn of_onnx(
        w: ArrayView2<'_, f32>,
        r: ArrayView2<'_, f32>,
        b: Option<ArrayView1<'_, f32>>,
        linear_before_reset: bool,
        range: ValueRange,
    ) -> Result<Self> {
        let converted = Foreign {
            names: ONNX_NAMES,
            order: gates::GRU_ONNX,
            kernel: w,
            recurrent_kernel: r,
            biases: onnx_biases(b, w.nrows())?,
            range,
        }
        .convert()?;
        let bias = match linear_before_reset {
            true => converted.biases,
            false => converted.bias().map(|bias| bias.insert_axis(Axis(0))),
        };
        Ok(Self::new(converted.kernel, converted.recurrent_kernel, bias))
    }
}

impl From<GruWeights> for CellWeights {
    fn from(weights: GruWeights) -> Self {
        Self {
            kernel: weights.kernel.into_shared(),
            recurrent_kernel: weights.recurrent_kernel.into_shared(),
            bias: weights.bias.map(Array2::into_shared),
            peepholes: None,
            projection: None,
        }
    }
}

impl From<CellWeights> for GruWeights {
    fn from(weights: CellWeights) -> Self {
        Self {
            kernel: weights.kernel.into_owned(),
            recurrent_kernel: weights.recurrent_kernel.into_owned(),
            bias: weights.bias.map(|bias| bias.into_owned()),
        }
    }
}
