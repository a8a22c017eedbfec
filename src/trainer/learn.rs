//! One batch: forward, backward, and the weights a step further.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use ndarray::{ArrayD, ArrayViewD, Axis, CowArray, IxDyn};

use super::Trainer;
use super::engine::Pass;
use super::examples::Examples;
use super::place::Place;
use super::update::{Judged, Stepped};
use crate::error::{Error, Result};
use crate::gradients::{Upstream, Wants};
use crate::loss::LossValue;
use crate::loss::elsewhere::DeviceRule;
use crate::metric::Metric;
use crate::random::Noise;
use crate::state::State;

/// What a batch has besides its examples.
#[derive(Debug)]
pub(super) struct Learning<'l> {
    pub(super) class_weights: &'l BTreeMap<i32, f32>,
    /// What becomes of the states of all cells, if they are carried on.
    pub(super) states: Option<&'l mut [State]>,
    pub(super) metrics: &'l mut [Metric],
    /// Whether [`Stepped`] has the new weights, where the device makes the step.
    pub(super) comes_home: bool,
    pub(super) place: Place,
}

impl Trainer {
    /// Learns from one batch. On an error weights and states are as they were.
    ///
    /// Where the device can, it computes the loss of the outputs that it has. Where that leads nowhere the batch is learned from once more with the loss
    /// of the host, which says what is wrong.
    pub(super) async fn learn(&mut self, batch: &Examples<'_, '_>, mut learning: Learning<'_>) -> Result<Stepped> {
        // first, for what the device need not remember makes room for the batch
        let keeps = self.device_makes_steps().await?;
        if keeps
            && let Some(rule) = self.rule_there(batch, &learning)?
            && let Some(stepped) = self.learn_there(batch, &mut learning, rule).await?
        {
            return Ok(stepped);
        }
        self.learn_here(batch, learning, keeps).await
    }

    /// How the device computes the loss of a batch, if it does: metrics need the outputs on the host.
    fn rule_there(&mut self, batch: &Examples<'_, '_>, learning: &Learning<'_>) -> Result<Option<DeviceRule>> {
        let Some(rule) = self.head.loss.device_rule().filter(|_| learning.metrics.is_empty()) else {
            return Ok(None);
        };
        self.engine.check(batch.sequences())?;
        let (sequences, time_steps) = (batch.sequences().batch(), batch.sequences().time_steps());
        let can = self.engine.can_judge((sequences, time_steps));
        Ok(can.then_some(rule))
    }

    fn noise(&self) -> Noise {
        Noise {
            seed: self.seed,
            batch: self.batches,
        }
    }

    /// Learns from one batch with the loss and the step of the device; nothing has changed where that leads nowhere.
    async fn learn_there(
        &mut self,
        batch: &Examples<'_, '_>,
        learning: &mut Learning<'_>,
        rule: DeviceRule,
    ) -> Result<Option<Stepped>> {
        let mut finals = learning.states.as_deref().map(State::all_copied).transpose()?;
        let noise = self.noise();
        let pass = self
            .engine
            .forward_there(batch.sequences(), finals.as_deref_mut(), noise)
            .await?;
        // while the device runs, unless it has to be heard whether a team gave up
        let weights = weights_of(batch, learning.class_weights, pass.shape()?)?;
        let weights = weights.as_ref().map(|weights| weights.view());
        let room = self.engine.spare_targets();
        let loss = self.head.loss;
        let Ok(loss) = loss.for_device(rule, pass.shape()?, batch.targets(), pass.mask(), weights, room) else {
            return Ok(None);
        };
        self.engine.judge(loss)?;
        let blind = self.optimizer.blind_step()?;
        let wants = Wants {
            input: false,
            keeps: true,
            sizes: blind.is_none(),
        };
        match self.engine.backward(&pass, Upstream::default(), wants).await {
            // the loss of the host needs less memory there
            Err(Error::Memory { .. } | Error::TooLarge { .. }) => return Ok(None),
            made => made?,
        };
        self.engine.take_back_targets();
        let Some(step) = self.step_of_kept(blind).await? else {
            return Ok(None);
        };
        let stepped = self.step_there(&step, learning.comes_home).await?;
        if stepped.is_some() {
            #[cfg(test)]
            {
                self.judged_there += 1;
            }
            self.learned(learning.states.as_deref_mut(), finals);
        }
        Ok(stepped)
    }

    /// A batch more, and the states behind it.
    fn learned(&mut self, states: Option<&mut [State]>, finals: Option<Vec<State>>) {
        self.batches += 1;
        if let (Some(states), Some(finals)) = (states, finals) {
            states.clone_from_slice(&finals);
        }
    }

    /// Learns from one batch with the loss of the host; the device may keep the gradients, and make the step.
    pub(super) async fn learn_here(
        &mut self,
        batch: &Examples<'_, '_>,
        learning: Learning<'_>,
        keeps: bool,
    ) -> Result<Stepped> {
        let Learning {
            class_weights,
            states,
            metrics,
            comes_home,
            place,
        } = learning;
        let noise = self.noise();
        // the states go on only where the whole batch does
        let mut finals = states.as_deref().map(State::all_copied).transpose()?;
        let pass = self
            .engine
            .forward(batch.sequences(), finals.as_deref_mut(), Some(noise))
            .await?;
        let mut gradient = self.engine.spare_gradient();
        let weights = weights_of(batch, class_weights, pass.output.values.shape())?;
        let value = self.judge(
            &pass,
            batch,
            weights.as_ref().map(|weights| weights.view()),
            Some(&mut gradient),
        )?;
        let upstream = Upstream {
            outputs: vec![gradient],
            states: None,
        };
        let kept = keeps.then(|| self.optimizer.blind_step()).transpose()?;
        let wants = Wants {
            input: false,
            keeps,
            sizes: matches!(kept, Some(None)),
        };
        let gradients = self.engine.backward(&pass, upstream, wants).await?;
        let judged = self.judged((gradients, kept), (value.value(), place)).await?;
        self.watch(metrics, &pass, batch, weights.as_ref().map(|weights| weights.view()))?;
        self.engine.take_back_pass(pass);
        let stepped = match judged {
            Judged::Kept(step) => self.update_there(&step, comes_home, (value.value(), place)).await?,
            Judged::Read(gradients, loss) => self.update(gradients, (loss, place))?,
        };
        self.learned(states, finals);
        Ok(stepped)
    }

    /// The loss of a pass, without the penalties of regularisers, and its gradient with respect to the outputs.
    pub(super) fn judge(
        &self,
        pass: &Pass<'_>,
        batch: &Examples<'_, '_>,
        weights: Option<ArrayViewD<'_, f32>>,
        gradient: Option<&mut ArrayD<f32>>,
    ) -> Result<LossValue> {
        if pass.output.backward.is_some() {
            return Err(Error::Unsupported {
                layer: "Trainer".to_owned(),
                option: "a loss of the two outputs of a Bidirectional with MergeMode::Separate".to_owned(),
                instead:
                    "merge them (MergeMode::Concat), or compute the gradient of your loss and give it to `gradients`"
                        .to_owned(),
            });
        }
        self.head.loss.compute(
            pass.output.values.view(),
            batch.targets(),
            pass.mask(),
            weights,
            gradient,
        )
    }
}

/// The weights of the examples, multiplied by those of their classes; for outputs of this shape.
fn weights_of<'b>(
    batch: &'b Examples<'_, '_>,
    class_weights: &BTreeMap<i32, f32>,
    outputs: &[usize],
) -> Result<Option<CowArray<'b, f32, IxDyn>>> {
    let given = batch.weights().map(CowArray::from);
    if class_weights.is_empty() {
        return Ok(given);
    }
    let mut by_class = batch.targets().class_weights(outputs, class_weights)?;
    let Some(given) = given else {
        return Ok(Some(by_class.into()));
    };
    let rows = match given.ndim().cmp(&by_class.ndim()) {
        Ordering::Less => given.view().insert_axis(Axis(1)), // the same for all time steps of a sequence
        Ordering::Greater if given.len_of(Axis(1)) == 1 => given.index_axis(Axis(1), 0), // (batch, 1)
        _ => given.view(),
    };
    match rows.broadcast(by_class.raw_dim()) {
        Some(rows) => by_class *= &rows,
        None => return Ok(Some(given)), // the loss says what does not fit
    }
    Ok(Some(by_class.into()))
}
