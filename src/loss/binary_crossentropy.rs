//! Cross-entropy between two classes.

use super::probability::clip;
use super::smoothing::{self, smooth};
use crate::error::Result;

/// Cross-entropy of features that are each true or not, `keras.losses.BinaryCrossentropy` (Keras 3.15): the mean over the features
/// of -t · ln p - (1 - t) · ln(1 - p).
///
/// The outputs are probabilities (of a last layer with `sigmoid`), or logits with [`from_logits`](Self::from_logits); the
/// targets are 0 or 1, or between. Probabilities are taken as at least 1e-7 and at most 1 - 1e-7 (in float32: 1 - 2⁻²³), as in Keras; the
/// gradient of what is beyond is 0. With logits there are no such bounds.
///
/// ```
/// use cellstate::{BinaryCrossentropy, Loss, Targets};
/// use ndarray::array;
///
/// let targets = Targets::from(array![1, 0]); // one for each sequence
/// let loss = Loss::from(BinaryCrossentropy::new());
/// let value = loss.compute(array![[0.5_f32], [0.5]].view().into_dyn(), &targets, None, None, None)?;
/// assert!((value.value() - 2.0_f64.ln()).abs() < 1e-12);
/// # Ok::<(), cellstate::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct BinaryCrossentropy {
    from_logits: bool,
    label_smoothing: f32,
}

impl BinaryCrossentropy {
    /// Keras's defaults: of probabilities, without smoothing.
    ///
    /// ```
    /// use cellstate::{BinaryCrossentropy, Loss};
    ///
    /// assert_eq!(Loss::from(BinaryCrossentropy::new()).name(), "binary_crossentropy");
    /// ```
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether the outputs are logits, of which the sigmoid is the probability (default false). PyTorch's `BCEWithLogitsLoss` is
    /// this loss with logits.
    ///
    /// ```
    /// use cellstate::{BinaryCrossentropy, Loss, Targets};
    /// use ndarray::array;
    ///
    /// let loss = Loss::from(BinaryCrossentropy::new().from_logits(true));
    /// let value = loss.compute(array![[-200.0_f32]].view().into_dyn(), &Targets::from(array![1]), None, None, None)?;
    /// assert_eq!(value.value(), 200.0); // a probability of e⁻²⁰⁰
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[must_use]
    pub fn from_logits(mut self, from_logits: bool) -> Self {
        self.from_logits = from_logits;
        self
    }

    /// How far targets are moved towards ½, from 0 (default) to 1: t becomes t · (1 - share) + share / 2.
    ///
    /// ```
    /// use cellstate::{BinaryCrossentropy, Loss, Targets};
    /// use ndarray::array;
    ///
    /// let smoothed = Loss::from(BinaryCrossentropy::new().label_smoothing(0.2));
    /// let plain = Loss::from(BinaryCrossentropy::new());
    /// let outputs = array![[0.7_f32]].into_dyn();
    /// let of = |loss: Loss, target: f32| loss.compute(outputs.view(), &Targets::from(array![target]), None, None, None);
    /// assert!((of(smoothed, 1.0)?.value() - of(plain, 0.9)?.value()).abs() < 1e-7);
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[must_use]
    pub fn label_smoothing(mut self, share: f32) -> Self {
        self.label_smoothing = share;
        self
    }

    pub(super) fn is_of_logits(self) -> bool {
        self.from_logits
    }

    pub(super) fn smoothed_share(self) -> f32 {
        self.label_smoothing
    }

    pub(super) fn check(self) -> Result<()> {
        smoothing::check(self.label_smoothing)
    }

    /// The loss of one feature and its derivative.
    pub(super) fn term(self, output: f64, target: f64) -> (f64, f64) {
        let target = smooth(target, f64::from(self.label_smoothing), 0.5);
        if self.from_logits {
            let tail = libm::exp(-output.abs());
            let probability = if output >= 0.0 { 1.0 } else { tail } / (1.0 + tail);
            let value = output.max(0.0) - output * target + libm::log1p(tail);
            return (value, probability - target);
        }
        let (probability, slope) = clip(output);
        let value = -(target * libm::log(probability) + (1.0 - target) * libm::log(1.0 - probability));
        let derivative = (1.0 - target) / (1.0 - probability) - target / probability;
        (value, slope * derivative)
    }
}
