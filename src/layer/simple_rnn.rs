//! The SimpleRNN layer.

mod weights;

use ndarray::{Array1, Array2};

use super::builder::recurrent_layer;
use super::recurrent::Recurrent;
use crate::activation::Activation;
use crate::cell::simple_rnn::SimpleRnnOptions;
use crate::cell::{Rule, ValueRange};
use crate::error::Result;

pub use weights::SimpleRnnWeights;

/// A plain recurrent layer with the options of `keras.layers.SimpleRNN` (Keras 3.15) that act in inference; PyTorch's `nn.RNN`
/// and ONNX's `RNN` are the same.
///
/// For each time step, with `x` the input (features) and `h` the state (units):
///
/// ```text
/// h = activation(x·kernel + h·recurrent_kernel + bias)
/// ```
///
/// (Elman 1990.) Masks, directions and outputs are as in [`Lstm`](crate::Lstm). The state has no cell state.
///
/// ```
/// use cellstate::{Device, Sequences, SimpleRnn};
/// use ndarray::Array3;
///
/// let layer = SimpleRnn::new(2, 64); // features, units; Keras's defaults
/// let output = layer.on(&Device::cpu())?.run(&Sequences::from(Array3::zeros((3, 20, 2))))?;
/// assert_eq!(output.last().dim(), (3, 64));
/// # Ok::<(), cellstate::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct SimpleRnn {
    recurrent: Recurrent,
}

impl SimpleRnn {
    /// A layer for inputs of `features` numbers a step, with `units` numbers of state and output; everything else as in Keras.
    ///
    /// ```
    /// # use cellstate::SimpleRnn;
    /// let layer = SimpleRnn::new(2, 64);
    /// assert_eq!((layer.features(), layer.units()), (2, 64));
    /// assert_eq!(layer.parameter_count(), 64 * (2 + 64 + 1));
    /// ```
    #[must_use]
    pub fn new(features: usize, units: usize) -> Self {
        Self {
            recurrent: Recurrent::new(Rule::SimpleRnn(SimpleRnnOptions::new()), features, units),
        }
    }

    fn change(mut self, change: impl FnOnce(&mut SimpleRnnOptions)) -> Self {
        let mut options = self.cell_options();
        change(&mut options);
        self.recurrent.cell.rule = Rule::SimpleRnn(options);
        self
    }

    /// The options that say what a step computes.
    ///
    /// ```
    /// # use cellstate::SimpleRnn;
    /// assert_eq!(SimpleRnn::new(2, 8).cell_options().clip, None);
    /// ```
    #[must_use]
    pub fn cell_options(&self) -> SimpleRnnOptions {
        match self.recurrent.cell.rule {
            Rule::SimpleRnn(options) => options,
            _ => SimpleRnnOptions::new(), // a SimpleRnn has the rule of one
        }
    }

    /// The activation (default tanh).
    ///
    /// ```
    /// # use cellstate::{Activation, SimpleRnn};
    /// assert_eq!(SimpleRnn::new(2, 8).activation(Activation::Relu).cell_options().activation, Activation::Relu);
    /// ```
    #[must_use]
    pub fn activation(self, activation: Activation) -> Self {
        self.change(|options| options.activation = activation)
    }

    /// Cuts what goes into the activation off at ±`clip`, as ONNX Runtime does with `clip`.
    ///
    /// ```
    /// # use cellstate::SimpleRnn;
    /// assert_eq!(SimpleRnn::new(2, 8).clip(0.5).cell_options().clip, Some(0.5));
    /// ```
    #[must_use]
    pub fn clip(self, clip: f32) -> Self {
        self.change(|options| options.clip = Some(clip))
    }

    /// Takes trained weights, as Keras's `layer.get_weights()` gives them: `kernel` (features, units), `recurrent_kernel`
    /// (units, units) and `bias` (units). `None` for the bias sets `use_bias(false)`, a bias sets `use_bias(true)`.
    ///
    /// # Errors
    ///
    /// [`Error::Size`](crate::Error::Size) for a wrong shape, [`Error::NotFinite`](crate::Error::NotFinite) for NaN or
    /// infinity, [`Error::Value`](crate::Error::Value) if a size of the layer is 0 or beyond 2²³.
    ///
    /// ```
    /// # use cellstate::SimpleRnn;
    /// # use ndarray::Array2;
    /// let layer = SimpleRnn::new(2, 8).with_weights(Array2::zeros((2, 8)), Array2::zeros((8, 8)), None)?;
    /// assert_eq!(layer.parameter_count(), 2 * 8 + 8 * 8);
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    pub fn with_weights(
        self,
        kernel: Array2<f32>,
        recurrent_kernel: Array2<f32>,
        bias: Option<Array1<f32>>,
    ) -> Result<Self> {
        self.with(SimpleRnnWeights::new(kernel, recurrent_kernel, bias))
    }

    /// Takes trained weights.
    ///
    /// # Errors
    ///
    /// As [`SimpleRnn::with_weights`].
    ///
    /// ```
    /// use cellstate::{SimpleRnn, SimpleRnnWeights};
    /// use ndarray::Array2;
    ///
    /// // weight_ih_l0 and weight_hh_l0 of an nn.RNN(2, 8, bias=False)
    /// let (w_ih, w_hh) = (Array2::from_elem((8, 2), 0.1), Array2::from_elem((8, 8), 0.01));
    /// let weights = SimpleRnnWeights::from_pytorch(w_ih.view(), w_hh.view(), None, None)?;
    /// assert_eq!(SimpleRnn::new(2, 8).with(weights)?.weights()?.kernel.dim(), (2, 8));
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    pub fn with(mut self, weights: SimpleRnnWeights) -> Result<Self> {
        self.recurrent.take_weights(weights.into(), ValueRange::Finite)?;
        Ok(self)
    }

    /// The weights: those given, else those drawn from the seed for a layer that stands alone.
    ///
    /// # Errors
    ///
    /// [`Error::Value`](crate::Error::Value) if a size or an initialiser makes no sense.
    ///
    /// ```
    /// # use cellstate::SimpleRnn;
    /// assert_eq!(SimpleRnn::new(2, 8).weights()?.recurrent_kernel.dim(), (8, 8));
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    pub fn weights(&self) -> Result<SimpleRnnWeights> {
        Ok(self.recurrent.weights_at(0)?.into())
    }
}

recurrent_layer!(SimpleRnn);
