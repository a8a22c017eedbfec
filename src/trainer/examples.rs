//! What a network learns from: sequences, and what it should give for each.

use ndarray::{Array2, ArrayD, ArrayView1, ArrayViewD, Axis};

use crate::error::{Error, Result};
use crate::loss::Targets;
use crate::sequences::Sequences;

/// What a network learns from, and what it is judged by: sequences, numbers or tokens, with what the model should give for each.
///
/// Targets are numbers, (batch, units) for a last output and (batch, time_steps, units) for one at every time step; or the numbers of
/// classes, from 0, (batch) or (batch, time_steps). Axes of size 1 may be left out or be there. The mask of the sequences counts in the loss
/// too, where the model gives an output at every time step: as in Keras 3.15 the loss is the mean over the steps that count, and what the
/// targets hold at the others is not read.
///
/// ```
/// use cellstate::{Examples, Sequences};
/// use ndarray::{Array3, array};
///
/// let sequences = Sequences::from(Array3::zeros((3, 20, 2))).with_lengths(&[20, 5, 12])?;
/// let classes = Examples::new(sequences, array![0, 2, 1])?.with_weights(&[1.0, 0.5, 1.0])?;
/// assert_eq!(classes.len(), 3);
/// # Ok::<(), cellstate::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Examples<'s, 't> {
    sequences: Sequences<'s>,
    targets: Targets<'t>,
    /// (batch), or (batch, time_steps).
    weights: Option<ArrayD<f32>>,
}

impl<'s, 't> Examples<'s, 't> {
    /// Sequences with their targets, in the same order.
    ///
    /// # Errors
    ///
    /// [`Error::Size`] if there is not one target for each sequence.
    ///
    /// ```
    /// # use cellstate::{Examples, Sequences};
    /// # use ndarray::{Array2, Array3};
    /// let x = Array3::zeros((3, 20, 2));
    /// assert!(Examples::new(Sequences::from(&x), Array2::<f32>::zeros((3, 1))).is_ok());
    /// assert!(Examples::new(Sequences::from(&x), Array2::<f32>::zeros((2, 1))).is_err());
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    pub fn new(sequences: Sequences<'s>, targets: impl Into<Targets<'t>>) -> Result<Self> {
        let targets = targets.into();
        let (batch, shape) = (sequences.batch(), targets.shape());
        if shape.first() != Some(&batch) {
            return Err(Error::Size {
                argument: "targets".to_owned(),
                expected: format!("one for each of the {batch} sequences, so {batch} on the first axis"),
                found: format!("shape {shape:?}"),
                repair: match shape.get(1) == Some(&batch) {
                    true => "the first two axes look swapped: call swap_axes(0, 1)".to_owned(),
                    false => "give as many targets as sequences, in the same order".to_owned(),
                },
            });
        }
        Ok(Self {
            sequences,
            targets,
            weights: None,
        })
    }

    /// How much each sequence counts in the loss: Keras's `sample_weight`. A weight of 0 leaves a sequence out of the gradients; the mean is still
    /// over all sequences, as in Keras.
    ///
    /// # Errors
    ///
    /// [`Error::Size`] if there is not one weight for each sequence, [`Error::Value`] for one that is negative or not finite.
    ///
    /// ```
    /// # use cellstate::{Examples, Sequences};
    /// # use ndarray::{Array2, Array3};
    /// let examples = Examples::new(Sequences::from(Array3::zeros((3, 20, 2))), Array2::<f32>::zeros((3, 1)))?;
    /// assert!(examples.clone().with_weights(&[1.0, 0.0, 2.0]).is_ok());
    /// assert!(examples.with_weights(&[1.0, -1.0, 2.0]).is_err());
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    pub fn with_weights(self, weights: &[f32]) -> Result<Self> {
        let batch = self.len();
        if weights.len() != batch {
            let found = weights.len().to_string();
            return Err(wrong_weights(format!("{batch} weights, one for each sequence"), found));
        }
        self.weighted(ArrayView1::from(weights).into_dyn().to_owned())
    }

    /// How much each time step of each sequence counts in the loss, (batch, time_steps): for models with an output at every time step.
    ///
    /// # Errors
    ///
    /// [`Error::Size`] for another shape, [`Error::Value`] for a weight that is negative or not finite.
    ///
    /// ```
    /// # use cellstate::{Examples, Sequences};
    /// # use ndarray::{Array2, Array3};
    /// let examples = Examples::new(Sequences::from(Array3::zeros((3, 20, 2))), Array3::<f32>::zeros((3, 20, 1)))?;
    /// assert!(examples.with_step_weights(Array2::ones((3, 20))).is_ok());
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    pub fn with_step_weights(self, weights: Array2<f32>) -> Result<Self> {
        let (batch, time_steps) = (self.len(), self.sequences.time_steps());
        if weights.dim() != (batch, time_steps) {
            let found = format!("shape {:?}", weights.shape());
            let expected = format!("shape [{batch}, {time_steps}] (batch, time_steps)");
            return Err(wrong_weights(expected, found));
        }
        self.weighted(weights.into_dyn())
    }

    fn weighted(mut self, weights: ArrayD<f32>) -> Result<Self> {
        let wrong = weights
            .iter()
            .position(|weight| !(weight.is_finite() && *weight >= 0.0));
        if let Some(place) = wrong {
            return Err(Error::Value {
                argument: format!("weight {place} of the examples"),
                expected: "a finite number from 0 up".to_owned(),
                found: weights.iter().nth(place).map_or_else(String::new, ToString::to_string),
                repair: "give 0 for what should not count; a mask leaves single time steps out".to_owned(),
            });
        }
        self.weights = Some(weights);
        Ok(self)
    }

    /// The number of sequences.
    ///
    /// ```
    /// # use cellstate::{Examples, Sequences};
    /// # use ndarray::{Array2, Array3};
    /// assert_eq!(Examples::new(Sequences::from(Array3::zeros((3, 20, 2))), Array2::<f32>::zeros((3, 1)))?.len(), 3);
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[must_use]
    pub fn len(&self) -> usize {
        self.sequences.batch()
    }

    /// Whether there are none.
    ///
    /// ```
    /// # use cellstate::{Examples, Sequences};
    /// # use ndarray::{Array2, Array3};
    /// assert!(Examples::new(Sequences::from(Array3::zeros((0, 20, 2))), Array2::<f32>::zeros((0, 1)))?.is_empty());
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The sequences.
    ///
    /// ```
    /// # use cellstate::{Examples, Sequences};
    /// # use ndarray::{Array2, Array3};
    /// let examples = Examples::new(Sequences::from(Array3::zeros((3, 20, 2))), Array2::<f32>::zeros((3, 1)))?;
    /// assert_eq!(examples.sequences().time_steps(), 20);
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[must_use]
    pub fn sequences(&self) -> &Sequences<'s> {
        &self.sequences
    }

    /// The targets.
    ///
    /// ```
    /// # use cellstate::{Examples, Sequences};
    /// # use ndarray::{Array2, Array3};
    /// let examples = Examples::new(Sequences::from(Array3::zeros((3, 20, 2))), Array2::<f32>::zeros((3, 1)))?;
    /// assert_eq!(examples.targets().shape(), [3, 1]);
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[must_use]
    pub fn targets(&self) -> &Targets<'t> {
        &self.targets
    }

    /// The same examples, borrowed; only masks and weights are copied.
    pub(super) fn view(&self) -> Examples<'_, '_> {
        Examples {
            sequences: self.sequences.view(),
            targets: match &self.targets {
                Targets::Numbers(array) => Targets::from(array.view()),
                Targets::Classes(array) => Targets::from(array.view()),
            },
            weights: self.weights.clone(),
        }
    }

    pub(super) fn weights(&self) -> Option<ArrayViewD<'_, f32>> {
        self.weights.as_ref().map(|weights| weights.view())
    }

    /// The examples of these numbers as a batch of their own, of each the first `time_steps`; those of targets and weights too, where
    /// they have as many as the sequences and `cuts_targets` says that these are the same.
    pub(super) fn select(
        &self,
        rows: &[usize],
        time_steps: usize,
        cuts_targets: bool,
    ) -> Result<Examples<'static, 'static>> {
        let all = self.sequences.time_steps();
        let cut = |shape: &[usize]| cuts_targets && time_steps < all && shape.get(1) == Some(&all);
        let targets = match cut(self.targets.shape()) {
            true => match &self.targets {
                Targets::Numbers(array) => Targets::from(first_steps(array.view(), time_steps)).select(rows)?,
                Targets::Classes(array) => Targets::from(first_steps(array.view(), time_steps)).select(rows)?,
            },
            false => self.targets.select(rows)?,
        };
        let weights = self.weights.as_ref().map(|weights| {
            let weights = match cut(weights.shape()) {
                true => first_steps(weights.view(), time_steps),
                false => weights.view(),
            };
            // as an array they are selected as targets are
            match Targets::from(weights).select(rows)? {
                Targets::Numbers(selected) => Ok(selected.into_owned()),
                Targets::Classes(_) => Err(Error::defect("the weights of the examples")),
            }
        });
        Ok(Examples {
            sequences: self.sequences.select(rows, time_steps)?,
            targets,
            weights: weights.transpose()?,
        })
    }
}

/// The first time steps of an array (batch, time_steps, …).
fn first_steps<T>(mut array: ArrayViewD<'_, T>, time_steps: usize) -> ArrayViewD<'_, T> {
    array.slice_axis_inplace(Axis(1), (..time_steps).into());
    array
}

fn wrong_weights(expected: String, found: String) -> Error {
    Error::Size {
        argument: "weights of the examples".to_owned(),
        expected,
        found,
        repair: "`with_weights` takes a weight for each sequence, `with_step_weights` one for each time step"
            .to_owned(),
    }
}

/// Windows of a series with what follows each.
impl TryFrom<crate::sequences::Windows> for Examples<'static, 'static> {
    type Error = Error;

    fn try_from(windows: crate::sequences::Windows) -> Result<Self> {
        Self::new(windows.inputs, windows.targets)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use ndarray::{Array3, array};

    use super::*;

    #[test]
    fn rows_are_selected_and_cut() {
        let values = Array3::from_shape_fn((3, 4, 2), |(b, t, f)| (100 * b + 10 * t + f) as f32);
        let sequences = Sequences::from(&values).with_lengths(&[2, 4, 1]).unwrap();
        let targets = Array3::from_shape_fn((3, 4, 1), |(b, t, _)| (10 * b + t) as f32);
        let weights = Array2::from_shape_fn((3, 4), |(b, t)| (b + t) as f32);
        let examples = Examples::new(sequences, targets)
            .unwrap()
            .with_step_weights(weights)
            .unwrap();
        let two = examples.select(&[2, 0], 2, true).unwrap();
        assert_eq!(
            two.sequences().values().unwrap(),
            array![[[200.0, 201.0], [210.0, 211.0]], [[0.0, 1.0], [10.0, 11.0]]]
        );
        assert_eq!(two.sequences().lengths(), [1, 2]);
        assert_eq!(two.targets().shape(), [2, 2, 1]);
        assert_eq!(two.weights().unwrap(), array![[2.0, 3.0], [0.0, 1.0]].into_dyn());
        assert_eq!(examples.select(&[2, 0], 2, false).unwrap().targets().shape(), [2, 4, 1]);
        assert!(examples.select(&[3], 4, true).is_err());
    }

    #[test]
    fn tokens_and_classes_are_selected() {
        let examples = Examples::new(Sequences::from(array![[1, 2], [3, 4], [5, 6]]), array![7, 8, 9]).unwrap();
        let one = examples.select(&[1], 2, true).unwrap();
        assert_eq!(one.sequences().tokens().unwrap(), array![[3, 4]]);
        assert!(matches!(one.targets(), Targets::Classes(classes) if classes.iter().eq(&[8])));
        assert!(one.sequences().mask().is_none());
    }
}
