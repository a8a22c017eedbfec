//! Training on the CPU: a plan forward, and backward over the rows that its stages have left.
//!
//! Nothing is kept for the way back but what each stage makes anyway, its rows. The gates of a recurrence are computed again, for all rows at
//! once; then time runs backwards step by step; then three large products over all rows give the gradients of the weights and of the input.

mod backward;
mod blocks;
mod dense;
mod lists;
mod prepared;
mod recurrence;
mod rowwise;
mod steps;
mod sums;
mod weights;

use std::sync::Arc;

use super::CpuModel;
use super::memory::buffer::Lines;
use super::memory::workspace::Workspace;
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
use prepared::Recurrence;

/// One plan in training on the CPU.
#[derive(Debug)]
pub(crate) struct CpuTraining {
    settings: Settings,
    name: Arc<str>,
    model: CpuModel,
    recurrences: Vec<Recurrence>,
    denses: Vec<DenseBackward>,
    workspace: Workspace,
    /// The states before the first step, as `Workspace::states`.
    initial: Vec<Lines>,
    noise: Option<Noise>,
    /// What ran last, and its lists for the way back.
    ran: Option<(Arc<Flow>, Backward)>,
}

impl CpuTraining {
    /// `name` is what its outputs call the device.
    pub(crate) fn new(plan: Arc<Plan>, settings: &Settings, name: Arc<str>) -> Result<Self> {
        let model = CpuModel::new(plan, settings, Arc::clone(&name))?;
        let (plan, path) = (&model.plan, model.path);
        Ok(Self {
            settings: settings.clone(),
            name,
            recurrences: plan.cells.iter().map(|cell| Recurrence::new(cell, path)).collect(),
            denses: plan.denses.iter().map(|part| DenseBackward::new(part, path)).collect(),
            model,
            workspace: Workspace::default(),
            initial: Vec::new(),
            noise: None,
            ran: None,
        })
    }

    /// Other weights, of the same shapes. What ran before cannot go backwards any more.
    pub(crate) fn set_plan(&mut self, plan: Arc<Plan>) -> Result<()> {
        let made = Self::new(plan, &self.settings, Arc::clone(&self.name))?;
        let earlier = std::mem::replace(self, made);
        // their memory is of the same sizes
        (self.workspace, self.initial) = (earlier.workspace, earlier.initial);
        self.ran = earlier.ran;
        Ok(())
    }

    /// Gives the memory back that batches have taken. What ran before cannot go backwards any more.
    pub(crate) fn release_memory(&mut self) {
        self.workspace = Workspace::default();
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
        if self.ran.as_ref().is_none_or(|(ran, _)| !Arc::ptr_eq(ran, flow)) {
            self.ran = None;
            self.ran = Some((Arc::clone(flow), Backward::new(flow, &self.model.plan)?));
        }
        self.noise = noise;
        self.model.begin(&mut self.initial, flow.batch, states.as_deref())?;
        self.model
            .run_in(&mut self.workspace, (flow, noise), input, states, output)
    }

    /// Backwards what [`CpuTraining::forward`] ran last, with the same flow and input.
    pub(crate) fn backward(
        &mut self,
        flow: &Arc<Flow>,
        input: Input<'_>,
        upstream: &Upstream,
        wants_input: bool,
    ) -> Result<PlanGradients> {
        let ran = self.ran.as_ref().filter(|(ran, _)| Arc::ptr_eq(ran, flow));
        let (_, lists) = ran.ok_or_else(|| Error::defect("a flow that has not run"))?;
        Way {
            prepared: Prepared {
                model: &self.model,
                recurrences: &self.recurrences,
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
        }
        .back()
    }
}

#[cfg(test)]
mod tests;
