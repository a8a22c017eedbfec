//! The weights a step further: on the host, or on the device that has the gradients.

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]
mod tests;

use ndarray::{ArrayD, Dimension};

use super::Trainer;
use super::away::Away;
use super::place::Place;
use crate::cell::ValueRange;
use crate::error::{Error, Result};
use crate::gradients::PlanGradients;
use crate::optimizer::{OptimizerState, Step};
use crate::sums::all;

const REPAIR: &str = "the weights are as before this batch; lower the learning rate, clip gradients (`global_clipnorm(1.0)` of the \
                      optimiser), and look for NaN or huge numbers in the data of steps that count";

/// Gradients by which a step can be made, those of the penalties among them.
pub(super) enum Judged {
    /// The device has kept them, and this is the step.
    Kept(Step),
    /// The host has read them, and knows the loss with its penalties.
    Read(PlanGradients, f64),
}

/// What a step has led to.
pub(super) struct Stepped {
    /// The loss with its penalties, of the weights before the step.
    pub(super) loss: f64,
    pub(super) learning_rate: f64,
    /// The new weights, where the device has made the step and they are wanted.
    pub(super) weights: Vec<(String, ArrayD<f32>)>,
}

impl Trainer {
    /// Whether the device makes the steps of the optimiser. Where it does not, the host has all weights and what the optimiser remembers.
    pub(super) async fn device_makes_steps(&mut self) -> Result<bool> {
        let makes = !self.offloads_optimizer && self.engine.can_update(&self.optimizer).await?;
        if !makes {
            self.come_home(true).await?;
            self.engine.forget_updates();
        }
        Ok(makes)
    }

    /// The optimiser, if the device may make its steps.
    pub(super) fn optimizer_of_device(&self) -> Option<&OptimizerState> {
        Some(&self.optimizer).filter(|_| !self.offloads_optimizer)
    }

    /// Whether the loss, which is without its penalties, and the gradients are such that a step can be made. Where the device has kept gradients that
    /// are not, the host reads them and says which. Where it has kept them, `kept` is the step, if that does not depend on their norms.
    pub(super) async fn judged(
        &mut self,
        (gradients, kept): (PlanGradients, Option<Option<Step>>),
        (loss, place): (f64, Place),
    ) -> Result<Judged> {
        let mut gradients = gradients;
        if let Some(blind) = kept {
            let step = match loss.is_finite() {
                true => self.step_of_kept(blind).await?,
                false => None,
            };
            if let Some(step) = step {
                return Ok(Judged::Kept(step));
            }
            gradients = self.read_gradients().await?;
        } else {
            self.regularizers
                .add_gradients(self.model.parameters(), &mut gradients.parameters)?;
        }
        let loss = loss + self.penalty().await?;
        self.check_finite(loss, &gradients, place)?;
        Ok(Judged::Read(gradients, loss))
    }

    /// The step by the gradients that the device has kept. Where it depends on their norms the host waits for them; `None` where they are not
    /// finite.
    pub(super) async fn step_of_kept(&mut self, blind: Option<Step>) -> Result<Option<Step>> {
        match blind {
            Some(step) => Ok(Some(step)),
            None => self.optimizer.next_step(&self.engine.sizes().await?),
        }
    }

    /// What the device has kept, penalties included, and with it all that the host needs to make the step.
    async fn read_gradients(&mut self) -> Result<PlanGradients> {
        self.come_home(true).await?;
        Ok(PlanGradients {
            parameters: self.engine.kept_gradients().await?,
            ..PlanGradients::default()
        })
    }

    /// Makes a step on the device, from a loss without its penalties; gives the new weights if they are to come home. Where gradients or new weights are
    /// NaN, infinite or too large the host makes the step anew and says which.
    pub(super) async fn update_there(
        &mut self,
        step: &Step,
        comes_home: bool,
        (loss, place): (f64, Place),
    ) -> Result<Stepped> {
        if let Some(stepped) = self.stepped_there(step, comes_home, Some(loss)).await? {
            return Ok(stepped);
        }
        let gradients = self.read_gradients().await?;
        let loss = loss + self.penalty().await?;
        self.check_finite(loss, &gradients, place)?;
        self.update(gradients, (loss, place))
    }

    /// Makes a step on the device, which has computed the loss too; `None`, and nothing has changed, where any number is NaN, infinite or too large.
    pub(super) async fn step_there(&mut self, step: &Step, comes_home: bool) -> Result<Option<Stepped>> {
        self.stepped_there(step, comes_home, None).await
    }

    /// The same, of the loss without its penalties that the host has computed, if it has.
    async fn stepped_there(&mut self, step: &Step, comes_home: bool, loss: Option<f64>) -> Result<Option<Stepped>> {
        let learning_rate = self.optimizer.learning_rate();
        let updated = self.engine.update(step, comes_home).await?;
        let loss = loss.unwrap_or(updated.loss) + updated.penalty;
        // (squares may be beyond f32, in which the device adds them up)
        if !updated.is_finite || !loss.is_finite() {
            return Ok(None);
        }
        self.engine.accept()?;
        self.optimizer.accept(step);
        self.away = Away {
            weights: true,
            slots: true,
        };
        Ok(Some(Stepped {
            loss,
            learning_rate,
            weights: updated.weights,
        }))
    }

    /// The penalty of the regularisers, of the newest weights: those that a call has left on the device come home for it.
    pub(super) async fn penalty(&mut self) -> Result<f64> {
        if !self.regularizers.is_empty() {
            self.come_home(false).await?;
        }
        self.regularizers.loss(self.model.parameters())
    }

    /// Whether a training may go on: what is wrong first, from the output to the input. Gradients that nothing follows may be what they are.
    fn check_finite(&self, loss: f64, gradients: &PlanGradients, place: Place) -> Result<()> {
        let is_bad = |value: &f32| !value.is_finite();
        let followed = gradients.parameters.iter().filter(|(path, _)| !self.is_frozen(path));
        let bad = followed.rev().find_map(|(path, gradient)| {
            if gradient
                .as_slice()
                .is_some_and(|values| all(values, |value| !is_bad(&value)))
            {
                return None;
            }
            let (index, value) = gradient.indexed_iter().find(|(_, value)| is_bad(value))?;
            Some((path, index, *value))
        });
        match bad {
            None if loss.is_finite() => Ok(()),
            None => Err(Error::NotFinite {
                tensor: format!("loss of {place}, with finite gradients"),
                index: Vec::new(),
                value: loss.to_string(),
                repair: REPAIR.to_owned(),
            }),
            Some((path, index, value)) => Err(Error::NotFinite {
                tensor: format!(
                    "gradient of {path} in {place}, whose loss is {loss}; the first one that is, from the output back"
                ),
                index: index.slice().to_vec(),
                value: value.to_string(),
                repair: REPAIR.to_owned(),
            }),
        }
    }

    /// Makes the step of the optimiser. On an error weights and optimiser are as they were.
    pub(super) fn update(&mut self, gradients: PlanGradients, (loss, place): (f64, Place)) -> Result<Stepped> {
        let PlanGradients {
            mut parameters, moved, ..
        } = gradients;
        let learning_rate = self.optimizer.learning_rate();
        let stepped = self.optimizer.step(&mut parameters, self.model.parameters());
        let mut replaced = stepped
            .map_err(|error| placed(error, |gradient| format!("{gradient} in {place}, whose loss is {loss}")))?;
        let moved = moved.into_iter().filter(|(path, _)| !self.is_frozen(path));
        replaced.extend(moved.map(|(path, values)| (path, values.into_shared())));
        if let Err(error) = self.model.take_shared_parameters(replaced, ValueRange::Finite) {
            self.optimizer.undo();
            return Err(placed(error, |tensor| format!("{tensor} behind {place}")));
        }
        self.engine.set_plans(&self.head.plans(&self.model));
        self.engine.forget_updates();
        self.engine.take_back(parameters);
        Ok(Stepped {
            loss,
            learning_rate,
            weights: Vec::new(),
        })
    }
}

/// An error of a number that is not finite, which says where.
fn placed(error: Error, tensor_in: impl FnOnce(&str) -> String) -> Error {
    match error {
        Error::NotFinite {
            tensor, index, value, ..
        } => Error::NotFinite {
            tensor: tensor_in(&tensor),
            index,
            value,
            repair: REPAIR.to_owned(),
        },
        error => error,
    }
}
