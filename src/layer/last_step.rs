//! The LastStep layer.

/// The last time step of each sequence, as `output[:, -1]` in PyTorch and `Gather` or `Slice` of the last step in ONNX.
///
/// The input is (batch, time_steps, features), the output (batch, features), without a mask. The step is the last one of the padded
/// batch, whether a mask leaves it out or not: what the layer before gives there. A recurrent layer before repeats its last output at
/// padding, so that both readings agree, but for `zero_output_for_mask(true)` and [`Bidirectional`](crate::Bidirectional), where padding is zero.
///
/// `return_sequences(false)` of a recurrent layer gives the same where no other layer stands in between.
///
/// ```
/// use cellstate::{Device, LastStep, Lstm, Model, Sequences};
/// use ndarray::Array3;
///
/// let batch = Sequences::from(Array3::from_elem((3, 20, 2), 0.5));
/// let model = Model::builder().add(Lstm::new(2, 8).return_sequences(true)).add(LastStep::new()).build()?;
/// let output = model.on(&Device::cpu())?.run(&batch)?;
/// assert_eq!(output.last(), Lstm::new(2, 8).on(&Device::cpu())?.run(&batch)?.last());
/// # Ok::<(), cellstate::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LastStep {
    _private: (),
}

impl LastStep {
    /// The layer has no options.
    ///
    /// ```
    /// # use cellstate::{Layer, LastStep};
    /// assert_eq!(Layer::from(LastStep::new()).class(), "LastStep");
    /// ```
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}
