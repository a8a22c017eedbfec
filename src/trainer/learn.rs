//! One batch: forward, backward, and the weights a step further.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;

use ndarray::{ArrayD, ArrayViewD, Axis, CowArray, Dimension, IxDyn};

use super::engine::Pass;
use super::examples::Examples;
use super::{Trainer, weights_of_model};
use crate::error::{Error, Result};
use crate::gradients::{PlanGradients, Upstream};
use crate::loss::LossValue;
use crate::metric::Metric;
use crate::random::Noise;
use crate::state::State;
use crate::sums::all;

const REPAIR: &str = "the weights are as before this batch; lower the learning rate, clip gradients (`global_clipnorm(1.0)` of the \
                      optimiser), and look for NaN or huge numbers in the data of steps that count";

/// What a batch has besides its examples.
#[derive(Debug)]
pub(super) struct Learning<'l> {
    pub(super) class_weights: &'l BTreeMap<i32, f32>,
    /// What becomes of the states of all cells, if they are carried on.
    pub(super) states: Option<&'l mut [State]>,
    pub(super) metrics: &'l mut [Metric],
    pub(super) place: Place,
}

/// Where a training is, as messages say it: epoch and batch from 1.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place(pub(super) Option<(usize, usize)>);

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some((epoch, batch)) => write!(formatter, "epoch {epoch}, batch {batch}"),
            None => formatter.write_str("the batch"),
        }
    }
}

impl Trainer {
    /// Learns from one batch, and gives its loss with the weights before the update: `model.train_on_batch` of Keras 3.15.
    ///
    /// # Errors
    ///
    /// As [`fit`](Self::fit); the weights are then as they were.
    ///
    /// ```
    /// use cellstate::{Dense, Device, Examples, Loss, Model, Sequences, Sgd, Trainer};
    /// use ndarray::array;
    ///
    /// let mut model = Model::builder().add(Dense::new(1, 1)).build()?;
    /// model.replace_parameter("dense/kernel", array![[1.0]].into_dyn())?;
    /// let mut trainer = Trainer::new(model, &Device::cpu(), Loss::MeanSquaredError, Sgd::new(0.25))?;
    /// let batch = Examples::new(Sequences::from(array![[[1.0]]]), array![[[3.0_f32]]])?;
    /// assert_eq!(trainer.train_on_batch(&batch)?, 4.0); // (1 - 3)²
    /// assert_eq!(trainer.train_on_batch(&batch)?, 0.0); // kernel and bias have moved by 0.25 · 4 each
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[cfg(not(target_arch = "wasm32"))]
    pub fn train_on_batch(&mut self, batch: &Examples<'_, '_>) -> Result<f64> {
        pollster::block_on(self.train_on_batch_async(batch))
    }

    /// As [`Trainer::train_on_batch`].
    ///
    /// # Errors
    ///
    /// As [`Trainer::train_on_batch`].
    pub async fn train_on_batch_async(&mut self, batch: &Examples<'_, '_>) -> Result<f64> {
        let learning = Learning {
            class_weights: &BTreeMap::new(),
            states: None,
            metrics: &mut [],
            place: Place(None),
        };
        self.learn(batch, learning).await.map(|learned| learned.loss)
    }

    /// Learns from one batch. On an error weights and states are as they were.
    pub(super) async fn learn(&mut self, batch: &Examples<'_, '_>, learning: Learning<'_>) -> Result<Learned> {
        let Learning {
            class_weights,
            states,
            metrics,
            place,
        } = learning;
        let noise = Noise {
            seed: self.seed,
            batch: self.batches,
        };
        // the states go on only where the whole batch does
        let mut finals = states.as_deref().map(State::all_copied).transpose()?;
        let pass = self
            .engine
            .forward(batch.sequences(), finals.as_deref_mut(), Some(noise))
            .await?;
        let mut gradient = ArrayD::default(IxDyn(&[0]));
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
        let mut gradients = self.engine.backward(&pass, upstream, false).await?;
        let loss = value.value() + self.penalty()?;
        self.regularizers
            .add_gradients(&self.weights, &mut gradients.parameters)?;
        check_finite(loss, &gradients, place)?;
        self.watch(metrics, &pass, batch, weights.as_ref().map(|weights| weights.view()))?;
        drop(pass);
        let learning_rate = self.update(gradients, (loss, place))?;
        self.batches += 1;
        if let (Some(states), Some(finals)) = (states, finals) {
            states.clone_from_slice(&finals);
        }
        Ok(Learned { loss, learning_rate })
    }

    /// The penalty of the regularisers.
    pub(super) fn penalty(&self) -> Result<f64> {
        self.regularizers.loss(&self.weights)
    }

    /// Makes the step of the optimiser, and gives its learning rate. On an error weights and optimiser are as they were.
    fn update(&mut self, gradients: PlanGradients, (loss, place): (f64, Place)) -> Result<f64> {
        let PlanGradients {
            mut parameters, moved, ..
        } = gradients;
        let learning_rate = self.optimizer.learning_rate();
        let stepped = self.optimizer.step(&mut parameters, &mut self.weights);
        stepped.map_err(|error| placed(error, |gradient| format!("{gradient} in {place}, whose loss is {loss}")))?;
        let moved = moved.into_iter().filter(|(path, _)| !self.is_frozen(path));
        let replaced = self.weights.iter().cloned().chain(moved).collect();
        if let Err(error) = self.model.replace_parameters(replaced) {
            self.weights = weights_of_model(&self.model);
            self.optimizer.undo();
            return Err(placed(error, |tensor| format!("{tensor} behind {place}")));
        }
        self.engine.set_plans(&self.head.plans(&self.model));
        Ok(learning_rate)
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

/// What a batch has given.
#[derive(Clone, Copy, Debug)]
pub(super) struct Learned {
    /// The loss before the update, with the penalties of regularisers.
    pub(super) loss: f64,
    pub(super) learning_rate: f64,
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

/// Whether a training may go on: what is wrong first, from the output to the input.
fn check_finite(loss: f64, gradients: &PlanGradients, place: Place) -> Result<()> {
    let is_bad = |value: &f32| !value.is_finite();
    let bad = gradients.parameters.iter().rev().find_map(|(path, gradient)| {
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
