//! Where a training stands: all that it needs to go on, besides weights and optimiser.

use super::Trainer;
use super::evaluate::results;
use super::history::History;
use super::scores::Scores;
use super::stopping::Watch;
use crate::learning_rate::Plateau;
use crate::loss::Mean;
use crate::metric::Metric;
use crate::model::Model;
use crate::state::State;

/// Where a training stands, behind a batch.
#[derive(Clone, Debug)]
pub(super) struct Standing {
    /// The epochs that have ended.
    pub(super) epoch: usize,
    /// The batches of the next one that have.
    pub(super) batch: usize,
    /// What this epoch has come to so far.
    pub(super) loss: Mean,
    pub(super) metrics: Vec<Metric>,
    pub(super) learning_rate: f64,
    /// The seconds that this epoch took before the training was interrupted.
    pub(super) seconds: f64,
    /// The states that are carried, in a stateful training.
    pub(super) states: Option<Vec<State>>,
    pub(super) history: History,
    pub(super) watch: Watch,
    /// The model of the best epoch, if it is to be restored.
    pub(super) best: Option<Model>,
    pub(super) plateau: Plateau,
}

impl Standing {
    /// Before the first batch.
    pub(super) fn new(trainer: &Trainer) -> Self {
        let mut standing = Self {
            epoch: 0,
            batch: 0,
            loss: Mean::default(),
            metrics: trainer.metrics.clone(),
            learning_rate: trainer.optimizer.learning_rate(),
            seconds: 0.0,
            states: None,
            history: History::default(),
            watch: Watch::default(),
            best: None,
            plateau: Plateau::default(),
        };
        standing.begin_epoch();
        standing
    }

    /// Nothing of the next epoch has been seen.
    pub(super) fn begin_epoch(&mut self) {
        self.batch = 0;
        self.loss = Mean::default();
        self.metrics.iter_mut().for_each(Metric::reset);
        self.seconds = 0.0;
        self.states = None;
    }

    /// What the epoch has come to so far.
    pub(super) fn scores(&self) -> Scores {
        Scores::new(self.loss.result(), results(&self.metrics))
    }
}
