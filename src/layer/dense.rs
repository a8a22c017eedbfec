//! The Dense layer.

use ndarray::{Array1, Array2};

use super::initializer::Initializer;
use super::size::check_size;
use super::weights::{DenseWeights, reconcile_bias};
use crate::activation::Activation;
use crate::cell::ValueRange;
use crate::error::Result;

/// `activation(x·kernel + bias)` on the last axis, as `keras.layers.Dense` (Keras 3.15).
///
/// The input is (batch, features) or (batch, time_steps, features); with the latter every step is a row of its own,
/// which is what `TimeDistributed(Dense)` does too. Steps are computed whether they are masked or not, for that is what
/// Keras returns, so a Dense layer without a recurrent layer behind it does read padding; but equal rows (the repeated
/// outputs of an LSTM over padding) are computed once. Row-wise activations (softmax) take the units of one step as a row.
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
    pub(crate) use_bias: bool,
    pub(crate) kernel_initializer: Initializer,
    pub(crate) bias_initializer: Initializer,
    pub(crate) seed: u64,
    weights: Option<DenseWeights>,
}

impl Dense {
    /// A layer from `features` to `units` numbers: linear, with a bias of zero and a Glorot uniform kernel drawn from
    /// the seed (default 0).
    ///
    /// ```
    /// # use cellstate::Dense;
    /// let dense = Dense::new(16, 5);
    /// assert_eq!((dense.features(), dense.units()), (16, 5));
    /// ```
    #[must_use]
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
    ///
    /// ```
    /// # use cellstate::{Activation, Dense, Device, Sequences};
    /// # use ndarray::array;
    /// let dense = Dense::new(1, 1).activation(Activation::Relu).with_weights(array![[1.0]], None)?;
    /// let output = dense.on(&Device::cpu())?.run(&Sequences::from(array![[[-2.0], [3.0]]]))?;
    /// assert_eq!(output.sequences()?, array![[[0.0], [3.0]]]);
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[must_use]
    pub fn activation(mut self, activation: Activation) -> Self {
        self.activation = activation;
        self
    }

    /// Whether a bias is added (default true).
    ///
    /// ```
    /// # use cellstate::Dense;
    /// assert_eq!(Dense::new(16, 5).use_bias(false).weights()?.bias, None);
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[must_use]
    pub fn use_bias(mut self, use_bias: bool) -> Self {
        self.use_bias = use_bias;
        self
    }

    /// How the kernel is drawn (default Glorot uniform).
    ///
    /// ```
    /// # use cellstate::{Dense, Initializer};
    /// let dense = Dense::new(16, 5).kernel_initializer(Initializer::Constant(0.5));
    /// assert!(dense.weights()?.kernel.iter().all(|&weight| weight == 0.5));
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[must_use]
    pub fn kernel_initializer(mut self, initializer: Initializer) -> Self {
        self.kernel_initializer = initializer;
        self
    }

    /// How the bias is drawn (default zeros).
    ///
    /// ```
    /// # use cellstate::{Dense, Initializer};
    /// # use ndarray::array;
    /// let dense = Dense::new(16, 2).bias_initializer(Initializer::Constant(0.5));
    /// assert_eq!(dense.weights()?.bias, Some(array![0.5, 0.5]));
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
    /// # use cellstate::Dense;
    /// assert_eq!(Dense::new(16, 5).seed(7).weights()?, Dense::new(16, 5).seed(7).weights()?);
    /// assert_ne!(Dense::new(16, 5).seed(7).weights()?, Dense::new(16, 5).seed(8).weights()?);
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Takes trained weights, as Keras's `layer.get_weights()` gives them: `kernel` (features, units) and `bias` (units).
    /// `None` for the bias sets `use_bias(false)`, a bias sets `use_bias(true)`. PyTorch's `Linear` keeps the transpose.
    ///
    /// # Errors
    ///
    /// [`Error::Size`](crate::Error::Size) for a wrong shape, [`Error::NotFinite`](crate::Error::NotFinite) for NaN or
    /// infinity, [`Error::Value`](crate::Error::Value) if a size of the layer is 0 or beyond 2²³.
    ///
    /// ```
    /// # use cellstate::{Dense, Device, Sequences};
    /// # use ndarray::array;
    /// let dense = Dense::new(2, 1).with_weights(array![[2.0], [3.0]], Some(array![0.5]))?;
    /// let output = dense.on(&Device::cpu())?.run(&Sequences::from(array![[[10.0, 1.0]]]))?;
    /// assert_eq!(output.last(), array![[10.0 * 2.0 + 1.0 * 3.0 + 0.5]]);
    /// assert!(Dense::new(2, 1).with_weights(array![[2.0, 3.0]], None).is_err()); // transposed
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    pub fn with_weights(self, kernel: Array2<f32>, bias: Option<Array1<f32>>) -> Result<Self> {
        self.with_weights_in(DenseWeights { kernel, bias }, ValueRange::Finite)
    }

    /// The same with such values as may be.
    pub(crate) fn with_weights_in(mut self, weights: DenseWeights, range: ValueRange) -> Result<Self> {
        self.check()?;
        let shape = [self.features, self.units];
        range.check_tensor(
            "kernel of the Dense",
            &weights.kernel.view(),
            &shape,
            "(features, units)",
        )?;
        if let Some(bias) = &weights.bias {
            range.check_tensor("bias of the Dense", &bias.view(), &[self.units], "(units)")?;
        }
        self.use_bias = weights.bias.is_some();
        self.weights = Some(weights);
        Ok(self)
    }

    /// The weights: those given, else those drawn from the seed for a layer that stands alone.
    ///
    /// # Errors
    ///
    /// [`Error::Value`](crate::Error::Value) if a size or an initialiser makes no sense, or if `use_bias(true)` came after
    /// weights without a bias; [`Error::Size`](crate::Error::Size) if what is to be drawn does not fit into memory.
    ///
    /// ```
    /// # use cellstate::Dense;
    /// assert_eq!(Dense::new(16, 5).weights()?.kernel.dim(), (16, 5));
    /// # Ok::<(), cellstate::Error>(())
    /// ```
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
                let initializer = self.bias_initializer;
                let bias = || initializer.draw_bias("Dense layer", &[self.units], self.seed, stream + 2);
                DenseWeights {
                    kernel,
                    bias: self.use_bias.then(bias).transpose()?,
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
    ///
    /// ```
    /// assert_eq!(cellstate::Dense::new(16, 5).features(), 16);
    /// ```
    #[must_use]
    pub fn features(&self) -> usize {
        self.features
    }

    /// The number of units.
    ///
    /// ```
    /// assert_eq!(cellstate::Dense::new(16, 5).units(), 5);
    /// ```
    #[must_use]
    pub fn units(&self) -> usize {
        self.units
    }

    /// The number of trained values: units·(features + 1), without the last term if there is no bias.
    ///
    /// ```
    /// # use cellstate::Dense;
    /// assert_eq!(Dense::new(16, 5).parameter_count(), 5 * (16 + 1));
    /// assert_eq!(Dense::new(16, 5).use_bias(false).parameter_count(), 5 * 16);
    /// ```
    #[must_use]
    pub fn parameter_count(&self) -> usize {
        self.units
            .saturating_mul(self.features.saturating_add(usize::from(self.use_bias)))
    }

    pub(crate) fn activation_kind(&self) -> Activation {
        self.activation
    }
}
