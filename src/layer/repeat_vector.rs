//! The RepeatVector layer.

/// The one value of each sequence at every one of `n` time steps, as `keras.layers.RepeatVector` (Keras 3.15): what stands
/// between an encoder and a decoder.
///
/// The input is (batch, features), the last output of the layer before; the output is (batch, n, features), without a mask.
///
/// ```
/// use cellstate::{Device, Lstm, Model, RepeatVector, Sequences};
/// use ndarray::Array3;
///
/// let model = Model::builder()
///     .add(Lstm::new(2, 8))
///     .add(RepeatVector::new(5))
///     .add(Lstm::new(8, 4).return_sequences(true))
///     .build()?;
/// let output = model.on(&Device::cpu())?.run(&Sequences::from(Array3::zeros((3, 20, 2))))?;
/// assert_eq!(output.values().shape(), [3, 5, 4]);
/// # Ok::<(), cellstate::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RepeatVector {
    n: usize,
}

impl RepeatVector {
    /// Repeats `n` times.
    ///
    /// ```
    /// assert_eq!(cellstate::RepeatVector::new(5).n(), 5);
    /// ```
    #[must_use]
    pub fn new(n: usize) -> Self {
        Self { n }
    }

    /// The number of time steps that come out.
    ///
    /// ```
    /// assert_eq!(cellstate::RepeatVector::new(5).n(), 5);
    /// ```
    #[must_use]
    pub fn n(&self) -> usize {
        self.n
    }
}
