//! Cross-entropy between classes whose targets are probabilities.

use super::probability::{clip, softmax};
use super::smoothing::{self, smooth};
use crate::error::Result;

/// Cross-entropy between classes, each target a row of probabilities (one-hot where the class is known),
/// `keras.losses.CategoricalCrossentropy` (Keras 3.15): -Σ t · ln p.
///
/// The outputs are probabilities (of a last layer with `softmax`), or logits with [`from_logits`](Self::from_logits). Probabilities are divided by
/// their sum and then taken as at least 1e-7 and at most 1 - 1e-7 (in float32: 1 - 2⁻²³), as in Keras; the gradient of what is beyond is 0.
/// Where targets are class numbers, take [`SparseCategoricalCrossentropy`](crate::SparseCategoricalCrossentropy).
///
/// The gradient is that of the formula also for a row of targets whose sum is not 1; TensorFlow's, from logits, is right only for
/// a sum of 1.
///
/// ```
/// use cellstate::{CategoricalCrossentropy, Loss, Targets};
/// use ndarray::array;
///
/// let targets = Targets::from(array![[0.0_f32, 1.0, 0.0], [0.5, 0.0, 0.5]]);
/// let outputs = array![[0.1_f32, 0.8, 0.1], [0.5, 0.25, 0.25]].into_dyn();
/// let value = Loss::from(CategoricalCrossentropy::new()).compute(outputs.view(), &targets, None, None, None)?;
/// let expected = (-0.8_f64.ln() - 0.5 * 0.5_f64.ln() - 0.5 * 0.25_f64.ln()) / 2.0;
/// assert!((value.value() - expected).abs() < 1e-7);
/// # Ok::<(), cellstate::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CategoricalCrossentropy {
    from_logits: bool,
    label_smoothing: f32,
}

impl CategoricalCrossentropy {
    /// Keras's defaults: of probabilities, without smoothing.
    ///
    /// ```
    /// use cellstate::{CategoricalCrossentropy, Loss};
    ///
    /// assert_eq!(Loss::from(CategoricalCrossentropy::new()).name(), "categorical_crossentropy");
    /// ```
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether the outputs are logits, of which the softmax is the probabilities (default false). PyTorch's `CrossEntropyLoss` is
    /// this loss with logits.
    ///
    /// ```
    /// use cellstate::{CategoricalCrossentropy, Loss, Targets};
    /// use ndarray::array;
    ///
    /// let loss = Loss::from(CategoricalCrossentropy::new().from_logits(true));
    /// let targets = Targets::from(array![[0.0_f32, 1.0]]);
    /// let value = loss.compute(array![[300.0_f32, 0.0]].view().into_dyn(), &targets, None, None, None)?;
    /// assert_eq!(value.value(), 300.0);
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[must_use]
    pub fn from_logits(mut self, from_logits: bool) -> Self {
        self.from_logits = from_logits;
        self
    }

    /// The share of each target that is spread over all classes, from 0 (default) to 1: t becomes
    /// t · (1 - share) + share / classes.
    ///
    /// ```
    /// use cellstate::{CategoricalCrossentropy, Loss, Targets};
    /// use ndarray::{arr2, array};
    ///
    /// let smoothed = Loss::from(CategoricalCrossentropy::new().label_smoothing(0.2));
    /// let plain = Loss::from(CategoricalCrossentropy::new());
    /// let outputs = array![[0.7_f32, 0.3]].into_dyn();
    /// let of = |loss: Loss, t: [f32; 2]| loss.compute(outputs.view(), &Targets::from(arr2(&[t])), None, None, None);
    /// assert!((of(smoothed, [1.0, 0.0])?.value() - of(plain, [0.9, 0.1])?.value()).abs() < 1e-7);
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

    /// The loss of a row; `gradient` becomes its gradient.
    pub(super) fn row(self, output: &[f64], target: &[f64], gradient: &mut [f64]) -> f64 {
        let even = 1.0 / output.len() as f64;
        let targets = target
            .iter()
            .map(|&target| smooth(target, f64::from(self.label_smoothing), even));
        if self.from_logits {
            let whole: f64 = targets.clone().sum();
            let logarithm = softmax(output, gradient);
            let mut value = 0.0;
            for ((slope, &output), target) in gradient.iter_mut().zip(output).zip(targets) {
                value += target * (logarithm - output);
                *slope = *slope * whole - target;
            }
            return value;
        }
        let sum: f64 = output.iter().sum();
        let (mut value, mut pull) = (0.0, 0.0);
        for ((slope, &output), target) in gradient.iter_mut().zip(output).zip(targets) {
            let share = output / sum;
            let (probability, inside) = clip(share);
            value -= target * libm::log(probability);
            *slope = -inside * target / probability;
            pull += *slope * share;
        }
        // a larger output also makes the shares of all others smaller
        gradient.iter_mut().for_each(|slope| *slope = (*slope - pull) / sum);
        value
    }
}
