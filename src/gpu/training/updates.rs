//! What the steps of an optimiser have where the gradients are: what it remembers of each weight stays on the GPU.
//!
//! A step writes the new weights and slots beside the old ones; to take over means that they take their place.

use std::sync::Arc;

use super::gradient_sizes;
use super::recorder::{Recorded, Recorder};
use super::sums::add_parts;
use super::tensors::{Counted, Named, current, stage};
use super::update::{self, Tensors};
use super::weights::Weights;
use crate::error::Result;
use crate::gpu::device::Gpu;
use crate::gpu::device::buffer::Use;
use crate::gpu::rows::Rows;
use crate::gpu::stage::interface::{at, defect};
use crate::model::plan::Plan;
use crate::optimizer::{GradientSize, OptimizerState, Step};

/// What steps need besides weights and gradients.
#[derive(Debug)]
pub(super) struct Updates {
    pub(super) trained: Vec<Trained>,
    pub(super) slots_per_weight: usize,
    /// The numbers that are left of all gradients.
    sizes: wgpu::Buffer,
    pub(super) not_finite: wgpu::Buffer,
    /// How the new weights take the place of the old ones: the same after every step.
    pub(super) taking_over: Option<Arc<Recorded>>,
}

/// A weight that steps change.
#[derive(Debug)]
pub(super) struct Trained {
    /// Its number in the plan, and for the optimiser.
    pub(super) number: usize,
    pub(super) of_optimizer: usize,
    /// Its values.
    pub(super) count: usize,
    /// What comes in the place of the weights.
    pub(super) new_weights: wgpu::Buffer,
    /// What the optimiser remembers, and what comes in its place.
    pub(super) slots: wgpu::Buffer,
    pub(super) new_slots: wgpu::Buffer,
}

/// What a step has led to.
#[derive(Debug, Default)]
pub(crate) struct Updated {
    /// Whether all new weights are, and no gradient is too large.
    pub(crate) is_finite: bool,
    /// What the penalties of the weights before the step add to the loss; not finite where that is beyond what the device can say.
    pub(crate) penalty: f64,
    /// What the loss is, where it was computed here.
    pub(crate) loss: f64,
    /// The new weights, if they are wanted.
    pub(crate) weights: Named,
}

impl Updates {
    /// Uploads what an optimiser remembers of the weights of a plan.
    pub(super) fn new(gpu: &Gpu, plan: &Plan, optimizer: &OptimizerState) -> Result<Self> {
        let slots_per_weight = optimizer.slots_per_weight();
        let mut trained = Vec::new();
        let mut numbers = 0;
        for (number, weight) in plan.weights.iter().enumerate() {
            let Some(of_optimizer) = optimizer.number_of(&weight.path) else {
                continue;
            };
            let count: usize = weight.shape.iter().product();
            let buffer = |what: &str, count: usize| {
                let label = format!("{}.{what}", weight.path);
                gpu.make_buffer(&label, 4 * count as u64, Use::Storage)
            };
            let made = Trained {
                number,
                of_optimizer,
                count,
                new_weights: buffer("new", count),
                slots: buffer("slots", slots_per_weight * count),
                new_slots: buffer("new slots", slots_per_weight * count),
            };
            for (place, slot) in optimizer.slots_of(of_optimizer).into_iter().flatten().enumerate() {
                let first = 4 * (place * count) as u64;
                gpu.queue().write_buffer(&made.slots, first, bytemuck::cast_slice(slot));
            }
            numbers += gradient_sizes::numbers(count);
            trained.push(made);
        }
        Ok(Self {
            trained,
            slots_per_weight,
            sizes: gpu.make_buffer("sizes of gradients", 4 * numbers as u64, Use::Storage),
            not_finite: gpu.make_buffer("not finite", 4, Use::Storage),
            taking_over: None,
        })
    }

    /// Records the sizes of the gradients, and gives the numbers as the host reads them.
    pub(super) fn record_sizes(&self, recorder: &mut Recorder<'_>) -> Result<Counted> {
        let mut first = 0;
        for trained in &self.trained {
            let gradient = recorder.buffer(("gradient", trained.number), trained.count)?;
            gradient_sizes::record(recorder, (&gradient, trained.count), (&self.sizes, first));
            first += gradient_sizes::numbers(trained.count);
        }
        stage(recorder, ("staged sizes", 0), (&self.sizes, first))
    }

    /// The sizes of the gradients, from the numbers that were read.
    pub(super) fn sizes_of(&self, read: &[f32]) -> Vec<(usize, GradientSize)> {
        let mut read = read.iter().map(|value| value.to_bits());
        let sizes = self.trained.iter().map(|trained| {
            let numbers: Vec<u32> = read.by_ref().take(gradient_sizes::numbers(trained.count)).collect();
            (trained.of_optimizer, gradient_sizes::size(&numbers))
        });
        sizes.collect()
    }

    /// Records the step of each weight.
    pub(super) fn record_step(
        &self,
        recorder: &mut Recorder<'_>,
        step: &Step,
        plan: &Plan,
        from: (&Weights, &[Rows]),
    ) -> Result<()> {
        recorder.commands.first.clear(&self.not_finite, 0..4);
        for trained in &self.trained {
            let weight = at(&plan.weights, trained.number)?;
            let gradient = recorder.buffer(("gradient", trained.number), trained.count)?;
            let (weights, width) = current(weight, (from.0.values(trained.number)?, from.1))?;
            let tensors = Tensors {
                gradient: &gradient,
                weights,
                count: trained.count,
                width,
                // (without slots the buffers hold nothing, and the rule reads nothing)
                slots: &trained.slots,
                new_weights: &trained.new_weights,
                new_slots: &trained.new_slots,
                not_finite: &self.not_finite,
            };
            let update = step.update(trained.of_optimizer).ok_or_else(defect)?;
            update::record(recorder, update, &tensors);
        }
        Ok(())
    }

    /// Records how the new weights take the place of the old ones.
    pub(super) fn record_taking_over(
        &self,
        recorder: &mut Recorder<'_>,
        plan: &Plan,
        places: (&Weights, &[Rows]),
    ) -> Result<()> {
        for trained in &self.trained {
            let weight = at(&plan.weights, trained.number)?;
            let (to, width) = current(weight, (places.0.values(trained.number)?, places.1))?;
            if to.stride == width {
                let bytes = 0..4 * trained.count as u64;
                recorder.commands.first.copy(&trained.new_weights, bytes, to.buffer, 0);
            } else {
                let rows = trained.count / width.max(1);
                add_parts(recorder, (&trained.new_weights, 1, [rows, width]), to, false);
            }
        }
        Ok(())
    }
}
