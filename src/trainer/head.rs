//! What a model ends with where the loss takes the logits: the device runs the model up to them, and the last activation is the host's.

use std::sync::Arc;

use ndarray::ArrayD;

use crate::activation::Activation;
use crate::error::{Error, Result};
use crate::gradients::Upstream;
use crate::layer::Layer;
use crate::loss::Loss;
use crate::memory::OUTPUT;
use crate::metric::Metric;
use crate::model::Model;
use crate::model::plan::{Operation, Plan};
use crate::model::transform::Transform;

/// The loss as it is computed, and the activation that is left to the host, if it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    pub(super) loss: Loss,
    activation: Option<Activation>,
}

impl Head {
    /// As Keras: a cross-entropy of a model that ends with softmax or sigmoid is one of logits.
    pub(super) fn new(loss: Loss, model: &Model) -> Self {
        let mut layers = model.layers().iter().rev();
        let last = layers.find(|layer| !matches!(layer, Layer::Activation(Activation::Linear)));
        let activation = last.and_then(|layer| match layer {
            Layer::Dense(dense) => Some(dense.activation_kind()),
            Layer::Activation(activation) => Some(*activation),
            _ => None,
        });
        let before = activation.and_then(|activation| Some((loss.before(activation)?, activation)));
        match before {
            Some((loss, activation)) => Self {
                loss,
                activation: Some(activation),
            },
            None => Self { loss, activation: None },
        }
    }

    /// The plans of what the device runs.
    pub(super) fn plans(&self, model: &Model) -> Vec<Arc<Plan>> {
        let mut plans = model.plans().to_vec();
        if let (Some(_), Some(last)) = (self.activation, plans.last_mut()) {
            *last = Arc::new(without_last_activation(last));
        }
        plans
    }

    /// What the model gives, of what the device has given.
    pub(super) fn outputs(&self, mut given: ArrayD<f32>) -> Result<ArrayD<f32>> {
        let Some(activation) = self.activation else {
            return Ok(given);
        };
        let width = given.shape().last().copied().unwrap_or(0);
        if !given.is_standard_layout() {
            given = OUTPUT.copied(&given.view())?;
        }
        let values = given
            .as_slice_mut()
            .ok_or_else(|| Error::defect("the layout of an output"))?;
        activation.apply(values, width);
        Ok(given)
    }

    /// The same, where what the device has given is wanted too.
    pub(super) fn outputs_of(&self, given: &ArrayD<f32>) -> Result<Option<ArrayD<f32>>> {
        match self.activation {
            Some(_) => self.outputs(OUTPUT.copied(&given.view())?).map(Some),
            None => Ok(None),
        }
    }

    /// From the gradients of what the model gives to those of what the device has given.
    pub(super) fn pull_back(&self, given: &ArrayD<f32>, upstream: &mut Upstream) -> Result<()> {
        let (Some(activation), Some(gradient)) = (self.activation, upstream.outputs.first_mut()) else {
            return Ok(());
        };
        let width = given.shape().last().copied().unwrap_or(0);
        if !gradient.is_standard_layout() {
            *gradient = OUTPUT.copied(&gradient.view())?;
        }
        let given = given.as_standard_layout();
        let (Some(given), Some(gradient)) = (given.as_slice(), gradient.as_slice_mut()) else {
            return Err(Error::defect("the layout of a gradient"));
        };
        activation.pull_back(given, gradient, width);
        Ok(())
    }

    /// A metric as it is computed of what the device has given, if that is not what the model gives: a cross-entropy, as in Keras.
    pub(super) fn metric_before(&self, metric: &Metric) -> Option<Metric> {
        metric.before(self.activation?)
    }
}

/// A plan up to what goes into the activation with which it ends.
fn without_last_activation(plan: &Plan) -> Plan {
    let mut plan = plan.clone();
    // a layer that does nothing gives what it takes
    let mut operations = plan.operations.iter_mut().rev();
    let last = operations.find(|operation| !matches!(operation, Operation::Nothing));
    match last {
        Some(Operation::Dense { dense }) => {
            if let Some(dense) = plan.denses.get_mut(*dense) {
                dense.activation = Activation::Linear;
            }
        }
        Some(last @ Operation::Transform { .. }) => {
            let Operation::Transform { transform } = *last else {
                return plan;
            };
            match plan.transforms.get_mut(transform) {
                Some(Transform::Scale { by: None, .. }) => *last = Operation::Nothing,
                Some(transform) => *transform.activation_mut() = Activation::Linear,
                None => {}
            }
        }
        _ => {}
    }
    plan
}
