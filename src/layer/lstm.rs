//! The LSTM layer.

mod options;
mod weights;

use super::check_size;
use super::initializer::Initializer;
use super::weights::{GATES, LstmWeights};
use crate::activation::Activation;
use crate::error::Result;

pub use options::LstmOptions;

/// A long short-term memory layer with the options of `keras.layers.LSTM` (Keras 3.15) that act in inference.
///
/// For each time step, with `x` the input (features) and `h`, `c` the state (units):
///
/// ```text
/// i = recurrent_activation(x·kernel_i + h·recurrent_kernel_i + bias_i)      input gate
/// f = recurrent_activation(x·kernel_f + h·recurrent_kernel_f + bias_f)      forget gate
/// g =           activation(x·kernel_g + h·recurrent_kernel_g + bias_g)      cell candidate
/// o = recurrent_activation(x·kernel_o + h·recurrent_kernel_o + bias_o)      output gate
/// c = f * c + i * g
/// h = o * activation(c)
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
    features: usize,
    units: usize,
    activation: Activation,
    recurrent_activation: Activation,
    use_bias: bool,
    unit_forget_bias: bool,
    kernel_initializer: Initializer,
    recurrent_initializer: Initializer,
    bias_initializer: Initializer,
    seed: u64,
    return_sequences: bool,
    return_state: bool,
    go_backwards: bool,
    zero_output_for_mask: bool,
    weights: Option<LstmWeights>,
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
    /// assert_eq!(lstm.parameters(), 4 * 64 * (2 + 64 + 1));
    /// ```
    #[must_use]
    pub fn new(features: usize, units: usize) -> Self {
        Self {
            features,
            units,
            activation: Activation::Tanh,
            recurrent_activation: Activation::Sigmoid,
            use_bias: true,
            unit_forget_bias: true,
            kernel_initializer: Initializer::GlorotUniform,
            recurrent_initializer: Initializer::Orthogonal { gain: 1.0 },
            bias_initializer: Initializer::Zeros,
            seed: 0,
            return_sequences: false,
            return_state: false,
            go_backwards: false,
            zero_output_for_mask: false,
            weights: None,
        }
    }

    /// The activation of the cell candidate and of the cell state on its way out (default tanh).
    ///
    /// ```
    /// # use cellstate::{Activation, Lstm};
    /// let lstm = Lstm::new(2, 8).activation(Activation::Relu);
    /// assert_eq!(lstm.options().activation, Activation::Relu);
    /// ```
    #[must_use]
    pub fn activation(mut self, activation: Activation) -> Self {
        self.activation = activation;
        self
    }

    /// The activation of the input, forget and output gates (default sigmoid).
    ///
    /// ```
    /// # use cellstate::{Activation, Lstm};
    /// let lstm = Lstm::new(2, 8).recurrent_activation(Activation::HardSigmoid);
    /// assert_eq!(lstm.options().recurrent_activation, Activation::HardSigmoid);
    /// ```
    #[must_use]
    pub fn recurrent_activation(mut self, activation: Activation) -> Self {
        self.recurrent_activation = activation;
        self
    }

    /// Whether a bias is added (default true).
    ///
    /// ```
    /// # use cellstate::Lstm;
    /// assert_eq!(Lstm::new(2, 8).use_bias(false).weights()?.bias, None);
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[must_use]
    pub fn use_bias(mut self, use_bias: bool) -> Self {
        self.use_bias = use_bias;
        self
    }

    /// Whether the forget quarter of the initial bias is one, whatever the bias initialiser (default true;
    /// Jozefowicz, Zaremba and Sutskever 2015). It acts on drawn weights alone.
    ///
    /// ```
    /// # use cellstate::Lstm;
    /// # use ndarray::array;
    /// assert_eq!(Lstm::new(2, 1).weights()?.bias, Some(array![0.0, 1.0, 0.0, 0.0])); // i f g o
    /// assert_eq!(Lstm::new(2, 1).unit_forget_bias(false).weights()?.bias, Some(array![0.0, 0.0, 0.0, 0.0]));
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[must_use]
    pub fn unit_forget_bias(mut self, unit_forget_bias: bool) -> Self {
        self.unit_forget_bias = unit_forget_bias;
        self
    }

    /// How the kernel is drawn (default Glorot uniform).
    ///
    /// ```
    /// # use cellstate::{Initializer, Lstm};
    /// let lstm = Lstm::new(2, 8).kernel_initializer(Initializer::Constant(0.5));
    /// assert!(lstm.weights()?.kernel.iter().all(|&weight| weight == 0.5));
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[must_use]
    pub fn kernel_initializer(mut self, initializer: Initializer) -> Self {
        self.kernel_initializer = initializer;
        self
    }

    /// How the recurrent kernel is drawn (default orthogonal).
    ///
    /// ```
    /// # use cellstate::{Initializer, Lstm};
    /// let lstm = Lstm::new(2, 8).recurrent_initializer(Initializer::Constant(0.5));
    /// assert!(lstm.weights()?.recurrent_kernel.iter().all(|&weight| weight == 0.5));
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[must_use]
    pub fn recurrent_initializer(mut self, initializer: Initializer) -> Self {
        self.recurrent_initializer = initializer;
        self
    }

    /// How the bias is drawn (default zeros).
    ///
    /// ```
    /// # use cellstate::{Initializer, Lstm};
    /// # use ndarray::array;
    /// let lstm = Lstm::new(2, 1).bias_initializer(Initializer::Constant(0.5));
    /// assert_eq!(lstm.weights()?.bias, Some(array![0.5, 1.0, 0.5, 0.5])); // the forget gate keeps its one
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[must_use]
    pub fn bias_initializer(mut self, initializer: Initializer) -> Self {
        self.bias_initializer = initializer;
        self
    }

    /// The seed from which the weights are drawn (default 0).
    ///
    /// ```
    /// # use cellstate::Lstm;
    /// assert_eq!(Lstm::new(2, 8).seed(7).weights()?, Lstm::new(2, 8).seed(7).weights()?);
    /// assert_ne!(Lstm::new(2, 8).seed(7).weights()?, Lstm::new(2, 8).seed(8).weights()?);
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Whether the output at every time step is returned, not just the last (default false).
    ///
    /// ```
    /// # use cellstate::{Device, Lstm, Sequences};
    /// # use ndarray::Array3;
    /// let x = Sequences::from(Array3::zeros((3, 20, 2)));
    /// let output = Lstm::new(2, 8).return_sequences(true).on(&Device::cpu())?.run(&x)?;
    /// assert_eq!(output.values().shape(), [3, 20, 8]);
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[must_use]
    pub fn return_sequences(mut self, return_sequences: bool) -> Self {
        self.return_sequences = return_sequences;
        self
    }

    /// Whether [`Output::states`](crate::Output::states) has the final state when this is the last layer (default
    /// false). Elsewhere it is refused; [`Runner::run_from`](crate::Runner::run_from) gives the states of all layers.
    ///
    /// ```
    /// # use cellstate::{Device, Lstm, Sequences};
    /// # use ndarray::Array3;
    /// let x = Sequences::from(Array3::zeros((3, 20, 2)));
    /// let output = Lstm::new(2, 8).return_state(true).on(&Device::cpu())?.run(&x)?;
    /// assert_eq!(output.states()[0].hidden, output.last());
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[must_use]
    pub fn return_state(mut self, return_state: bool) -> Self {
        self.return_state = return_state;
        self
    }

    /// Whether time runs from the last step to the first (default false). Outputs stay in the order of processing, so
    /// the first output is that of the last time step (Keras; PyTorch turns them round again).
    ///
    /// ```
    /// # use cellstate::{Device, Lstm, Sequences};
    /// # use ndarray::array;
    /// let (there, back) = (array![[[1.0], [2.0]]], array![[[2.0], [1.0]]]);
    /// let forwards = Lstm::new(1, 8).on(&Device::cpu())?.run(&Sequences::from(there))?;
    /// let backwards = Lstm::new(1, 8).go_backwards(true).on(&Device::cpu())?.run(&Sequences::from(back))?;
    /// assert_eq!(forwards.last(), backwards.last());
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[must_use]
    pub fn go_backwards(mut self, go_backwards: bool) -> Self {
        self.go_backwards = go_backwards;
        self
    }

    /// Whether the output at a masked step is zero instead of the previous output (default false). Without
    /// `return_sequences` the output is then zero where the last step is masked.
    ///
    /// ```
    /// # use cellstate::{Device, Lstm, Sequences};
    /// # use ndarray::array;
    /// let batch = Sequences::from(array![[[1.0], [2.0], [0.0]]]).with_lengths(&[2])?;
    /// let output = Lstm::new(1, 8).zero_output_for_mask(true).on(&Device::cpu())?.run(&batch)?;
    /// assert!(output.last().iter().all(|&value| value == 0.0)); // the last step is masked
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[must_use]
    pub fn zero_output_for_mask(mut self, zero_output_for_mask: bool) -> Self {
        self.zero_output_for_mask = zero_output_for_mask;
        self
    }

    pub(crate) fn check(&self) -> Result<()> {
        check_size("features of the LSTM", self.features)?;
        check_size("units of the LSTM", self.units)
    }

    /// The number of features of the input.
    ///
    /// ```
    /// assert_eq!(cellstate::Lstm::new(2, 64).features(), 2);
    /// ```
    #[must_use]
    pub fn features(&self) -> usize {
        self.features
    }

    /// The number of units.
    ///
    /// ```
    /// assert_eq!(cellstate::Lstm::new(2, 64).units(), 64);
    /// ```
    #[must_use]
    pub fn units(&self) -> usize {
        self.units
    }

    /// The number of trained values: 4·units·(features + units + 1), without the last term if there is no bias.
    ///
    /// ```
    /// # use cellstate::Lstm;
    /// assert_eq!(Lstm::new(2, 64).parameters(), 4 * 64 * (2 + 64 + 1));
    /// assert_eq!(Lstm::new(2, 64).use_bias(false).parameters(), 4 * 64 * (2 + 64));
    /// ```
    #[must_use]
    pub fn parameters(&self) -> usize {
        let inputs = self
            .features
            .saturating_add(self.units)
            .saturating_add(usize::from(self.use_bias));
        self.units.saturating_mul(GATES).saturating_mul(inputs)
    }
}
