//! How much GPU memory training takes, known before a batch is run.

use super::GpuTraining;
use super::buffers::bytes_of;
use super::places::places_within;
use super::recorder::{PARAMETERS, Software, parameters};
use super::repack::Repack;
use super::sizes::{Wanted, WaySizes};
use crate::error::Result;
use crate::flow::size::FlowSize;
use crate::optimizer::OptimizerState;

impl GpuTraining {
    /// The bytes of GPU memory that training on batches of (batch, time_steps) takes, whatever their mask: weights, what a pass forward leaves,
    /// the way back with its gradients, and the steps of the optimiser.
    pub(crate) fn memory(
        &self,
        (batch, time_steps): (usize, usize),
        wants_input: bool,
        optimizer: Option<&OptimizerState>,
    ) -> Result<u64> {
        let (model, gpu) = (&self.model, &self.model.gpu);
        let sizes = model.sizes((batch, time_steps))?;
        sizes
            .rows
            .iter()
            .chain([&sizes.input])
            .try_for_each(|rows| rows.check_whole())?;
        let places = places_within(gpu.largest_binding(), &self.places, &model.plan, (batch, time_steps));
        let wanted = Wanted {
            plan: &model.plan,
            solos: &self.solos,
            places: &places,
            room: batch,
            wants_input,
            software: Software::of(gpu),
            judges_by: optimizer
                .and(self.judges_by)
                .filter(|_| self.can_judge((batch, time_steps))),
        };
        let way = WaySizes::new(&FlowSize::in_training(&model.plan, batch, time_steps), wanted);
        let mut bytes = bytes_of(gpu, PARAMETERS, parameters(gpu, way.dispatches))?;
        for (&name, &(count, _)) in &way.buffers {
            bytes = bytes.saturating_add(bytes_of(gpu, name, count)?);
        }
        let updates = optimizer.map_or(0, |optimizer| self.bytes_of_updates(optimizer));
        bytes = bytes.saturating_add(updates);
        let forms: u64 = model.weights.buffers().iter().map(|buffer| buffer.size()).sum();
        let of_repack = match &self.repack {
            Some(Some(made)) => made.bytes(),
            // the host packs all forms anew while the old ones are still there
            Some(None) if !self.lacks_memory => forms,
            None | Some(None) => {
                // nothing of the way back is there while it is found out where each weight goes
                bytes = bytes.max(Repack::bytes_to_find(model));
                Repack::most_bytes(model).max(forms)
            }
        };
        let parts = [forms, self.weights.bytes(), of_repack, model.memory(batch, time_steps)?];
        Ok(parts.into_iter().fold(bytes, u64::saturating_add))
    }
}
