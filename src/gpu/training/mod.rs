//! Training one plan on a GPU: its forward pass as in a run, by any strategy, and the way back.
//!
//! The way back reads the rows of every stage, which the workspace of the forward pass keeps. It computes the rest again: the lanes of a
//! recurrence by two products over all rows (or by two for each gate), the cell state by a scan. So no strategy has to know of training.
//!
//! Arrows point only this way: `texts`, `buffers` < `recorder` < `sums` < `product`, `scatter`, `row_gradients`, `rule`, `weights` < `by_gate`, `counted`, `repack` < `recurrence` < `sizes` < `way` < `stages`, `memory`;
//! `rowwise` and `cell_gradients` are parts of `recurrence`.

mod buffers;
mod by_gate;
mod cell_gradients;
pub(crate) mod counted;
mod memory;
mod probe;
pub(crate) mod product;
mod recorder;
mod recurrence;
pub(crate) mod repack;
pub(crate) mod row_gradients;
mod rowwise;
pub(crate) mod rule;
pub(crate) mod scatter;
mod sizes;
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
use crate::flow::statistics::moved;
use crate::flow::{Flow, Input, Stage};
use crate::gpu::GpuModel;
use crate::gpu::device::Gpu;
use crate::gpu::device::buffer::Use;
use crate::gpu::device::mapped;
use crate::gpu::stage::interface::{at, defect};
use crate::gpu::workspace::Workspace;
use crate::gradients::{PlanGradients, Upstream};
use crate::memory::{OUTPUT, STATES};
use crate::model::plan::{Plan, PlannedCell};
use crate::output::Output;
use crate::random::Noise;
use crate::recent::ForSize;
use crate::schedule::Schedule;
use crate::settings::Settings;
use crate::state::State;
use buffers::Buffers;
use recorder::Recorder;
use repack::Repack;
use way::Way;
use weights::Weights;

/// One plan, ready to be trained on a GPU.
#[derive(Debug)]
pub(crate) struct GpuTraining {
    model: GpuModel,
    name: Arc<str>,
    weights: Weights,
    /// How the forward pass gets other weights, if the host need not pack them. Made where there are the first others.
    repack: Option<Option<Repack>>,
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
        let upload = || Weights::upload(gpu, &plan);
        let weights = gpu.guarded("uploading the weights", upload).await?;
        let model = GpuModel::new(gpu.clone(), plan, settings).await?.keeping_rows();
        Ok(Self {
            model,
            name,
            weights,
            repack: None,
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
            size: (left.workspace.batch, left.workspace.time_steps),
            tables: &self.model.weights.tables,
            transforms: &self.model.weights.transforms,
            upstream,
            noise: left.noise,
            wants_input,
        };
        let (gpu, buffers) = (&self.model.gpu, &mut self.buffers);
        let known = gpu.known_pipelines();
        let work = || {
            let dispatches = way.reserve(gpu, buffers)?;
            let mut recorder = Recorder::new(gpu, buffers, dispatches)?;
            upload_carry(&mut recorder, (flow, plan), upstream, left.initial.as_deref())?;
            way.record(&mut recorder)?;
            let wanted = wanted(&mut recorder, &way)?;
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
        collected((flow, plan), (left.noise, wants_input), input, read)
    }

    /// Other weights, of the same shapes.
    pub(crate) async fn set_plan(&mut self, plan: Arc<Plan>) -> Result<()> {
        self.put_back();
        if self.repack.is_none() {
            self.repack = Some(match Repack::of(&self.model).await {
                // without the memory for its lists the host packs
                Err(Error::Gpu { .. } | Error::Memory { .. }) => None,
                made => made?,
            });
        }
        let gpu = self.model.gpu.clone();
        let known = gpu.known_pipelines();
        let repack = self.repack.as_ref().and_then(Option::as_ref);
        let write = || {
            self.weights.write(&gpu, &plan)?;
            let Some(repack) = repack else {
                return Ok(false);
            };
            let mut recorder = Recorder::new(&gpu, &mut self.buffers, repack.dispatches())?;
            repack.record(&mut recorder, &self.weights)?;
            recorder.submit()?;
            self.model.take_over(Arc::clone(&plan))?;
            Ok(true)
        };
        let made = gpu.guarded("uploading the weights", write).await;
        if made.is_err() {
            gpu.forget_pipelines_but(&known);
            self.buffers = Buffers::default();
            // what arrived nobody knows: from now on the host packs, and every weight is written whole
            self.repack = Some(None);
        }
        match made? {
            true => Ok(()),
            false => self.model.set_plan(plan).await,
        }
    }
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
        let (units, output, batch) = (planned.units(), planned.output(), schedule.batch());
        let mut carry = STATES.zeros::<f32>(3 * batch * units)?;
        let of = |states: Option<&[State]>| states.map(|states| at(states, number).cloned()).transpose();
        let (finals, initial) = (of(upstream.states.as_deref())?, of(initial)?);
        let finals = finals.iter().flat_map(State::arrays);
        let started = initial.iter().flat_map(|state| state.arrays().last());
        let finals = finals.zip([(0, output), (1, units)]);
        let started = started.map(|array| (array, (2, if planned.cell.has_cell_state() { units } else { output })));
        for (array, (part, width)) in finals.chain(started) {
            let part = carry.get_mut(part * batch * units..).ok_or_else(defect)?;
            for (row, &sequence) in part.chunks_exact_mut(width.max(1)).zip(schedule.order()) {
                let values = array.outer_iter().nth(sequence as usize).ok_or_else(defect)?;
                row.iter_mut().zip(values).for_each(|(to, &value)| *to = value);
            }
        }
        recorder.upload(("carry", number), &carry)?;
    }
    Ok(())
}

/// What the host reads: the gradients of the weights that are trained, of the initial states, and of the input.
fn wanted(recorder: &mut Recorder<'_>, way: &Way<'_>) -> Result<Vec<Wanted>> {
    let (flow, plan) = (way.flow, way.plan);
    let mut names = Vec::new();
    for (number, weight) in plan
        .weights
        .iter()
        .enumerate()
        .filter(|(_, weight)| weight.role.is_trained())
    {
        names.push((("gradient", number), weight.shape.iter().product()));
    }
    for (number, planned, schedule) in cells(flow, plan) {
        let states = planned.cell.state_widths().len();
        names.push((("carry", number), states * schedule.batch() * planned.units()));
    }
    if way.wants_input {
        let count = flow.input_steps.len() * plan.features.unwrap_or(0);
        names.push((("input gradient", 0), count));
    }
    let mut buffers = Vec::new();
    for (name, count) in names {
        buffers.push((recorder.buffer(name, count)?, count));
    }
    let found = flow.batch_statistics.iter();
    let found = found.filter_map(|of| Some((way.statistics(of.stage)?.0, flow.widths.get(of.stage)?)));
    buffers.extend(found.map(|(found, width)| (found.moments.clone(), 2 * width)));
    let mut wanted = Vec::new();
    for (place, (buffer, count)) in buffers.into_iter().enumerate() {
        let staging = recorder
            .buffers
            .get(recorder.gpu, ("staging", place), count, Use::Readback)?;
        recorder.commands.last.copy(&buffer, 0..4 * count as u64, &staging, 0);
        wanted.push((buffer, staging, count));
    }
    Ok(wanted)
}

/// The gradients in their shapes, from what was read in the order of [`wanted`].
fn collected(
    (flow, plan): (&Flow, &Plan),
    (noise, wants_input): (Option<Noise>, bool),
    input: Input<'_>,
    read: Vec<Vec<f32>>,
) -> Result<PlanGradients> {
    let mut read = read.into_iter();
    let mut gradients = PlanGradients::default();
    for weight in plan.weights.iter().filter(|weight| weight.role.is_trained()) {
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
        for (part, array) in state.arrays_mut().enumerate() {
            let of_part = values
                .get(part * schedule.batch() * planned.units()..)
                .ok_or_else(defect)?;
            let rows = of_part.chunks_exact(array.ncols().max(1));
            for (&sequence, row) in schedule.order().iter().zip(rows) {
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
    if noise.is_some() {
        gradients.moved = moved(plan, &moments(flow, plan, read)?)?;
    }
    Ok(gradients)
}

/// Mean and variance of the batch, for each BatchNormalization among the transforms.
fn moments(flow: &Flow, plan: &Plan, mut read: impl Iterator<Item = Vec<f32>>) -> Result<Vec<Option<[Vec<f64>; 2]>>> {
    let mut moments: Vec<Option<[Vec<f64>; 2]>> = plan.transforms.iter().map(|_| None).collect();
    for statistics in &flow.batch_statistics {
        let Stage::Transform { transform, .. } = flow.stage(statistics.stage)? else {
            return Err(defect());
        };
        let values = read.next().ok_or_else(defect)?;
        let wide = |values: &[f32]| values.iter().map(|&value| f64::from(value)).collect();
        let (mean, variance) = values.split_at(values.len() / 2);
        let place = moments.get_mut(*transform).ok_or_else(defect)?;
        *place = Some([wide(mean), wide(variance)]);
    }
    Ok(moments)
}
