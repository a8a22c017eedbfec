//! How a training goes: its options.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::callback::{Answer, BatchReport, EpochReport, Next};
use super::examples::Examples;
use super::stopping::EarlyStopping;
use super::validation::{Validation, wrong};
use crate::error::Result;
use crate::learning_rate::ReduceOnPlateau;

type OnBatch<'a> = Box<dyn FnMut(&BatchReport) -> Result<Next> + 'a>;
type OnEpoch<'a> = Box<dyn FnMut(&EpochReport<'_>) -> Result<Next> + 'a>;

/// How a training goes: what `model.fit` takes in Keras 3.15, with its defaults.
///
/// ```
/// use cellstate::{EarlyStopping, Fit};
///
/// let fit = Fit::epochs(20)
///     .batch_size(32)
///     .validation_split(0.2)
///     .early_stopping(5)
///     .on_epoch(|epoch| println!("epoch {}: {}", epoch.report().number(), epoch.report().training()));
/// # let _ = fit;
/// ```
#[must_use = "options do nothing until `Trainer::fit` takes them"]
pub struct Fit<'a> {
    pub(super) epochs: usize,
    pub(super) batch_size: usize,
    pub(super) shuffle: Option<bool>,
    pub(super) bucketing: bool,
    pub(super) stateful: bool,
    pub(super) validation: Validation<'a>,
    pub(super) class_weights: BTreeMap<i32, f32>,
    pub(super) monitor: Option<String>,
    pub(super) early_stopping: Option<EarlyStopping>,
    pub(super) plateau: Option<ReduceOnPlateau>,
    pub(super) stop_flag: Option<Arc<AtomicBool>>,
    pub(super) checkpoint: Option<PathBuf>,
    pub(super) resumes: bool,
    pub(super) on_batch: Option<OnBatch<'a>>,
    pub(super) on_epoch: Option<OnEpoch<'a>>,
}

impl<'a> Fit<'a> {
    /// So many passes over the data.
    ///
    /// ```
    /// let fit = cellstate::Fit::epochs(20);
    /// # let _ = fit;
    /// ```
    pub fn epochs(epochs: usize) -> Self {
        Self {
            epochs,
            batch_size: 32,
            shuffle: None,
            bucketing: false,
            stateful: false,
            validation: Validation::Nothing,
            class_weights: BTreeMap::new(),
            monitor: None,
            early_stopping: None,
            plateau: None,
            stop_flag: None,
            checkpoint: None,
            resumes: false,
            on_batch: None,
            on_epoch: None,
        }
    }

    /// How many sequences make a batch, between two updates of the weights (default 32). The last batch of an epoch may be smaller.
    ///
    /// ```
    /// let fit = cellstate::Fit::epochs(20).batch_size(64);
    /// # let _ = fit;
    /// ```
    pub fn batch_size(mut self, sequences: usize) -> Self {
        self.batch_size = sequences;
        self
    }

    /// Whether every epoch takes the sequences in another order, by the seed of the trainer (default true; false with
    /// [`stateful`](Self::stateful)).
    ///
    /// ```
    /// let fit = cellstate::Fit::epochs(20).shuffle(false);
    /// # let _ = fit;
    /// ```
    pub fn shuffle(mut self, shuffle: bool) -> Self {
        self.shuffle = Some(shuffle);
        self
    }

    /// Whether sequences of similar length make a batch (default false), which is cut to the longest of them, so that little is
    /// padded. What runs is the same: padding costs no arithmetic anyway, but memory, and targets at every time step are read.
    ///
    /// The order stays random: fifty batches of shuffled sequences are sorted by length, and the batches shuffled. Where a layer reads
    /// padding (`Flatten`, `Reshape`, `LastStep`, `EndMask`, or a layer with `go_backwards` and an output at every step), and behind a `TimeDistributed`, nothing is cut.
    ///
    /// ```
    /// let fit = cellstate::Fit::epochs(20).bucketing(true);
    /// # let _ = fit;
    /// ```
    pub fn bucketing(mut self, bucketing: bool) -> Self {
        self.bucketing = bucketing;
        self
    }

    /// Whether sequence i of each batch goes on where sequence i of the batch before ended (default false): Keras's `stateful`. States are
    /// carried, gradients stop at the border of a batch: truncated backpropagation through time. Each epoch begins with zeros, as after
    /// Keras's `reset_states()`.
    ///
    /// The data are to be a multiple of the batch size, in order; `batch_size(1)` carries the state from each sequence to the next.
    ///
    /// ```
    /// let fit = cellstate::Fit::epochs(20).batch_size(1).stateful(true);
    /// # let _ = fit;
    /// ```
    pub fn stateful(mut self, stateful: bool) -> Self {
        self.stateful = stateful;
        self
    }

    /// Keeps the last share of the data for validation, above 0 and below 1, before anything is shuffled, as Keras does.
    ///
    /// ```
    /// let fit = cellstate::Fit::epochs(20).validation_split(0.2);
    /// # let _ = fit;
    /// ```
    pub fn validation_split(mut self, share: f64) -> Self {
        self.validation = Validation::Split(share);
        self
    }

    /// Data for validation, which nothing is learned from.
    ///
    /// ```
    /// # use cellstate::{Examples, Fit, Sequences};
    /// # use ndarray::{Array2, Array3};
    /// let validation = Examples::new(Sequences::from(Array3::zeros((3, 20, 2))), Array2::<f32>::zeros((3, 1)))?;
    /// let fit = Fit::epochs(20).validation_data(&validation);
    /// # let _ = fit;
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    pub fn validation_data(mut self, examples: &'a Examples<'_, '_>) -> Self {
        self.validation = Validation::Data(Box::new(examples.view()));
        self
    }

    /// How much each class counts in the loss of the training, by its number; 1 for those that are not named. Keras's `class_weight`: the weight
    /// of a target is multiplied by that of its class. One-hot targets count as the class of their largest number.
    ///
    /// ```
    /// let fit = cellstate::Fit::epochs(20).class_weights([(0, 1.0), (1, 12.5)]);
    /// # let _ = fit;
    /// ```
    pub fn class_weights(mut self, weights: impl IntoIterator<Item = (i32, f32)>) -> Self {
        self.class_weights = weights.into_iter().collect();
        self
    }

    /// What says whether an epoch is better than those before, by its name in a [`History`](crate::History): `loss`, `val_loss`, `accuracy`,
    /// `val_accuracy` … The default is `val_loss`, and `loss` without validation data. Early stopping and [`ReduceOnPlateau`] look at it.
    ///
    /// ```
    /// use cellstate::{EarlyStopping, Fit};
    ///
    /// let stopping = EarlyStopping::patience(5).maximize(true);
    /// let fit = Fit::epochs(100).validation_split(0.2).monitor("val_accuracy").early_stopping(stopping);
    /// # let _ = fit;
    /// ```
    pub fn monitor(mut self, name: &str) -> Self {
        self.monitor = Some(name.to_owned());
        self
    }

    /// Ends the training when nothing gets better any more: a number of epochs to wait, or [`EarlyStopping`] with more options. The weights
    /// of the best epoch are restored at the end.
    ///
    /// ```
    /// let fit = cellstate::Fit::epochs(100).early_stopping(5);
    /// # let _ = fit;
    /// ```
    pub fn early_stopping(mut self, stopping: impl Into<EarlyStopping>) -> Self {
        self.early_stopping = Some(stopping.into());
        self
    }

    /// Lowers the learning rate when nothing gets better any more.
    ///
    /// ```
    /// use cellstate::{Fit, ReduceOnPlateau};
    ///
    /// let fit = Fit::epochs(100).reduce_on_plateau(ReduceOnPlateau::new().patience(3));
    /// # let _ = fit;
    /// ```
    pub fn reduce_on_plateau(mut self, reduce: ReduceOnPlateau) -> Self {
        self.plateau = Some(reduce);
        self
    }

    /// Ends the training behind the batch at which the flag is true, with everything kept: weights, optimiser, and, with
    /// [`checkpoint`](Self::checkpoint), a file to go on from. What a handler of Ctrl-C sets.
    ///
    /// ```
    /// use std::sync::{Arc, atomic::AtomicBool};
    ///
    /// let stop = Arc::new(AtomicBool::new(false)); // ctrlc::set_handler: stop.store(true, Ordering::Relaxed)
    /// let fit = cellstate::Fit::epochs(100).stop_flag(Arc::clone(&stop));
    /// # let _ = fit;
    /// ```
    pub fn stop_flag(mut self, flag: Arc<AtomicBool>) -> Self {
        self.stop_flag = Some(flag);
        self
    }

    /// Writes a checkpoint to this file behind each epoch, and where the training is stopped: beside the old one and then renamed, so that an
    /// interrupted training loses one epoch at most. It is a safetensors file of weights, optimiser, and everything else that
    /// [`resume`](Self::resume) needs.
    ///
    /// ```
    /// let fit = cellstate::Fit::epochs(100).checkpoint("training.safetensors").resume(true);
    /// # let _ = fit;
    /// ```
    #[cfg(feature = "safetensors")]
    pub fn checkpoint(mut self, path: impl Into<PathBuf>) -> Self {
        self.checkpoint = Some(path.into());
        self
    }

    /// Whether the training goes on from the file of [`checkpoint`](Self::checkpoint), if it is there (default false). The result has the
    /// same bits as if nothing had been interrupted, given the same data, metrics and options. A learning rate that
    /// [`reduce_on_plateau`](Self::reduce_on_plateau) has lowered stays so; but an optimiser that is made with another learning rate than that of the file
    /// goes on with its own.
    ///
    /// ```
    /// let fit = cellstate::Fit::epochs(100).checkpoint("training.safetensors").resume(true);
    /// # let _ = fit;
    /// ```
    #[cfg(feature = "safetensors")]
    pub fn resume(mut self, resumes: bool) -> Self {
        self.resumes = resumes;
        self
    }

    /// Calls this behind each batch; see [`Answer`] for what it may give back.
    ///
    /// ```
    /// let fit = cellstate::Fit::epochs(20).on_batch(|batch| println!("{batch}"));
    /// # let _ = fit;
    /// ```
    pub fn on_batch<A: Answer>(mut self, mut callback: impl FnMut(&BatchReport) -> A + 'a) -> Self {
        self.on_batch = Some(Box::new(move |report| callback(report).next()));
        self
    }

    /// Calls this behind each epoch; see [`Answer`] for what it may give back.
    ///
    /// ```
    /// let fit = cellstate::Fit::epochs(20).on_epoch(|epoch| println!("{}", epoch.report().training()));
    /// # let _ = fit;
    /// ```
    pub fn on_epoch<A: Answer>(mut self, mut callback: impl FnMut(&EpochReport<'_>) -> A + 'a) -> Self {
        self.on_epoch = Some(Box::new(move |report| callback(report).next()));
        self
    }

    pub(super) fn shuffles(&self) -> bool {
        self.shuffle.unwrap_or(!self.stateful)
    }

    /// Whether the options make sense for so many examples.
    pub(super) fn check(&self, examples: usize) -> Result<()> {
        if examples == 0 {
            let found = "no sequences";
            return Err(wrong(
                "data",
                "at least one sequence",
                found,
                "give what the network should learn from",
            ));
        }
        if self.epochs == 0 {
            return Err(wrong(
                "epochs",
                "at least one",
                0,
                "call Fit::epochs with the number of passes over the data",
            ));
        }
        if self.batch_size == 0 {
            return Err(wrong("batch_size", "at least one sequence", 0, "call `batch_size(32)`"));
        }
        for (class, &weight) in &self.class_weights {
            if !(weight.is_finite() && weight >= 0.0) {
                let argument = format!("class weight of class {class}");
                return Err(wrong(
                    &argument,
                    "a finite number from 0 up",
                    weight,
                    "give 0 for what should not count",
                ));
            }
        }
        if let Some(reduce) = &self.plateau {
            reduce.check()?;
        }
        let delta = self.early_stopping.map_or(0.0, |stopping| stopping.min_delta);
        if !(0.0..f64::INFINITY).contains(&delta) {
            let repair = "give by how much an epoch has to be better, 0 for any";
            return Err(wrong(
                "min_delta of early stopping",
                "a finite number from 0 up",
                delta,
                repair,
            ));
        }
        if self.resumes && self.checkpoint.is_none() {
            let repair = "call `checkpoint(path)` with the file to go on from";
            return Err(wrong("resume", "a checkpoint", "none", repair));
        }
        self.check_stateful(examples)
    }

    /// Whether the options make sense for so many examples for validation.
    pub(super) fn check_validation(&self, examples: usize) -> Result<()> {
        if examples == 0 && matches!(self.validation, Validation::Data(_)) {
            let repair = "give what the model should be judged by, or leave `validation_data` out";
            return Err(wrong(
                "validation_data",
                "at least one sequence",
                "no sequences",
                repair,
            ));
        }
        match self.stateful {
            true => self.check_multiple(examples, "validation"),
            false => Ok(()),
        }
    }

    fn check_multiple(&self, examples: usize, purpose: &str) -> Result<()> {
        if examples.is_multiple_of(self.batch_size.max(1)) {
            return Ok(());
        }
        let expected = format!("a multiple of the batch size of {}", self.batch_size);
        let repair = "cut the data, or give another batch size: each sequence of a batch goes on in the next one";
        let found = format!("{examples} sequences for {purpose}");
        Err(wrong("stateful", &expected, found, repair))
    }

    fn check_stateful(&self, examples: usize) -> Result<()> {
        if !self.stateful {
            return Ok(());
        }
        if self.shuffles() || self.bucketing {
            let repair = "leave `shuffle` and `bucketing` out: sequences that go on from batch to batch have an order";
            return Err(wrong(
                "stateful",
                "the sequences in their order",
                "another order",
                repair,
            ));
        }
        self.check_multiple(examples, "training")
    }
}

impl fmt::Debug for Fit<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = formatter.debug_struct("Fit");
        shown
            .field("epochs", &self.epochs)
            .field("batch_size", &self.batch_size);
        shown
            .field("shuffle", &self.shuffles())
            .field("bucketing", &self.bucketing);
        shown
            .field("stateful", &self.stateful)
            .field("validation", &self.validation);
        shown
            .field("early_stopping", &self.early_stopping)
            .field("reduce_on_plateau", &self.plateau);
        shown
            .field("checkpoint", &self.checkpoint)
            .field("resume", &self.resumes);
        shown.finish_non_exhaustive()
    }
}
