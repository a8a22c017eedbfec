//! What the outputs of a model are wanted to be.

use ndarray::{Array, ArrayView, ArrayViewD, Axis, CowArray, Dimension, IxDyn};

use crate::error::{Error, Result};
use crate::memory::Purpose;

/// A copy of some sequences' targets.
const SELECTED: Purpose = Purpose {
    what: "the targets of the sequences",
    repair: "select fewer sequences at once",
};

/// What the outputs of a model are wanted to be, for training and its metrics: numbers, or the numbers of classes.
///
/// Any array of `f32` or `i32` becomes targets, owned or as a view. Outputs are (batch, features), or (batch, time_steps, features)
/// of a model that gives every step. Which shapes fit them is the rule of Keras 3.15:
///
/// - losses and metrics of features (squared, absolute, Huber, binary and categorical cross-entropy) take the shape of the outputs; of a
///   single feature the axis may be left out, (batch) or (batch, time_steps);
/// - those of class numbers (sparse categorical ones) take one number for each step, (batch) or (batch, time_steps), or these with an axis of 1 behind.
///
/// Where a step counts, its targets have to be finite. Under a mask, and with a weight of 0, anything may stand. Numbers of either type are
/// taken for the other: class numbers as 1.0 or 0.0 by a binary loss, whole `f32` as class numbers by a sparse one.
///
/// (Keras averages (batch, time_steps) targets over time before masks and weights act, which then do not fit. Here both shapes mean
/// the same. Keras also repeats targets of one feature, or of one sequence, for all: here that is an error.)
///
/// ```
/// use cellstate::Targets;
/// use ndarray::{Array3, array};
///
/// let forecasts = Targets::from(Array3::<f32>::zeros((3, 20, 2)));
/// let classes = array![4, 0, 2];
/// assert_eq!((forecasts.shape(), Targets::from(&classes).batch()), (&[3, 20, 2][..], 3));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub enum Targets<'a> {
    /// Numbers, or probabilities of classes.
    Numbers(CowArray<'a, f32, IxDyn>),
    /// The numbers of classes, from 0.
    Classes(CowArray<'a, i32, IxDyn>),
}

macro_rules! from_arrays {
    ($($variant:ident $number:ty;)*) => {$(
        impl<D: Dimension> From<Array<$number, D>> for Targets<'static> {
            fn from(array: Array<$number, D>) -> Self {
                Self::$variant(CowArray::from(array.into_dyn()))
            }
        }

        impl<'a, D: Dimension> From<&'a Array<$number, D>> for Targets<'a> {
            fn from(array: &'a Array<$number, D>) -> Self {
                Self::from(array.view())
            }
        }

        impl<'a, D: Dimension> From<ArrayView<'a, $number, D>> for Targets<'a> {
            fn from(array: ArrayView<'a, $number, D>) -> Self {
                Self::$variant(CowArray::from(array.into_dyn()))
            }
        }
    )*};
}

from_arrays! {
    Numbers f32;
    Classes i32;
}

impl Targets<'_> {
    /// The size of each axis.
    ///
    /// ```
    /// use cellstate::Targets;
    /// use ndarray::array;
    ///
    /// assert_eq!(Targets::from(array![[1, 2, 0]]).shape(), [1, 3]);
    /// ```
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        match self {
            Self::Numbers(array) => array.shape(),
            Self::Classes(array) => array.shape(),
        }
    }

    /// The number of sequences: the size of the first axis, 0 without any.
    ///
    /// ```
    /// use cellstate::Targets;
    /// use ndarray::array;
    ///
    /// assert_eq!(Targets::from(array![[1, 2, 0]]).batch(), 1);
    /// ```
    #[must_use]
    pub fn batch(&self) -> usize {
        self.shape().first().copied().unwrap_or(0)
    }

    /// The targets of these sequences, in this order; a sequence may stand there twice.
    ///
    /// # Errors
    ///
    /// [`Error::Value`] for a number that no sequence has, [`Error::Memory`] if they do not fit into memory.
    ///
    /// ```
    /// use cellstate::Targets;
    /// use ndarray::array;
    ///
    /// let targets = Targets::from(array![5.0_f32, 6.0, 7.0]);
    /// assert_eq!(targets.select(&[2, 0])?, Targets::from(array![7.0_f32, 5.0]));
    /// assert!(targets.select(&[3]).is_err());
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    pub fn select(&self, sequences: &[usize]) -> Result<Targets<'static>> {
        let batch = self.batch();
        if let Some(wrong) = sequences.iter().find(|&&sequence| sequence >= batch) {
            return Err(Error::Value {
                argument: "sequences to select".to_owned(),
                expected: format!("numbers below {batch}, which many sequences have targets"),
                found: wrong.to_string(),
                repair: "number the sequences from 0, in the order of the targets".to_owned(),
            });
        }
        Ok(match self {
            Self::Numbers(array) => Targets::from(selected(array.view(), sequences)?),
            Self::Classes(array) => Targets::from(selected(array.view(), sequences)?),
        })
    }
}

/// The sequences with these numbers, all of which there are.
fn selected<A: Clone + Default>(array: ArrayViewD<'_, A>, sequences: &[usize]) -> Result<Array<A, IxDyn>> {
    let mut shape = array.raw_dim();
    match shape.slice_mut().first_mut() {
        Some(batch) => *batch = sequences.len(),
        None => return SELECTED.copied(&array), // a single number is no sequence, so that none was asked for
    }
    let mut chosen = SELECTED.array(shape)?;
    for (mut to, &from) in chosen.outer_iter_mut().zip(sequences) {
        to.assign(&array.index_axis(Axis(0), from));
    }
    Ok(chosen)
}
