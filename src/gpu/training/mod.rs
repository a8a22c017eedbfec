//! Training one plan on a GPU: its forward pass as in a run, by any strategy, and the way back.
//!
//! The way back reads the rows of every stage, which the workspace of the forward pass keeps. It computes the rest again: the lanes of a
//! recurrence by two products over all rows, the cell state by a scan. So no strategy has to know of training.
//!
//! Arrows point only this way: `texts`, `buffers` < `recorder` < `sums` < `product`, `scatter`, `row_gradients`, `rule`, `weights` < `counted`, `recurrence` < `way` < `stages`.

mod buffers;
pub(crate) mod counted;
pub(crate) mod product;
mod recorder;
mod recurrence;
pub(crate) mod row_gradients;
pub(crate) mod rule;
pub(crate) mod scatter;
mod stages;
pub(crate) mod sums;
#[cfg(test)]
pub(crate) mod tests;
mod texts;
mod way;
mod weights;

use std::sync::Arc;

use ndarray::{Array3, ArrayD, Dim, IxDyn};

use crate::error::{Error, Result};
use crate::flow::backward::Backward;
use crate::flow::{Flow, Input, Stage};
use crate::gpu::GpuModel;
use crate::gpu::device::Gpu;
use crate::gpu::device::buffer::Use;
use crate::gpu::device::mapped;
use crate::gpu::stage::interface::{at, defect};
use crate::gpu::workspace::Workspace;
use crate::gradients::{PlanGradients, Upstream};
use crate::memory::{OUTPUT, STATES};
use crate::model::layer_names::LayerNames;
use crate::model::plan::{Plan, PlannedCell};
use crate::model::transform::Transform;
use crate::output::Output;
use crate::parameters::Role;
use crate::random::Noise;
use crate::recent::ForSize;
use crate::schedule::Schedule;
use crate::settings::Settings;
use crate::state::State;
use buffers::Buffers;
use recorder::Recorder;
use way::Way;
use weights::Weights;

const INSTEAD: &str = "train on the CPU, Device::cpu()";

/// One plan, ready to be trained on a GPU.
#[derive(Debug)]
pub(crate) struct GpuTraining {
    model: GpuModel,
    name: Arc<str>,
    weights: Weights,
    buffers: Buffers,
    /// The flow of the last forward pass, with its lists for the way back,
    lists: Option<(Arc<Flow>, Backward)>,
    /// and what that pass has left.
    left: Option<Left>,
}

/// What a forward pass leaves for the way back.
#[derive(Debug)]
struct Left {
    workspace: ForSize<Workspace>,
    /// The states from which it began.
    initial: Option<Vec<State>>,
    noise: Option<Noise>,
}

/// What the host reads of a way back: a buffer of it, the staging buffer, and how many values.
type Wanted = (wgpu::Buffer, wgpu::Buffer, usize);

impl GpuTraining {
    /// Uploads the weights and makes the pipelines of the forward pass.
    pub(crate) async fn new(gpu: &Gpu, plan: Arc<Plan>, settings: &Settings, name: Arc<str>) -> Result<Self> {
        check(&plan)?;
        let upload = || Weights::upload(gpu, &plan);
        let weights = gpu.guarded("uploading the weights", upload).await?;
        let model = GpuModel::new(gpu.clone(), plan, settings).await?.keeping_rows();
        Ok(Self {
            model,
            name,
            weights,
            buffers: Buffers::default(),
            lists: None,
            left: None,
        })
    }

    /// Runs a batch forward as in training (noise: Some) or as in inference (None), from states if there are any, and leaves final ones there;
    /// keeps what backward needs. On an error output and states are as they were.
    pub(crate) async fn forward(
        &mut self,
        flow: &Arc<Flow>,
        input: Input<'_>,
        states: Option<&mut [State]>,
        noise: Option<Noise>,
        output: &mut Output,
    ) -> Result<()> {
        let size = input.size();
        self.model.check_size(size)?;
        self.put_back();
        if self.lists.as_ref().is_none_or(|(of, _)| !Arc::ptr_eq(of, flow)) {
            self.lists = None;
            self.lists = Some((Arc::clone(flow), Backward::new(flow, &self.model.plan)?));
        }
        let initial = states.as_deref().map(State::all_copied).transpose()?;
        let mut workspace = self.model.workspace(size).await?;
        workspace.value.noise = noise;
        let to = (&self.name, output);
        let workspace = self.model.run_from_host(workspace, (flow, input), states, to).await?;
        self.left = Some(Left {
            workspace,
            initial,
            noise,
        });
        Ok(())
    }

    /// Gives the memory back that batches have taken. What ran before cannot go backwards any more.
    pub(crate) fn release_memory(&mut self) {
        (self.lists, self.left) = (None, None);
        self.buffers = Buffers::default();
        self.model.drop_workspaces();
    }

    /// Gives the workspace of the last pass back to those that are kept.
    fn put_back(&mut self) {
        if let Some(left) = self.left.take() {
            let size = (left.workspace.batch, left.workspace.time_steps);
            self.model.keep_workspace(left.workspace, size);
        }
    }

    /// What `forward` ran last, backwards: the gradients of the weights, of the initial states, and of the input if that is wanted.
    pub(crate) async fn backward(
        &mut self,
        flow: &Arc<Flow>,
        input: Input<'_>,
        upstream: &Upstream,
        wants_input: bool,
    ) -> Result<PlanGradients> {
        let lists = self.lists.as_ref().filter(|(of, _)| Arc::ptr_eq(of, flow));
        let (Some(left), Some((_, backward))) = (&self.left, lists) else {
            return Err(Error::defect("a way back without its forward pass"));
        };
        let plan = &self.model.plan;
        let wants_input = wants_input && !plan.takes_tokens;
        let way = Way {
            flow,
            backward,
            plan,
            weights: &self.weights,
            workspace: &left.workspace.value,
            tables: &self.model.weights.tables,
            upstream,
            noise: left.noise,
            wants_input,
        };
        let (gpu, buffers) = (&self.model.gpu, &mut self.buffers);
        let known = gpu.known_pipelines();
        let work = || {
            let mut recorder = Recorder::new(gpu, buffers, way.dispatches())?;
            upload_carry(&mut recorder, (flow, plan), upstream, left.initial.as_deref())?;
            way.record(&mut recorder)?;
            let wanted = wanted(&mut recorder, (flow, plan), wants_input)?;
            Ok((recorder.submit()?, wanted))
        };
        let made = gpu.guarded("running the model backwards", work).await;
        if made.is_err() {
            gpu.forget_pipelines_but(&known);
            // a buffer that there was no memory for looks like any other
            self.buffers = Buffers::default();
        }
        let (submission, wanted) = made?;
        let staged: Vec<_> = wanted
            .iter()
            .map(|(_, staging, count)| (staging, 4 * *count as u64))
            .collect();
        let read: Result<Vec<Vec<f32>>> = mapped::read(gpu, &staged, Some(submission)).await;
        if read.is_err() {
            // some of what was to be read may be the host's still
            self.buffers = Buffers::default();
        }
        let read = read?;
        collected((flow, plan), input, wants_input, read)
    }

    /// Other weights, of the same shapes.
    pub(crate) async fn set_plan(&mut self, plan: Arc<Plan>) -> Result<()> {
        let write = || self.weights.write(&self.model.gpu, &plan);
        self.model.gpu.guarded("uploading the weights", write).await?;
        self.put_back();
        self.model.set_plan(plan).await
    }
}

/// Whether the way back of everything in a plan is known here.
fn check(plan: &Plan) -> Result<()> {
    let refuse = |layer: String, option: &str| {
        Err(Error::Unsupported {
            layer,
            option: format!("{option} on a GPU"),
            instead: INSTEAD.to_owned(),
        })
    };
    let names = LayerNames::of(plan);
    for (number, planned) in plan.cells.iter().enumerate() {
        if let Some(option) = rule::refused(&planned.cell) {
            return refuse(names.cell(number).to_string(), option);
        }
    }
    for (number, transform) in plan.transforms.iter().enumerate() {
        if matches!(transform, Transform::Scale { by: Some(_), .. }) {
            return refuse(names.transform(number).to_string(), "training");
        }
    }
    Ok(())
}

/// Each cell of a flow with its schedule.
fn cells<'a>(flow: &'a Flow, plan: &'a Plan) -> impl Iterator<Item = (usize, &'a PlannedCell, &'a Schedule)> {
    flow.stages.iter().filter_map(|stage| match stage {
        Stage::Recurrent { cell, schedule, .. } => Some((*cell, plan.cells.get(*cell)?, &**schedule)),
        _ => None,
    })
}

/// Uploads for each cell, by position: the gradients of the final states, and the initial state that its rule reads.
fn upload_carry(
    recorder: &mut Recorder<'_>,
    (flow, plan): (&Flow, &Plan),
    upstream: &Upstream,
    initial: Option<&[State]>,
) -> Result<()> {
    for (number, planned, schedule) in cells(flow, plan) {
        let (units, batch) = (planned.units(), schedule.batch());
        let mut carry = STATES.zeros::<f32>(3 * batch * units)?;
        let of = |states: Option<&[State]>| states.map(|states| at(states, number).cloned()).transpose();
        let (finals, initial) = (of(upstream.states.as_deref())?, of(initial)?);
        let finals = finals.iter().flat_map(State::arrays);
        let started = initial.iter().flat_map(|state| state.arrays().last());
        let parts = finals.zip(0..).chain(started.map(|array| (array, 2)));
        for (array, part) in parts {
            let rows = carry.chunks_exact_mut(units.max(1)).skip(part * batch);
            for (row, &sequence) in rows.zip(schedule.order()) {
                let values = array.outer_iter().nth(sequence as usize).ok_or_else(defect)?;
                row.iter_mut().zip(values).for_each(|(to, &value)| *to = value);
            }
        }
        recorder.upload(("carry", number), &carry)?;
    }
    Ok(())
}

/// What the host reads: the gradients of the weights that are trained, of the initial states, and of the input.
fn wanted(recorder: &mut Recorder<'_>, (flow, plan): (&Flow, &Plan), wants_input: bool) -> Result<Vec<Wanted>> {
    let mut names = Vec::new();
    for (number, weight) in plan
        .weights
        .iter()
        .enumerate()
        .filter(|(_, weight)| is_trained(weight.role))
    {
        names.push((("gradient", number), weight.shape.iter().product()));
    }
    for (number, planned, schedule) in cells(flow, plan) {
        let states = planned.cell.state_widths().len();
        names.push((("carry", number), states * schedule.batch() * planned.units()));
    }
    if wants_input {
        let count = flow.input_steps.len() * plan.features.unwrap_or(0);
        names.push((("input gradient", 0), count));
    }
    let mut wanted = Vec::new();
    for (place, (name, count)) in names.into_iter().enumerate() {
        let buffer = recorder.buffer(name, count)?;
        let staging = recorder
            .buffers
            .get(recorder.gpu, ("staging", place), count, Use::Readback)?;
        recorder.commands.last.copy(&buffer, 0..4 * count as u64, &staging, 0);
        wanted.push((buffer, staging, count));
    }
    Ok(wanted)
}

fn is_trained(role: Role) -> bool {
    !matches!(role, Role::MovingMean | Role::MovingVariance)
}

/// The gradients in their shapes, from what was read in the order of [`wanted`].
fn collected(
    (flow, plan): (&Flow, &Plan),
    input: Input<'_>,
    wants_input: bool,
    read: Vec<Vec<f32>>,
) -> Result<PlanGradients> {
    let mut read = read.into_iter();
    let mut gradients = PlanGradients::default();
    for weight in plan.weights.iter().filter(|weight| is_trained(weight.role)) {
        let values = read.next().ok_or_else(defect)?;
        let gradient = ArrayD::from_shape_vec(IxDyn(&weight.shape), values).map_err(|_| defect())?;
        gradients.parameters.push((weight.path.clone(), gradient));
    }
    let zeros = plan
        .cells
        .iter()
        .map(|cell| State::zeros(flow.batch, cell.cell.state_widths()));
    gradients.states = zeros.collect::<Result<_>>()?;
    for (number, planned, schedule) in cells(flow, plan) {
        let values = read.next().ok_or_else(defect)?;
        let state = gradients.states.get_mut(number).ok_or_else(defect)?;
        let mut rows = values.chunks_exact(planned.units().max(1));
        for array in state.arrays_mut() {
            for (&sequence, row) in schedule.order().iter().zip(rows.by_ref()) {
                let mut to = array.outer_iter_mut().nth(sequence as usize).ok_or_else(defect)?;
                to.iter_mut().zip(row).for_each(|(to, &value)| *to = value);
            }
        }
    }
    if wants_input {
        let (batch, time_steps) = input.size();
        let features = plan.features.unwrap_or(0);
        let values = read.next().ok_or_else(defect)?;
        let mut gradient: Array3<f32> = OUTPUT.array(Dim([batch, time_steps, features]))?;
        let to = gradient.as_slice_mut().ok_or_else(defect)?;
        for (&step, row) in flow.input_steps.iter().zip(values.chunks_exact(features.max(1))) {
            let begin = step as usize * features;
            let to = to.get_mut(begin..begin + features).ok_or_else(defect)?;
            to.copy_from_slice(row);
        }
        gradients.input = Some(gradient);
    }
    Ok(gradients)
}
