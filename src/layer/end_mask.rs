//! The EndMask layer.

/// The mask ends here: the layers behind run every time step. The values go through, and it costs nothing by itself.
///
/// Up to Keras 3.15 a recurrent layer with `return_sequences` hands its mask on, and so do the layers here. Keras 3.16 does not: a second
/// recurrent layer runs over the padding, where the first one repeats its last output. A model that such a Keras has saved is read with an
/// `EndMask` behind each layer that ends the mask, unless [`OpenOptions::hands_masks_on`](crate::OpenOptions::hands_masks_on) says otherwise; without them it runs as in Keras 3.15. The rows that are run are no longer those that count
/// alone, so padding costs time there.
///
/// ```
/// use cellstate::{Device, EndMask, Layer, Lstm, Model, Sequences};
/// use ndarray::Array3;
///
/// let model = Model::builder()
///     .add(Lstm::new(2, 8).return_sequences(true))
///     .add(EndMask::new())
///     .add(Lstm::new(8, 4))
///     .build()?;
/// let batch = Sequences::from(Array3::from_elem((1, 5, 2), 0.5)).with_lengths(&[3])?;
/// assert_eq!(model.on(&Device::cpu())?.run(&batch)?.rows_run(), 3 + 5);
///
/// // the same model as Keras 3.15 runs it
/// let layers = model.layers().iter().filter(|layer| !matches!(layer, Layer::EndMask(_)));
/// let model = layers.cloned().fold(Model::builder(), |builder, layer| builder.add(layer)).build()?;
/// assert_eq!(model.on(&Device::cpu())?.run(&batch)?.rows_run(), 3 + 3);
/// # Ok::<(), cellstate::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EndMask {
    _private: (),
}

impl EndMask {
    /// The layer has no options.
    ///
    /// ```
    /// # use cellstate::{EndMask, Layer};
    /// assert_eq!(Layer::from(EndMask::new()).class(), "EndMask");
    /// ```
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}
