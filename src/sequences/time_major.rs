//! Arrays whose first axis is time.

use ndarray::{CowArray, Ix2, Ix3};

use super::Sequences;

impl<'a> Sequences<'a> {
    /// Numbers with the time steps in front, (time_steps, batch, features): what PyTorch's recurrent layers take without `batch_first=True`, ONNX's with
    /// `layout` 0, and Keras 2's with `time_major=True`. Nothing is copied.
    ///
    /// What a model gives is (batch, time_steps, units) all the same; `permuted_axes([1, 0, 2])` turns a view of it.
    ///
    /// ```
    /// use cellstate::Sequences;
    /// use ndarray::Array3;
    ///
    /// let numbers = Array3::<f32>::zeros((20, 3, 2)); // 20 time steps of 3 sequences
    /// let batch = Sequences::time_major(&numbers).with_lengths(&[20, 5, 11])?;
    /// assert_eq!((batch.batch(), batch.time_steps(), batch.features()), (3, 20, Some(2)));
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[must_use]
    pub fn time_major(values: impl Into<CowArray<'a, f32, Ix3>>) -> Self {
        Self::from(values.into().permuted_axes([1, 0, 2]))
    }

    /// As [`time_major`](Self::time_major), of token ids: (time_steps, batch).
    ///
    /// ```
    /// use cellstate::Sequences;
    /// use ndarray::array;
    ///
    /// let batch = Sequences::time_major_tokens(array![[7, 2], [3, 0], [9, 0]]);
    /// assert_eq!(batch.tokens(), Some(array![[7, 3, 9], [2, 0, 0]].view()));
    /// ```
    #[must_use]
    pub fn time_major_tokens(tokens: impl Into<CowArray<'a, i32, Ix2>>) -> Self {
        Self::from(tokens.into().reversed_axes())
    }
}
