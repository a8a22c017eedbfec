//! What a network reads: one batch of sequences, and which steps of it count.
//!
//! [`Sequences`] is the batch, [`Mask`] says which steps are real, [`Padding`] how sequences of different lengths become
//! one batch, and [`windows()`] cuts a long series into windows with their targets.

mod conversion;
mod mask;
mod nested;
mod padding;
mod selection;
mod time_major;
mod windows;

use ndarray::{ArrayView2, ArrayView3, Axis, CowArray, Ix2, Ix3, Zip};

use crate::{Error, Result};

pub use mask::Mask;
pub use padding::{Padding, Side};
pub use windows::{Windows, windows};

/// One batch of sequences: numbers (batch, time_steps, features) or token ids (batch, time_steps), with an optional mask.
///
/// Arrays with these axes become `Sequences` with [`From`] and without a copy, borrowed or owned. Arrays of any number of
/// axes (`ArrayD`) do with [`TryFrom`]. Arrays with another number of axes have a [`TryFrom`] too, whose error says which
/// axis to add or remove. Numbers are `f32`; for other types write `x.mapv(|x| x as f32)` (Keras converts silently).
///
/// Arrays with the time steps in front, as PyTorch has them without `batch_first`, come in by [`time_major`](Sequences::time_major).
///
/// Sequences within sequences, the characters of words say, come from [`nested`](Sequences::nested) and
/// [`nested_tokens`](Sequences::nested_tokens), for a model that begins with [`TimeDistributed`](crate::TimeDistributed).
///
/// Without a mask every step counts. A step that does not count changes nothing, and nothing reads it: it may hold NaN.
/// A batch of 0, 0 time steps and 0 features are all allowed here.
///
/// ```
/// use cellstate::Sequences;
/// use ndarray::{Array2, Array3, ArrayD};
///
/// let numbers = Array3::<f32>::zeros((3, 20, 2));
/// let batch = Sequences::from(&numbers);   // borrows; Sequences::from(numbers) would take it
/// assert_eq!((batch.batch(), batch.time_steps(), batch.features()), (3, 20, Some(2)));
///
/// let tokens = Sequences::from(Array2::<i32>::zeros((3, 20)));
/// assert_eq!(tokens.features(), None);
///
/// let loaded = ArrayD::<f32>::zeros(vec![3, 20, 2, 1]);
/// let error = Sequences::try_from(loaded).unwrap_err();
/// assert!(error.to_string().contains("remove_axis(Axis(3))"));
/// ```
#[derive(Clone, Debug)]
pub struct Sequences<'a> {
    data: Data<'a>,
    mask: Option<Mask>,
}

#[derive(Clone, Debug)]
enum Data<'a> {
    Values(CowArray<'a, f32, Ix3>),
    Tokens(CowArray<'a, i32, Ix2>),
    Nested(Nest<'a>),
}

/// A sequence within each time step: all of them as one batch, those of the first sequence first.
#[derive(Clone, Debug)]
struct Nest<'a> {
    inner: Box<Sequences<'a>>,
    batch: usize,
    time_steps: usize,
}

/// Which steps count. `with_lengths` and `with_mask` replace an earlier mask; those that go by what is in a step narrow it.
impl<'a> Sequences<'a> {
    /// Of sequence `i` only the first `lengths[i]` steps count: a batch padded at the end.
    ///
    /// # Errors
    ///
    /// [`Error::Size`] if there is not one length for each sequence; [`Error::Length`] names the first sequence whose
    /// length is more than the batch has time steps; [`Error::Memory`] if the mask does not fit into memory.
    ///
    /// ```
    /// use cellstate::Sequences;
    /// use ndarray::Array3;
    ///
    /// let batch = Sequences::from(Array3::zeros((3, 15, 1))).with_lengths(&[15, 10, 12])?;
    /// assert_eq!(batch.lengths(), [15, 10, 12]);
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    pub fn with_lengths(self, lengths: &[usize]) -> Result<Self> {
        let (batch, time_steps) = (self.batch(), self.time_steps());
        if lengths.len() != batch {
            return Err(Error::Size {
                argument: "lengths".to_owned(),
                expected: format!("{batch} lengths, one for each sequence of the batch"),
                found: lengths.len().to_string(),
                repair: if lengths.len() == time_steps {
                    "batch and time_steps of the input look swapped: swap_axes(0, 1) puts the batch first".to_owned()
                } else {
                    "give the number of real steps of each sequence, 0 for one without any".to_owned()
                },
            });
        }
        let mask = Mask::from_lengths(lengths, time_steps)?;
        Ok(self.masked(mask))
    }

    /// The steps that are `true` in `mask` (batch, time_steps) count, as with `mask=` in Keras 3.15.
    ///
    /// # Errors
    ///
    /// [`Error::Size`] if the mask has another shape.
    ///
    /// ```
    /// use cellstate::Sequences;
    /// use ndarray::{Array3, array};
    ///
    /// let batch = Sequences::from(Array3::zeros((2, 3, 5)));
    /// let batch = batch.with_mask(array![[true, false, true], [false, true, true]])?;
    /// assert_eq!(batch.lengths(), [2, 2]);
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    pub fn with_mask(self, mask: impl Into<Mask>) -> Result<Self> {
        let mask = mask.into();
        let (expected, found) = ((self.batch(), self.time_steps()), (mask.batch(), mask.time_steps()));
        if found != expected {
            return Err(Error::Size {
                argument: "mask".to_owned(),
                expected: format!("shape [{}, {}] (batch, time_steps)", expected.0, expected.1),
                found: format!("[{}, {}]", found.0, found.1),
                repair: if found == (expected.1, expected.0) {
                    "the axes look swapped: call reversed_axes()".to_owned()
                } else {
                    "give one bool for each time step of each sequence, true where it counts".to_owned()
                },
            });
        }
        Ok(self.masked(mask))
    }

    /// A step counts if any of its features differs from `value`: the rule of Keras 3.15's `Masking(mask_value)`.
    ///
    /// −0 equals 0, and NaN differs from everything. **With one feature, a real reading of `value` is lost too**: choose
    /// a value that cannot occur, or use [`with_lengths`](Self::with_lengths). A step that does not count already, the
    /// padding of a ragged batch say, still does not; the layer `Masking` in contrast replaces the mask, as Keras does. The
    /// values themselves are left alone;
    /// Keras also writes zeros over the masked steps, which nothing here reads. With 0 features no step counts. Of
    /// [`nested`](Self::nested) sequences these are the inner steps.
    ///
    /// # Errors
    ///
    /// [`Error::Value`] if `value` is NaN, which would mask nothing: [`mask_missing`](Self::mask_missing) is meant.
    /// [`Error::InputKind`] for tokens: the layer `Embedding` masks the token 0 with `mask_zero(true)`.
    /// [`Error::Memory`] if the mask does not fit into memory.
    ///
    /// ```
    /// use cellstate::Sequences;
    /// use ndarray::array;
    ///
    /// let batch = Sequences::from(array![[[1.0, -9.0], [-9.0, -9.0]], [[0.0, 0.0], [2.0, 3.0]]]);
    /// let batch = batch.with_mask_value(-9.0)?;
    /// assert_eq!(batch.lengths(), [1, 2]);
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    pub fn with_mask_value(self, value: f32) -> Result<Self> {
        if value.is_nan() {
            return Err(Error::Value {
                argument: "mask value".to_owned(),
                expected: "a number".to_owned(),
                found: "NaN, which equals nothing and would mask no step".to_owned(),
                repair: "call mask_missing() to mask the steps with NaN".to_owned(),
            });
        }
        self.mask_steps("with_mask_value", |step| step.iter().any(|&feature| feature != value))
    }

    /// A step with any feature missing (NaN) does not count: for series with gaps.
    ///
    /// Infinity is not missing. A step that does not count already, the padding of a ragged batch say, still does not. Keras
    /// has no such mask: there NaN reaches the result. Of [`nested`](Self::nested) sequences these are the inner steps.
    ///
    /// # Errors
    ///
    /// [`Error::InputKind`] for tokens, which cannot be NaN; [`Error::Memory`] if the mask does not fit into memory.
    ///
    /// ```
    /// use cellstate::Sequences;
    /// use ndarray::array;
    ///
    /// let batch = Sequences::from(array![[[1.0, 2.0], [3.0, f32::NAN], [5.0, 6.0]]]).mask_missing()?;
    /// assert_eq!(batch.mask().map(|mask| mask.view().to_owned()), Some(array![[true, false, true]]));
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    pub fn mask_missing(self) -> Result<Self> {
        self.mask_steps("mask_missing", |step| !step.iter().any(|feature| feature.is_nan()))
    }

    /// Masks by what is in a step; what did not count before still does not.
    fn mask_steps(self, call: &str, counts: impl Fn(ndarray::ArrayView1<'_, f32>) -> bool) -> Result<Self> {
        if let Data::Nested(nest) = self.data {
            let data = Data::Nested(nest.try_map(|inner| inner.mask_steps(call, counts))?);
            return Ok(Self { data, mask: self.mask });
        }
        let Data::Values(values) = &self.data else {
            return Err(Error::InputKind {
                layer: call.to_owned(),
                expected: "numbers (batch, time_steps, features)",
                found: "tokens (batch, time_steps)",
                repair: "use mask_zero(true) of the layer Embedding to mask the token 0, or with_lengths or with_mask \
                         for any other mask"
                    .to_owned(),
            });
        };
        let mut mask = Mask::none(self.batch(), self.time_steps())?;
        Zip::from(mask.valid_mut())
            .and(values.lanes(Axis(2)))
            .for_each(|valid, step| *valid = counts(step));
        if let Some(before) = &self.mask {
            mask.valid_mut()
                .zip_mut_with(&before.view(), |valid, &before| *valid &= before);
        }
        Ok(self.masked(mask))
    }

    /// Sets a mask that is known to have the right shape.
    fn masked(mut self, mask: Mask) -> Self {
        self.mask = Some(mask);
        self
    }
}

/// What is in the batch.
impl<'a> Sequences<'a> {
    /// The number of sequences.
    ///
    /// ```
    /// # use cellstate::Sequences;
    /// # use ndarray::Array3;
    /// assert_eq!(Sequences::from(Array3::<f32>::zeros((3, 20, 2))).batch(), 3);
    /// ```
    #[must_use]
    pub fn batch(&self) -> usize {
        match &self.data {
            Data::Values(values) => values.len_of(Axis(0)),
            Data::Tokens(tokens) => tokens.len_of(Axis(0)),
            Data::Nested(nest) => nest.batch,
        }
    }

    /// The number of time steps, padding included.
    ///
    /// ```
    /// # use cellstate::Sequences;
    /// # use ndarray::Array3;
    /// assert_eq!(Sequences::from(Array3::<f32>::zeros((3, 20, 2))).time_steps(), 20);
    /// ```
    #[must_use]
    pub fn time_steps(&self) -> usize {
        match &self.data {
            Data::Values(values) => values.len_of(Axis(1)),
            Data::Tokens(tokens) => tokens.len_of(Axis(1)),
            Data::Nested(nest) => nest.time_steps,
        }
    }

    /// The number of features of a step, of [`nested`](Self::nested) sequences of an inner one; `None` for tokens, which get theirs from an
    /// embedding.
    ///
    /// ```
    /// # use cellstate::Sequences;
    /// # use ndarray::{Array2, Array3};
    /// assert_eq!(Sequences::from(Array3::<f32>::zeros((3, 20, 2))).features(), Some(2));
    /// assert_eq!(Sequences::from(Array2::<i32>::zeros((3, 20))).features(), None);
    /// ```
    #[must_use]
    pub fn features(&self) -> Option<usize> {
        match &self.data {
            Data::Values(values) => Some(values.len_of(Axis(2))),
            Data::Tokens(_) => None,
            Data::Nested(nest) => nest.inner.features(),
        }
    }

    /// The numbers (batch, time_steps, features), padding included; `None` for tokens and for [`nested`](Self::nested) sequences.
    ///
    /// ```
    /// # use cellstate::Sequences;
    /// # use ndarray::array;
    /// assert_eq!(Sequences::from(array![[[1.0], [2.0]]]).values(), Some(array![[[1.0], [2.0]]].view()));
    /// ```
    #[must_use]
    pub fn values(&self) -> Option<ArrayView3<'_, f32>> {
        match &self.data {
            Data::Values(values) => Some(values.view()),
            Data::Tokens(_) | Data::Nested(_) => None,
        }
    }

    /// The token ids (batch, time_steps), padding included; `None` for numbers and for [`nested`](Self::nested) sequences.
    ///
    /// ```
    /// # use cellstate::Sequences;
    /// # use ndarray::array;
    /// assert_eq!(Sequences::from(array![[7, 8]]).tokens(), Some(array![[7, 8]].view()));
    /// ```
    #[must_use]
    pub fn tokens(&self) -> Option<ArrayView2<'_, i32>> {
        match &self.data {
            Data::Values(_) | Data::Nested(_) => None,
            Data::Tokens(tokens) => Some(tokens.view()),
        }
    }

    /// Which steps count; `None` if all do.
    ///
    /// ```
    /// # use cellstate::Sequences;
    /// # use ndarray::Array3;
    /// let batch = Sequences::from(Array3::<f32>::zeros((2, 3, 1)));
    /// assert!(batch.mask().is_none());
    /// assert_eq!(batch.with_lengths(&[1, 3])?.mask().map(|mask| mask.valid_steps()), Some(4));
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[must_use]
    pub fn mask(&self) -> Option<&Mask> {
        self.mask.as_ref()
    }

    /// The number of steps that count of each sequence, wherever they are: `batch` numbers, each at most `time_steps`.
    ///
    /// ```
    /// # use cellstate::Sequences;
    /// # use ndarray::Array3;
    /// let batch = Sequences::from(Array3::<f32>::zeros((2, 3, 1)));
    /// assert_eq!(batch.lengths(), [3, 3]);
    /// assert_eq!(batch.with_lengths(&[1, 3])?.lengths(), [1, 3]);
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[must_use]
    pub fn lengths(&self) -> Vec<usize> {
        match &self.mask {
            Some(mask) => mask.lengths(),
            None => std::iter::repeat_n(self.time_steps(), self.batch()).collect(),
        }
    }

    /// The same batch with its own copy of what it borrows; what it owns is not copied.
    ///
    /// ```
    /// use cellstate::Sequences;
    /// use ndarray::Array3;
    ///
    /// fn load() -> Sequences<'static> {
    ///     let buffer = Array3::zeros((3, 20, 2));
    ///     Sequences::from(buffer.view()).into_owned()
    /// }
    /// assert_eq!(load().batch(), 3);
    /// ```
    #[must_use]
    pub fn into_owned(self) -> Sequences<'static> {
        let data = match self.data {
            Data::Values(values) => Data::Values(values.into_owned().into()),
            Data::Tokens(tokens) => Data::Tokens(tokens.into_owned().into()),
            Data::Nested(nest) => Data::Nested(nest.into_owned()),
        };
        Sequences { data, mask: self.mask }
    }
}
