//! The Flatten layer.

use super::size::check_size;
use crate::error::Result;

/// All time steps of a sequence in one row, as `keras.layers.Flatten` (Keras 3.15): (batch, time_steps, features) becomes
/// (batch, time_steps·features), the features of the first step first.
///
/// Each batch has to have so many time steps. The mask ends here, as in Keras: a step that a mask leaves out has in the row what the
/// layer before gives there.
///
/// ```
/// use cellstate::{Dense, Device, Flatten, Lstm, Model, Sequences};
/// use ndarray::Array3;
///
/// let model = Model::builder()
///     .add(Lstm::new(2, 8).return_sequences(true))
///     .add(Flatten::new(20, 8))
///     .add(Dense::new(20 * 8, 1))
///     .build()?;
/// let runner = model.on(&Device::cpu())?;
/// assert_eq!(runner.run(&Sequences::from(Array3::zeros((3, 20, 2))))?.last().dim(), (3, 1));
/// assert!(runner.run(&Sequences::from(Array3::zeros((3, 21, 2)))).is_err());
/// # Ok::<(), cellstate::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flatten {
    time_steps: usize,
    features: usize,
}

impl Flatten {
    /// From so many time steps of so many features. One time step reads one value for each sequence as well, and leaves it as it is.
    ///
    /// ```
    /// assert_eq!(cellstate::Flatten::new(20, 8).width(), 160);
    /// ```
    #[must_use]
    pub fn new(time_steps: usize, features: usize) -> Self {
        Self { time_steps, features }
    }

    /// The number of time steps of the input.
    ///
    /// ```
    /// assert_eq!(cellstate::Flatten::new(20, 8).time_steps(), 20);
    /// ```
    #[must_use]
    pub fn time_steps(&self) -> usize {
        self.time_steps
    }

    /// The number of features of a time step.
    ///
    /// ```
    /// assert_eq!(cellstate::Flatten::new(20, 8).features(), 8);
    /// ```
    #[must_use]
    pub fn features(&self) -> usize {
        self.features
    }

    /// The number of values that come out for each sequence.
    ///
    /// ```
    /// assert_eq!(cellstate::Flatten::new(20, 8).width(), 20 * 8);
    /// ```
    #[must_use]
    pub fn width(&self) -> usize {
        self.time_steps.saturating_mul(self.features)
    }

    pub(crate) fn check(&self) -> Result<()> {
        check_size("time_steps of the Flatten layer", self.time_steps)?;
        check_size("features of the Flatten layer", self.features)?;
        check_size("time_steps · features of the Flatten layer", self.width())
    }
}
