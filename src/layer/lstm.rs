//! The LSTM layer.

use ndarray::{Array1, Array2, s};

use super::check_size;
use super::initializer::Initializer;
use super::weights::{FORGET_GATE, GATES, LstmWeights, check_tensor, reconcile_bias};
use crate::activation::Activation;
use crate::error::Result;

/// A long short-term memory layer with the options of `keras.layers.LSTM` that act in inference.
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
    pub fn activation(mut self, activation: Activation) -> Self {
        self.activation = activation;
        self
    }

    /// The activation of the input, forget and output gates (default sigmoid).
    pub fn recurrent_activation(mut self, activation: Activation) -> Self {
        self.recurrent_activation = activation;
        self
    }

    /// Whether a bias is added (default true).
    pub fn use_bias(mut self, use_bias: bool) -> Self {
        self.use_bias = use_bias;
        self
    }

    /// Whether the forget quarter of the initial bias is one, whatever the bias initialiser (default true;
    /// Jozefowicz, Zaremba and Sutskever 2015). It acts on drawn weights alone.
    pub fn unit_forget_bias(mut self, unit_forget_bias: bool) -> Self {
        self.unit_forget_bias = unit_forget_bias;
        self
    }

    /// How the kernel is drawn (default Glorot uniform).
    pub fn kernel_initializer(mut self, initializer: Initializer) -> Self {
        self.kernel_initializer = initializer;
        self
    }

    /// How the recurrent kernel is drawn (default orthogonal).
    pub fn recurrent_initializer(mut self, initializer: Initializer) -> Self {
        self.recurrent_initializer = initializer;
        self
    }

    /// How the bias is drawn (default zeros).
    pub fn bias_initializer(mut self, initializer: Initializer) -> Self {
        self.bias_initializer = initializer;
        self
    }

    /// The seed from which the weights are drawn (default 0).
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Whether the output at every time step is returned, not just the last (default false).
    pub fn return_sequences(mut self, return_sequences: bool) -> Self {
        self.return_sequences = return_sequences;
        self
    }

    /// Whether [`Output::states`](crate::Output::states) has the final state when this is the last layer (default
    /// false).
    pub fn return_state(mut self, return_state: bool) -> Self {
        self.return_state = return_state;
        self
    }

    /// Whether time runs from the last step to the first (default false). Outputs stay in the order of processing, so
    /// the first output is that of the last time step (Keras; PyTorch turns them round again).
    pub fn go_backwards(mut self, go_backwards: bool) -> Self {
        self.go_backwards = go_backwards;
        self
    }

    /// Whether the output at a masked step is zero instead of the previous output (default false). Without
    /// `return_sequences` the output is then zero where the last step is masked.
    pub fn zero_output_for_mask(mut self, zero_output_for_mask: bool) -> Self {
        self.zero_output_for_mask = zero_output_for_mask;
        self
    }

    /// Takes trained weights, as Keras's `layer.get_weights()` gives them: `kernel` (features, 4·units),
    /// `recurrent_kernel` (units, 4·units) and `bias` (4·units), gates in the order i f g o. `None` for the bias sets
    /// `use_bias(false)`, a bias sets `use_bias(true)`.
    ///
    /// # Errors
    ///
    /// [`Error::Size`](crate::Error::Size) for a wrong shape, [`Error::NotFinite`](crate::Error::NotFinite) for NaN or
    /// infinity.
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
    /// assert_eq!(lstm.parameters(), 2 * 32 + 8 * 32 + 32);
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    pub fn with_weights(
        mut self,
        kernel: Array2<f32>,
        recurrent_kernel: Array2<f32>,
        bias: Option<Array1<f32>>,
    ) -> Result<Self> {
        self.check()?;
        let columns = GATES * self.units;
        check_tensor(
            "kernel of the LSTM",
            &kernel.view(),
            &[self.features, columns],
            "(features, 4·units)",
        )?;
        check_tensor(
            "recurrent_kernel of the LSTM",
            &recurrent_kernel.view(),
            &[self.units, columns],
            "(units, 4·units)",
        )?;
        if let Some(bias) = &bias {
            check_tensor("bias of the LSTM", &bias.view(), &[columns], "(4·units)")?;
        }
        self.use_bias = bias.is_some();
        self.weights = Some(LstmWeights {
            kernel,
            recurrent_kernel,
            bias,
        });
        Ok(self)
    }

    /// The weights: those given, else those drawn from the seed for a layer that stands alone.
    ///
    /// # Errors
    ///
    /// [`Error::Value`](crate::Error::Value) if a size or an initialiser makes no sense.
    pub fn weights(&self) -> Result<LstmWeights> {
        self.weights_at(0)
    }

    /// The weights of the layer at `place` in its model: each place draws numbers of its own from the seed.
    pub(crate) fn weights_at(&self, place: usize) -> Result<LstmWeights> {
        self.check()?;
        let mut weights = match &self.weights {
            Some(weights) => weights.clone(),
            None => self.draw(place)?,
        };
        reconcile_bias(self.use_bias, &mut weights.bias)?;
        Ok(weights)
    }

    fn draw(&self, place: usize) -> Result<LstmWeights> {
        let stream = (place as u64) << 2;
        let columns = GATES * self.units;
        let kernel = self
            .kernel_initializer
            .draw((self.features, columns), self.seed, stream)?;
        let recurrent_kernel = self
            .recurrent_initializer
            .draw((self.units, columns), self.seed, stream + 1)?;
        let mut bias = None;
        if self.use_bias {
            let mut drawn = self.bias_initializer.draw((1, columns), self.seed, stream + 2)?;
            if self.unit_forget_bias {
                drawn
                    .slice_mut(s![.., FORGET_GATE * self.units..(FORGET_GATE + 1) * self.units])
                    .fill(1.0);
            }
            bias = Some(drawn.row(0).to_owned());
        }
        Ok(LstmWeights {
            kernel,
            recurrent_kernel,
            bias,
        })
    }

    pub(crate) fn check(&self) -> Result<()> {
        check_size("features of the LSTM", self.features)?;
        check_size("units of the LSTM", self.units)
    }

    pub(crate) fn has_given_weights(&self) -> bool {
        self.weights.is_some()
    }

    /// The number of features of the input.
    pub fn features(&self) -> usize {
        self.features
    }

    /// The number of units.
    pub fn units(&self) -> usize {
        self.units
    }

    /// The number of trained values: 4·units·(features + units + 1), without the last term if there is no bias.
    pub fn parameters(&self) -> usize {
        let inputs = self
            .features
            .saturating_add(self.units)
            .saturating_add(usize::from(self.use_bias));
        self.units.saturating_mul(GATES).saturating_mul(inputs)
    }

    /// What the layer was told by its options.
    pub fn options(&self) -> LstmOptions {
        LstmOptions {
            activation: self.activation,
            recurrent_activation: self.recurrent_activation,
            use_bias: self.use_bias,
            return_sequences: self.return_sequences,
            return_state: self.return_state,
            go_backwards: self.go_backwards,
            zero_output_for_mask: self.zero_output_for_mask,
        }
    }
}

/// The options of an [`Lstm`] that act when it runs.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct LstmOptions {
    /// The activation of the cell candidate and the cell state.
    pub activation: Activation,
    /// The activation of the gates.
    pub recurrent_activation: Activation,
    /// Whether a bias is added.
    pub use_bias: bool,
    /// Whether every output is returned.
    pub return_sequences: bool,
    /// Whether the final state is returned.
    pub return_state: bool,
    /// Whether time runs backwards.
    pub go_backwards: bool,
    /// Whether masked steps give zero.
    pub zero_output_for_mask: bool,
}
