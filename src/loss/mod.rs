//! What training makes small.

mod binary_crossentropy;
mod categorical_crossentropy;
mod class_weights;
mod ctc;
mod difference;
pub(crate) mod elsewhere;
mod huber;
mod mean;
mod probability;
mod rows;
mod smoothing;
mod sparse_categorical_crossentropy;
mod steps;
mod targets;
#[cfg(test)]
mod tests;
mod value;

use ndarray::{ArrayD, ArrayView2, ArrayViewD};

pub use binary_crossentropy::BinaryCrossentropy;
pub use categorical_crossentropy::CategoricalCrossentropy;
pub(crate) use class_weights::largest;
pub(crate) use ctc::Batch as CtcBatch;
pub use ctc::Ctc;
pub use huber::Huber;
pub(crate) use mean::Mean;
pub(crate) use rows::Wanted;
pub use sparse_categorical_crossentropy::SparseCategoricalCrossentropy;
pub(crate) use steps::Steps;
pub use targets::Targets;
pub use value::LossValue;

use crate::activation::Activation;
use crate::error::Result;

/// What training makes small: a number for each step, of the outputs of a model and what they are wanted to be.
///
/// Names, formulas and the mean over a batch are those of Keras 3.15 (`keras.losses`, reduction `sum_over_batch_size`):
///
/// - A step is one sequence of outputs (batch, features), or one time step of outputs (batch, time_steps, features).
/// - The loss of a batch is the sum over the steps that count, each multiplied by its sample weight, divided by their number. Weights
///   do not change the number. (PyTorch's `CrossEntropyLoss` with `weight` divides by the sum of the weights.)
/// - A step that is masked, or of an ignored class, does not count; a step of weight 0 counts with a loss of 0. Both have a gradient of
///   exactly 0, and their outputs and targets may be anything, NaN too, which in Keras makes everything NaN. (A target decides all the
///   same whether its step is of the ignored class, unless the step is masked.) If no step counts, the loss is 0.
/// - [`Ctc`] is a loss of whole sequences: of outputs with time steps, (batch, time_steps, classes), a step is here a sequence.
/// - A cross-entropy of probabilities is computed from these. ([`Trainer`](crate::Trainer) takes the logits where the last layer's activation is
///   softmax or sigmoid, as `fit` and `evaluate` of Keras on TensorFlow do. With an ignored class neither does, and Keras does not behind a
///   `TimeDistributed`, which around a Dense layer changes nothing here.)
/// - Sums are of `f64`, in the same order whatever the number of threads.
///
/// What has options is made by a type of its own, and a [`Loss`] from it.
///
/// ```
/// use cellstate::{Huber, Loss, SparseCategoricalCrossentropy};
///
/// let losses = [
///     Loss::MeanSquaredError,
///     Huber::new().delta(0.5).into(),
///     SparseCategoricalCrossentropy::new().from_logits(true).ignore_class(-1).into(),
/// ];
/// assert_eq!(losses.map(|loss| loss.name()), ["mean_squared_error", "huber", "sparse_categorical_crossentropy"]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Loss {
    /// The mean of (output - target)² over the features: `keras.losses.MeanSquaredError`, PyTorch's `MSELoss`.
    MeanSquaredError,
    /// The mean of |output - target| over the features: `keras.losses.MeanAbsoluteError`, PyTorch's `L1Loss`.
    MeanAbsoluteError,
    /// Squared for small errors, absolute for large ones.
    Huber(Huber),
    /// Features that are each true or not.
    BinaryCrossentropy(BinaryCrossentropy),
    /// Classes, with probabilities as targets.
    CategoricalCrossentropy(CategoricalCrossentropy),
    /// Classes, with their numbers as targets.
    SparseCategoricalCrossentropy(SparseCategoricalCrossentropy),
    /// Labels of sequences, without their time steps.
    Ctc(Ctc),
}

macro_rules! from_types {
    ($($name:ident)*) => {$(
        impl From<$name> for Loss {
            fn from(loss: $name) -> Self {
                Self::$name(loss)
            }
        }
    )*};
}

from_types! { Huber BinaryCrossentropy CategoricalCrossentropy SparseCategoricalCrossentropy Ctc }

impl Loss {
    /// The loss of a batch and, where `gradient` is given, its gradient with respect to the outputs.
    ///
    /// - `outputs`: (batch, features) or (batch, time_steps, features), as [`Output::values`](crate::Output::values) gives them.
    /// - `targets`: of the shapes that [`Targets`] lists.
    /// - `mask`: (batch, time_steps), `true` where a step counts; all of them without.
    /// - `weights`: (batch) or (batch, 1) for sequences, (batch, time_steps) for steps, from 0; 1 without. (Keras takes weights of sequences whose
    ///   outputs have time steps as (batch, 1) only.) See [`Targets::class_weights`] for weights of classes.
    /// - `gradient`: becomes the gradient of [`LossValue::value`], with the shape of the outputs. Its memory is taken if the shape is right.
    ///
    /// # Errors
    ///
    /// [`Error::Rank`](crate::Error::Rank) and [`Error::Size`](crate::Error::Size) for shapes that do not fit, [`Error::Value`](crate::Error::Value) for a class that
    /// the outputs do not have, a weight that is negative or not finite, and options without sense, [`Error::NotFinite`](crate::Error::NotFinite) for a
    /// target that counts, [`Error::Memory`](crate::Error::Memory) if the gradient does not fit. Outputs that are NaN where a step counts make
    /// a loss of NaN. After an error the gradient may hold anything.
    ///
    /// ```
    /// use cellstate::{Loss, Sequences, Targets};
    /// use ndarray::{ArrayD, array};
    ///
    /// let outputs = array![[[1.0_f32], [2.0], [f32::NAN]]].into_dyn(); // 1 sequence, 3 steps, 1 feature
    /// let targets = Targets::from(array![[0.0_f32, 0.0, 0.0]]);
    /// let mask = array![[true, true, false]];
    /// let mut gradient = ArrayD::default([0].as_slice());
    /// let loss = Loss::MeanSquaredError;
    /// let value = loss.compute(outputs.view(), &targets, Some(mask.view()), None, Some(&mut gradient))?;
    /// assert_eq!(value.value(), (1.0 + 4.0) / 2.0);
    /// assert_eq!(gradient, array![[[1.0], [2.0], [0.0]]].into_dyn());
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    pub fn compute(
        &self,
        outputs: ArrayViewD<'_, f32>,
        targets: &Targets<'_>,
        mask: Option<ArrayView2<'_, bool>>,
        weights: Option<ArrayViewD<'_, f32>>,
        gradient: Option<&mut ArrayD<f32>>,
    ) -> Result<LossValue> {
        self.check()?;
        let totals = match *self {
            Self::Ctc(loss) => CtcBatch::new(loss, outputs, targets, mask, weights)?.sum(gradient)?,
            _ => {
                let steps = Steps::new(outputs, targets, mask, weights, self.wanted())?;
                steps.sum(|output, target, gradient| self.row(output, target, gradient), gradient)?
            }
        };
        Ok(LossValue::new(totals))
    }

    /// Whether targets and weights fit outputs of this shape.
    pub(crate) fn check_shapes(
        &self,
        outputs: &[usize],
        targets: &Targets<'_>,
        weights: Option<ArrayViewD<'_, f32>>,
    ) -> Result<()> {
        match *self {
            Self::Ctc(loss) => CtcBatch::check_shapes(loss, outputs, targets, weights),
            _ => Steps::check_shapes(outputs, targets, weights, self.wanted()),
        }
    }

    /// Whether its targets belong to sequences as a whole, whatever their time steps.
    pub(crate) fn is_of_sequences(&self) -> bool {
        matches!(self, Self::Ctc(_))
    }

    /// The bytes that a thread computes in at most, of outputs with so many time steps and classes. Of most losses these are a few rows, which are
    /// not counted.
    pub(crate) fn bytes_of_sequence(&self, outputs: (usize, usize)) -> u64 {
        match self {
            Self::Ctc(_) => CtcBatch::bytes_of_sequence(outputs),
            _ => 0,
        }
    }

    /// What Keras calls it.
    ///
    /// ```
    /// assert_eq!(cellstate::Loss::MeanSquaredError.name(), "mean_squared_error");
    /// ```
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::MeanSquaredError => "mean_squared_error",
            Self::MeanAbsoluteError => "mean_absolute_error",
            Self::Huber(_) => "huber",
            Self::BinaryCrossentropy(_) => "binary_crossentropy",
            Self::CategoricalCrossentropy(_) => "categorical_crossentropy",
            Self::SparseCategoricalCrossentropy(_) => "sparse_categorical_crossentropy",
            Self::Ctc(_) => "ctc",
        }
    }

    /// Whether the options make sense.
    pub(crate) fn check(&self) -> Result<()> {
        match self {
            Self::Huber(loss) => loss.check(),
            Self::BinaryCrossentropy(loss) => loss.check(),
            Self::CategoricalCrossentropy(loss) => loss.check(),
            Self::MeanSquaredError
            | Self::MeanAbsoluteError
            | Self::SparseCategoricalCrossentropy(_)
            | Self::Ctc(_) => Ok(()),
        }
    }

    /// This loss from what stands before the activation of the last layer, where Keras takes that in place of the outputs, in training and in
    /// evaluation: a cross-entropy, behind softmax or sigmoid. So does [`Ctc`] behind softmax, of which Keras would take the softmax once more. It has no bounds then, and a gradient however sure the model is. With an ignored
    /// class Keras multiplies the probabilities by a mask, and does not find the logits any more.
    pub(crate) fn before(self, activation: Activation) -> Option<Self> {
        let is_probability = matches!(activation, Activation::Softmax | Activation::Sigmoid);
        match self {
            _ if !is_probability => None,
            Self::SparseCategoricalCrossentropy(loss) if loss.ignored().is_some() => None,
            Self::BinaryCrossentropy(loss) => Some(loss.from_logits(true).into()),
            Self::CategoricalCrossentropy(loss) => Some(loss.from_logits(true).into()),
            Self::SparseCategoricalCrossentropy(loss) => Some(loss.from_logits(true).into()),
            Self::Ctc(_) if activation == Activation::Softmax => Some(self),
            Self::MeanSquaredError | Self::MeanAbsoluteError | Self::Huber(_) | Self::Ctc(_) => None,
        }
    }

    /// The targets that it wants, and the class that it ignores.
    pub(crate) fn wanted(&self) -> (Wanted, Option<i32>) {
        match self {
            Self::SparseCategoricalCrossentropy(loss) => (Wanted::Class, loss.ignored()),
            _ => (Wanted::Numbers, None),
        }
    }

    /// The loss of one step; `gradient` becomes that with respect to the output. The target of a sparse loss is one class number,
    /// which the output has; the outputs of all others are as many as the targets. A loss of whole sequences has none: NaN.
    pub(crate) fn row(&self, output: &[f64], target: &[f64], gradient: &mut [f64]) -> f64 {
        match self {
            Self::MeanSquaredError => difference::mean(output, target, gradient, difference::squared),
            Self::MeanAbsoluteError => difference::mean(output, target, gradient, difference::absolute),
            Self::Huber(loss) => difference::mean(output, target, gradient, |o, t| loss.term(o, t)),
            Self::BinaryCrossentropy(loss) => difference::mean(output, target, gradient, |o, t| loss.term(o, t)),
            Self::CategoricalCrossentropy(loss) => loss.row(output, target, gradient),
            Self::SparseCategoricalCrossentropy(loss) => {
                let class = target.first().map_or(usize::MAX, |&class| class as usize);
                loss.row(output, class, gradient)
            }
            Self::Ctc(_) => {
                gradient.fill(f64::NAN);
                f64::NAN
            }
        }
    }
}
