//! The BatchNormalization layer.

use ndarray::Array1;

use super::affine::{Affine, check_vector, constant, normalization};
use super::size::check_size;
use crate::cell::ValueRange;
use crate::error::{Error, Result};

const CLASS: &str = "BatchNormalization";

/// Each feature brought to mean 0 and variance 1 by what training has seen of it, as `keras.layers.BatchNormalization` (Keras 3.15, the
/// last axis) and PyTorch's `BatchNorm1d` in inference: `(x − moving_mean) / √(moving_variance + epsilon) · gamma + beta`.
///
/// A run multiplies by one number of each feature and adds another; both are worked out in f64 when the model is built. The input is
/// (batch, features) or (batch, time_steps, features). The mask goes on to the layers behind, and steps that it leaves out are computed as the
/// others are.
///
/// ```
/// use cellstate::{BatchNormalization, Device, Lstm, Model, Sequences};
/// use ndarray::Array3;
///
/// let model = Model::builder().add(BatchNormalization::new(2)).add(Lstm::new(2, 8)).build()?;
/// let output = model.on(&Device::cpu())?.run(&Sequences::from(Array3::zeros((3, 20, 2))))?;
/// assert_eq!(output.last().dim(), (3, 8));
/// # Ok::<(), cellstate::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct BatchNormalization {
    features: usize,
    affine: Affine,
    moving: Option<[Array1<f32>; 2]>,
    momentum: f32,
}

/// The weights of a [`BatchNormalization`], as `layer.get_weights()` gives them in Keras.
///
/// ```
/// # use cellstate::BatchNormalization;
/// # use ndarray::array;
/// let weights = BatchNormalization::new(2).weights()?;
/// assert_eq!((weights.moving_mean, weights.moving_variance), (array![0.0, 0.0], array![1.0, 1.0]));
/// # Ok::<(), cellstate::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct BatchNormalizationWeights {
    /// What the values are multiplied by, (features); PyTorch's `weight`. Absent with `scale(false)`.
    pub gamma: Option<Array1<f32>>,
    /// What is added, (features); PyTorch's `bias`. Absent with `center(false)`.
    pub beta: Option<Array1<f32>>,
    /// The mean that training has seen, (features); PyTorch's `running_mean`. Training follows it, and no gradient changes it.
    pub moving_mean: Array1<f32>,
    /// The variance that training has seen, (features); PyTorch's `running_var`. Training follows it, and no gradient changes it.
    pub moving_variance: Array1<f32>,
}

normalization!(BatchNormalization);

impl BatchNormalization {
    /// Of so many features: epsilon 0.001, gamma of ones, beta of zeros, mean 0 and variance 1, as in Keras.
    ///
    /// ```
    /// # use cellstate::BatchNormalization;
    /// assert_eq!(BatchNormalization::new(3).parameter_count(), 4 * 3);
    /// ```
    #[must_use]
    pub fn new(features: usize) -> Self {
        Self {
            features,
            affine: Affine::new(1e-3),
            moving: None,
            momentum: 0.99,
        }
    }

    /// What share of the moving mean and variance stays at each batch of a training (default 0.99); the rest comes from the batch. A run is
    /// inference, where nothing moves.
    ///
    /// ```
    /// # use cellstate::{BatchNormalization, Model};
    /// assert_eq!(BatchNormalization::new(3).momentum(0.9).momentum_value(), 0.9);
    /// assert!(Model::builder().add(BatchNormalization::new(3).momentum(1.5)).build().is_err());
    /// ```
    #[must_use]
    pub fn momentum(mut self, momentum: f32) -> Self {
        self.momentum = momentum;
        self
    }

    /// What share of the moving mean and variance stays at each batch of a training.
    ///
    /// ```
    /// # use cellstate::BatchNormalization;
    /// assert_eq!(BatchNormalization::new(3).momentum_value(), 0.99);
    /// ```
    #[must_use]
    pub fn momentum_value(&self) -> f32 {
        self.momentum
    }

    /// Takes trained weights, (features) each. An absent gamma or beta sets `scale(false)` or `center(false)`.
    ///
    /// # Errors
    ///
    /// [`Error::Size`](crate::Error::Size) for a wrong shape, [`Error::NotFinite`](crate::Error::NotFinite) for NaN or infinity,
    /// [`Error::Value`](crate::Error::Value) for a negative variance, if the number of features is 0 or beyond 2²³, or if epsilon is not above 0.
    ///
    /// ```
    /// # use cellstate::{BatchNormalization, BatchNormalizationWeights, Device, Sequences};
    /// # use ndarray::array;
    /// let weights = BatchNormalizationWeights {
    ///     gamma: None,
    ///     beta: Some(array![0.5]),
    ///     moving_mean: array![10.0],
    ///     moving_variance: array![3.75],
    /// };
    /// let layer = BatchNormalization::new(1).epsilon(0.25).with_weights(weights)?;
    /// let output = layer.on(&Device::cpu())?.run(&Sequences::from(array![[[12.0], [10.0]]]))?;
    /// assert_eq!(output.sequences()?, array![[[1.5], [0.5]]]); // (12 - 10) / √4 + 0.5
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    pub fn with_weights(self, weights: BatchNormalizationWeights) -> Result<Self> {
        self.with_weights_in(weights, ValueRange::Finite)
    }

    /// The same with such values as may be.
    pub(crate) fn with_weights_in(mut self, weights: BatchNormalizationWeights, range: ValueRange) -> Result<Self> {
        self.check()?;
        let BatchNormalizationWeights {
            gamma,
            beta,
            moving_mean,
            moving_variance,
        } = weights;
        check_vector(CLASS, "moving_mean", self.features, &moving_mean.view(), range)?;
        check_vector(CLASS, "moving_variance", self.features, &moving_variance.view(), range)?;
        check_variance(&moving_variance)?;
        self.affine.take(CLASS, self.features, [gamma, beta], range)?;
        self.moving = Some([moving_mean, moving_variance]);
        Ok(self)
    }

    /// The weights: those given, else those with which training begins.
    ///
    /// # Errors
    ///
    /// [`Error::Value`](crate::Error::Value) if the number of features or epsilon makes no sense,
    /// [`Error::Memory`](crate::Error::Memory) if the weights do not fit into memory.
    ///
    /// ```
    /// # use cellstate::BatchNormalization;
    /// # use ndarray::array;
    /// assert_eq!(BatchNormalization::new(2).weights()?.gamma, Some(array![1.0, 1.0]));
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    pub fn weights(&self) -> Result<BatchNormalizationWeights> {
        self.check()?;
        let [gamma, beta] = self.affine.weights(self.features)?;
        let [moving_mean, moving_variance] = match &self.moving {
            Some(moving) => moving.clone(),
            None => [constant(self.features, 0.0)?, constant(self.features, 1.0)?],
        };
        Ok(BatchNormalizationWeights {
            gamma,
            beta,
            moving_mean,
            moving_variance,
        })
    }

    /// The number of values of all weights, Keras's `count_params()`: 4·features, less without gamma or beta. Mean and variance are
    /// among them.
    ///
    /// ```
    /// # use cellstate::BatchNormalization;
    /// assert_eq!(BatchNormalization::new(3).scale(false).parameter_count(), 3 * 3);
    /// ```
    #[must_use]
    pub fn parameter_count(&self) -> usize {
        self.features.saturating_mul(self.affine.count() + 2)
    }

    pub(crate) fn check(&self) -> Result<()> {
        check_size("features of the BatchNormalization layer", self.features)?;
        if !(0.0..=1.0).contains(&self.momentum) {
            return Err(Error::Value {
                argument: "momentum of the BatchNormalization layer".to_owned(),
                expected: "a share from 0 to 1".to_owned(),
                found: self.momentum.to_string(),
                repair: "give Keras's momentum, 0.99 unless it was changed; PyTorch's is 1 - momentum of this"
                    .to_owned(),
            });
        }
        self.affine.check(CLASS)
    }
}

/// A variance is not negative.
pub(crate) fn check_variance(variance: &Array1<f32>) -> Result<()> {
    match variance.iter().enumerate().find(|(_, value)| **value < 0.0) {
        None => Ok(()),
        Some((feature, value)) => Err(Error::Value {
            argument: "moving_variance of the BatchNormalization".to_owned(),
            expected: "numbers from 0 on".to_owned(),
            found: format!("{value} for feature {feature}"),
            repair: "pass the weights in Keras's order: gamma, beta, moving_mean, moving_variance".to_owned(),
        }),
    }
}
