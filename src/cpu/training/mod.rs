//! Training on the CPU: a plan forward, and backward over the rows that its stages have left.
//!
//! Nothing is kept for the way back but what each stage makes anyway, its rows. The gates of a recurrence are computed again, for all rows at
//! once; then time runs backwards step by step; then three large products over all rows give the gradients of the weights and of the input.
#![allow(dead_code, reason = "the trainer is its caller")]

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::flow::{Flow, Input};
use crate::gradients::{PlanGradients, Upstream};
use crate::model::plan::Plan;
use crate::output::Output;
use crate::random::Noise;
use crate::settings::Settings;
use crate::state::State;

/// One plan in training on the CPU.
#[derive(Debug)]
pub(crate) struct CpuTraining {
    plan: Arc<Plan>,
    name: Arc<str>,
}

impl CpuTraining {
    /// `name` is what its outputs call the device.
    pub(crate) fn new(plan: Arc<Plan>, _settings: &Settings, name: Arc<str>) -> Result<Self> {
        Ok(Self { plan, name })
    }

    /// Other weights, of the same shapes.
    pub(crate) fn set_plan(&mut self, plan: Arc<Plan>) -> Result<()> {
        self.plan = plan;
        Ok(())
    }

    /// Runs a batch forward as in training (`noise`), or as in inference, from the states of all cells if there are any, and leaves the final
    /// ones there. `flow` is one of [`Flow::in_training`]. It keeps what [`CpuTraining::backward`] needs.
    pub(crate) fn forward(
        &mut self,
        _flow: &Arc<Flow>,
        _input: Input<'_>,
        _states: Option<&mut [State]>,
        _noise: Option<Noise>,
        _output: &mut Output,
    ) -> Result<()> {
        Err(Error::defect("training, which is being built"))
    }

    /// Backwards what [`CpuTraining::forward`] ran last, with the same flow and input.
    pub(crate) fn backward(
        &mut self,
        _flow: &Arc<Flow>,
        _input: Input<'_>,
        _upstream: &Upstream,
        _wants_input: bool,
    ) -> Result<PlanGradients> {
        Err(Error::defect("training, which is being built"))
    }
}
