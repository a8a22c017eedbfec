//! The mean and the variance of a batch, as a BatchNormalization takes them in training.

use ndarray::{ArrayD, IxDyn};

use super::{BatchStatistics, Flow, Stage};
use crate::error::{Error, Result};
use crate::memory::RUN;
use crate::model::plan::Plan;
use crate::model::planned_weight::Owner;
use crate::parameters::Role;

/// What Keras adds to the number of the steps that a mask leaves (`keras.config.epsilon()`): it is not the epsilon of the layer.
const KERAS_EPSILON: f64 = 1e-7;

impl Flow {
    /// These transforms normalise by their moving mean and variance, as in inference: in training, that of a frozen BatchNormalization.
    pub(super) fn hold(&mut self, held: &[usize]) {
        let stages = &self.stages;
        let is_held = |of: &BatchStatistics| match stages.get(of.stage) {
            Some(Stage::Transform { transform, .. }) => held.contains(transform),
            _ => false,
        };
        self.batch_statistics.retain(|of| !is_held(of));
    }
}

impl BatchStatistics {
    /// What sums over the steps that count are divided by, as in Keras.
    pub(crate) fn count(&self) -> f64 {
        let steps: u64 = self.counts.iter().map(|&count| u64::from(count)).sum();
        match self.is_masked {
            true => steps as f64 + KERAS_EPSILON,
            false => (steps as f64).max(1.0),
        }
    }
}

/// The moving means and variances behind a batch, `moving · momentum + batch · (1 − momentum)`, as in Keras; from the mean and the variance of
/// the batch for each transform that has taken them.
pub(crate) fn moved(plan: &Plan, moments: &[Option<[Vec<f64>; 2]>]) -> Result<Vec<(String, ArrayD<f32>)>> {
    let mut moved = Vec::new();
    for weight in plan.weights.iter().filter(|weight| !weight.role.is_trained()) {
        let Owner::Transform(number) = weight.owner else {
            continue;
        };
        let weights = plan
            .transforms
            .get(number)
            .and_then(|transform| transform.batch_weights());
        let (Some(weights), Some(Some([mean, variance]))) = (weights, moments.get(number)) else {
            continue;
        };
        let (before, batch) = match weight.role {
            Role::MovingMean => (&weights.mean, mean),
            _ => (&weights.variance, variance),
        };
        let momentum = f64::from(weights.momentum);
        let values = before.iter().zip(batch);
        let values = values.map(|(&before, batch)| (f64::from(before) * momentum + batch * (1.0 - momentum)) as f32);
        let values = ArrayD::from_shape_vec(IxDyn(&weight.shape), RUN.collected(values)?);
        moved.push((
            weight.path.clone(),
            values.map_err(|_| Error::defect("the shape of a moving mean"))?,
        ));
    }
    Ok(moved)
}
