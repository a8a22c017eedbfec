//! The LSTM layer.

mod weights;

use ndarray::{Array1, Array2};

use super::builder::recurrent_layer;
use super::recurrent::Recurrent;
use crate::activation::Activation;
use crate::cell::lstm::{FORGET_GATE, LstmOptions};
use crate::cell::{Rule, ValueRange};
use crate::error::{Error, Result};

pub use weights::LstmWeights;

/// A long short-term memory layer with the options of `keras.layers.LSTM` (Keras 3.15) that act in inference, and those of
/// PyTorch's `nn.LSTM` and ONNX's `LSTM` besides.
///
/// For each time step, with `x` the input (features) and `h`, `c` the state (units):
///
/// ```text
/// i = recurrent_activation(x·kernel_i + h·recurrent_kernel_i + bias_i)      input gate
/// f = recurrent_activation(x·kernel_f + h·recurrent_kernel_f + bias_f)      forget gate
/// g =           activation(x·kernel_g + h·recurrent_kernel_g + bias_g)      cell candidate
/// o = recurrent_activation(x·kernel_o + h·recurrent_kernel_o + bias_o)      output gate
/// c = f * c + i * g
/// h = o * output_activation(c)
/// ```
///
/// (Hochreiter and Schmidhuber 1997, with the forget gate of Gers, Schmidhuber and Cummins 2000.)
///
/// The input is (batch, time_steps, features). The output is the last h, (batch, units), or with
/// [`return_sequences`](Self::return_sequences) every h, (batch, time_steps, units). At a masked step the state is
/// carried and the output repeats the previous output; before the first valid step it is zero, whatever the initial
/// state (Keras 3.15 on TensorFlow).
///
/// Nothing is checked until the layer becomes part of a model: [`Lstm::on`] and
/// [`ModelBuilder::build`](crate::ModelBuilder::build) report wrong values.
///
/// ```
/// use cellstate::{Device, Lstm, Sequences};
/// use ndarray::Array3;
///
/// let lstm = Lstm::new(2, 64); // features, units; Keras's defaults
/// let x = Array3::zeros((3, 20, 2)); // (batch, time_steps, features)
/// let output = lstm.on(&Device::cpu())?.run(&Sequences::from(x))?;
/// assert_eq!(output.last().dim(), (3, 64));
/// # Ok::<(), cellstate::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Lstm {
    recurrent: Recurrent,
}

impl Lstm {
    /// A layer for inputs of `features` numbers a step, with `units` numbers of state and output.
    ///
    /// Everything else as in Keras: tanh, sigmoid, a bias whose forget quarter is one, Glorot uniform kernel, orthogonal
    /// recurrent kernel. The weights are drawn from the seed (0 unless [`seed`](Self::seed) says otherwise) and the
    /// layer's place in its model, the same on every machine.
    ///
    /// ```
    /// # use cellstate::Lstm;
    /// let lstm = Lstm::new(2, 64);
    /// assert_eq!((lstm.features(), lstm.units()), (2, 64));
    /// assert_eq!(lstm.parameter_count(), 4 * 64 * (2 + 64 + 1));
    /// ```
    #[must_use]
    pub fn new(features: usize, units: usize) -> Self {
        let recurrent = Recurrent::new(Rule::Lstm(LstmOptions::new()), features, units);
        Self { recurrent }.unit_forget_bias(true)
    }

    fn change(mut self, change: impl FnOnce(&mut LstmOptions)) -> Self {
        let mut options = self.cell_options();
        change(&mut options);
        self.recurrent.cell.rule = Rule::Lstm(options);
        self.recurrent.cell.output = options.projection.unwrap_or(self.recurrent.cell.units);
        self
    }

    /// The options that say what a step computes.
    ///
    /// ```
    /// # use cellstate::{Activation, Lstm};
    /// assert_eq!(Lstm::new(2, 8).cell_options().activation, Activation::Tanh);
    /// ```
    #[must_use]
    pub fn cell_options(&self) -> LstmOptions {
        match self.recurrent.cell.rule {
            Rule::Lstm(options) => options,
            _ => LstmOptions::new(), // an Lstm has the rule of one
        }
    }

    /// The activation of the cell candidate and of the cell state on its way out (default tanh), as Keras's `activation`.
    /// [`output_activation`](Self::output_activation) behind it sets the second one alone.
    ///
    /// ```
    /// # use cellstate::{Activation, Lstm};
    /// let lstm = Lstm::new(2, 8).activation(Activation::Relu);
    /// assert_eq!(lstm.cell_options().activation, Activation::Relu);
    /// assert_eq!(lstm.cell_options().output_activation, Activation::Relu);
    /// ```
    #[must_use]
    pub fn activation(self, activation: Activation) -> Self {
        self.change(|options| {
            options.activation = activation;
            options.output_activation = activation;
        })
    }

    /// The activation of the input, forget and output gates (default sigmoid).
    ///
    /// ```
    /// # use cellstate::{Activation, Lstm};
    /// let lstm = Lstm::new(2, 8).recurrent_activation(Activation::HardSigmoid);
    /// assert_eq!(lstm.cell_options().recurrent_activation, Activation::HardSigmoid);
    /// ```
    #[must_use]
    pub fn recurrent_activation(self, activation: Activation) -> Self {
        self.change(|options| options.recurrent_activation = activation)
    }

    /// The activation of the cell state on its way out, where it differs from that of the candidate: the third of ONNX's
    /// `activations`. Keras and PyTorch have one for both.
    ///
    /// ```
    /// # use cellstate::{Activation, Lstm};
    /// let lstm = Lstm::new(2, 8).output_activation(Activation::Linear);
    /// assert_eq!(lstm.cell_options().activation, Activation::Tanh);
    /// assert_eq!(lstm.cell_options().output_activation, Activation::Linear);
    /// ```
    #[must_use]
    pub fn output_activation(self, activation: Activation) -> Self {
        self.change(|options| options.output_activation = activation)
    }

    /// Whether the gates see the cell state (default false), as ONNX's `LSTM` with input `P` (Gers and Schmidhuber 2000):
    /// i and f add `peephole · c` of the step before, o of the step itself. Drawn peepholes are zero.
    ///
    /// ```
    /// # use cellstate::Lstm;
    /// assert_eq!(Lstm::new(2, 8).peepholes(true).parameter_count(), Lstm::new(2, 8).parameter_count() + 3 * 8);
    /// ```
    #[must_use]
    pub fn peepholes(self, peepholes: bool) -> Self {
        self.change(|options| options.peepholes = peepholes)
    }

    /// Makes the hidden state a product of `width` values, `h = (o * output_activation(c)) · projection`, as PyTorch's
    /// `proj_size` (Sak, Senior and Beaufays 2014). The recurrent kernel has `width` rows then, and the output that width; the
    /// cell state keeps a value for each unit.
    ///
    /// ```
    /// # use cellstate::{Device, Lstm, Sequences};
    /// # use ndarray::Array3;
    /// let lstm = Lstm::new(2, 8).projection(5);
    /// assert_eq!(lstm.weights()?.recurrent_kernel.dim(), (5, 4 * 8));
    /// let output = lstm.on(&Device::cpu())?.run(&Sequences::from(Array3::zeros((3, 20, 2))))?;
    /// assert_eq!(output.last().dim(), (3, 5));
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[must_use]
    pub fn projection(self, width: usize) -> Self {
        self.change(|options| options.projection = Some(width))
    }

    /// Cuts what goes into the activations of the gates and of the candidate off at ±`clip`, as ONNX Runtime does with
    /// `clip`; peepholes are added before. The cell state is not cut off.
    ///
    /// ```
    /// # use cellstate::Lstm;
    /// assert_eq!(Lstm::new(2, 8).clip(0.5).cell_options().clip, Some(0.5));
    /// ```
    #[must_use]
    pub fn clip(self, clip: f32) -> Self {
        self.change(|options| options.clip = Some(clip))
    }

    /// Whether the forget gate is 1 − input gate (default false), as ONNX's `input_forget`. The columns of the forget gate are
    /// then read by nobody.
    ///
    /// ```
    /// # use cellstate::Lstm;
    /// assert!(Lstm::new(2, 8).input_forget(true).cell_options().input_forget);
    /// ```
    #[must_use]
    pub fn input_forget(self, input_forget: bool) -> Self {
        self.change(|options| options.input_forget = input_forget)
    }

    /// Whether the bias of the forget gate begins at one (default true), whatever the initialiser of the bias says
    /// (Jozefowicz, Zaremba and Sutskever 2015).
    ///
    /// ```
    /// # use cellstate::Lstm;
    /// let bias = |lstm: Lstm| Ok::<_, cellstate::Error>(lstm.weights()?.bias.unwrap_or_default().to_vec());
    /// assert_eq!(bias(Lstm::new(1, 1))?, [0.0, 1.0, 0.0, 0.0]); // i f g o
    /// assert_eq!(bias(Lstm::new(1, 1).unit_forget_bias(false))?, [0.0; 4]);
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[must_use]
    pub fn unit_forget_bias(mut self, unit_forget_bias: bool) -> Self {
        self.recurrent.drawing.gate_of_ones = unit_forget_bias.then_some(FORGET_GATE);
        self
    }

    /// Takes trained weights, as Keras's `layer.get_weights()` gives them: `kernel` (features, 4·units),
    /// `recurrent_kernel` (units, 4·units) and `bias` (4·units), gates in the order i f g o. `None` for the bias sets
    /// `use_bias(false)`, a bias sets `use_bias(true)`. Weights of PyTorch and ONNX, peepholes and projections come by
    /// [`Lstm::with`].
    ///
    /// # Errors
    ///
    /// [`Error::Size`](crate::Error::Size) for a wrong shape, [`Error::NotFinite`](crate::Error::NotFinite) for NaN or
    /// infinity, [`Error::Value`](crate::Error::Value) if a size of the layer is 0 or beyond 2²³.
    ///
    /// ```
    /// use cellstate::Lstm;
    /// use ndarray::{Array1, Array2};
    ///
    /// let lstm = Lstm::new(2, 8).with_weights(
    ///     Array2::from_elem((2, 32), 0.1),
    ///     Array2::from_elem((8, 32), 0.01),
    ///     Some(Array1::zeros(32)),
    /// )?;
    /// assert_eq!(lstm.parameter_count(), 2 * 32 + 8 * 32 + 32);
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    pub fn with_weights(
        self,
        kernel: Array2<f32>,
        recurrent_kernel: Array2<f32>,
        bias: Option<Array1<f32>>,
    ) -> Result<Self> {
        self.with(LstmWeights::new(kernel, recurrent_kernel, bias))
    }

    /// Takes trained weights. Peepholes and a projection among them have to be options of the layer too.
    ///
    /// # Errors
    ///
    /// As [`Lstm::with_weights`], and [`Error::Value`](crate::Error::Value) where peepholes or projection are there and the
    /// layer has no such option, or the reverse.
    ///
    /// ```
    /// use cellstate::{Lstm, LstmWeights};
    /// use ndarray::{Array1, Array2};
    ///
    /// // weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0 of an nn.LSTM(2, 8)
    /// let (w_ih, w_hh) = (Array2::from_elem((32, 2), 0.1), Array2::from_elem((32, 8), 0.01));
    /// let (b_ih, b_hh) = (Array1::from_elem(32, 0.5), Array1::zeros(32));
    /// let weights = LstmWeights::from_pytorch(w_ih.view(), w_hh.view(), Some(b_ih.view()), Some(b_hh.view()))?;
    /// let lstm = Lstm::new(2, 8).with(weights)?;
    /// assert!(lstm.weights()?.bias.is_some_and(|bias| bias == b_ih));
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    pub fn with(mut self, weights: LstmWeights) -> Result<Self> {
        self.recurrent.check()?; // before anything is multiplied by the units
        let biases = weights.bias.as_ref().map_or(0, Array1::len);
        if biases > 0 && biases == 8 * self.units() {
            return Err(Error::Size {
                argument: "bias of the LSTM".to_owned(),
                expected: format!("(4·units) = [{}]", 4 * self.units()),
                found: format!("shape [{biases}], which looks like the two biases of PyTorch or ONNX"),
                repair:
                    "call `LstmWeights::from_pytorch(w_ih, w_hh, b_ih, b_hh)` or `LstmWeights::from_onnx(w, r, b, p)`, \
                         which add them up"
                        .to_owned(),
            });
        }
        self.recurrent.take_weights(weights.into(), ValueRange::Finite)?;
        Ok(self)
    }

    /// The weights: those given, else those drawn from the seed for a layer that stands alone.
    ///
    /// # Errors
    ///
    /// [`Error::Value`](crate::Error::Value) if a size or an initialiser makes no sense, or if `use_bias(true)` came after
    /// weights without a bias; [`Error::Memory`](crate::Error::Memory) if what is to be drawn does not fit into memory.
    ///
    /// ```
    /// # use cellstate::Lstm;
    /// let weights = Lstm::new(2, 8).weights()?;
    /// assert_eq!(weights.kernel.dim(), (2, 4 * 8));
    /// assert_eq!(weights.recurrent_kernel.dim(), (8, 4 * 8));
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    pub fn weights(&self) -> Result<LstmWeights> {
        Ok(self.recurrent.weights_at(0)?.into())
    }
}

recurrent_layer!(Lstm);
