//! Training: from examples to weights.

mod away;
mod callback;
mod chart;
#[cfg(feature = "safetensors")]
mod checkpoint;
mod cut;
mod engine;
mod evaluate;
mod examples;
mod fit;
mod frozen;
mod gradients;
mod head;
mod history;
mod home;
mod learn;
mod memory;
mod monitor;
mod moved;
mod on_batch;
mod order;
mod place;
mod run;
mod scores;
mod standing;
mod stopping;
mod summary;
mod update;
mod validation;

pub use callback::{Answer, BatchReport, EpochReport, Next};
pub use examples::Examples;
pub use fit::Fit;
pub use history::{Ended, Epoch, History};
pub use scores::Scores;
pub use stopping::EarlyStopping;

use crate::device::Device;
use crate::error::{Error, Result};
use crate::loss::Loss;
use crate::metric::Metric;
use crate::model::Model;
use crate::optimizer::{Optimizer, OptimizerState};
use crate::regularizer::{Regularizer, Regularizers};
use crate::selection::ParameterSelection;
use crate::settings::{Precision, Settings};
use away::Away;
use engine::Engine;
use head::Head;

/// A model on a device, ready to learn: what `compile`, `fit` and `evaluate` are in Keras 3.15.
///
/// Gradients go through all layers and through time, with every mask. Padding is not run backward either, and what it holds, NaN too,
/// reaches no gradient. Two trainings with the same model, data, options and seed give the same bits, with any number of threads. (A GPU whose memory
/// does not hold what the optimiser remembers leaves the steps to the host, which rounds them in its own way.)
///
/// ```
/// use cellstate::{Adam, Dense, Device, Examples, Fit, Loss, Lstm, Model, Sequences, Trainer};
/// use ndarray::{Array2, Array3};
///
/// // the mean of a series
/// let x = Array3::from_shape_fn((64, 6, 1), |(row, step, _)| ((row * 7 + step * 3) % 11) as f32 / 11.0);
/// let y = Array2::from_shape_fn((64, 1), |(row, _)| x.slice(ndarray::s![row, .., 0]).mean().unwrap_or(0.0));
/// let data = Examples::new(Sequences::from(&x), &y)?;
///
/// let model = Model::builder().add(Lstm::new(1, 8)).add(Dense::new(8, 1)).build()?;
/// let mut trainer = Trainer::new(model, &Device::cpu(), Loss::MeanSquaredError, Adam::new(1e-2))?;
/// let history = trainer.fit(&data, Fit::epochs(20).batch_size(16).validation_split(0.25).early_stopping(5))?;
/// println!("{history}");
/// println!("{}", trainer.evaluate(&data)?);
/// let model = trainer.into_model(); // the same model with other weights: to run, to save
/// assert_eq!(model.layers().len(), 2);
/// # Ok::<(), cellstate::Error>(())
/// ```
#[derive(Debug)]
pub struct Trainer {
    model: Model,
    engine: Engine,
    /// The loss, and what the host does of the model for it.
    head: Head,
    optimizer: OptimizerState,
    /// What the optimiser is made of, to make it anew for other frozen weights.
    made_of: Optimizer,
    regularizers: Regularizers,
    given_regularizers: Vec<Regularizer>,
    metrics: Vec<Metric>,
    /// What stays as it is.
    frozen: Vec<ParameterSelection>,
    away: Away,
    /// Whether the host makes the steps of the optimiser, whatever the device could do.
    offloads_optimizer: bool,
    seed: u64,
    /// The batches that were learned from,
    batches: u64,
    /// and those of them whose loss the device has computed.
    #[cfg(test)]
    judged_there: u64,
}

impl Trainer {
    /// Puts a model on a device to train it.
    ///
    /// # Errors
    ///
    /// Those of [`Model::on`]; [`Error::Value`](crate::Error::Value) for an option of the loss or the optimiser that makes no sense.
    ///
    /// ```
    /// use cellstate::{Adam, Dense, Device, Loss, Model, Trainer};
    ///
    /// let model = || Model::builder().add(Dense::new(2, 1)).build();
    /// assert!(Trainer::new(model()?, &Device::cpu(), Loss::MeanSquaredError, Adam::new(1e-3)).is_ok());
    /// assert!(Trainer::new(model()?, &Device::cpu(), Loss::MeanSquaredError, Adam::new(f64::NAN)).is_err());
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[cfg(not(target_arch = "wasm32"))]
    pub fn new(model: Model, device: &Device, loss: impl Into<Loss>, optimizer: impl Into<Optimizer>) -> Result<Self> {
        pollster::block_on(Self::new_async(model, device, loss, optimizer))
    }

    /// As [`Trainer::new`].
    ///
    /// # Errors
    ///
    /// As [`Trainer::new`].
    pub async fn new_async(
        model: Model,
        device: &Device,
        loss: impl Into<Loss>,
        optimizer: impl Into<Optimizer>,
    ) -> Result<Self> {
        Self::with_settings_async(model, device, loss, optimizer, &Settings::new()).await
    }

    /// As [`Trainer::new`], with settings of the caller's.
    ///
    /// # Errors
    ///
    /// As [`Trainer::new`], and those of [`Model::on_with`]; [`Error::Unsupported`](crate::Error::Unsupported) for relaxed precision, in which
    /// nothing is trained.
    ///
    /// ```
    /// use cellstate::{Adam, Dense, Device, Instructions, Loss, Model, Settings, Trainer};
    ///
    /// let model = Model::builder().add(Dense::new(2, 1)).build()?;
    /// let settings = Settings::new().instructions(Instructions::Plain);
    /// let trainer = Trainer::with_settings(model, &Device::cpu(), Loss::MeanSquaredError, Adam::new(1e-3), &settings)?;
    /// # let _ = trainer;
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[cfg(not(target_arch = "wasm32"))]
    pub fn with_settings(
        model: Model,
        device: &Device,
        loss: impl Into<Loss>,
        optimizer: impl Into<Optimizer>,
        settings: &Settings,
    ) -> Result<Self> {
        pollster::block_on(Self::with_settings_async(model, device, loss, optimizer, settings))
    }

    /// As [`Trainer::with_settings`].
    ///
    /// # Errors
    ///
    /// As [`Trainer::with_settings`].
    pub async fn with_settings_async(
        model: Model,
        device: &Device,
        loss: impl Into<Loss>,
        optimizer: impl Into<Optimizer>,
        settings: &Settings,
    ) -> Result<Self> {
        let (loss, optimizer) = (loss.into(), optimizer.into());
        loss.check()?;
        if settings.wanted_precision() != Precision::Full {
            return Err(Error::Unsupported {
                layer: "Trainer".to_owned(),
                option: "precision(Relaxed) in training".to_owned(),
                instead: "train in full precision; run the trained model in relaxed precision".to_owned(),
            });
        }
        let head = Head::new(loss, &model);
        let mut engine = Engine::new(&head.plans(&model), device, settings).await?;
        engine.judge_by(head.loss.device_rule());
        Ok(Self {
            engine,
            head,
            optimizer: OptimizerState::new(optimizer.clone(), model.parameters(), &[])?,
            made_of: optimizer,
            regularizers: Regularizers::default(),
            given_regularizers: Vec::new(),
            metrics: Vec::new(),
            frozen: Vec::new(),
            away: Away::default(),
            offloads_optimizer: false,
            model,
            seed: 0,
            batches: 0,
            #[cfg(test)]
            judged_there: 0,
        })
    }

    /// What is watched besides the loss, in every epoch and in [`evaluate`](Self::evaluate): Keras's `metrics`. Masked steps do not count; weights of
    /// sequences and steps are not looked at, so that a step of weight 0 counts as any and needs a target. See
    /// [`weighted_metrics`](Self::weighted_metrics). Two metrics of one name are numbered: `accuracy`, `accuracy_1`.
    ///
    /// A GPU gives its outputs to the host for them, and the host computes the loss then, in `f64` where the GPU does in `f32`: with metrics a training there
    /// takes longer, and its numbers differ by rounding.
    ///
    /// ```
    /// use cellstate::{Adam, Dense, Device, Loss, Metric, Model, Trainer};
    ///
    /// let model = Model::builder().add(Dense::new(2, 1)).build()?;
    /// let trainer = Trainer::new(model, &Device::cpu(), Loss::MeanSquaredError, Adam::new(1e-3))?;
    /// let trainer = trainer.metrics([Metric::accuracy()]);
    /// # let _ = trainer;
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[must_use]
    pub fn metrics(mut self, metrics: impl IntoIterator<Item = Metric>) -> Self {
        self.metrics.retain(Metric::is_weighted);
        self.metrics.splice(0..0, metrics);
        self
    }

    /// The same by the weights of sequences, steps and classes: Keras's `weighted_metrics`. A step of weight 0 does not count, whatever its output and
    /// its target hold. One whose name another metric has is called `weighted_accuracy`.
    ///
    /// ```
    /// use cellstate::{Adam, Dense, Device, Loss, Metric, Model, Trainer};
    ///
    /// let model = Model::builder().add(Dense::new(2, 1)).build()?;
    /// let trainer = Trainer::new(model, &Device::cpu(), Loss::MeanSquaredError, Adam::new(1e-3))?;
    /// let trainer = trainer.weighted_metrics([Metric::mean_absolute_error()]);
    /// # let _ = trainer;
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[must_use]
    pub fn weighted_metrics(mut self, metrics: impl IntoIterator<Item = Metric>) -> Self {
        self.metrics.retain(|metric| !metric.is_weighted());
        self.metrics.extend(metrics.into_iter().map(Metric::weighted));
        self
    }

    /// The seed of the order of the sequences and of what Dropout layers leave out (default 0). Initial weights have the seeds of their
    /// layers.
    ///
    /// ```
    /// use cellstate::{Adam, Dense, Device, Loss, Model, Trainer};
    ///
    /// let model = Model::builder().add(Dense::new(2, 1)).build()?;
    /// let trainer = Trainer::new(model, &Device::cpu(), Loss::MeanSquaredError, Adam::new(1e-3))?.seed(7);
    /// # let _ = trainer;
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Trains in less memory, for more time (default false).
    ///
    /// A training on the CPU keeps the gates of every time step of all recurrent layers until the way back needs them: of an LSTM these are five
    /// numbers beside each one of its output. With little memory a layer keeps its states instead, some steps apart (about the root of all steps), and
    /// on the way back runs again from there, piece by piece: only the gates of one piece are there at once. So longer sequences and more layers save
    /// more; h of every step stays. A piece has at least 128 steps, those of all its sequences counted; where all steps are one piece nothing is
    /// saved but by other layers, and where they are a few the gradients of the weights have a copy more. The gradients are the same but for rounding, since sums are added up in another order. (Gradient
    /// checkpointing: Chen and others, 2016; Gruslys and others, 2016.) A layer with `recurrent_dropout` keeps its gates all the same. A GPU never keeps
    /// gates: it computes them again by products over all rows, so that this changes nothing there.
    ///
    /// [`memory`](Self::memory) says what both take.
    ///
    /// ```
    /// use cellstate::{Adam, Device, Loss, Lstm, Model, Trainer};
    ///
    /// let model = Model::builder().add(Lstm::new(16, 64)).build()?;
    /// let trainer = Trainer::new(model, &Device::cpu(), Loss::MeanSquaredError, Adam::new(1e-3))?;
    /// let before = trainer.memory(32, 1000)?;
    /// let trainer = trainer.low_memory(true);
    /// assert!(trainer.memory(32, 1000)? < before * 2 / 3);
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[must_use]
    pub fn low_memory(mut self, is_low: bool) -> Self {
        self.engine.low_memory(is_low);
        self
    }

    /// Has the host make the steps of the optimiser where a GPU trains (default false): the GPU has memory for larger batches then, and each batch takes
    /// longer.
    ///
    /// A GPU that makes the steps itself keeps new weights beside the old ones, and what the optimiser remembers before and behind a step: of Adam five
    /// numbers for each weight. Offloaded, these are the host's; it reads the gradients of each batch and uploads new weights. ZeRO-Offload (Ren and
    /// others, 2021) calls this so. On the CPU it changes nothing. Both ways round numbers a little differently.
    ///
    /// [`memory`](Self::memory) says what both take.
    ///
    /// ```
    /// use cellstate::{Adam, Device, Loss, Lstm, Model, Trainer};
    ///
    /// let model = Model::builder().add(Lstm::new(16, 64)).build()?;
    /// let trainer = Trainer::new(model, &Device::cpu(), Loss::MeanSquaredError, Adam::new(1e-3))?;
    /// let trainer = trainer.offload_optimizer(true);
    /// # let _ = trainer;
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[must_use]
    pub fn offload_optimizer(mut self, offloads: bool) -> Self {
        self.offloads_optimizer = offloads;
        self
    }

    /// The model with the weights as they are now.
    ///
    /// Behind a call of [`fit_async`](Self::fit_async) or another that trains whose future was dropped, and behind one that failed because a GPU did not
    /// give the weights, they are those that came home last. The next [`train_on_batch`](Self::train_on_batch) or [`fit`](Self::fit) that ends well
    /// brings all of them home; so does [`freeze`](Self::freeze) or [`unfreeze`](Self::unfreeze), without a step, but not in a browser.
    ///
    /// ```
    /// use cellstate::{Adam, Dense, Device, Loss, Model, Trainer};
    ///
    /// let model = Model::builder().add(Dense::new(2, 1)).build()?;
    /// let trainer = Trainer::new(model, &Device::cpu(), Loss::MeanSquaredError, Adam::new(1e-3))?;
    /// assert_eq!(trainer.model().parameters().count(), 3);
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[must_use]
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The model with the weights as they are now, as [`model`](Self::model) has them, without what training needed.
    ///
    /// ```
    /// use cellstate::{Adam, Dense, Device, Loss, Model, Trainer};
    ///
    /// let model = Model::builder().add(Dense::new(2, 1)).build()?;
    /// let trainer = Trainer::new(model, &Device::cpu(), Loss::MeanSquaredError, Adam::new(1e-3))?;
    /// let runner = trainer.into_model().on(&Device::cpu())?;
    /// # let _ = runner;
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[must_use]
    pub fn into_model(self) -> Model {
        self.model
    }
}

impl Trainer {
    /// Other weights of the same model.
    fn set_model(&mut self, model: Model) {
        self.engine.set_plans(&self.head.plans(&model));
        self.model = model;
        self.away.weights = false;
    }
}
