//! A model with its weights on a GPU, ready to run.

use std::sync::Arc;

use crate::error::Result;
use crate::gpu::device::Gpu;
use crate::gpu::device::timer::Timer;
use crate::gpu::sizes::{Keep, Sizes};
use crate::gpu::stage::gather;
use crate::gpu::stage::interface::Ends;
use crate::gpu::stage::matrix_projection::{self, Matrices};
use crate::gpu::stage::prepared::{Fits, Prepared};
use crate::gpu::states::GpuStates;
use crate::gpu::strategy::choice::{self, Asked};
#[cfg(not(target_arch = "wasm32"))]
use crate::gpu::strategy::tuned::Tuned;
use crate::gpu::workspace::Workspace;
use crate::model::plan::Plan;
use crate::recent::{ForSize, Recent};
use crate::settings::Settings;

/// A model with its weights on a GPU, ready to run.
#[derive(Debug)]
pub(crate) struct GpuModel {
    pub(crate) gpu: Gpu,
    pub(crate) plan: Arc<Plan>,
    pub(crate) weights: Prepared,
    pub(crate) settings: Settings,
    pub(crate) asked: Asked,
    pub(crate) matrices: Matrices,
    keep: Keep,
    /// The workspaces of the last runs.
    workspaces: Recent<Workspace>,
}

impl GpuModel {
    /// Uploads the weights and makes the pipelines.
    pub(crate) async fn new(gpu: Gpu, plan: Arc<Plan>, settings: &Settings) -> Result<Self> {
        let asked = Asked::new(settings)?;
        #[cfg(not(target_arch = "wasm32"))]
        if let Some(path) = settings.wanted_tuning_file() {
            let text = crate::gpu::strategy::tuning_file::read(path)?;
            gpu.shared::<Tuned>()
                .read(&crate::gpu::strategy::tuned::gpu_fields(gpu.info()), &text);
        }
        let wanted = choice::wanted(&gpu, settings, asked);
        let matrices = Matrices::new(&gpu, settings).await?;
        let known = gpu.known_pipelines();
        let make = || {
            gpu.pipeline(&gather::SHADER, &[]); // every workspace uses it
            let weights = Prepared::make(&gpu, &plan, (settings.wanted_precision(), &matrices), &wanted)?;
            let taken = weights.projections.iter().map(|projection| projection.has_matrices());
            matrix_projection::check(&gpu, settings, taken)?;
            choice::check(&gpu, &weights.recurrences, settings.wanted_strategy(), None)?;
            Ok(weights)
        };
        let made = gpu.guarded("uploading the weights", make).await;
        if made.is_err() {
            gpu.forget_pipelines_but(&known);
        }
        Ok(Self {
            weights: made?,
            gpu,
            plan,
            asked,
            matrices,
            settings: settings.clone(),
            keep: Keep::Nothing,
            workspaces: Recent::default(),
        })
    }

    /// The same for training: a run leaves the rows of every stage.
    pub(crate) fn keeping_rows(self) -> Self {
        Self {
            keep: Keep::All,
            workspaces: Recent::default(),
            ..self
        }
    }

    /// The weights of another plan of the same shapes, as this model has its own.
    pub(crate) fn prepared(&self, plan: &Plan) -> Result<Prepared> {
        let wanted = choice::wanted(&self.gpu, &self.settings, self.asked);
        let how = (self.settings.wanted_precision(), &self.matrices);
        Prepared::make(&self.gpu, plan, how, &wanted)
    }

    /// Takes a plan of the same shapes over whose weights are in their buffers by now, and writes what is no weight in another order: what
    /// differs, if there is what the plan before says (`is_as_before`).
    pub(crate) fn take_over(&mut self, plan: Arc<Plan>, is_as_before: bool) -> Result<()> {
        let before = is_as_before.then_some(&*self.plan);
        self.weights.write_rest(&self.gpu, before, &plan)?;
        self.weights.fits = Fits::of(&plan, self.matrices.are_ready());
        self.plan = plan;
        Ok(())
    }

    /// Other weights, of the same shapes, in the place of those that are there: workspaces stay as they are.
    pub(crate) async fn set_plan(&mut self, plan: Arc<Plan>) -> Result<()> {
        let write = || {
            let fresh = self.prepared(&plan)?;
            let (from, to) = (fresh.buffers(), self.weights.buffers());
            let sizes =
                |buffers: &[&wgpu::Buffer]| -> Vec<u64> { buffers.iter().map(|buffer| buffer.size()).collect() };
            // weights that half precision does not hold are kept in another form
            if sizes(&from) != sizes(&to) {
                return Ok((Some(fresh), None));
            }
            let mut encoder = self.gpu.encoder("weights");
            for (from, to) in from.into_iter().zip(to) {
                encoder.copy_buffer_to_buffer(from, 0, to, 0, from.size());
            }
            self.gpu.queue().submit([encoder.finish()]);
            Ok((None, Some(fresh.fits)))
        };
        let (fresh, fits) = self.gpu.guarded("uploading the weights", write).await?;
        if let Some(fresh) = fresh {
            self.weights = fresh;
            self.drop_workspaces();
        }
        if let Some(fits) = fits {
            self.weights.fits = fits;
        }
        self.plan = plan;
        Ok(())
    }

    /// Whether a batch of so many sequences can begin with states on a GPU.
    pub(crate) fn check_gpu_states(&self, states: &GpuStates, batch: usize) -> Result<()> {
        states.check(&self.gpu, &self.plan.cells, batch)?;
        match self.matrices.are_ready() {
            true => states.check_within_one(&self.weights.fits),
            false => Ok(()),
        }
    }

    /// The sizes of a workspace for batches of (batch, time_steps).
    pub(crate) fn sizes(&self, size: (usize, usize)) -> Result<Sizes> {
        Sizes::new(&self.gpu, (&self.plan, &self.weights), size, (self.keep, Ends::Host))
    }

    /// The bytes of GPU memory that batches of a size take, besides the weights.
    pub(crate) fn memory(&self, batch: usize, time_steps: usize) -> Result<u64> {
        let timer = match self.settings.is_timed() {
            true => Timer::memory(&self.gpu),
            false => 0,
        };
        Ok(self.sizes((batch, time_steps))?.total() + timer)
    }

    /// Whether the GPU can run a batch of this size: asked before lists are made of its steps, where those are not small.
    pub(crate) fn check_size(&self, (batch, time_steps): (usize, usize)) -> Result<()> {
        const SMALL: usize = 1 << 16;
        match batch.saturating_mul(self.plan.most_steps(time_steps)) <= SMALL {
            true => Ok(()),
            false => self.sizes((batch, time_steps)).map(|_| ()),
        }
    }

    /// The smallest of those workspaces kept that hold the batch.
    pub(crate) fn kept_workspace(&self, size: (usize, usize)) -> Option<ForSize<Workspace>> {
        // the forms for a GPU follow the batch of the workspace, and each has an order of sums of its own: a run gives the same bits whatever
        // was run before
        match self.weights.numbers {
            Some(_) => self.workspaces.take_alike(size),
            None => self.workspaces.take(size),
        }
    }

    /// A workspace for the batch: one of those kept, else a new one.
    pub(crate) async fn workspace(&self, size: (usize, usize)) -> Result<ForSize<Workspace>> {
        if let Some(workspace) = self.kept_workspace(size) {
            return Ok(workspace);
        }
        let made = self.new_workspace((&self.plan, Ends::Host), size).await;
        Ok(ForSize::new(size, made?))
    }

    /// A new workspace for batches of this size: of the plan, or of the part of it that an application wants.
    pub(crate) async fn new_workspace(&self, of: (&Plan, Ends), size: (usize, usize)) -> Result<Workspace> {
        match self.make_workspace(of, size).await {
            Err(crate::error::Error::Gpu { .. }) if self.drop_workspaces() => self.make_workspace(of, size).await,
            made => made,
        }
    }

    async fn make_workspace(&self, (plan, ends): (&Plan, Ends), size: (usize, usize)) -> Result<Workspace> {
        let known = self.gpu.known_pipelines();
        let is_timed = self.settings.is_timed() && ends == Ends::Host;
        let made = match self.make_room(size.0, ends).await {
            Ok(()) => {
                let make = || {
                    let sizes = Sizes::new(&self.gpu, (plan, &self.weights), size, (self.keep, ends))?;
                    Workspace::make(&self.gpu, &self.weights, &sizes, is_timed)
                };
                self.gpu.guarded("making the buffers", make).await
            }
            Err(error) => Err(error),
        };
        if made.is_err() {
            self.gpu.forget_pipelines_but(&known);
            self.weights
                .recurrences
                .iter()
                .for_each(|recurrence| recurrence.forget(&known));
        }
        made
    }

    /// Makes what the strategies lack for a workspace with room for so many sequences. A strategy that the settings name may turn
    /// out not to run here.
    async fn make_room(&self, batch: usize, ends: Ends) -> Result<()> {
        for recurrence in &self.weights.recurrences {
            recurrence.make_room(&self.gpu, batch, ends == Ends::Host).await?;
        }
        let named = self.settings.wanted_strategy();
        choice::check(&self.gpu, &self.weights.recurrences, named, Some(batch))
    }

    /// Keeps a workspace after a run of a batch of this size.
    pub(crate) fn keep_workspace(&self, workspace: ForSize<Workspace>, ran: (usize, usize)) {
        self.workspaces.keep(workspace, ran);
    }

    /// Gives the memory of all kept workspaces back; whether there were any.
    pub(crate) fn drop_workspaces(&self) -> bool {
        self.workspaces.clear()
    }
}
