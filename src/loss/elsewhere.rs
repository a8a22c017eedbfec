//! The loss where a device computes it of the outputs that it has: the host says which steps count, how much, and what they are wanted to be.

use ndarray::{ArrayD, ArrayView2, ArrayViewD, IxDyn};
use rayon::prelude::*;

use super::smoothing::smooth;
use super::steps::{LOSS, of_shape};
use super::{Loss, Steps, Targets};
use crate::error::Result;

/// How the loss of a step comes from its output and what that is wanted to be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum DeviceRule {
    /// Feature by feature, (output - target)²,
    Squared,
    /// |output - target|,
    Absolute,
    /// the first up to a limit, then the second,
    Huber { delta: f32 },
    /// or the cross-entropy of a logit.
    BinaryLogits,
    /// The cross-entropy of the logits of a step with probabilities of its classes,
    Probabilities,
    /// or with one class.
    Class,
}

impl DeviceRule {
    /// Whether the loss of a step is the mean over its features.
    pub(crate) fn is_by_feature(self) -> bool {
        !matches!(self, Self::Probabilities | Self::Class)
    }

    /// Whether there is a target for each feature.
    pub(crate) fn has_targets(self) -> bool {
        self != Self::Class
    }
}

/// The loss of a batch, as a device is told.
#[derive(Clone, Debug)]
pub(crate) struct DeviceLoss {
    pub(crate) rule: DeviceRule,
    /// The features of a step.
    pub(crate) width: usize,
    /// Of each step that counts and has a weight: its number among all, sequence by sequence; the bits of what its loss is multiplied by; its class; 0.
    pub(crate) steps: Vec<[u32; 4]>,
    /// What they are wanted to be, (steps, width), or nothing.
    pub(crate) targets: Vec<f32>,
}

impl Loss {
    /// How a device computes it; `None` where the host has to.
    pub(crate) fn device_rule(&self) -> Option<DeviceRule> {
        match *self {
            Self::MeanSquaredError => Some(DeviceRule::Squared),
            Self::MeanAbsoluteError => Some(DeviceRule::Absolute),
            Self::Huber(loss) => Some(DeviceRule::Huber { delta: loss.limit() }),
            Self::BinaryCrossentropy(loss) if loss.is_of_logits() => Some(DeviceRule::BinaryLogits),
            Self::CategoricalCrossentropy(loss) if loss.is_of_logits() => Some(DeviceRule::Probabilities),
            Self::SparseCategoricalCrossentropy(loss) if loss.is_of_logits() => Some(DeviceRule::Class),
            Self::BinaryCrossentropy(_)
            | Self::CategoricalCrossentropy(_)
            | Self::SparseCategoricalCrossentropy(_)
            | Self::Ctc(_) => None,
        }
    }

    /// What a device is told of the loss of a batch with outputs of this shape; `room` is memory for the targets.
    ///
    /// # Errors
    ///
    /// Those of [`compute`](Self::compute).
    pub(crate) fn for_device(
        &self,
        rule: DeviceRule,
        outputs: &[usize],
        targets: &Targets<'_>,
        mask: Option<ArrayView2<'_, bool>>,
        weights: Option<ArrayViewD<'_, f32>>,
        mut room: Vec<f32>,
    ) -> Result<DeviceLoss> {
        self.check()?;
        let one = ArrayD::<f32>::zeros(IxDyn(&[]));
        let steps = Steps::new(of_shape(&one, outputs)?, targets, mask, weights, self.wanted())?;
        let width = outputs.last().copied().unwrap_or(0);
        let features = if rule.is_by_feature() { width as f64 } else { 1.0 };
        let (share, time_steps) = (1.0 / (steps.count().max(1) as f64 * features), steps.time_steps());
        let mut counted: Vec<[u32; 4]> = LOSS.list(steps.count())?;
        steps.weighted(|sequence, time_step, weight| {
            let number = (sequence * time_steps + time_step) as u32;
            counted.push([number, ((weight * share) as f32).to_bits(), 0, 0]);
        })?;
        let place = |number: u32| (number as usize / time_steps.max(1), number as usize % time_steps.max(1));
        match rule.has_targets() {
            true => {
                let length = counted.len() * width;
                match room.capacity() < length {
                    true => room = LOSS.zeros(length)?,
                    false => room.resize(length, 0.0),
                }
                let rows = room.par_chunks_mut(width.max(1)).zip(&counted).with_min_len(ROWS);
                rows.try_for_each(|(row, &[number, ..])| {
                    let (sequence, time_step) = place(number);
                    steps.numbers(sequence, time_step, row)
                })?;
                self.smooth(&mut room, width);
            }
            false => counted.iter_mut().try_for_each(|[number, _, class, _]| {
                let (sequence, time_step) = place(*number);
                *class = steps.class(sequence, time_step)?;
                Ok(())
            })?,
        }
        Ok(DeviceLoss {
            rule,
            width,
            steps: counted,
            targets: room,
        })
    }

    /// Spreads a share of each target, if that is an option of the loss.
    fn smooth(&self, targets: &mut [f32], width: usize) {
        let (share, even) = match self {
            Self::BinaryCrossentropy(loss) => (loss.smoothed_share(), 0.5),
            Self::CategoricalCrossentropy(loss) => (loss.smoothed_share(), 1.0 / width as f64),
            _ => return,
        };
        if share != 0.0 {
            for target in targets {
                *target = smooth(f64::from(*target), f64::from(share), even) as f32;
            }
        }
    }
}

/// The rows of targets that a thread takes at least.
const ROWS: usize = 64;
