//! Sequences of different lengths made into one batch.

use ndarray::{Array3, ArrayView1, ArrayView2, Axis, Dim, Slice};

use super::{Mask, Sequences};
use crate::memory::{self, Purpose};
use crate::{Error, Result};

/// An end of a sequence.
///
/// ```
/// # use cellstate::{Padding, Sequences, Side};
/// # use ndarray::array;
/// let before = Sequences::pad_tokens([&[7]], &Padding::default().max_length(3).side(Side::Before))?;
/// assert_eq!(before.tokens(), Some(array![[0, 0, 7]].view()));
/// # Ok::<(), cellstate::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Side {
    /// The front: before the first step (Keras's `"pre"`).
    Before,
    /// The end: after the last step (Keras's `"post"`).
    #[default]
    After,
}

/// How sequences of different lengths are made equally long.
///
/// The default pads and truncates at the end, to the longest sequence, with 0. **Keras's `pad_sequences` does both in
/// front** unless told otherwise: [`Padding::keras`] is that. With the mask, which side is padded makes no difference to
/// the states a recurrent layer ends with; which side is truncated does, because real steps are lost there.
///
/// ```
/// use cellstate::{Padding, Side};
///
/// let padding = Padding::default().max_length(100).truncate(Side::Before);   // keeps the latest 100 steps
/// assert_eq!(padding.side, Side::After);
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Padding {
    /// Where padding is added (Keras's `padding`).
    pub side: Side,
    /// Where a sequence longer than `max_length` loses steps (Keras's `truncating`).
    pub truncate: Side,
    /// The time steps of the batch; `None` is as many as the longest sequence has (Keras's `maxlen`).
    pub max_length: Option<usize>,
    /// What padding is filled with (Keras's `value`). It is never computed with, so any value will do, NaN included.
    pub value: f32,
}

impl Padding {
    /// Keras 3.15's defaults of `pad_sequences`: pads and truncates in front, to the longest sequence, with 0.
    ///
    /// Unlike there, numbers stay `f32`: Keras's default `dtype="int32"` makes `[0.1, 0.2]` into `[0, 0]`.
    ///
    /// ```
    /// use cellstate::{Padding, Sequences};
    /// use ndarray::array;
    ///
    /// let batch = Sequences::pad_tokens([&[1, 2, 3][..], &[4]], &Padding::keras())?;
    /// assert_eq!(batch.tokens(), Some(array![[1, 2, 3], [0, 0, 4]].view()));
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[must_use]
    pub fn keras() -> Self {
        Self {
            side: Side::Before,
            truncate: Side::Before,
            ..Self::default()
        }
    }

    /// Where padding is added.
    ///
    /// ```
    /// # use cellstate::{Padding, Side};
    /// assert_eq!(Padding::default().side(Side::Before).side, Side::Before);
    /// ```
    #[must_use]
    pub fn side(mut self, side: Side) -> Self {
        self.side = side;
        self
    }

    /// Where a sequence that is too long loses steps: [`Side::Before`] keeps its last steps, [`Side::After`] its first.
    ///
    /// ```
    /// # use cellstate::{Padding, Side};
    /// assert_eq!(Padding::default().truncate(Side::Before).truncate, Side::Before);
    /// ```
    #[must_use]
    pub fn truncate(mut self, side: Side) -> Self {
        self.truncate = side;
        self
    }

    /// The time steps of the batch: longer sequences are truncated, and the batch has as many even if all are shorter,
    /// as with Keras's `maxlen`.
    ///
    /// ```
    /// # use cellstate::{Padding, Sequences};
    /// let padding = Padding::default().max_length(3);
    /// assert_eq!(Sequences::pad_tokens([&[7]], &padding)?.time_steps(), 3);
    /// assert_eq!(Sequences::pad_tokens([&[7; 9]], &padding)?.time_steps(), 3);
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[must_use]
    pub fn max_length(mut self, time_steps: usize) -> Self {
        self.max_length = Some(time_steps);
        self
    }

    /// What padding is filled with.
    ///
    /// ```
    /// # use cellstate::Padding;
    /// assert_eq!(Padding::default().value(-1.0).value, -1.0);
    /// ```
    #[must_use]
    pub fn value(mut self, value: f32) -> Self {
        self.value = value;
        self
    }

    /// Where the steps of a sequence go: (first step kept, steps kept, first time step in the batch).
    fn place(&self, steps: usize, time_steps: usize) -> (usize, usize, usize) {
        let kept = steps.min(time_steps);
        let from = match self.truncate {
            Side::Before => steps - kept,
            Side::After => 0,
        };
        let to = match self.side {
            Side::Before => time_steps - kept,
            Side::After => 0,
        };
        (from, kept, to)
    }
}

/// The list of the sequences that become one batch.
const SEQUENCES: Purpose = Purpose {
    what: "the list of the sequences",
    repair: "make smaller batches",
};

/// Batches made of sequences of different lengths.
impl Sequences<'static> {
    /// One batch of sequences of different lengths, padded at the end, with the mask of their real steps.
    ///
    /// Each sequence is (time_steps, features): views, references to arrays, or slices of rows such as `&[[1.0]; 3][..]`.
    /// The batch is (number of sequences, steps of the longest, features). Its mask comes from the lengths, not from the
    /// padding value, so a real reading of 0 stays a reading. A sequence of 0 steps is all padding.
    ///
    /// Keras's `pad_sequences` pads in front by default; [`pad_with`](Self::pad_with) does that and more.
    ///
    /// # Errors
    ///
    /// [`Error::Size`] if there is no sequence, or if one has other features than the first; [`Error::Memory`] if the
    /// batch does not fit into memory.
    ///
    /// ```
    /// use cellstate::Sequences;
    /// use ndarray::{Array2, array};
    ///
    /// let (a, b) = (array![[1.0], [2.0], [3.0]], array![[4.0]]);
    /// let batch = Sequences::pad([a.view(), b.view()])?;
    /// assert_eq!(batch.values(), Some(array![[[1.0], [2.0], [3.0]], [[4.0], [0.0], [0.0]]].view()));
    /// assert_eq!(batch.lengths(), [3, 1]);
    ///
    /// let many: Vec<Array2<f32>> = vec![a, b];
    /// assert_eq!(Sequences::pad(&many)?.lengths(), [3, 1]);
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    pub fn pad<'v, I>(sequences: I) -> Result<Self>
    where
        I: IntoIterator<Item: Into<ArrayView2<'v, f32>>>,
    {
        Self::pad_with(sequences, &Padding::default())
    }

    /// One batch of sequences of different lengths, padded and truncated as told.
    ///
    /// As [`pad`](Self::pad), with the meaning of `keras.utils.pad_sequences` (Keras 3.15) for every option of
    /// [`Padding`]; what is added is the mask.
    ///
    /// # Errors
    ///
    /// Those of [`pad`](Self::pad).
    ///
    /// ```
    /// use cellstate::{Padding, Sequences};
    /// use ndarray::array;
    ///
    /// let (a, b) = (array![[1.0], [2.0], [3.0]], array![[4.0]]);
    /// let batch = Sequences::pad_with([&a, &b], &Padding::keras().max_length(2).value(-1.0))?;
    /// assert_eq!(batch.values(), Some(array![[[2.0], [3.0]], [[-1.0], [4.0]]].view()));
    /// assert_eq!(batch.lengths(), [2, 1]);
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    pub fn pad_with<'v, I>(sequences: I, padding: &Padding) -> Result<Self>
    where
        I: IntoIterator<Item: Into<ArrayView2<'v, f32>>>,
    {
        let sequences: Vec<ArrayView2<'v, f32>> = SEQUENCES.collected(sequences.into_iter().map(Into::into))?;
        let Some(features) = sequences.first().map(ArrayView2::ncols) else {
            return Err(Error::Size {
                argument: "sequences".to_owned(),
                expected: "at least one sequence, to know the features".to_owned(),
                found: "an empty list".to_owned(),
                repair: "for an empty batch write Sequences::from(Array3::zeros((0, time_steps, features)))".to_owned(),
            });
        };
        same_features(&sequences, features)?;
        let (values, mask) = pad_views(&sequences, features, padding, padding.value)?;
        Ok(Self::from(values).masked(mask))
    }

    /// One batch (batch, time_steps) of token ids, padded and truncated as told, with the mask of the real steps.
    ///
    /// Each sequence is one axis of ids: views, references to arrays, or slices such as `&[1, 2][..]` and `&vec`. The
    /// mask comes from the lengths: a real token 0 counts, unless an embedding masks it. An empty list is a batch of 0
    /// with `max_length` time steps, as in Keras.
    ///
    /// # Errors
    ///
    /// [`Error::Value`] if the padding value is not a whole number that fits into an `i32`; [`Error::Memory`] if the
    /// batch does not fit into memory.
    ///
    /// ```
    /// use cellstate::{Padding, Sequences};
    /// use ndarray::array;
    ///
    /// let reviews = vec![vec![711, 632, 71], vec![73, 8]];
    /// let batch = Sequences::pad_tokens(&reviews, &Padding::default())?;
    /// assert_eq!(batch.tokens(), Some(array![[711, 632, 71], [73, 8, 0]].view()));
    /// assert_eq!(batch.lengths(), [3, 2]);
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    pub fn pad_tokens<'v, I>(sequences: I, padding: &Padding) -> Result<Self>
    where
        I: IntoIterator<Item: Into<ArrayView1<'v, i32>>>,
    {
        let value = padding.value as i32;
        // The cast saturates at i32::MAX, which rounds to 2^31 on the way back: hence the second condition.
        if value as f32 != padding.value || padding.value >= 2_147_483_648.0 {
            return Err(Error::Value {
                argument: "padding value".to_owned(),
                expected: "a whole number that fits into an i32, to pad token ids".to_owned(),
                found: padding.value.to_string(),
                repair: "use 0; masked steps are never looked up".to_owned(),
            });
        }
        // A token is a step with one number.
        let sequences = sequences
            .into_iter()
            .map(|sequence| sequence.into().insert_axis(Axis(1)));
        let sequences: Vec<ArrayView2<'v, i32>> = SEQUENCES.collected(sequences)?;
        let (tokens, mask) = pad_views(&sequences, 1, padding, value)?;
        Ok(Self::from(tokens.remove_axis(Axis(2))).masked(mask))
    }
}

fn same_features(sequences: &[ArrayView2<'_, f32>], features: usize) -> Result<()> {
    let Some((index, odd)) = sequences
        .iter()
        .enumerate()
        .find(|(_, sequence)| sequence.ncols() != features)
    else {
        return Ok(());
    };
    Err(Error::Size {
        argument: format!("sequences[{index}]"),
        expected: format!("{features} features, as sequences[0] has"),
        found: format!("{} (shape {:?}, axes (time_steps, features))", odd.ncols(), odd.shape()),
        repair: if odd.nrows() == features {
            "the axes look swapped: call reversed_axes()".to_owned()
        } else {
            "give every sequence the same features".to_owned()
        },
    })
}

/// Lays sequences (steps, features) out as one batch, with the mask of their steps.
fn pad_views<A>(
    sequences: &[ArrayView2<'_, A>],
    features: usize,
    padding: &Padding,
    value: A,
) -> Result<(Array3<A>, Mask)>
where
    A: Copy + Default + PartialEq,
{
    let longest = sequences.iter().map(ArrayView2::nrows).max().unwrap_or(0);
    let time_steps = padding.max_length.unwrap_or(longest);
    let shape = Dim([sequences.len(), time_steps, features]);
    let mut batch = memory::zeros("the padded batch", shape, "lower max_length, or make smaller batches")?;
    let mut mask = Mask::none(sequences.len(), time_steps)?;
    // Memory comes zeroed; of padding that is 0 nothing need be touched.
    if value != A::default() {
        batch.fill(value);
    }
    let rows = batch.outer_iter_mut().zip(mask.valid_mut().outer_iter_mut());
    for (sequence, (mut values, mut valid)) in sequences.iter().zip(rows) {
        let (from, kept, to) = padding.place(sequence.nrows(), time_steps);
        let real = Slice::from(to..to + kept);
        let kept = sequence.slice_axis(Axis(0), Slice::from(from..from + kept));
        values.slice_axis_mut(Axis(0), real).assign(&kept);
        valid.slice_axis_mut(Axis(0), real).fill(true);
    }
    Ok((batch, mask))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn place_keeps_the_side_that_is_not_cut() {
        let cut_front = Padding::default().truncate(Side::Before);
        assert_eq!(cut_front.place(5, 3), (2, 3, 0));
        assert_eq!(Padding::default().place(5, 3), (0, 3, 0));
        assert_eq!(Padding::keras().place(2, 5), (0, 2, 3));
        assert_eq!(Padding::keras().place(0, usize::MAX), (0, 0, usize::MAX));
    }
}
