//! The Huber loss.

use crate::error::{Error, Result};

/// The Huber loss, `keras.losses.Huber` (Keras 3.15): squared for small errors, absolute for large ones, so that single wild
/// targets pull less.
///
/// With e = output - target it is e² / 2 where |e| ≤ delta, and delta · |e| - delta² / 2 beyond; the mean over the features.
/// PyTorch's `HuberLoss` is the same; its `SmoothL1Loss` is this divided by its `beta`, which is delta.
///
/// ```
/// use cellstate::{Huber, Loss, Targets};
/// use ndarray::array;
///
/// let targets = Targets::from(array![[0.0_f32], [0.0]]);
/// let loss = Loss::from(Huber::new().delta(2.0));
/// let value = loss.compute(array![[1.0_f32], [5.0]].view().into_dyn(), &targets, None, None, None)?;
/// assert_eq!(value.value(), (0.5 + (2.0 * 5.0 - 2.0)) / 2.0);
/// # Ok::<(), cellstate::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Huber {
    delta: f32,
}

impl Default for Huber {
    fn default() -> Self {
        Self { delta: 1.0 }
    }
}

impl Huber {
    /// Keras's default: delta is 1.
    ///
    /// ```
    /// use cellstate::{Huber, Loss};
    ///
    /// assert_eq!(Loss::from(Huber::new()), Loss::Huber(Huber::default().delta(1.0)));
    /// ```
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The error up to which the loss is squared, in the unit of the outputs: more than 0.
    ///
    /// ```
    /// use cellstate::Huber;
    ///
    /// assert_ne!(Huber::new().delta(0.5), Huber::new());
    /// ```
    #[must_use]
    pub fn delta(mut self, delta: f32) -> Self {
        self.delta = delta;
        self
    }

    pub(super) fn limit(self) -> f32 {
        self.delta
    }

    pub(super) fn check(self) -> Result<()> {
        if self.delta > 0.0 && self.delta.is_finite() {
            return Ok(());
        }
        Err(Error::Value {
            argument: "delta of the Huber loss".to_owned(),
            expected: "a finite number above 0".to_owned(),
            found: self.delta.to_string(),
            repair: "call `delta` with the error, in the unit of the outputs, up to which the loss is squared"
                .to_owned(),
        })
    }

    /// The loss of one feature and its derivative.
    pub(super) fn term(self, output: f64, target: f64) -> (f64, f64) {
        let (error, delta) = (output - target, f64::from(self.delta));
        if error.abs() <= delta {
            (0.5 * error * error, error)
        } else {
            (delta * error.abs() - 0.5 * delta * delta, delta * error.signum())
        }
    }
}
