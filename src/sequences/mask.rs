//! Which steps of a batch count.

use ndarray::{Array2, ArrayView2, Dim};

use crate::memory;
use crate::{Error, Result};

/// Which steps of a batch count: a boolean (batch, time_steps), `true` where a step is real.
///
/// A step that does not count changes nothing: a recurrent layer carries its state over it. The steps that count may be
/// anywhere: at the front, at the end, with holes between, or nowhere in a sequence. `true` means "use this step", as in
/// Keras 3.15 (`mask` of its recurrent layers); PyTorch's `key_padding_mask` means the opposite.
///
/// ```
/// use cellstate::Mask;
/// use ndarray::array;
///
/// let mask = Mask::from(array![[true, true, false], [false, false, true]]);
/// assert_eq!(mask.valid_steps(), 3);
/// assert_eq!(mask.lengths(), [2, 1]);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mask {
    valid: Array2<bool>,
}

impl Mask {
    /// The mask of a batch padded at the end: of sequence `i` the first `lengths[i]` steps count.
    ///
    /// The mask is (`lengths.len()`, `time_steps`). A length of 0 is a sequence without any step. The rule is that of
    /// PyTorch's `pack_padded_sequence` and ONNX's `sequence_lens`, with the lengths checked.
    ///
    /// # Errors
    ///
    /// [`Error::Length`] names the first sequence whose length is more than `time_steps`; [`Error::Memory`] if the mask
    /// does not fit into memory.
    ///
    /// ```
    /// use cellstate::Mask;
    /// use ndarray::array;
    ///
    /// let mask = Mask::from_lengths(&[2, 0, 3], 3)?;
    /// assert_eq!(mask.view(), array![[true, true, false], [false, false, false], [true, true, true]]);
    /// assert!(Mask::from_lengths(&[2, 4], 3).is_err());
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    pub fn from_lengths(lengths: &[usize], time_steps: usize) -> Result<Self> {
        if let Some((sequence, &length)) = lengths.iter().enumerate().find(|&(_, &length)| length > time_steps) {
            return Err(Error::Length {
                sequence,
                length,
                time_steps,
                repair: "give the number of real steps of each sequence, or pad the batch to its longest sequence"
                    .to_owned(),
            });
        }
        let mut mask = Self::none(lengths.len(), time_steps)?;
        for (mut row, &length) in mask.valid.outer_iter_mut().zip(lengths) {
            row.iter_mut().take(length).for_each(|valid| *valid = true);
        }
        Ok(mask)
    }

    /// A mask of this shape under which no step counts.
    pub(super) fn none(batch: usize, time_steps: usize) -> Result<Self> {
        let valid = memory::zeros(
            "the mask",
            Dim([batch, time_steps]),
            "ask for fewer time steps or a smaller batch",
        )?;
        Ok(Self { valid })
    }

    pub(super) fn valid_mut(&mut self) -> &mut Array2<bool> {
        &mut self.valid
    }

    /// The mask as an array (batch, time_steps), `true` where a step counts.
    ///
    /// ```
    /// # use cellstate::Mask;
    /// let mask = Mask::from_lengths(&[1, 2], 2)?;
    /// assert!(!mask.view()[[0, 1]]);
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[must_use]
    pub fn view(&self) -> ArrayView2<'_, bool> {
        self.valid.view()
    }

    /// The number of sequences.
    ///
    /// ```
    /// # use cellstate::Mask;
    /// assert_eq!(Mask::from_lengths(&[1, 2], 5)?.batch(), 2);
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[must_use]
    pub fn batch(&self) -> usize {
        self.valid.nrows()
    }

    /// The number of time steps, those that do not count included.
    ///
    /// ```
    /// # use cellstate::Mask;
    /// assert_eq!(Mask::from_lengths(&[1, 2], 5)?.time_steps(), 5);
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[must_use]
    pub fn time_steps(&self) -> usize {
        self.valid.ncols()
    }

    /// The number of steps that count, in the whole batch: what a run has to compute.
    ///
    /// ```
    /// # use cellstate::Mask;
    /// assert_eq!(Mask::from_lengths(&[1, 2], 5)?.valid_steps(), 3);
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[must_use]
    pub fn valid_steps(&self) -> usize {
        self.valid.iter().filter(|&&valid| valid).count()
    }

    /// The number of steps that count of each sequence, wherever they are.
    ///
    /// ```
    /// # use cellstate::Mask;
    /// # use ndarray::array;
    /// assert_eq!(Mask::from(array![[true, false, true], [false, false, true]]).lengths(), [2, 1]);
    /// ```
    #[must_use]
    pub fn lengths(&self) -> Vec<usize> {
        self.valid
            .outer_iter()
            .map(|row| row.iter().filter(|&&valid| valid).count())
            .collect()
    }
}

/// Any mask (batch, time_steps), `true` where a step counts; holes are welcome.
impl From<Array2<bool>> for Mask {
    fn from(valid: Array2<bool>) -> Self {
        Self { valid }
    }
}
