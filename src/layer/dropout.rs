//! The Dropout layer.

use crate::error::{Error, Result};

/// What training leaves out at random, as `keras.layers.Dropout` and `SpatialDropout1D` (Keras 3.15). A run is inference, in which
/// nothing is left out: the values and the mask go through, and it costs nothing. The rate is kept for files and for training.
///
/// ```
/// use cellstate::{Device, Dropout, Lstm, Model, Sequences};
/// use ndarray::Array3;
///
/// let batch = Sequences::from(Array3::from_elem((3, 20, 2), 0.5));
/// let with = Model::builder().add(Dropout::new(0.2)).add(Lstm::new(2, 8)).build()?;
/// let without = Model::builder().add(Lstm::new(2, 8)).build()?;
/// let run = |model: Model| model.on(&Device::cpu())?.run(&batch);
/// assert_eq!(run(with)?.last(), run(without)?.last());
/// # Ok::<(), cellstate::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dropout {
    rate: f32,
    spatial: bool,
}

impl Dropout {
    /// Leaves out that share of the values in training, from 0 to 1.
    ///
    /// ```
    /// # use cellstate::{Dense, Dropout, Model};
    /// assert_eq!(Dropout::new(0.2).rate(), 0.2);
    /// assert!(Model::builder().add(Dropout::new(20.0)).add(Dense::new(2, 1)).build().is_err());
    /// ```
    #[must_use]
    pub fn new(rate: f32) -> Self {
        Self { rate, spatial: false }
    }

    /// Whether training leaves out a feature at all time steps of a sequence, or at none (default false): `SpatialDropout1D`.
    ///
    /// ```
    /// # use cellstate::{Dropout, Layer};
    /// assert_eq!(Layer::from(Dropout::new(0.2).spatial(true)).class(), "SpatialDropout1D");
    /// ```
    #[must_use]
    pub fn spatial(mut self, spatial: bool) -> Self {
        self.spatial = spatial;
        self
    }

    /// The share of the values that training leaves out.
    ///
    /// ```
    /// assert_eq!(cellstate::Dropout::new(0.2).rate(), 0.2);
    /// ```
    #[must_use]
    pub fn rate(&self) -> f32 {
        self.rate
    }

    /// Whether it is a `SpatialDropout1D`.
    ///
    /// ```
    /// assert!(cellstate::Dropout::new(0.2).spatial(true).is_spatial());
    /// ```
    #[must_use]
    pub fn is_spatial(&self) -> bool {
        self.spatial
    }

    pub(crate) fn check(&self) -> Result<()> {
        if (0.0..=1.0).contains(&self.rate) {
            return Ok(());
        }
        Err(Error::Value {
            argument: "rate of the Dropout layer".to_owned(),
            expected: "a share from 0 to 1".to_owned(),
            found: self.rate.to_string(),
            repair: "give the rate as a share: 0.2 for 20 %".to_owned(),
        })
    }
}
