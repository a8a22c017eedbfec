//! The weights of an LSTM, and those of other frameworks made into them.

use ndarray::{Array1, Array2, ArrayView1, ArrayView2};

use crate::cell::lstm::GATES;
use crate::cell::{CellWeights, ValueRange, gates};
use crate::error::{Error, Result};
use crate::layer::weights::{Foreign, ONNX_NAMES, PYTORCH_NAMES, first_row, one_row, onnx_biases};

/// The weights of one LSTM, gates in the order i f g o, which is Keras's and PyTorch's.
///
/// Keras's `layer.get_weights()` has kernel, recurrent kernel and bias as they are here; those of PyTorch and ONNX are converted
/// by [`from_pytorch`](Self::from_pytorch) and [`from_onnx`](Self::from_onnx).
///
/// ```
/// use cellstate::{Lstm, LstmWeights};
///
/// let trained: LstmWeights = Lstm::new(2, 8).seed(7).weights()?;
/// let LstmWeights { kernel, recurrent_kernel, bias, .. } = trained.clone();
/// assert_eq!(Lstm::new(2, 8).with_weights(kernel, recurrent_kernel, bias)?.weights()?, trained);
/// # Ok::<(), cellstate::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct LstmWeights {
    /// From the input to the gates, (features, 4·units).
    pub kernel: Array2<f32>,
    /// From the hidden state to the gates, (units, 4·units), or (projection, 4·units).
    pub recurrent_kernel: Array2<f32>,
    /// Added to the gates, (4·units); absent with `use_bias(false)`.
    pub bias: Option<Array1<f32>>,
    /// From the cell state to the gates i f o, (3, units); for [`Lstm::peepholes`](crate::Lstm::peepholes).
    pub peepholes: Option<Array2<f32>>,
    /// From the units to the hidden state, (units, projection); for [`Lstm::projection`](crate::Lstm::projection).
    pub projection: Option<Array2<f32>>,
}

impl LstmWeights {
    /// Weights as Keras keeps them. Nothing is checked until a layer takes them.
    ///
    /// ```
    /// # use cellstate::{Lstm, LstmWeights};
    /// # use ndarray::Array2;
    /// let weights = LstmWeights::new(Array2::zeros((2, 32)), Array2::zeros((8, 32)), None);
    /// assert!(Lstm::new(2, 8).with(weights).is_ok());
    /// ```
    #[must_use]
    pub fn new(kernel: Array2<f32>, recurrent_kernel: Array2<f32>, bias: Option<Array1<f32>>) -> Self {
        Self {
            kernel,
            recurrent_kernel,
            bias,
            peepholes: None,
            projection: None,
        }
    }

    /// The weights of one layer and direction of PyTorch's `nn.LSTM`: `weight_ih` (4·units, features), `weight_hh`
    /// (4·units, units), and `bias_ih` and `bias_hh` (4·units), whose sum is the bias. With `proj_size` add
    /// [`with_projection`](Self::with_projection).
    ///
    /// # Errors
    ///
    /// [`Error::Size`](crate::Error::Size) where the shapes do not fit each other,
    /// [`Error::NotFinite`](crate::Error::NotFinite) for NaN or infinity.
    ///
    /// ```
    /// # use cellstate::LstmWeights;
    /// # use ndarray::{Array1, Array2};
    /// let (w_ih, w_hh, bias) = (Array2::zeros((32, 2)), Array2::zeros((32, 8)), Array1::from_elem(32, 0.5));
    /// let weights = LstmWeights::from_pytorch(w_ih.view(), w_hh.view(), Some(bias.view()), Some(bias.view()))?;
    /// assert_eq!(weights.kernel.dim(), (2, 32));
    /// assert_eq!(weights.bias, Some(Array1::from_elem(32, 1.0)));
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
            order: gates::LSTM_PYTORCH,
            kernel: w_ih,
            recurrent_kernel: w_hh,
            biases,
            range,
        }
        .convert()?;
        let bias = converted.bias();
        Ok(Self::new(converted.kernel, converted.recurrent_kernel, bias))
    }

    /// The weights of one direction of ONNX's `LSTM`: `W` (4·units, features), `R` (4·units, units), `B` (8·units) and
    /// the peepholes `P` (3·units), gates in ONNX's order i o f c. ONNX's tensors have an axis for the direction in front:
    /// `w.index_axis(Axis(0), direction)`.
    ///
    /// # Errors
    ///
    /// [`Error::Size`](crate::Error::Size) where the shapes do not fit each other,
    /// [`Error::NotFinite`](crate::Error::NotFinite) for NaN or infinity.
    ///
    /// ```
    /// # use cellstate::LstmWeights;
    /// # use ndarray::{Array1, Array2, array};
    /// let bias = array![1.0, 2.0, 3.0, 4.0, 0.0, 0.0, 0.0, 0.0]; // i o f c of W, and of R
    /// let (w, r) = (Array2::zeros((4, 2)), Array2::zeros((4, 1)));
    /// let weights = LstmWeights::from_onnx(w.view(), r.view(), Some(bias.view()), None)?;
    /// assert_eq!(weights.bias, Some(array![1.0, 3.0, 4.0, 2.0])); // i f g o
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    pub fn from_onnx(
        w: ArrayView2<'_, f32>,
        r: ArrayView2<'_, f32>,
        b: Option<ArrayView1<'_, f32>>,
        p: Option<ArrayView1<'_, f32>>,
    ) -> Result<Self> {
        Self::of_onnx(w, r, [b, p], ValueRange::Finite)
    }

    pub(crate) fn of_onnx(
        w: ArrayView2<'_, f32>,
        r: ArrayView2<'_, f32>,
        [b, p]: [Option<ArrayView1<'_, f32>>; 2],
        range: ValueRange,
    ) -> Result<Self> {
        let converted = Foreign {
            names: ONNX_NAMES,
            order: gates::LSTM_ONNX,
            kernel: w,
            recurrent_kernel: r,
            biases: onnx_biases(b, w.nrows())?,
            range,
        }
        .convert()?;
        let bias = converted.bias();
        let mut weights = Self::new(converted.kernel, converted.recurrent_kernel, bias);
        if let Some(p) = p {
            let units = w.nrows() / GATES;
            range.check_tensor("p (ONNX's P)", &p, &[3 * units], "(3·units)")?;
            let row = gates::row_from(p, gates::PEEPHOLES_ONNX);
            let peepholes = row.into_shape_with_order((3, units));
            weights.peepholes = Some(peepholes.map_err(|_| Error::defect("the shape of the peepholes"))?);
        }
        Ok(weights)
    }

    /// Adds peepholes, (3, units), in the order i f o.
    ///
    /// ```
    /// # use cellstate::{Lstm, LstmWeights};
    /// # use ndarray::Array2;
    /// let weights = LstmWeights::new(Array2::zeros((2, 32)), Array2::zeros((8, 32)), None);
    /// let weights = weights.with_peepholes(Array2::from_elem((3, 8), 0.1));
    /// assert!(Lstm::new(2, 8).peepholes(true).with(weights).is_ok());
    /// ```
    #[must_use]
    pub fn with_peepholes(mut self, peepholes: Array2<f32>) -> Self {
        self.peepholes = Some(peepholes);
        self
    }

    /// Adds a projection, (units, width): the transpose of PyTorch's `weight_hr`.
    ///
    /// ```
    /// # use cellstate::{Lstm, LstmWeights};
    /// # use ndarray::Array2;
    /// let weights = LstmWeights::new(Array2::zeros((2, 32)), Array2::zeros((5, 32)), None);
    /// let weight_hr: Array2<f32> = Array2::zeros((5, 8));
    /// let weights = weights.with_projection(weight_hr.reversed_axes());
    /// assert!(Lstm::new(2, 8).projection(5).with(weights).is_ok());
    /// ```
    #[must_use]
    pub fn with_projection(mut self, projection: Array2<f32>) -> Self {
        self.projection = Some(projection);
        self
    }
}

impl From<LstmWeights> for CellWeights {
    fn from(weights: LstmWeights) -> Self {
        Self {
            kernel: weights.kernel.into_shared(),
            recurrent_kernel: weights.recurrent_kernel.into_shared(),
            bias: weights.bias.map(one_row),
            peepholes: weights.peepholes.map(Array2::into_shared),
            projection: weights.projection.map(Array2::into_shared),
        }
    }
}

impl From<CellWeights> for LstmWeights {
    fn from(weights: CellWeights) -> Self {
        Self {
            kernel: weights.kernel.into_owned(),
            recurrent_kernel: weights.recurrent_kernel.into_owned(),
            bias: weights.bias.as_ref().map(first_row),
            peepholes: weights.peepholes.map(|peepholes| peepholes.into_owned()),
            projection: weights.projection.map(|projection| projection.into_owned()),
        }
    }
}
