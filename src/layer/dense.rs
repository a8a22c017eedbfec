//! The Dense layer.

use ndarray::{Array1, Array2};

use super::check_size;
use super::initializer::Initializer;
use super::weights::{DenseWeights, check_tensor, reconcile_bias};
use crate::activation::Activation;
use crate::error::Result;

/// `activation(x·kernel + bias)` on the last axis, as `keras.layers.Dense`.
///
/// The input is (batch, features) or (batch, time_steps, features); with the latter every step is a row of its own,
/// which is what `TimeDistributed(Dense)` does too. Steps are computed whether they are masked or not, for that is what
/// Keras returns, so a Dense layer without a recurrent layer behind it does read padding; but equal rows (the repeated outputs of an LSTM over padding) are computed once.
///
/// ```
/// use cellstate::{Activation, Dense, Device, Lstm, Model, Sequences};
/// use ndarray::Array3;
///
/// let model = Model::builder()
///     .add(Lstm::new(3, 16))
///     .add(Dense::new(16, 5).activation(Activation::Softmax))
///     .build()?;
/// let output = model.on(&Device::cpu())?.run(&Sequences::from(Array3::zeros((4, 7, 3))))?;
/// assert_eq!(output.last().dim(), (4, 5));
/// # Ok::<(), cellstate::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Dense {
    features: usize,
    units: usize,
    activation: Activation,
    use_bias: bool,
    kernel_initializer: Initializer,
    bias_initializer: Initializer,
    seed: u64,
    weights: Option<DenseWeights>,
}

impl Dense {
    /// A layer from `features` to `units` numbers: linear, with a bias of zero and a Glorot uniform kernel drawn from
    /// the seed (default 0).
    pub fn new(features: usize, units: usize) -> Self {
        Self {
            features,
            units,
            activation: Activation::Linear,
            use_bias: true,
            kernel_initializer: Initializer::GlorotUniform,
            bias_initializer: Initializer::Zeros,
            seed: 0,
            weights: None,
        }
    }

    /// The activation (default linear).
    pub fn activation(mut self, activation: Activation) -> Self {
        self.activation = activation;
        self
    }

    /// Whether a bias is added (default true).
    pub fn use_bias(mut self, use_bias: bool) -> Self {
        self.use_bias = use_bias;
        self
    }

    /// How the kernel is drawn (default Glorot uniform).
    pub fn kernel_initializer(mut self, initializer: Initializer) -> Self {
        self.kernel_initializer = initializer;
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

    /// Takes trained weights: `kernel` (features, units) and `bias` (units). `None` for the bias sets `use_bias(false)`,
    /// a bias sets `use_bias(true)`.
    ///
    /// # Errors
    ///
    /// [`Error::Size`](crate::Error::Size) for a wrong shape, [`Error::NotFinite`](crate::Error::NotFinite) for NaN or
    /// infinity.
    pub fn with_weights(mut self, kernel: Array2<f32>, bias: Option<Array1<f32>>) -> Result<Self> {
        self.check()?;
        check_tensor(
            "kernel of the Dense",
            &kernel.view(),
            &[self.features, self.units],
            "(features, units)",
        )?;
        if let Some(bias) = &bias {
            check_tensor("bias of the Dense", &bias.view(), &[self.units], "(units)")?;
        }
        self.use_bias = bias.is_some();
        self.weights = Some(DenseWeights { kernel, bias });
        Ok(self)
    }

    /// The weights: those given, else those drawn from the seed for a layer that stands alone.
    ///
    /// # Errors
    ///
    /// [`Error::Value`](crate::Error::Value) if a size or an initialiser makes no sense.
    pub fn weights(&self) -> Result<DenseWeights> {
        self.weights_at(0)
    }

    pub(crate) fn weights_at(&self, place: usize) -> Result<DenseWeights> {
        self.check()?;
        let mut weights = match &self.weights {
            Some(weights) => weights.clone(),
            None => {
                let stream = (place as u64) << 2;
                let kernel = self
                    .kernel_initializer
                    .draw((self.features, self.units), self.seed, stream)?;
                let bias = self.bias_initializer.draw((1, self.units), self.seed, stream + 2)?;
                DenseWeights {
                    kernel,
                    bias: Some(bias.row(0).to_owned()),
                }
            }
        };
        reconcile_bias(self.use_bias, &mut weights.bias)?;
        Ok(weights)
    }

    pub(crate) fn check(&self) -> Result<()> {
        check_size("features of the Dense layer", self.features)?;
        check_size("units of the Dense layer", self.units)
    }

    /// The number of features of the input.
    pub fn features(&self) -> usize {
        self.features
    }

    /// The number of units.
    pub fn units(&self) -> usize {
        self.units
    }

    /// The number of trained values.
    pub fn parameters(&self) -> usize {
        self.units
            .saturating_mul(self.features.saturating_add(usize::from(self.use_bias)))
    }

    pub(crate) fn activation_kind(&self) -> Activation {
        self.activation
    }
}
