//! Training on the CPU: a plan forward, and backward over the rows that its stages have left.
//!
//! Kept for the way back are the rows of each stage, which it makes anyway, and the gates of a recurrence by panels; the lanes of another one
//! are computed again, for all rows at once. With little memory no gates are kept: the recurrence runs again, piece by piece of time, in memory
//! that all pieces share. Then time runs backwards step by step, the sequences or the units split over threads as forward; then large products
//! over all rows give the gradients of the weights and of the input.

mod backward;
mod blocks;
mod crews;
mod dense;
mod lists;
mod masked;
mod masked_weights;
mod memory;
mod peepholes;
mod prepared;
mod recurrence;
mod recurrent_stage;
mod room;
mod rowwise;
mod spare;
mod step_rows;
mod steps;
mod sums;
mod weights;

use std::sync::Arc;

use ndarray::ArrayD;

use super::CpuModel;
use super::memory::buffer::Lines;
use super::memory::workspace::Workspace;
use super::stage::masked::Masked;
use crate::error::{Error, Result};
use crate::flow::backward::Backward;
use crate::flow::{Flow, Input};
use crate::gradients::{PlanGradients, Upstream};
use crate::model::plan::Plan;
use crate::output::Output;
use crate::random::Noise;
use crate::settings::Settings;
use crate::state::State;
use backward::{Prepared, Way};
use dense::DenseBackward;
use masked::MaskedBackward;
use prepared::Recurrence;
use room::Room;

/// One plan in training on the CPU.
#[derive(Debug)]
pub(crate) struct CpuTraining {
    settings: Settings,
    model: CpuModel,
    recurrences: Vec<Recurrence>,
    /// Of the cells whose gates leave something out.
    masked: Vec<Option<MaskedBackward>>,
    denses: Vec<DenseBackward>,
    workspace: Workspace,
    room: Room,
    /// The states before the first step, as `Workspace::states`.
    initial: Vec<Lines>,
    noise: Option<Noise>,
    /// What ran last, and its lists for the way back.
    ran: Option<(Arc<Flow>, Backward)>,
    /// Whether it ran to its end, with the weights that are there.
    is_whole: bool,
}

impl CpuTraining {
    /// `name` is what its outputs call the device.
    pub(crate) fn new(plan: Arc<Plan>, settings: &Settings, name: Arc<str>) -> Result<Self> {
        let mut model = CpuModel::new(plan, settings, name)?;
        let masked = masked(&mut model)?;
        let (plan, path) = (&model.plan, model.path);
        Ok(Self {
            settings: settings.clone(),
            masked,
            recurrences: plan
                .cells
                .iter()
                .map(|cell| Recurrence::new(cell, path))
                .collect::<Result<_>>()?,
            denses: (plan.denses.iter().map(|part| DenseBackward::new(part, path))).collect::<Result<_>>()?,
            model,
            workspace: Workspace::default(),
            room: Room::default(),
            initial: Vec::new(),
            noise: None,
            ran: None,
            is_whole: false,
        })
    }

    /// Other weights, of the same shapes. What ran before cannot go backwards any more.
    pub(crate) fn set_plan(&mut self, plan: Arc<Plan>) -> Result<()> {
        self.is_whole = false;
        for (recurrence, planned) in self.recurrences.iter_mut().zip(&plan.cells) {
            recurrence.refill(planned)?;
        }
        for (dense, part) in self.denses.iter_mut().zip(&plan.denses) {
            dense.refill(part)?;
        }
        let path = self.model.path;
        let masked = self.masked.iter_mut().zip(&mut self.model.masked);
        for ((back, forward), planned) in masked.zip(&plan.cells) {
            if let Some((back, forward)) = back.as_mut().zip(forward.as_mut()) {
                back.refill(planned, path)?;
                forward.refill(planned)?;
            }
        }
        self.model.set_plan(plan, &self.settings)
    }

    /// Whether gates are computed again on the way back, piece by piece of time, instead of being kept.
    pub(crate) fn low_memory(&mut self, is_low: bool) {
        self.model.keeps_gates = !is_low;
        self.release_memory();
    }

    /// Takes gradients back that a step has used up, in the order of the plan: their memory is that of the next ones.
    pub(crate) fn take_back(&mut self, gradients: impl Iterator<Item = ArrayD<f32>>) {
        let lists = gradients.map(|gradient| gradient.into_raw_vec_and_offset().0);
        self.room.spare.take_back(lists);
    }

    /// Gives the memory back that batches have taken. What ran before cannot go backwards any more.
    pub(crate) fn release_memory(&mut self) {
        (self.workspace, self.room) = (Workspace::default(), Room::default());
        (self.initial, self.ran) = (Vec::new(), None);
    }

    /// Runs a batch forward as in training (`noise`), or as in inference, from the states of all cells if there are any, and leaves the final
    /// ones there. `flow` is one of [`Flow::in_training`]. What each stage makes stays for [`CpuTraining::backward`].
    pub(crate) fn forward(
        &mut self,
        flow: &Arc<Flow>,
        input: Input<'_>,
        states: Option<&mut [State]>,
        noise: Option<Noise>,
        output: &mut Output,
    ) -> Result<()> {
        self.is_whole = false;
        if self.ran.as_ref().is_none_or(|(ran, _)| !Arc::ptr_eq(ran, flow)) {
            self.ran = None;
            self.ran = Some((Arc::clone(flow), Backward::new(flow, &self.model.plan)?));
        }
        self.noise = noise;
        self.model.begin(&mut self.initial, flow.batch, states.as_deref())?;
        self.model
            .run_in(&mut self.workspace, (flow, noise), input, states, output)?;
        self.is_whole = true;
        Ok(())
    }

    /// Backwards what [`CpuTraining::forward`] ran last, with the same flow and input.
    pub(crate) fn backward(
        &mut self,
        flow: &Arc<Flow>,
        input: Input<'_>,
        upstream: &Upstream,
        wants_input: bool,
    ) -> Result<PlanGradients> {
        let ran = self.ran.as_ref().filter(|_| self.is_whole);
        let ran = ran.filter(|(ran, _)| Arc::ptr_eq(ran, flow));
        let (_, lists) = ran.ok_or_else(|| Error::defect("a flow that has not run"))?;
        // what the recurrences have kept is used up
        let mut room = std::mem::take(&mut self.room);
        room.swap(&mut self.workspace);
        let way = Way {
            prepared: Prepared {
                model: &self.model,
                recurrences: &self.recurrences,
                masked: &self.masked,
                denses: &self.denses,
                workspace: &self.workspace,
                initial: &self.initial,
                noise: self.noise,
            },
            flow,
            lists,
            input,
            upstream,
            wants_input,
        };
        let gradients = way.back(&mut room);
        room.swap(&mut self.workspace);
        self.room = room;
        gradients
    }
}

/// The weights of the cells whose gates leave something out, for both ways; of these nothing else is used in training.
fn masked(model: &mut CpuModel) -> Result<Vec<Option<MaskedBackward>>> {
    let (plan, path) = (&model.plan, model.path);
    let dropouts = plan.cells.iter().zip(&plan.cell_dropouts);
    let masked = dropouts.map(|(cell, dropout)| dropout.by_gate.map(|dropout| (cell, dropout)));
    let forward = masked
        .clone()
        .map(|of| of.map(|(cell, dropout)| Masked::new(cell, dropout, path)).transpose());
    let back = masked.map(|of| of.map(|(cell, _)| MaskedBackward::new(cell, path)).transpose());
    let (forward, back) = (forward.collect::<Result<_>>()?, back.collect::<Result<_>>()?);
    model.masked = forward;
    Ok(back)
}

#[cfg(test)]
pub(crate) mod tests;
