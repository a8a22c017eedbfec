//! What the caller hears while a training runs, and what it may answer.

use std::fmt;

use super::history::Epoch;
use crate::error::Result;
use crate::model::Model;

/// What a callback answers.
///
/// ```
/// use cellstate::{Fit, Next};
///
/// let fit = Fit::epochs(100).on_epoch(|epoch| match epoch.report().training().loss() < 1e-3 {
///     true => Next::Stop,
///     false => Next::GoOn,
/// });
/// # let _ = fit;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// The training goes on.
    GoOn,
    /// The training ends here, with everything kept.
    Stop,
}

/// What a callback may give back: nothing, a [`Next`], or a [`Result`] of one of the two, whose error ends the training.
///
/// ```
/// use cellstate::{Answer, Next};
///
/// assert_eq!(().next()?, Next::GoOn);
/// assert_eq!(Ok(Next::Stop).next()?, Next::Stop);
/// # Ok::<(), cellstate::Error>(())
/// ```
pub trait Answer {
    /// Whether the training goes on.
    ///
    /// # Errors
    ///
    /// That of the callback.
    fn next(self) -> Result<Next>;
}

impl Answer for () {
    fn next(self) -> Result<Next> {
        Ok(Next::GoOn)
    }
}

impl Answer for Next {
    fn next(self) -> Result<Next> {
        Ok(self)
    }
}

impl<A: Answer> Answer for Result<A> {
    fn next(self) -> Result<Next> {
        self.and_then(Answer::next)
    }
}

/// What a callback hears behind each batch: enough to draw a bar of progress.
///
/// ```
/// use cellstate::Fit;
///
/// let fit = Fit::epochs(20).on_batch(|batch| println!("{batch}"));
/// # let _ = fit;
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct BatchReport {
    /// The number of the epoch, from 1.
    pub epoch: usize,
    /// How many epochs there are.
    pub epochs: usize,
    /// The number of the batch in the epoch, from 1.
    pub batch: usize,
    /// How many batches an epoch has.
    pub batches: usize,
    /// The loss of this batch, with the weights before the update.
    pub loss: f64,
    /// The mean loss of the epoch so far.
    pub mean_loss: f64,
    /// The learning rate of the update.
    pub learning_rate: f64,
    /// The batches a second of this epoch.
    pub per_second: f64,
    /// How many seconds this epoch will take from here on, at that speed, without its validation.
    pub seconds_left: f64,
}

/// `epoch 2/20, batch 17/120: loss 0.1234, 35.1 batches/s, 2.9 s left`
impl fmt::Display for BatchReport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            epoch,
            epochs,
            batch,
            batches,
            mean_loss,
            per_second,
            seconds_left,
            ..
        } = self;
        let loss = super::scores::short(*mean_loss);
        write!(
            formatter,
            "epoch {epoch}/{epochs}, batch {batch}/{batches}: loss {loss}, {per_second:.1} batches/s, {seconds_left:.1} s left"
        )
    }
}

/// What a callback hears behind each epoch.
///
/// ```no_run
/// use cellstate::Fit;
///
/// let fit = Fit::epochs(20).on_epoch(|epoch| epoch.model().save("latest.safetensors"));
/// # let _ = fit;
/// ```
#[derive(Clone, Copy, Debug)]
pub struct EpochReport<'a> {
    pub(super) report: &'a Epoch,
    pub(super) epochs: usize,
    pub(super) model: &'a Model,
    pub(super) is_best: bool,
}

impl EpochReport<'_> {
    /// Loss, metrics and time of the epoch.
    ///
    /// ```
    /// # use cellstate::Fit;
    /// let fit = Fit::epochs(20).on_epoch(|epoch| println!("{}", epoch.report().training()));
    /// # let _ = fit;
    /// ```
    #[must_use]
    pub fn report(&self) -> &Epoch {
        self.report
    }

    /// How many epochs there are.
    ///
    /// ```
    /// # use cellstate::Fit;
    /// let fit = Fit::epochs(20).on_epoch(|epoch| println!("{}/{}", epoch.report().number(), epoch.epochs()));
    /// # let _ = fit;
    /// ```
    #[must_use]
    pub fn epochs(&self) -> usize {
        self.epochs
    }

    /// The model with the weights of the end of the epoch: to save it, say.
    ///
    /// ```no_run
    /// # use cellstate::Fit;
    /// let fit = Fit::epochs(20).on_epoch(|epoch| epoch.model().save("latest.safetensors"));
    /// # let _ = fit;
    /// ```
    #[must_use]
    pub fn model(&self) -> &Model {
        self.model
    }

    /// Whether no epoch before was better, by what early stopping looks at; without early stopping by the loss of the validation data,
    /// else of the training.
    ///
    /// ```no_run
    /// use cellstate::{Fit, Result};
    ///
    /// let fit = Fit::epochs(20).on_epoch(|epoch| -> Result<()> {
    ///     match epoch.is_best() {
    ///         true => epoch.model().save("best.safetensors"),
    ///         false => Ok(()),
    ///     }
    /// });
    /// # let _ = fit;
    /// ```
    #[must_use]
    pub fn is_best(&self) -> bool {
        self.is_best
    }
}
