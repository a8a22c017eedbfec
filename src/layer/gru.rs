//! The GRU layer.

mod weights;

use ndarray::Array2;

use super::builder::recurrent_layer;
use super::recurrent::Recurrent;
use crate::activation::Activation;
use crate::cell::gru::GruOptions;
use crate::cell::{Rule, ValueRange};
use crate::error::Result;

pub use weights::GruWeights;

/// A gated recurrent unit with the options of `keras.layers.GRU` (Keras 3.15) that act in inference, and those of PyTorch's
/// `nn.GRU` and ONNX's `GRU` besides.
///
/// For each time step, with `x` the input (features) and `h` the state (units):
///
/// ```text
/// z = recurrent_activation(x·kernel_z + h·recurrent_kernel_z + bias_z)      update gate
/// r = recurrent_activation(x·kernel_r + h·recurrent_kernel_r + bias_r)      reset gate
/// n = activation(x·kernel_n + bias_n + r * (h·recurrent_kernel_n + recurrent_bias_n))     candidate, reset_after(true)
/// n = activation(x·kernel_n + (r * h)·recurrent_kernel_n + bias_n)                        candidate, reset_after(false)
/// h = z * h + (1 - z) * n
/// ```
///
/// (Cho et al. 2014; `reset_after` is cuDNN's and PyTorch's form.) Masks, directions and outputs are as in
/// [`Lstm`](crate::Lstm). The state has no cell state.
///
/// ```
/// use cellstate::{Device, Gru, Sequences};
/// use ndarray::Array3;
///
/// let gru = Gru::new(2, 64); // features, units; Keras's defaults
/// let output = gru.on(&Device::cpu())?.run(&Sequences::from(Array3::zeros((3, 20, 2))))?;
/// assert_eq!(output.last().dim(), (3, 64));
/// # Ok::<(), cellstate::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Gru {
    recurrent: Recurrent,
}

impl Gru {
    /// A layer for inputs of `features` numbers a step, with `units` numbers of state and output.
    ///
    /// Everything else as in Keras: tanh, sigmoid, `reset_after`, biases of zero, Glorot uniform kernel, orthogonal
    /// recurrent kernel, drawn from the seed.
    ///
    /// ```
    /// # use cellstate::Gru;
    /// let gru = Gru::new(2, 64);
    /// assert_eq!((gru.features(), gru.units()), (2, 64));
    /// assert_eq!(gru.parameter_count(), 3 * 64 * (2 + 64 + 2)); // two biases
    /// ```
    #[must_use]
    pub fn new(features: usize, units: usize) -> Self {
        Self {
            recurrent: Recurrent::new(Rule::Gru(GruOptions::new()), features, units),
        }
    }

    fn change(mut self, change: impl FnOnce(&mut GruOptions)) -> Self {
        let mut options = self.cell_options();
        change(&mut options);
        self.recurrent.cell.rule = Rule::Gru(options);
        self
    }

    /// The options that say what a step computes.
    ///
    /// ```
    /// # use cellstate::Gru;
    /// assert!(Gru::new(2, 8).cell_options().reset_after);
    /// ```
    #[must_use]
    pub fn cell_options(&self) -> GruOptions {
        match self.recurrent.cell.rule {
            Rule::Gru(options) => options,
            _ => GruOptions::new(), // a Gru has the rule of one
        }
    }

    /// The activation of the candidate (default tanh).
    ///
    /// ```
    /// # use cellstate::{Activation, Gru};
    /// assert_eq!(Gru::new(2, 8).activation(Activation::Relu).cell_options().activation, Activation::Relu);
    /// ```
    #[must_use]
    pub fn activation(self, activation: Activation) -> Self {
        self.change(|options| options.activation = activation)
    }

    /// The activation of both gates (default sigmoid).
    ///
    /// ```
    /// # use cellstate::{Activation, Gru};
    /// let gru = Gru::new(2, 8).recurrent_activation(Activation::HardSigmoid);
    /// assert_eq!(gru.cell_options().recurrent_activation, Activation::HardSigmoid);
    /// ```
    #[must_use]
    pub fn recurrent_activation(self, activation: Activation) -> Self {
        self.change(|options| options.recurrent_activation = activation)
    }

    /// Whether the reset gate multiplies the recurrent product (default true), which then has a bias of its own: Keras 3,
    /// PyTorch, and ONNX with `linear_before_reset=1`. Keras 1's and ONNX's default is false. To be said before weights are given.
    ///
    /// ```
    /// # use cellstate::Gru;
    /// assert_eq!(Gru::new(2, 8).reset_after(false).parameter_count(), 3 * 8 * (2 + 8 + 1));
    /// ```
    #[must_use]
    pub fn reset_after(self, reset_after: bool) -> Self {
        self.change(|options| options.reset_after = reset_after)
    }

    /// Cuts what goes into the activations off at ±`clip`, as ONNX Runtime does with `clip`.
    ///
    /// ```
    /// # use cellstate::Gru;
    /// assert_eq!(Gru::new(2, 8).clip(0.5).cell_options().clip, Some(0.5));
    /// ```
    #[must_use]
    pub fn clip(self, clip: f32) -> Self {
        self.change(|options| options.clip = Some(clip))
    }

    /// Takes trained weights, as Keras's `layer.get_weights()` gives them: `kernel` (features, 3·units), `recurrent_kernel`
    /// (units, 3·units) and `bias` (2, 3·units), or (1, 3·units) with `reset_after(false)`, gates in the order z r n. `None` for
    /// the bias sets `use_bias(false)`, a bias sets `use_bias(true)`.
    ///
    /// # Errors
    ///
    /// [`Error::Size`](crate::Error::Size) for a wrong shape, [`Error::NotFinite`](crate::Error::NotFinite) for NaN or
    /// infinity, [`Error::Value`](crate::Error::Value) if a size of the layer is 0 or beyond 2²³.
    ///
    /// ```
    /// use cellstate::Gru;
    /// use ndarray::Array2;
    ///
    /// let (kernel, recurrent_kernel) = (Array2::from_elem((2, 24), 0.1), Array2::from_elem((8, 24), 0.01));
    /// let gru = Gru::new(2, 8).with_weights(kernel, recurrent_kernel, Some(Array2::zeros((2, 24))))?;
    /// assert_eq!(gru.parameter_count(), 2 * 24 + 8 * 24 + 2 * 24);
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    pub fn with_weights(
        self,
        kernel: Array2<f32>,
        recurrent_kernel: Array2<f32>,
        bias: Option<Array2<f32>>,
    ) -> Result<Self> {
        self.with(GruWeights::new(kernel, recurrent_kernel, bias))
    }

    /// Takes trained weights.
    ///
    /// # Errors
    ///
    /// As [`Gru::with_weights`].
    ///
    /// ```
    /// use cellstate::{Gru, GruWeights};
    /// use ndarray::Array2;
    ///
    /// // weight_ih_l0 and weight_hh_l0 of an nn.GRU(2, 8, bias=False)
    /// let (w_ih, w_hh) = (Array2::from_elem((24, 2), 0.1), Array2::from_elem((24, 8), 0.01));
    /// let gru = Gru::new(2, 8).with(GruWeights::from_pytorch(w_ih.view(), w_hh.view(), None, None)?)?;
    /// assert_eq!(gru.weights()?.kernel.dim(), (2, 24));
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    pub fn with(mut self, weights: GruWeights) -> Result<Self> {
        self.recurrent.take_weights(weights.into(), ValueRange::Finite)?;
        Ok(self)
    }

    /// The weights: those given, else those drawn from the seed for a layer that stands alone.
    ///
    /// # Errors
    ///
    /// [`Error::Value`](crate::Error::Value) if a size or an initialiser makes no sense;
    /// [`Error::Size`](crate::Error::Size) if `reset_after` was changed behind given weights.
    ///
    /// ```
    /// # use cellstate::Gru;
    /// assert_eq!(Gru::new(2, 8).weights()?.recurrent_kernel.dim(), (8, 3 * 8));
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    pub fn weights(&self) -> Result<GruWeights> {
        Ok(self.recurrent.weights_at(0)?.into())
    }
}

recurrent_layer!(Gru);
