//! What is watched while a model is trained or judged.

mod accuracy;

use ndarray::{ArrayView2, ArrayViewD};

use crate::activation::Activation;
use crate::error::{Error, Result};
use crate::loss::{CtcBatch, Loss, Mean, SparseCategoricalCrossentropy, Steps, Targets, Wanted};
use accuracy::Accuracy;

/// What is watched while a model is trained or judged: a mean over the steps of all batches since the last reset.
///
/// Names, formulas and means are those of Keras 3.15 (`keras.metrics`): in a batch each step that counts has its weight, and batches weigh by the mean over time of their
/// weights, so that without masks and weights each sequence weighs the same. Steps that are masked, of weight 0 or of an ignored class have no influence, whatever they hold.
///
/// Where Keras differs: its `RootMeanSquaredError` sees no masks, its accuracy takes a class that the outputs do not have for wrong (here: an error), and it has no perplexity.
///
/// ```
/// use cellstate::{Metric, Targets};
/// use ndarray::array;
///
/// let mut accuracy = Metric::accuracy(); // of two classes and class numbers: sparse categorical accuracy
/// accuracy.update(array![[0.9_f32, 0.1], [0.4, 0.6]].view().into_dyn(), &Targets::from(array![0, 0]), None, None)?;
/// accuracy.update(array![[0.2_f32, 0.8]].view().into_dyn(), &Targets::from(array![1]), None, None)?;
/// assert_eq!(accuracy.result(), 2.0 / 3.0);
/// # Ok::<(), cellstate::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Metric {
    name: &'static str,
    score: Score,
    ignored: Option<i32>,
    /// Whether a training gives it the weights of its examples.
    is_weighted: bool,
    mean: Mean,
}

/// What a step is worth, and what becomes of the mean.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Score {
    /// Without one it is that which fits outputs and targets.
    Accuracy(Option<Accuracy>),
    Loss(Loss, Last),
}

/// What becomes of the mean of a loss.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Last {
    Mean,
    Root,
    Exponential,
}

/// What a step of a batch is worth.
#[derive(Clone, Copy)]
enum OfStep {
    Accuracy(Accuracy),
    Loss(Loss),
}

impl Metric {
    fn new(name: &'static str, score: Score) -> Self {
        Self {
            name,
            score,
            ignored: None,
            is_weighted: false,
            mean: Mean::default(),
        }
    }

    /// Keras's `"accuracy"`: of outputs with one feature [`binary_accuracy`](Self::binary_accuracy) at ½, else
    /// [`sparse_categorical_accuracy`](Self::sparse_categorical_accuracy) where the targets have fewer axes than the outputs or a last
    /// axis of 1, else [`categorical_accuracy`](Self::categorical_accuracy).
    ///
    /// ```
    /// use cellstate::{Metric, Targets};
    /// use ndarray::array;
    ///
    /// let mut accuracy = Metric::accuracy();
    /// accuracy.update(array![[0.7_f32], [0.6]].view().into_dyn(), &Targets::from(array![1, 0]), None, None)?;
    /// assert_eq!((accuracy.name(), accuracy.result()), ("accuracy", 0.5));
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[must_use]
    pub fn accuracy() -> Self {
        Self::new("accuracy", Score::Accuracy(None))
    }

    /// The share of features for which "the output is above the threshold" is what the target, 1 or 0, says. Keras's default is
    /// a threshold of 0.5; for logits it is 0.
    ///
    /// ```
    /// use cellstate::{Metric, Targets};
    /// use ndarray::array;
    ///
    /// let mut accuracy = Metric::binary_accuracy(0.0);
    /// let outputs = array![[-2.0_f32, 0.1], [3.0, 4.0]];
    /// accuracy.update(outputs.view().into_dyn(), &Targets::from(array![[0, 1], [1, 0]]), None, None)?;
    /// assert_eq!(accuracy.result(), 0.75);
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[must_use]
    pub fn binary_accuracy(threshold: f32) -> Self {
        Self::new("binary_accuracy", Score::Accuracy(Some(Accuracy::Binary(threshold))))
    }

    /// How often the largest output has the place of the largest target; the targets are as wide as the outputs.
    ///
    /// ```
    /// use cellstate::{Metric, Targets};
    /// use ndarray::array;
    ///
    /// let mut accuracy = Metric::categorical_accuracy();
    /// let targets = Targets::from(array![[0.0_f32, 1.0], [1.0, 0.0]]);
    /// accuracy.update(array![[0.2_f32, 0.8], [0.3, 0.7]].view().into_dyn(), &targets, None, None)?;
    /// assert_eq!(accuracy.result(), 0.5);
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[must_use]
    pub fn categorical_accuracy() -> Self {
        Self::new("categorical_accuracy", Score::Accuracy(Some(Accuracy::Categorical)))
    }

    /// How often the largest output is that of the class whose number is the target.
    ///
    /// ```
    /// use cellstate::{Metric, Targets};
    /// use ndarray::array;
    ///
    /// let mut accuracy = Metric::sparse_categorical_accuracy();
    /// accuracy.update(array![[0.2_f32, 0.8], [0.3, 0.7]].view().into_dyn(), &Targets::from(array![1, 0]), None, None)?;
    /// assert_eq!(accuracy.result(), 0.5);
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[must_use]
    pub fn sparse_categorical_accuracy() -> Self {
        Self::new("sparse_categorical_accuracy", Score::Accuracy(Some(Accuracy::Sparse)))
    }

    /// Any loss as a metric, under its own name.
    ///
    /// ```
    /// use cellstate::{Huber, Metric};
    ///
    /// assert_eq!(Metric::of(Huber::new()).name(), "huber");
    /// ```
    #[must_use]
    pub fn of(loss: impl Into<Loss>) -> Self {
        let loss = loss.into();
        Self::new(loss.name(), Score::Loss(loss, Last::Mean))
    }

    /// The mean of |output - target|, Keras's `"mae"`.
    ///
    /// ```
    /// use cellstate::{Metric, Targets};
    /// use ndarray::array;
    ///
    /// let mut error = Metric::mean_absolute_error();
    /// error.update(array![[1.0_f32], [3.0]].view().into_dyn(), &Targets::from(array![0.0_f32, 0.0]), None, None)?;
    /// assert_eq!(error.result(), 2.0);
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[must_use]
    pub fn mean_absolute_error() -> Self {
        Self::of(Loss::MeanAbsoluteError)
    }

    /// The mean of (output - target)², Keras's `"mse"`.
    ///
    /// ```
    /// use cellstate::{Metric, Targets};
    /// use ndarray::array;
    ///
    /// let mut error = Metric::mean_squared_error();
    /// error.update(array![[1.0_f32], [3.0]].view().into_dyn(), &Targets::from(array![0.0_f32, 0.0]), None, None)?;
    /// assert_eq!(error.result(), 5.0);
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[must_use]
    pub fn mean_squared_error() -> Self {
        Self::of(Loss::MeanSquaredError)
    }

    /// The root of the mean of (output - target)², in the unit of the outputs: Keras's `RootMeanSquaredError`.
    ///
    /// ```
    /// use cellstate::{Metric, Targets};
    /// use ndarray::array;
    ///
    /// let mut error = Metric::root_mean_squared_error();
    /// error.update(array![[1.0_f32], [7.0]].view().into_dyn(), &Targets::from(array![0.0_f32, 0.0]), None, None)?;
    /// assert_eq!(error.result(), 5.0);
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[must_use]
    pub fn root_mean_squared_error() -> Self {
        Self::new(
            "root_mean_squared_error",
            Score::Loss(Loss::MeanSquaredError, Last::Root),
        )
    }

    /// e to the mean cross-entropy: between how many classes, all as likely as each other, the model would be as unsure.
    ///
    /// ```
    /// use cellstate::{Metric, SparseCategoricalCrossentropy, Targets};
    /// use ndarray::array;
    ///
    /// let mut perplexity = Metric::perplexity(SparseCategoricalCrossentropy::new().from_logits(true));
    /// perplexity.update(array![[0.0_f32, 0.0, 0.0, 0.0]].view().into_dyn(), &Targets::from(array![2]), None, None)?;
    /// assert!((perplexity.result() - 4.0).abs() < 1e-12);
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[must_use]
    pub fn perplexity(loss: SparseCategoricalCrossentropy) -> Self {
        Self::new("perplexity", Score::Loss(loss.into(), Last::Exponential))
    }

    /// Steps whose target is this class number do not count, for metrics of class numbers: give it the class that the loss ignores.
    ///
    /// ```
    /// use cellstate::{Metric, Targets};
    /// use ndarray::array;
    ///
    /// let mut accuracy = Metric::accuracy().ignore_class(-1);
    /// accuracy.update(array![[0.2_f32, 0.8], [0.3, 0.7]].view().into_dyn(), &Targets::from(array![1, -1]), None, None)?;
    /// assert_eq!(accuracy.result(), 1.0);
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[must_use]
    pub fn ignore_class(mut self, class: i32) -> Self {
        self.ignored = Some(class);
        self
    }

    /// The same for a training by the weights of its examples.
    pub(crate) fn weighted(mut self) -> Self {
        self.is_weighted = true;
        self
    }

    pub(crate) fn is_weighted(&self) -> bool {
        self.is_weighted
    }

    /// Whether larger is better.
    pub(crate) fn rises(&self) -> bool {
        matches!(self.score, Score::Accuracy(_))
    }

    /// This metric from what stands before the activation of the last layer, as [`Loss::before`] of a loss.
    pub(crate) fn before(&self, activation: Activation) -> Option<Self> {
        let (Score::Loss(loss, last), None) = (self.score, self.ignored) else {
            return None;
        };
        Some(Self {
            score: Score::Loss(loss.before(activation)?, last),
            ..self.clone()
        })
    }

    /// What Keras calls it, and histories too.
    ///
    /// ```
    /// assert_eq!(cellstate::Metric::root_mean_squared_error().name(), "root_mean_squared_error");
    /// ```
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Adds a batch: the arguments are those of [`Loss::compute`]. Keras gives sample weights to its `weighted_metrics` alone.
    ///
    /// # Errors
    ///
    /// As [`Loss::compute`]; after one the metric is as it was before.
    ///
    /// ```
    /// use cellstate::{Metric, Targets};
    /// use ndarray::array;
    ///
    /// let mut error = Metric::mean_absolute_error();
    /// let (outputs, targets) = (array![[[1.0_f32], [f32::NAN]]].into_dyn(), Targets::from(array![[0.0_f32, 0.0]]));
    /// error.update(outputs.view(), &targets, Some(array![[true, false]].view()), None)?;
    /// assert_eq!(error.result(), 1.0);
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    pub fn update(
        &mut self,
        outputs: ArrayViewD<'_, f32>,
        targets: &Targets<'_>,
        mask: Option<ArrayView2<'_, bool>>,
        weights: Option<ArrayViewD<'_, f32>>,
    ) -> Result<()> {
        let of_step = self.of_step(outputs.shape(), targets);
        let wanted = self.wanted(of_step, outputs.shape())?;
        if let OfStep::Loss(Loss::Ctc(loss)) = of_step {
            let totals = CtcBatch::new(loss, outputs, targets, mask, weights)?.sum(None)?;
            self.mean.add(totals.sum, totals.weight);
            return Ok(());
        }
        let steps = Steps::new(outputs, targets, mask, weights, wanted)?;
        let score = |output: &[f64], target: &[f64], gradient: &mut [f64]| match of_step {
            OfStep::Accuracy(accuracy) => accuracy.of_step(output, target),
            OfStep::Loss(loss) => loss.row(output, target, gradient),
        };
        let totals = steps.sum(score, None)?;
        let time_steps = steps.time_steps().max(1) as f64;
        self.mean.add(totals.sum / time_steps, totals.weight / time_steps);
        Ok(())
    }

    /// The metric over all batches since the last reset: the mean (0 if nothing counted), its root, or e to it.
    ///
    /// ```
    /// use cellstate::Metric;
    ///
    /// assert_eq!(Metric::accuracy().result(), 0.0);
    /// ```
    #[must_use]
    pub fn result(&self) -> f64 {
        let mean = self.mean.result();
        match self.score {
            Score::Accuracy(_) | Score::Loss(_, Last::Mean) => mean,
            Score::Loss(_, Last::Root) => mean.sqrt(),
            Score::Loss(_, Last::Exponential) => libm::exp(mean),
        }
    }

    /// What the batches since the last reset have come to, to go on from it another time.
    pub(crate) fn mean(&self) -> Mean {
        self.mean
    }

    pub(crate) fn set_mean(&mut self, mean: Mean) {
        self.mean = mean;
    }

    /// Forgets all batches, as before an epoch.
    ///
    /// ```
    /// use cellstate::{Metric, Targets};
    /// use ndarray::array;
    ///
    /// let mut error = Metric::mean_absolute_error();
    /// error.update(array![[1.0_f32]].view().into_dyn(), &Targets::from(array![0.0_f32]), None, None)?;
    /// error.reset();
    /// assert_eq!(error, Metric::mean_absolute_error());
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    pub fn reset(&mut self) {
        self.mean = Mean::default();
    }

    /// Whether targets and weights fit outputs of this shape.
    pub(crate) fn check_shapes(
        &self,
        outputs: &[usize],
        targets: &Targets<'_>,
        weights: Option<ArrayViewD<'_, f32>>,
    ) -> Result<()> {
        let of_step = self.of_step(outputs, targets);
        let wanted = self.wanted(of_step, outputs)?;
        let weights = weights.filter(|_| self.is_weighted);
        match of_step {
            OfStep::Loss(loss) if self.ignored.is_none() => loss.check_shapes(outputs, targets, weights),
            _ => Steps::check_shapes(outputs, targets, weights, wanted),
        }
    }

    fn of_step(&self, outputs: &[usize], targets: &Targets<'_>) -> OfStep {
        match self.score {
            Score::Accuracy(given) => OfStep::Accuracy(given.unwrap_or_else(|| Accuracy::of(outputs, targets))),
            Score::Loss(loss, _) => OfStep::Loss(loss),
        }
    }

    /// The targets that are wanted, and the class number that is ignored.
    fn wanted(&self, of_step: OfStep, outputs: &[usize]) -> Result<(Wanted, Option<i32>)> {
        let (wanted, of_loss) = match of_step {
            OfStep::Accuracy(accuracy) => accuracy.check().map(|()| (accuracy.wanted(), None))?,
            OfStep::Loss(loss) => loss.check().map(|()| loss.wanted())?,
        };
        let is_of_steps = !matches!(of_step, OfStep::Loss(Loss::Ctc(_)));
        let has_classes = wanted == Wanted::Class || (outputs.last() == Some(&1) && is_of_steps);
        if let (Some(class), false) = (self.ignored, has_classes) {
            return Err(Error::Value {
                argument: format!("ignore_class of the metric {}", self.name),
                expected: "targets that are class numbers".to_owned(),
                found: format!("the class {class}, and targets as wide as the outputs"),
                repair: "leave ignore_class away, and mask the steps that should not count or give them a weight of 0"
                    .to_owned(),
            });
        }
        Ok((wanted, self.ignored.or(of_loss)))
    }
}
