//! The LayerNormalization layer.

use ndarray::Array1;

use super::affine::{Affine, normalization};
use super::size::check_size;
use crate::cell::ValueRange;
use crate::error::Result;

const CLASS: &str = "LayerNormalization";

/// Each row brought to mean 0 and variance 1 over its own features, as `keras.layers.LayerNormalization` (Keras 3.15, the last axis)
/// and PyTorch's `LayerNorm(features)`: `(x − mean) / √(variance + epsilon) · gamma + beta`.
///
/// The variance divides by the number of features. The input is (batch, features) or (batch, time_steps, features), where each step is a
/// row. The mask goes on to the layers behind, and steps that it leaves out are computed as the others are.
///
/// ```
/// use cellstate::{Device, LayerNormalization, Lstm, Model, Sequences};
/// use ndarray::Array3;
///
/// let model = Model::builder().add(LayerNormalization::new(2)).add(Lstm::new(2, 8)).build()?;
/// let output = model.on(&Device::cpu())?.run(&Sequences::from(Array3::zeros((3, 20, 2))))?;
/// assert_eq!(output.last().dim(), (3, 8));
/// # Ok::<(), cellstate::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct LayerNormalization {
    features: usize,
    affine: Affine,
}

/// The weights of a [`LayerNormalization`], as `layer.get_weights()` gives them in Keras.
///
/// ```
/// # use cellstate::LayerNormalization;
/// let weights = LayerNormalization::new(3).center(false).weights()?;
/// assert_eq!((weights.gamma.map(|gamma| gamma.len()), weights.beta), (Some(3), None));
/// # Ok::<(), cellstate::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct LayerNormalizationWeights {
    /// What the values are multiplied by, (features); PyTorch's `weight`. Absent with `scale(false)`.
    pub gamma: Option<Array1<f32>>,
    /// What is added, (features); PyTorch's `bias`. Absent with `center(false)`.
    pub beta: Option<Array1<f32>>,
}

normalization!(LayerNormalization);

impl LayerNormalization {
    /// Of rows of so many features: epsilon 0.001, gamma of ones and beta of zeros, as in Keras.
    ///
    /// ```
    /// # use cellstate::LayerNormalization;
    /// assert_eq!(LayerNormalization::new(3).parameter_count(), 6);
    /// ```
    #[must_use]
    pub fn new(features: usize) -> Self {
        Self {
            features,
            affine: Affine::new(1e-3),
        }
    }

    /// Takes trained weights, (features) each. An absent one sets `scale(false)` or `center(false)`.
    ///
    /// # Errors
    ///
    /// [`Error::Size`](crate::Error::Size) for a wrong shape, [`Error::NotFinite`](crate::Error::NotFinite) for NaN or infinity,
    /// [`Error::Value`](crate::Error::Value) if the number of features is 0 or beyond 2²³, or epsilon is not above 0.
    ///
    /// ```
    /// # use cellstate::{Device, LayerNormalization, LayerNormalizationWeights, Sequences};
    /// # use ndarray::array;
    /// let weights = LayerNormalizationWeights { gamma: Some(array![2.0, 1.0]), beta: None };
    /// let layer = LayerNormalization::new(2).epsilon(1e-12).with_weights(weights)?;
    /// let output = layer.on(&Device::cpu())?.run(&Sequences::from(array![[[3.0, 7.0]]]))?;
    /// assert_eq!(output.sequences()?, array![[[-2.0, 1.0]]]);
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    pub fn with_weights(self, weights: LayerNormalizationWeights) -> Result<Self> {
        self.with_weights_in(weights, ValueRange::Finite)
    }

    /// The same with such values as may be.
    pub(crate) fn with_weights_in(mut self, weights: LayerNormalizationWeights, range: ValueRange) -> Result<Self> {
        self.check()?;
        self.affine
            .take(CLASS, self.features, [weights.gamma, weights.beta], range)?;
        Ok(self)
    }

    /// The weights: those given, else ones and zeros.
    ///
    /// # Errors
    ///
    /// [`Error::Value`](crate::Error::Value) if the number of features or epsilon makes no sense,
    /// [`Error::Memory`](crate::Error::Memory) if the weights do not fit into memory.
    ///
    /// ```
    /// # use cellstate::LayerNormalization;
    /// # use ndarray::array;
    /// assert_eq!(LayerNormalization::new(2).weights()?.gamma, Some(array![1.0, 1.0]));
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    pub fn weights(&self) -> Result<LayerNormalizationWeights> {
        self.check()?;
        let [gamma, beta] = self.affine.weights(self.features)?;
        Ok(LayerNormalizationWeights { gamma, beta })
    }

    /// The number of trained values: 2·features, less without gamma or beta.
    ///
    /// ```
    /// # use cellstate::LayerNormalization;
    /// assert_eq!(LayerNormalization::new(3).center(false).parameter_count(), 3);
    /// ```
    #[must_use]
    pub fn parameter_count(&self) -> usize {
        self.features.saturating_mul(self.affine.count())
    }

    pub(crate) fn check(&self) -> Result<()> {
        check_size("features of the LayerNormalization layer", self.features)?;
        self.affine.check(CLASS)
    }
}
