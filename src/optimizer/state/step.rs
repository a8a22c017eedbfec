//! The step, on the CPU.

use ndarray::{ArrayD, Dimension, IxDyn};

use super::{CLIP, OptimizerState, SharedArray, first_not_finite};
use crate::error::{Error, Result};
use crate::learning_rate::check_rate;
use crate::memory::zeros;
use crate::optimizer::apply::{Elements, apply};
use crate::optimizer::common::{At, Clip};
use crate::optimizer::update::Update;
use crate::parameters::Parameters;
use crate::sums::sum;

/// The square of a larger gradient is infinite, and with it the slots.
pub(crate) const LARGEST: f32 = 1e18;

impl OptimizerState {
    /// Makes a step: gives what the trained parameters become by `gradients`, which are matched by path. Gradients of others are left
    /// alone. After an error nothing has changed; after a step the gradients are of no use.
    pub(crate) fn step(
        &mut self,
        gradients: &mut [(String, ArrayD<f32>)],
        parameters: &Parameters,
    ) -> Result<Vec<(String, SharedArray)>> {
        let at = self.next()?;
        let mut gradients = self.matched(gradients)?;
        let weights = self.weights(parameters)?;
        let norms = self.norms(&gradients)?;
        let updates = self.updates(&at, &norms);
        self.check_sizes(&gradients, &norms, &updates)?;
        let mut stepped = self.room_for_weights()?;
        let mut work = Vec::with_capacity(updates.len());
        let arrays = weights.iter().zip(&mut gradients).zip(&mut stepped);
        for ((trained, update), ((weights, gradients), stepped)) in self.trained.iter_mut().zip(updates).zip(arrays) {
            let mut slots = trained.slots.iter_mut().map(Vec::as_mut_slice);
            let mut earlier = trained.earlier.iter_mut().map(Vec::as_mut_slice);
            let part = Elements {
                weights: weights
                    .as_slice()
                    .ok_or_else(|| Error::defect("the layout of a weight"))?,
                stepped: elements(stepped)?,
                gradients: elements(gradients)?,
                slots: std::array::from_fn(|_| slots.next().unwrap_or_default()),
                earlier: std::array::from_fn(|_| earlier.next().unwrap_or_default()),
            };
            work.push((update, part));
        }
        apply(work);
        self.earlier = Some(self.progress.clone());
        self.go_on(&at);
        let stepped = self.trained.iter_mut().zip(weights).zip(stepped);
        let stepped = stepped.map(|((trained, before), stepped)| {
            trained.spare = Some(before);
            (trained.path.clone(), stepped.into_shared())
        });
        Ok(stepped.collect())
    }

    /// The trained parameters row by row, in their order.
    fn weights(&self, parameters: &Parameters) -> Result<Vec<SharedArray>> {
        let weights = self.trained.iter().map(|trained| {
            let weights = parameters.get(&trained.path)?.shared();
            if weights.shape() != trained.shape {
                return Err(Error::defect("the shape of a weight"));
            }
            Ok(match weights.is_standard_layout() {
                true => weights.clone(),
                false => weights.as_standard_layout().into_owned().into_shared(),
            })
        });
        weights.collect()
    }

    /// Arrays for new weights: the memory of those before the last step, where nobody else has it.
    fn room_for_weights(&mut self) -> Result<Vec<ArrayD<f32>>> {
        let room = self.trained.iter_mut().map(|trained| {
            if let Some(Ok(spare)) = trained.spare.take().map(SharedArray::try_into_owned_nocopy) {
                return Ok(spare);
            }
            zeros(
                "the weights behind a step",
                IxDyn(&trained.shape),
                "take a smaller model",
            )
        });
        room.collect()
    }

    /// As if the last step had not been made, for what it makes of the slots; two in a row cannot be undone.
    pub(crate) fn undo(&mut self) {
        if let Some(earlier) = self.earlier.take() {
            for trained in &mut self.trained {
                std::mem::swap(&mut trained.slots, &mut trained.earlier);
            }
            self.progress = earlier;
        }
    }

    /// Where the next step is made.
    pub(super) fn next(&self) -> Result<At> {
        let learning_rate = self.learning_rate();
        check_rate(&self.progress.optimizer, "learning_rate of this step", learning_rate)?;
        let step = self.progress.iterations.saturating_add(1);
        let momentum_product = self.progress.momentum_product * self.optimizer.method().momentum(step);
        Ok(At {
            step,
            learning_rate,
            momentum_product,
        })
    }

    /// The step is made.
    pub(super) fn go_on(&mut self, at: &At) {
        self.progress.iterations = at.step;
        self.progress.momentum_product = at.momentum_product;
    }

    /// The sum of the squares of each gradient, all of which are finite.
    fn norms(&self, gradients: &[&mut ArrayD<f32>]) -> Result<Vec<f64>> {
        let mut squares = Vec::with_capacity(gradients.len());
        for (trained, gradient) in self.trained.iter().zip(gradients) {
            let gradient = gradient.view();
            let sum = match gradient.as_slice() {
                Some(values) => sum(values, |value| value * value),
                None => gradient
                    .iter()
                    .fold(0.0, |sum, &value| sum + f64::from(value) * f64::from(value)),
            };
            if !sum.is_finite() {
                first_not_finite(&trained.path, &gradient)?;
            }
            squares.push(sum);
        }
        Ok(squares)
    }

    /// Whether each gradient, clipped, is small enough for the slots: what is wrong first, from the output to the input.
    fn check_sizes(&self, gradients: &[&mut ArrayD<f32>], squares: &[f64], updates: &[Update]) -> Result<()> {
        let all = self.trained.iter().zip(gradients).zip(squares.iter().zip(updates));
        for ((trained, gradient), (square, update)) in all.rev() {
            // no number is larger than the norm
            let norm = square.sqrt() * f64::from(update.scale);
            if norm.min(f64::from(update.limit)) < f64::from(LARGEST) {
                continue;
            }
            let is_large = |value: f32| (value.abs() * update.scale).min(update.limit) >= LARGEST;
            if let Some((index, value)) = gradient.indexed_iter().find(|(_, value)| is_large(**value)) {
                return Err(Error::NotFinite {
                    tensor: format!("gradient of {}", trained.path),
                    index: index.slice().to_vec(),
                    value: value.to_string(),
                    repair: CLIP.to_owned(),
                });
            }
        }
        Ok(())
    }

    /// The update of each trained parameter, by the sums of the squares of the gradients.
    pub(super) fn updates(&self, at: &At, squares: &[f64]) -> Vec<Update> {
        let method = self.optimizer.method();
        let common = method.common();
        let clip = common.clip();
        let of_all = squares.iter().fold(0.0, |sum, square| sum + square).sqrt();
        let decay = common.weight_decay.unwrap_or_default();
        let updates = self.trained.iter().zip(squares).map(|(trained, squares)| {
            let decay = if trained.decays { decay as f32 } else { 0.0 };
            Update {
                scale: match clip {
                    Some(Clip::Norm(most)) => (most / squares.sqrt()).min(1.0) as f32,
                    Some(Clip::GlobalNorm(most)) => (most / of_all).min(1.0) as f32,
                    Some(Clip::GradNorm(most)) => (most / (of_all + 1e-6)).min(1.0) as f32,
                    Some(Clip::Value(_)) | None => 1.0,
                },
                limit: match clip {
                    Some(Clip::Value(most)) => most as f32,
                    _ => f32::INFINITY,
                },
                coupled_decay: if common.decoupled { 0.0 } else { decay },
                weight_decay: if common.decoupled { decay } else { 0.0 },
                learning_rate: at.learning_rate as f32,
                rule: method.rule(at),
            }
        });
        updates.collect()
    }
}

/// The numbers of an array, row by row; an array in another order is put into this one.
fn elements(array: &mut ArrayD<f32>) -> Result<&mut [f32]> {
    if !array.is_standard_layout() {
        *array = array.as_standard_layout().into_owned();
    }
    array
        .as_slice_mut()
        .ok_or_else(|| Error::defect("the layout of a gradient"))
}
