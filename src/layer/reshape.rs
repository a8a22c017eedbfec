//! The Reshape layer.

use super::size::check_size;
use crate::error::{Error, Result};

/// The same values in other time steps, as `keras.layers.Reshape` (Keras 3.15) with two axes: (batch, time_steps, features) becomes
/// (batch, other time steps, other features). All values of a sequence keep their order: step by step, and in a step feature by feature.
///
/// Each batch has to have so many time steps. The mask ends here, as in Keras: a step that a mask leaves out hands on what the layer
/// before gives there. [`Flatten`](crate::Flatten) makes one row of a sequence.
///
/// ```
/// use cellstate::{Dense, Device, Lstm, Model, Reshape, Sequences};
/// use ndarray::Array3;
///
/// let decoder = Model::builder()
///     .add(Lstm::new(2, 8))
///     .add(Dense::new(8, 30))
///     .add(Reshape::new([1, 30], [10, 3]))
///     .build()?;
/// let output = decoder.on(&Device::cpu())?.run(&Sequences::from(Array3::zeros((4, 20, 2))))?;
/// assert_eq!(output.sequences()?.dim(), (4, 10, 3));
/// # Ok::<(), cellstate::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reshape {
    from: [usize; 2],
    to: [usize; 2],
}

impl Reshape {
    /// From `[time_steps, features]` to `[time_steps, features]`, which have as many values. One time step reads one value for each
    /// sequence (batch, features) as well.
    ///
    /// ```
    /// # use cellstate::{Model, Reshape};
    /// assert!(Model::builder().add(Reshape::new([6, 4], [3, 8])).build().is_ok());
    /// assert!(Model::builder().add(Reshape::new([6, 4], [3, 9])).build().is_err());
    /// ```
    #[must_use]
    pub fn new(from: [usize; 2], to: [usize; 2]) -> Self {
        Self { from, to }
    }

    /// The time steps and the features of the input.
    ///
    /// ```
    /// assert_eq!(cellstate::Reshape::new([6, 4], [3, 8]).from_shape(), [6, 4]);
    /// ```
    #[must_use]
    pub fn from_shape(&self) -> [usize; 2] {
        self.from
    }

    /// The time steps and the features that come out.
    ///
    /// ```
    /// assert_eq!(cellstate::Reshape::new([6, 4], [3, 8]).to_shape(), [3, 8]);
    /// ```
    #[must_use]
    pub fn to_shape(&self) -> [usize; 2] {
        self.to
    }

    pub(crate) fn check(&self) -> Result<()> {
        for ([time_steps, features], [first, second]) in [
            (
                self.from,
                [
                    "time_steps before the Reshape layer",
                    "features before the Reshape layer",
                ],
            ),
            (
                self.to,
                ["time_steps of the Reshape layer", "features of the Reshape layer"],
            ),
        ] {
            check_size(first, time_steps)?;
            check_size(second, features)?;
        }
        let values = |[time_steps, features]: [usize; 2]| time_steps.saturating_mul(features);
        let (before, behind) = (values(self.from), values(self.to));
        check_size("values of a sequence before the Reshape layer", before)?;
        if before == behind {
            return Ok(());
        }
        Err(Error::Value {
            argument: "shape of the Reshape layer".to_owned(),
            expected: format!("as many values as {:?} has, {before}", self.from),
            found: format!("{:?}, which has {behind}", self.to),
            repair: "give time steps and features whose product is that number".to_owned(),
        })
    }
}
