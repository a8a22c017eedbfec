//! What a strategy is: an entry of the list, and what that makes ready for the cells of a recurrence.

use std::fmt::Debug;
use std::pin::Pin;

use crate::cell::Cell;
use crate::error::Result;
use crate::gpu::commands::Commands;
use crate::gpu::device::Gpu;
use crate::gpu::shader::cell::CellText;
use crate::gpu::shader::{Key, Pipeline, Shader, Variant};
use crate::gpu::strategy::chunk::Chunk;
use crate::gpu::strategy::numbers::Numbers;
use crate::gpu::weights::Form;
use crate::settings::Strategy;

/// A strategy.
pub(crate) struct Entry {
    pub(crate) name: Strategy,
    /// Whether its workgroups wait for each other: then it is made ready only where it was asked for or may be taken unasked, and a
    /// run may have to be made again by another.
    pub(crate) waits: bool,
    /// Makes it ready for cells, or says why it cannot run them.
    pub(crate) prepare: fn(&Gpu, &Cells<'_>) -> Prepared,
}

pub(crate) type Prepared = std::result::Result<Box<dyn Ready>, &'static str>;

#[cfg(not(target_arch = "wasm32"))]
pub(crate) type Probing<'a> = Pin<Box<dyn Future<Output = Result<()>> + Send + 'a>>;
#[cfg(target_arch = "wasm32")]
pub(crate) type Probing<'a> = Pin<Box<dyn Future<Output = Result<()>> + 'a>>;

/// The cells of a recurrence: one, or those of both directions of a layer. They differ in nothing but weights.
#[derive(Clone, Debug)]
pub(crate) struct Cells<'a> {
    pub(crate) cell: &'a Cell,
    pub(crate) directions: usize,
    /// How the shaders read the recurrent kernel,
    pub(crate) form: Form,
    /// and with which row the part of it begins that they are given.
    pub(crate) first_k: usize,
    /// The columns of the recurrent kernel, in units, and its rows but for `first_k`: those past the units are zero.
    pub(crate) kernel_width: usize,
    /// What the GPU costs; `None` for a software adapter.
    pub(crate) numbers: Option<Numbers>,
}

impl Cells<'_> {
    /// What the text of a shader is made for.
    pub(crate) fn variant(&self, constants: &[u32]) -> Variant {
        Variant {
            form: self.form,
            cell: Some(CellText::of(self.cell)),
            constants: constants.to_vec(),
        }
    }
}

/// What a recurrence is to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Work {
    /// The sequences that run the first step,
    pub(crate) positions: usize,
    /// the steps,
    pub(crate) steps: usize,
    /// and the rows, which are the steps of all sequences.
    pub(crate) rows: usize,
}

/// A strategy that is ready to run the steps of a recurrence.
pub(crate) trait Ready: Debug + Send + Sync {
    /// Its shader, and one of its pipelines: all of them bind the same.
    fn binds(&self) -> (&'static Shader, &Pipeline);

    /// Why it should run steps of so many positions where nobody names another and nothing was measured; `None` where it
    /// should not.
    fn suits(&self, gpu: &Gpu, positions: usize) -> Option<&'static str>;

    /// The seconds that a batch takes by it, by the numbers of the GPU; `None` where there are no numbers or it should not be
    /// taken.
    fn seconds(&self, _work: Work) -> Option<f64> {
        None
    }

    /// Why it cannot run the batches of a workspace with room for so many sequences, where that turned out when the workspace was made.
    fn has_failed(&self, _batch: usize) -> Option<&'static str> {
        None
    }

    /// Before [`make_for`](Self::make_for), where a pipeline has to be asked of the GPU: makes what it lacks for a workspace with room
    /// for so many sequences, and finds out what that has to know of the GPU. It is done before the sizes of the workspace are worked out.
    fn make_room<'a>(&'a self, _gpu: &'a Gpu, _batch: usize) -> Option<Probing<'a>> {
        None
    }

    /// Makes the pipelines that a workspace for so many sequences needs besides the one that it [`binds`](Self::binds): the lengths of
    /// the sequences may be any, and a run in a kept workspace compiles nothing.
    fn make_for(&self, _gpu: &Gpu, _sequences: usize) {}

    /// Forgets what [`make_for`](Self::make_for) has made, but for the pipelines that are known: some of that may have failed.
    fn forget(&self, _known: &[Key]) {}

    /// The bytes that its workgroups hand each other in a workspace for (batch, time_steps), at most; `None` if they do not. Nothing that
    /// [`make_room`](Self::make_room) finds out changes them, so they are told beforehand.
    fn exchange_bytes(&self, _batch: usize, _time_steps: usize) -> Option<u64> {
        None
    }

    /// The dispatches for so many steps of at most so many positions, at most.
    fn dispatches(&self, positions: usize, steps: usize) -> usize;

    /// What is to be said of how it runs steps, where that is not the same for all devices.
    fn says(&self) -> Option<String> {
        None
    }

    /// Runs the steps of a chunk.
    fn record(&self, commands: &mut Commands, group: &Group, chunk: &Chunk<'_>);
}

/// The buffers that a strategy may bind, by the names that they have in shaders.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bound<'a> {
    /// The layer, as labels name it.
    pub(crate) layer: &'a str,
    pub(crate) params: &'a wgpu::Buffer,
    pub(crate) storage: &'a [(&'static str, &'a wgpu::Buffer)],
}

impl<'a> Bound<'a> {
    fn storage(self, name: &str) -> Option<&'a wgpu::Buffer> {
        let found = self.storage.iter().find(|(known, _)| *known == name);
        found.map(|&(_, buffer)| buffer)
    }
}

/// What a strategy has bound in a workspace.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) group: wgpu::BindGroup,
    /// What is to be emptied before a launch, where workgroups hand each other something.
    pub(crate) exchange: Option<wgpu::Buffer>,
}

impl Group {
    /// `None` if a buffer is missing.
    pub(crate) fn make(gpu: &Gpu, ready: &dyn Ready, bound: Bound<'_>) -> Option<Self> {
        let (shader, pipeline) = ready.binds();
        let storage = shader.bindings.iter().map(|binding| bound.storage(binding.name));
        let storage: Option<Vec<&wgpu::Buffer>> = storage.collect();
        let label = format!("{}.{}", bound.layer, shader.name);
        Some(Self {
            group: gpu.make_bind_group(&label, pipeline, bound.params, &storage?),
            exchange: bound.storage("exchange").cloned(),
        })
    }
}
