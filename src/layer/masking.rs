//! The Masking layer.

use crate::error::{Error, Result};

/// Steps whose features all equal a value do not count, as in `keras.layers.Masking` (Keras 3.15).
///
/// A step counts if **any** feature differs from `mask_value` (−0 equals 0, NaN differs from everything). The mask
/// travels to the layers behind, and the steps that do not count are set to zero. It replaces a mask that the
/// [`Sequences`](crate::Sequences) brought along, as in Keras: what they had masked counts again unless it equals
/// `mask_value`, NaN included. With a single feature a true reading of `mask_value` is masked too: take a value that cannot
/// occur.
///
/// It may stand anywhere in a model, or alone. Behind a layer that computes it looks at what that one gives: the model is then
/// run in two sections, and the host reads the values in between.
///
/// ```
/// use cellstate::{Device, Lstm, Masking, Model, Sequences};
/// use ndarray::array;
///
/// let model = Model::builder().add(Masking::new(-1.0)).add(Lstm::new(1, 4)).build()?;
/// let padded = Sequences::from(array![[[0.5], [0.25], [-1.0]], [[0.5], [-1.0], [-1.0]]]);
/// let output = model.on(&Device::cpu())?.run(&padded)?;
/// assert_eq!(output.rows_run(), 3); // two steps of the first sequence, one of the second
/// # Ok::<(), cellstate::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Masking {
    mask_value: f32,
}

impl Masking {
    /// Masks steps whose features all equal `mask_value`. NaN equals nothing, so it masks nothing and is refused when
    /// the model is built; [`Sequences::mask_missing`](crate::Sequences::mask_missing) masks steps with NaN.
    ///
    /// ```
    /// # use cellstate::{Lstm, Masking, Model};
    /// assert!(Model::builder().add(Masking::new(-1.0)).add(Lstm::new(1, 4)).build().is_ok());
    /// assert!(Model::builder().add(Masking::new(f32::NAN)).add(Lstm::new(1, 4)).build().is_err());
    /// ```
    #[must_use]
    pub fn new(mask_value: f32) -> Self {
        Self { mask_value }
    }

    /// The value of padding, in all features of a step.
    ///
    /// ```
    /// assert_eq!(cellstate::Masking::new(-1.0).mask_value(), -1.0);
    /// ```
    #[must_use]
    pub fn mask_value(&self) -> f32 {
        self.mask_value
    }

    pub(crate) fn check(&self) -> Result<()> {
        if !self.mask_value.is_nan() {
            return Ok(());
        }
        Err(Error::Value {
            argument: "mask_value of the Masking layer".to_owned(),
            expected: "a number".to_owned(),
            found: "NaN, which equals nothing, so no step would be masked".to_owned(),
            repair: "call `Sequences::mask_missing` to mask steps with NaN".to_owned(),
        })
    }
}
