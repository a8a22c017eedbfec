//! Training one plan on a GPU: its forward pass as in a run, by any strategy, and the way back.
//!
//! The way back reads the rows of every stage, which the workspace of the forward pass keeps. It computes the rest again: the lanes of a
//! recurrence by two products over all rows (or by two for each gate), the cell state by a scan. So no strategy has to know of training.
//!
//! Arrows point only this way: `texts`, `bound` < `buffers` < `recorder` < `sums`, `tensors` < `product`, `scatter`, `row_gradients`, `rule`, `weights`
//! < `by_gate`, `counted`, `repack` < `places`, `step_back` < `solo_back` < `recurrence` < `together`, `sizes`, `flow_size` < `way` < `stages`,
//! `memory`, `read_back`; `gradient_sizes`, `update` < `updates`; `weights` < `penalties` < `way`; `recorder` < `loss` < `sizes`; `by_gate`, `rowwise` < `dispatches` < `sizes`; `newest`, `updating` add to this file's type; `rowwise`, `solo_steps` and
//! `cell_gradients` are parts of `recurrence`, `recurrent_stage` is one of `stages`.

mod bound;
mod buffers;
mod by_gate;
mod cell_gradients;
pub(crate) mod counted;
mod dispatches;
mod flow_size;
pub(crate) mod gradient_sizes;
pub(crate) mod loss;
mod memory;
mod newest;
pub(crate) mod penalties;
mod places;
mod probe;
pub(crate) mod product;
mod read_back;
mod recorder;
mod recurrence;
mod recurrent_stage;
pub(crate) mod repack;
pub(crate) mod row_gradients;
mod rowwise;
pub(crate) mod rule;
pub(crate) mod scatter;
mod sizes;
pub(crate) mod solo_back;
mod solo_steps;
mod stages;
pub(crate) mod step_back;
pub(crate) mod sums;
mod tensors;
#[cfg(test)]
pub(crate) mod tests;
mod texts;
mod together;
pub(crate) mod update;
mod updates;
mod updating;
mod way;
mod weights;

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::flow::backward::Backward;
use crate::flow::{Flow, Input};
use crate::gpu::GpuModel;
use crate::gpu::device::Gpu;
use crate::gpu::device::mapped;
use crate::gpu::workspace::Workspace;
use crate::gradients::{PlanGradients, Upstream, Wants};
use crate::loss::elsewhere::{DeviceLoss, DeviceRule};
use crate::model::plan::Plan;
use crate::output::Output;
use crate::random::Noise;
use crate::recent::ForSize;
use crate::settings::Settings;
use crate::state::State;
use buffers::Buffers;
use by_gate::leaves_out;
use penalties::Penalties;
use places::{Place, places, places_within};
use read_back::{collected, upload_carry, wanted};
use recorder::{Recorded, Recorder};
use repack::Repack;
use solo_back::SoloBack;
use tensors::{Counted, in_bytes};
pub(crate) use updates::Updated;
use updates::Updates;
use way::Way;
use weights::Weights;

/// One plan, ready to be trained on a GPU.
#[derive(Debug)]
pub(crate) struct GpuTraining {
    model: GpuModel,
    name: Arc<str>,
    weights: Weights,
    /// How the steps of each cell may go back many at once.
    solos: Vec<Option<SoloBack>>,
    /// Which of them go back together in batches that fit, and in the last one.
    places: Vec<Place>,
    placed: Vec<Place>,
    /// How the forward pass gets other weights, if the host need not pack them. Made where there are the first others.
    repack: Option<Option<Repack>>,
    /// What steps of an optimiser have here, if they are made here. Asked for with the first one.
    updates: Option<Option<Updates>>,
    /// What is added to the gradients that stay here.
    penalties: Penalties,
    /// The BatchNormalizations whose means and variances stay as they are, by their transforms.
    held: Vec<usize>,
    /// How the loss may be computed here,
    judges_by: Option<DeviceRule>,
    /// that of the pass that ran last, if it is,
    loss: Option<DeviceLoss>,
    /// and the sums that are left of it.
    losses: usize,
    /// Whether one of these two is not here because there was no memory for it: [`ask_again`](Self::ask_again).
    lacks_memory: bool,
    /// How the weights of a step that counts take their place, as long as they have not.
    owed: Option<Arc<Recorded>>,
    /// Whether the weights here are newer than the plan, by such steps.
    is_ahead: bool,
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
    /// What the way back has left where gradients stay: their sizes, as the host reads them once that is done.
    sizes: Option<(wgpu::SubmissionIndex, Counted)>,
}

impl GpuTraining {
    /// Uploads the weights and makes the pipelines of the forward pass.
    pub(crate) async fn new(gpu: &Gpu, plan: Arc<Plan>, settings: &Settings, name: Arc<str>) -> Result<Self> {
        let upload = || Weights::upload(gpu, &plan);
        let weights = gpu.guarded("uploading the weights", upload).await?;
        let model = GpuModel::new(gpu.clone(), plan, settings).await?.keeping_rows();
        let plan = &model.plan;
        let places = places(plan, &model.weights);
        let cells = plan.cells.iter().zip(&places).enumerate();
        let solos = cells.map(|(number, (planned, place))| match leaves_out(plan, number) {
            true => Ok(None),
            false => SoloBack::of(gpu, (&planned.cell, place.directions), settings),
        });
        let solos = solos.collect::<Result<_>>()?;
        Ok(Self {
            model,
            name,
            weights,
            solos,
            places,
            placed: Vec::new(),
            repack: None,
            updates: None,
            penalties: Penalties::default(),
            held: Vec::new(),
            judges_by: None,
            loss: None,
            losses: 0,
            lacks_memory: false,
            owed: None,
            is_ahead: false,
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
        self.run(flow, input, states, noise, (output, true)).await
    }

    /// The same where the loss is computed here: the host does not read the output.
    pub(crate) async fn forward_there(
        &mut self,
        flow: &Arc<Flow>,
        input: Input<'_>,
        states: Option<&mut [State]>,
        noise: Option<Noise>,
    ) -> Result<()> {
        let nothing = &mut Output::default();
        self.run(flow, input, states, noise, (nothing, false)).await
    }

    async fn run(
        &mut self,
        flow: &Arc<Flow>,
        input: Input<'_>,
        states: Option<&mut [State]>,
        noise: Option<Noise>,
        (output, reads_output): (&mut Output, bool),
    ) -> Result<()> {
        let size = input.size();
        self.model.check_size(size)?;
        self.put_back();
        (self.loss, self.losses) = (None, 0);
        self.settle().await?;
        self.owed = None;
        if self.lists.as_ref().is_none_or(|(of, _)| !Arc::ptr_eq(of, flow)) {
            self.lists = None;
            self.lists = Some((Arc::clone(flow), Backward::new(flow, &self.model.plan)?));
        }
        let initial = states.as_deref().map(State::all_copied).transpose()?;
        let mut workspace = match self.model.kept_workspace(size) {
            Some(kept) => kept,
            None => {
                // where there is no memory for another one those that are kept are given up, which no group may hold then
                drop(std::mem::take(&mut self.buffers.groups));
                self.model.workspace(size).await?
            }
        };
        workspace.value.noise = noise;
        self.place((workspace.batch, workspace.time_steps));
        self.buffers.groups.stay_with(&workspace.value.params);
        let to = (&self.name, output, reads_output);
        let workspace = self.model.run_from_host(workspace, (flow, input), states, to).await?;
        self.left = Some(Left {
            workspace,
            initial,
            noise,
            sizes: None,
        });
        Ok(())
    }

    /// Finds out which directions go back together in batches of this size.
    fn place(&mut self, size: (usize, usize)) {
        let limit = self.model.gpu.largest_binding();
        let placed = places_within(limit, &self.places, &self.model.plan, size);
        if placed != self.placed {
            // directions that go together have other buffers than each alone, and who has had both would have more than was told
            self.buffers = Buffers::default();
            self.placed = placed;
        }
    }

    /// Gives the memory back that batches have taken. What ran before cannot go backwards any more.
    pub(crate) fn release_memory(&mut self) {
        (self.lists, self.left) = (None, None);
        (self.loss, self.losses) = (None, 0);
        self.buffers = Buffers::default();
        self.model.drop_workspaces();
        self.ask_again();
    }

    /// Gives the workspace of the last pass back to those that are kept.
    fn put_back(&mut self) {
        if let Some(left) = self.left.take() {
            let size = (left.workspace.batch, left.workspace.time_steps);
            self.model.keep_workspace(left.workspace, size);
        }
    }

    /// What `forward` ran last, backwards: the gradients of the weights, of the initial states, and of the input if that is wanted; or the last one
    /// alone, where the others stay here.
    pub(crate) async fn backward(
        &mut self,
        flow: &Arc<Flow>,
        input: Input<'_>,
        upstream: &Upstream,
        wants: Wants,
    ) -> Result<PlanGradients> {
        let lists = self.lists.as_ref().filter(|(of, _)| Arc::ptr_eq(of, flow));
        let (Some(left), Some((_, backward))) = (&self.left, lists) else {
            return Err(Error::defect("a way back without its forward pass"));
        };
        let (gpu, plan) = (&self.model.gpu, &self.model.plan);
        let updates = self.updates.as_ref().and_then(Option::as_ref).filter(|_| wants.keeps);
        let way = Way {
            flow,
            backward,
            plan,
            weights: &self.weights,
            solos: &self.solos,
            places: &self.placed,
            workspace: &left.workspace.value,
            size: (left.workspace.batch, left.workspace.time_steps),
            tables: &self.model.weights.tables,
            transforms: &self.model.weights.transforms,
            upstream,
            noise: left.noise,
            wants_input: wants.input && !plan.takes_tokens,
            penalties: updates.map(|_| &self.penalties),
            loss: self.loss.as_ref().filter(|_| updates.is_some()),
        };
        let (buffers, known) = (&mut self.buffers, gpu.known_pipelines());
        let work = || {
            let dispatches = way.reserve(gpu, buffers)?;
            let mut recorder = Recorder::going_on(gpu, buffers, dispatches)?;
            upload_carry(&mut recorder, &way, left.initial.as_deref())?;
            way.record(&mut recorder)?;
            let sizes = updates.filter(|_| wants.sizes).map(|of| of.record_sizes(&mut recorder));
            let (sizes, wanted) = (sizes.transpose()?, wanted(&mut recorder, &way, updates.is_some())?);
            Ok((recorder.submit()?, sizes, wanted))
        };
        let made = gpu.guarded("running the model backwards", work).await;
        if made.is_err() {
            gpu.forget_pipelines_but(&known);
            // a buffer that there was no memory for looks like any other
            self.buffers = Buffers::default();
        }
        let (submission, sizes, wanted) = made?;
        let (noise, wants_input, staged) = (left.noise, way.wants_input, in_bytes(&wanted));
        let sizes = sizes.map(|sizes| (submission.clone(), sizes));
        self.left.iter_mut().for_each(|left| left.sizes.clone_from(&sizes));
        let read: Result<Vec<Vec<f32>>> = match staged.is_empty() {
            true => Ok(Vec::new()), // nobody waits for it
            false => mapped::read(gpu, &staged, Some(submission)).await,
        };
        if read.is_err() {
            // some of what was to be read may be the host's still
            self.buffers = Buffers::default();
        }
        collected((flow, plan), (noise, wants_input, wants.keeps), input, read?)
    }

    /// Other weights, of the same shapes.
    pub(crate) async fn set_plan(&mut self, plan: Arc<Plan>) -> Result<()> {
        self.put_back();
        self.owed = None;
        self.make_repack().await?;
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
            self.model.take_over(Arc::clone(&plan), !self.is_ahead)?;
            Ok(true)
        };
        let made = gpu.guarded("uploading the weights", write).await;
        if made.is_err() {
            gpu.forget_pipelines_but(&known);
            self.buffers = Buffers::default();
            // what arrived nobody knows: from now on the host packs, and every weight is written whole
            (self.repack, self.lacks_memory) = (Some(None), false);
        }
        if !made? {
            // weights in other buffers end the workspaces too
            drop(std::mem::take(&mut self.buffers.groups));
            self.model.set_plan(plan).await?;
        }
        self.is_ahead = false;
        Ok(())
    }

    /// Finds out how the forward pass gets other weights, where nobody knows.
    async fn make_repack(&mut self) -> Result<()> {
        if self.repack.is_none() {
            // for a moment that takes as much as the weights twice: the memory of a way back that ran before will do
            self.buffers = Buffers::default();
            self.repack = Some(match Repack::of(&self.model).await {
                // without the memory for its lists the host packs
                Err(Error::Gpu { .. } | Error::Memory { .. }) => {
                    self.lacks_memory = true;
                    None
                }
                made => made?,
            });
        }
        Ok(())
    }
}
