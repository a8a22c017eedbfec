//! Sequences within sequences: the characters of each word.

use ndarray::{Array2, Array3, ArrayView2, CowArray, Dim, Ix2, Ix3, Ix4};

use super::selection::BATCH;
use super::{Data, Mask, Nest, Sequences};
use crate::error::{Error, Result};
use crate::memory;

const VALUES: &str = "(batch, time_steps, inner_time_steps, features)";
const TOKENS: &str = "(batch, time_steps, inner_time_steps)";
const REPAIR: &str = "run fewer sequences at once";

impl<'a> Nest<'a> {
    pub(super) fn try_map(self, map: impl FnOnce(Sequences<'a>) -> Result<Sequences<'a>>) -> Result<Self> {
        Ok(Self {
            inner: Box::new(map(*self.inner)?),
            ..self
        })
    }

    pub(super) fn into_owned(self) -> Nest<'static> {
        Nest {
            inner: Box::new(self.inner.into_owned()),
            batch: self.batch,
            time_steps: self.time_steps,
        }
    }

    pub(super) fn view(&self) -> Nest<'_> {
        Nest {
            inner: Box::new(self.inner.view()),
            batch: self.batch,
            time_steps: self.time_steps,
        }
    }

    /// The sequences of these numbers in this order, of each the first `time_steps`, with all of their inner steps.
    pub(super) fn select(&self, rows: &[usize], time_steps: usize) -> Result<Nest<'static>> {
        let time_steps = time_steps.min(self.time_steps);
        let steps =
            |&row: &usize| (0..time_steps).map(move |step| row.saturating_mul(self.time_steps).saturating_add(step));
        let mut inner = BATCH.list(rows.len().saturating_mul(time_steps))?;
        inner.extend(rows.iter().flat_map(steps));
        Ok(Nest {
            inner: Box::new(self.inner.select(&inner, self.inner.time_steps())?),
            batch: rows.len(),
            time_steps,
        })
    }
}

/// Sequences within sequences.
impl<'a> Sequences<'a> {
    /// A sequence of numbers within each time step: (batch, time_steps, inner_time_steps, features), for a model that begins with
    /// [`TimeDistributed`](crate::TimeDistributed).
    ///
    /// The inner steps that count are said by [`with_inner_lengths`](Self::with_inner_lengths) or
    /// [`with_inner_mask`](Self::with_inner_mask), the outer ones by [`with_lengths`](Self::with_lengths) or [`with_mask`](Self::with_mask). An array
    /// whose rows stand one behind the other in memory is not copied.
    ///
    /// # Errors
    ///
    /// [`Error::Size`] for more inner sequences than a machine can count, [`Error::Memory`] if the copy of an array of another layout
    /// does not fit into memory.
    ///
    /// ```
    /// use cellstate::Sequences;
    /// use ndarray::Array4;
    ///
    /// // 3 texts of 7 words, each of 5 letters at most; a letter is 2 numbers
    /// let letters = Array4::<f32>::zeros((3, 7, 5, 2));
    /// let texts = Sequences::nested(&letters)?;
    /// assert_eq!((texts.batch(), texts.time_steps(), texts.features()), (3, 7, Some(2)));
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    pub fn nested(values: impl Into<CowArray<'a, f32, Ix4>>) -> Result<Self> {
        let values = values.into();
        let (batch, time_steps, inner_steps, features) = values.dim();
        let inner = joined(batch, time_steps, VALUES)?;
        let shape = (inner, inner_steps, features);
        let values: CowArray<'a, f32, Ix3> = match values.is_standard_layout() {
            true => values.into_shape_with_order(shape).map_err(|_| defect())?,
            false => {
                let mut rows = memory::zeros("the input", values.raw_dim(), REPAIR)?;
                rows.assign(&values);
                rows.into_shape_with_order(shape).map_err(|_| defect())?.into()
            }
        };
        Ok(Self::of(values.into(), batch, time_steps))
    }

    /// As [`nested`](Self::nested), of token ids: (batch, time_steps, inner_time_steps).
    ///
    /// # Errors
    ///
    /// As [`nested`](Self::nested).
    ///
    /// ```
    /// use cellstate::Sequences;
    /// use ndarray::array;
    ///
    /// // two texts of two words of three characters
    /// let texts = Sequences::nested_tokens(array![[[7, 3, 9], [2, 1, 0]], [[5, 0, 0], [0, 0, 0]]])?.with_lengths(&[2, 1])?;
    /// assert_eq!(texts.lengths(), [2, 1]);
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    pub fn nested_tokens(tokens: impl Into<CowArray<'a, i32, Ix3>>) -> Result<Self> {
        let tokens = tokens.into();
        let (batch, time_steps, inner_steps) = tokens.dim();
        let shape = (joined(batch, time_steps, TOKENS)?, inner_steps);
        let tokens: CowArray<'a, i32, Ix2> = match tokens.is_standard_layout() {
            true => tokens.into_shape_with_order(shape).map_err(|_| defect())?,
            false => {
                let mut rows = memory::zeros("the input", tokens.raw_dim(), REPAIR)?;
                rows.assign(&tokens);
                rows.into_shape_with_order(shape).map_err(|_| defect())?.into()
            }
        };
        Ok(Self::of(tokens.into(), batch, time_steps))
    }

    fn of(inner: Sequences<'a>, batch: usize, time_steps: usize) -> Self {
        let nest = Nest {
            inner: Box::new(inner),
            batch,
            time_steps,
        };
        Self {
            data: Data::Nested(nest),
            mask: None,
        }
    }

    /// Of each inner sequence only the first steps count: `lengths` (batch, time_steps), the number of characters of each word.
    ///
    /// A length of 0 is an inner sequence without steps, from which a recurrent layer gives zeros; the outer step itself counts unless
    /// [`with_lengths`](Self::with_lengths) or [`with_mask`](Self::with_mask) leaves it out.
    ///
    /// # Errors
    ///
    /// [`Error::Size`] for another shape, or a length of more inner steps than there are; [`Error::InputKind`] for sequences that are not
    /// [`nested`](Self::nested); [`Error::Memory`] if the mask does not fit into memory.
    ///
    /// ```
    /// use cellstate::Sequences;
    /// use ndarray::{Array4, array};
    ///
    /// let texts = Sequences::nested(Array4::zeros((2, 3, 5, 1)))?;
    /// let texts = texts.with_inner_lengths(&array![[5, 2, 0], [1, 4, 3]])?;
    /// assert_eq!(texts.inner().map(|words| words.lengths()), Some(vec![5, 2, 0, 1, 4, 3]));
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    pub fn with_inner_lengths(self, lengths: &Array2<usize>) -> Result<Self> {
        let most = self.nest("with_inner_lengths")?.inner.time_steps();
        self.check_inner("inner lengths", lengths.shape(), &[self.batch(), self.time_steps()])?;
        if let Some(((sequence, step), length)) = lengths.indexed_iter().find(|(_, length)| **length > most) {
            return Err(Error::Size {
                argument: format!("inner lengths[[{sequence}, {step}]]"),
                expected: format!("at most {most}, the inner steps of the batch"),
                found: length.to_string(),
                repair: "give the number of real inner steps of each time step, or pad all of them to the longest"
                    .to_owned(),
            });
        }
        let lengths: Vec<usize> = lengths.iter().copied().collect();
        self.map_inner("with_inner_lengths", |inner| inner.with_lengths(&lengths))
    }

    /// The inner steps that are `true` in `mask` (batch, time_steps, inner_time_steps) count.
    ///
    /// # Errors
    ///
    /// As [`with_inner_lengths`](Self::with_inner_lengths).
    ///
    /// ```
    /// use cellstate::Sequences;
    /// use ndarray::{Array4, array};
    ///
    /// let texts = Sequences::nested(Array4::zeros((1, 2, 3, 1)))?;
    /// let texts = texts.with_inner_mask(array![[[true, false, true], [false, true, false]]])?;
    /// assert_eq!(texts.inner().map(|words| words.lengths()), Some(vec![2, 1]));
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    pub fn with_inner_mask(self, mask: Array3<bool>) -> Result<Self> {
        let inner = &self.nest("with_inner_mask")?.inner;
        let (count, steps) = (inner.batch(), inner.time_steps());
        self.check_inner("inner mask", mask.shape(), &[self.batch(), self.time_steps(), steps])?;
        let mask: Array2<bool> = match mask.is_standard_layout() {
            true => mask,
            false => mask.as_standard_layout().into_owned(),
        }
        .into_shape_with_order((count, steps))
        .map_err(|_| defect())?;
        self.map_inner("with_inner_mask", |inner| inner.with_mask(mask))
    }

    /// The inner sequences of [`nested`](Self::nested) ones, as a batch of (batch·time_steps) with masks of their own; `None` for others.
    ///
    /// ```
    /// use cellstate::Sequences;
    /// use ndarray::{Array3, Array4};
    ///
    /// let texts = Sequences::nested(Array4::zeros((3, 7, 5, 2)))?;
    /// assert_eq!(texts.inner().map(|words| (words.batch(), words.time_steps())), Some((3 * 7, 5)));
    /// assert!(Sequences::from(Array3::zeros((3, 7, 2))).inner().is_none());
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[must_use]
    pub fn inner(&self) -> Option<&Sequences<'a>> {
        match &self.data {
            Data::Nested(nest) => Some(&nest.inner),
            _ => None,
        }
    }

    /// Which inner steps count: those that count among themselves, within outer steps that count. `None` if all do.
    pub(crate) fn mask_within(&self) -> Result<Option<CowArray<'_, bool, Ix2>>> {
        let Data::Nested(nest) = &self.data else {
            return Ok(None);
        };
        let own: Option<ArrayView2<'_, bool>> = nest.inner.mask().map(Mask::view);
        let Some(outer) = &self.mask else {
            return Ok(own.map(CowArray::from));
        };
        let steps = nest.inner.time_steps();
        let mut mask: Array2<bool> = memory::zeros("the mask", Dim([nest.inner.batch(), steps]), REPAIR)?;
        match own {
            Some(own) => mask.assign(&own),
            None => mask.fill(true),
        }
        for (mut row, counts) in mask.outer_iter_mut().zip(outer.view()) {
            if !counts {
                row.fill(false);
            }
        }
        Ok(Some(mask.into()))
    }

    fn nest(&self, call: &str) -> Result<&Nest<'a>> {
        match &self.data {
            Data::Nested(nest) => Ok(nest),
            _ => Err(Error::InputKind {
                layer: call.to_owned(),
                expected: "sequences within sequences",
                found: "sequences without others in their time steps",
                repair: "make them with `Sequences::nested` or `Sequences::nested_tokens`; `with_lengths` and `with_mask` say which time \
                         steps count"
                    .to_owned(),
            }),
        }
    }

    fn map_inner(self, call: &str, map: impl FnOnce(Sequences<'a>) -> Result<Sequences<'a>>) -> Result<Self> {
        self.nest(call)?;
        let data = match self.data {
            Data::Nested(nest) => Data::Nested(nest.try_map(map)?),
            other => other,
        };
        Ok(Self { data, mask: self.mask })
    }

    fn check_inner(&self, argument: &str, found: &[usize], expected: &[usize]) -> Result<()> {
        if found == expected {
            return Ok(());
        }
        Err(Error::Size {
            argument: argument.to_owned(),
            expected: format!("shape {expected:?}, the first axes of the input"),
            found: format!("{found:?}"),
            repair: match found
                .get(..2)
                .is_some_and(|found| found.iter().rev().eq(expected.iter().take(2)))
            {
                true => "batch and time_steps look swapped: call swap_axes(0, 1)".to_owned(),
                false => "give an entry for each time step of each sequence, padding included".to_owned(),
            },
        })
    }
}

/// The number of inner sequences.
fn joined(batch: usize, time_steps: usize, axes: &'static str) -> Result<usize> {
    batch.checked_mul(time_steps).ok_or_else(|| Error::Size {
        argument: format!("sequences within sequences {axes}"),
        expected: "a number of inner sequences that the machine can count".to_owned(),
        found: format!("{batch} · {time_steps}"),
        repair: REPAIR.to_owned(),
    })
}

fn defect() -> Error {
    Error::defect("the shape of nested sequences")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use ndarray::{Array4, Axis, array};

    use super::*;

    fn numbered() -> Array4<f32> {
        Array4::from_shape_fn((2, 3, 4, 1), |(b, w, c, _)| (100 * b + 10 * w + c) as f32)
    }

    #[test]
    fn inner_sequences_stand_one_behind_the_other_in_any_layout() {
        let plain = Sequences::nested(numbered()).unwrap();
        let turned = numbered().permuted_axes([3, 2, 1, 0]);
        let turned = turned.as_standard_layout().into_owned().permuted_axes([3, 2, 1, 0]);
        assert!(!turned.is_standard_layout());
        for sequences in [plain.clone(), Sequences::nested(turned).unwrap(), plain.into_owned()] {
            let inner = sequences.inner().unwrap();
            assert_eq!((inner.batch(), inner.time_steps(), inner.features()), (6, 4, Some(1)));
            let first: Vec<f32> = inner
                .values()
                .unwrap()
                .index_axis_move(Axis(1), 0)
                .iter()
                .copied()
                .collect();
            assert_eq!(first, [0.0, 10.0, 20.0, 100.0, 110.0, 120.0]);
            assert!(sequences.values().is_none() && sequences.tokens().is_none());
        }
    }

    #[test]
    fn an_outer_step_that_does_not_count_has_no_inner_steps() {
        let values = numbered();
        let batch = Sequences::nested(&values).unwrap();
        assert!(batch.mask_within().unwrap().is_none());
        let batch = batch.with_inner_lengths(&array![[4, 2, 1], [0, 3, 2]]).unwrap();
        let lengths = |batch: &Sequences<'_>| {
            let mask = batch.mask_within().unwrap().unwrap();
            Mask::from(mask.into_owned()).lengths()
        };
        assert_eq!(lengths(&batch), [4, 2, 1, 0, 3, 2]);
        let batch = batch.with_lengths(&[2, 3]).unwrap();
        assert_eq!(lengths(&batch), [4, 2, 0, 0, 3, 2]);
        let one = batch.select(&[1], 2).unwrap();
        assert_eq!((one.batch(), one.time_steps()), (1, 2));
        assert_eq!(lengths(&one), [0, 3]);
        assert!(batch.select(&[2], 2).is_err());
        let value = Sequences::nested(&values).unwrap().with_mask_value(10.0).unwrap();
        assert_eq!(lengths(&value), [4, 3, 4, 4, 4, 4]);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let batch = || Sequences::nested_tokens(Array3::<i32>::zeros((2, 3, 4))).unwrap();
        let error = batch()
            .with_inner_lengths(&array![[4, 5, 1], [0, 3, 2]])
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("inner lengths[[0, 1]]") && error.contains("at most 4"),
            "{error}"
        );
        let error = batch()
            .with_inner_lengths(&Array2::zeros((3, 2)))
            .unwrap_err()
            .to_string();
        assert!(error.contains("swap_axes"), "{error}");
        let error = batch().with_inner_mask(Array3::from_elem((2, 3, 5), true)).unwrap_err();
        assert!(matches!(error, Error::Size { .. }), "{error}");
        assert!(matches!(batch().with_mask_value(0.0), Err(Error::InputKind { .. })));
        let flat = Sequences::from(Array3::<f32>::zeros((2, 3, 4)));
        assert!(matches!(
            flat.with_inner_lengths(&Array2::zeros((2, 3))),
            Err(Error::InputKind { .. })
        ));
        let wide = ndarray::ArrayView3::from_shape((2, 0, 4), &[] as &[i32]).unwrap();
        assert_eq!(Sequences::nested_tokens(wide).unwrap().lengths(), [0, 0]);
    }

    /// A selection of it has more inner sequences than there is memory to number them.
    #[test]
    fn sequences_of_nothing_are_selected_or_refused() {
        let huge = ndarray::ArrayView4::from_shape((4, 1 << 44, 0, 2), &[]).unwrap();
        let huge = Sequences::nested(huge).unwrap();
        assert!(matches!(huge.select(&[0, 1, 2, 3], 1 << 44), Err(Error::Memory { .. })));
        assert_eq!(huge.select(&[3, 1], 5).unwrap().time_steps(), 5);
    }
}
