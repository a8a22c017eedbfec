//! What stages have in common, and what they are given.

use std::fmt::Debug;
use std::ops::Range;

use crate::error::{Error, Result};
use crate::flow::size::FlowSize;
use crate::flow::{self, Flow, Ran, Source};
use crate::gpu::commands::Commands;
use crate::gpu::device::Gpu;
use crate::gpu::device::mapped::Bytes;
use crate::gpu::device::writes::Writes;
use crate::gpu::rows::{Rows, RowsSize};
use crate::gpu::stage::carry::GpuMask;
use crate::gpu::stage::home::Home;
use crate::gpu::stage::left_out::LeftOut;
use crate::gpu::stage::lists::ScheduleLists;
use crate::gpu::stage::moments::Moments;
use crate::gpu::stage::pieces::Pieces;
use crate::gpu::stage::prepared::{Fits, Prepared};
use crate::gpu::strategy::choice::Asked;
use crate::gpu::strategy::exchange::ExchangeBuffers;
use crate::gpu::strategy::recurrence::{Recurrence, RecurrenceGroups};
use crate::gpu::tensor::{End, Tensor};
use crate::random::Noise;
use crate::state::State;

/// What a stage takes in a workspace.
pub(crate) trait StageSize: Debug {
    /// The rows that it makes, for each stage of the flow that it runs. They share the buffers of the first of them.
    fn rows(&self) -> &[RowsSize];

    /// What it reads.
    fn sources(&self) -> Vec<Source>;

    /// The bytes of the buffers that it makes besides those of its rows.
    fn bytes(&self) -> u64;

    /// The bytes of what it shares with the other stages.
    fn scratch(&self) -> Scratch;

    /// The dispatches that it records, at most.
    fn dispatches(&self) -> usize;

    /// Makes its buffers and bind groups.
    fn make(&self, maker: &Maker<'_>) -> Result<Box<dyn Stage>>;

    /// How a recurrence is cut over time.
    fn pieces(&self) -> Option<&Pieces> {
        None
    }
}

/// The bytes of what all stages share, one after the other.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Scratch {
    /// Gathered rows,
    pub(crate) gathered: u64,
    /// projected rows,
    pub(crate) projected: u64,
    /// and what workgroups hand each other, if some do.
    pub(crate) exchange: Option<u64>,
}

impl Scratch {
    /// What serves both.
    pub(crate) fn max(self, other: Self) -> Self {
        Self {
            gathered: self.gathered.max(other.gathered),
            projected: self.projected.max(other.projected),
            exchange: self.exchange.max(other.exchange),
        }
    }
}

/// A stage in a workspace. Its runs differ in masks and lengths, and so in their flows.
pub(crate) trait Stage: Debug + Send + Sync {
    /// Uploads what a flow says: which rows are read.
    fn upload_lists(&self, to: &mut dyn Writes, flow: &Flow) -> Result<()>;

    /// Uploads the states from which cells begin, one for each cell of the model.
    fn upload_states(&self, _gpu: &Gpu, _states: &[State]) -> Result<()> {
        Ok(())
    }

    /// Where the states of its cells are before and behind a run, each with the number of the cell.
    fn homes(&self) -> Vec<(usize, &Home)> {
        Vec::new()
    }

    /// Records a run.
    fn record(&self, run: &Run<'_>, commands: &mut Commands) -> Result<()>;

    /// The tensor of the application that it reads or writes, if there is one.
    fn tensor(&self) -> Option<(End, &Tensor)> {
        None
    }

    /// Binds another tensor of the same size in its place.
    fn bind(&mut self, _gpu: &Gpu, _tensor: Tensor) {}

    /// Runs by a mask of the application that only the GPU knows, or again by the schedule alone.
    fn bind_mask(&mut self, _gpu: &Gpu, _params: &wgpu::Buffer, _mask: Option<&GpuMask>) {}

    /// What the host reads after a run.
    fn wanted(&self, _flow: &Flow, _reads: HostReads) -> Result<Vec<(&wgpu::Buffer, u64)>> {
        Ok(Vec::new())
    }

    /// An output of the model as the caller gets it, by its number, in a buffer: entry by entry.
    fn output(&self, _number: usize) -> Option<&wgpu::Buffer> {
        None
    }

    /// Takes what was read, in the order of [`wanted`](Self::wanted).
    fn take(&self, _flow: &Flow, _read: &mut dyn Iterator<Item = Bytes>, _ran: &mut Ran) -> Result<()> {
        Ok(())
    }

    /// What a stage of the flow has found of a batch in training, if it is a BatchNormalization.
    fn moments(&self, _stage: usize) -> Option<&Moments> {
        None
    }

    /// What the gates of a stage of the flow have left out of a batch in training, each of its own, if they do.
    fn left_out(&self, _stage: usize) -> Option<LeftOut<'_>> {
        None
    }

    /// A recurrence, whose strategies can be measured.
    fn tunable(&self) -> Option<Tunable<'_>> {
        None
    }
}

/// A recurrence over the buffers of a workspace.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tunable<'a> {
    pub(crate) recurrence: &'a Recurrence,
    pub(crate) pieces: &'a Pieces,
    /// The rows of h from one direction to the next.
    pub(crate) hidden_pitch: usize,
    /// The bind groups of the first segment.
    pub(crate) groups: &'a RecurrenceGroups,
    /// The list of where steps begin.
    pub(crate) starts: &'a wgpu::Buffer,
}

/// Where a batch comes from and where its outputs go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ends {
    /// The host writes the rows of the input and reads the outputs.
    Host,
    /// They are tensors in buffers of the application. The input has so many steps: numbers, or tokens that name the rows of a table.
    Application { steps: usize, table: Option<usize> },
}

/// What stages are measured by: the flow, what their weights are, and the rows that the stages before them make.
pub(crate) struct Sizer<'a> {
    pub(crate) gpu: &'a Gpu,
    /// The most bytes of a binding.
    pub(crate) limit: u64,
    pub(crate) prepared: &'a Prepared,
    pub(crate) flow: &'a FlowSize,
    pub(crate) input: RowsSize,
    pub(crate) ends: Ends,
    /// Whether the runs are those of a training.
    pub(crate) trains: bool,
    /// For each stage of the flow so far.
    pub(crate) stages: Vec<RowsSize>,
}

impl Sizer<'_> {
    /// How the rows of a source lie.
    pub(crate) fn source(&self, source: Source) -> Result<&RowsSize> {
        match source {
            Source::Input => Ok(&self.input),
            Source::Table(table) => Ok(&at(&self.prepared.tables, table)?.size),
            Source::Stage(stage) => at(&self.stages, stage),
        }
    }
}

/// What stages are made with.
#[derive(Clone, Copy)]
pub(crate) struct Maker<'a> {
    pub(crate) gpu: &'a Gpu,
    /// The layer of the stage, as labels name it.
    pub(crate) layer: &'a str,
    pub(crate) prepared: &'a Prepared,
    /// The parameters of the dispatches of a workspace.
    pub(crate) params: &'a wgpu::Buffer,
    pub(crate) input: &'a Rows,
    /// For each stage of the flow its rows, and whether no earlier stage of a run has used their buffers.
    pub(crate) rows: &'a [Rows],
    pub(crate) fresh: &'a [bool],
    pub(crate) schedules: &'a [ScheduleLists],
    pub(crate) gathered: &'a wgpu::Buffer,
    pub(crate) projected: &'a wgpu::Buffer,
    pub(crate) exchange: Option<&'a ExchangeBuffers>,
}

impl Maker<'_> {
    /// The label of something that belongs to the layer.
    pub(crate) fn label(&self, what: &str) -> String {
        format!("{}.{what}", self.layer)
    }

    /// The rows of a source.
    pub(crate) fn source(&self, source: Source) -> Result<&Rows> {
        match source {
            Source::Input => Ok(self.input),
            Source::Table(table) => at(&self.prepared.tables, table),
            Source::Stage(stage) => at(self.rows, stage),
        }
    }
}

/// What the host reads of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HostReads {
    /// The final states of all cells,
    pub(crate) states: bool,
    /// and the outputs.
    pub(crate) outputs: bool,
}

impl HostReads {
    /// The outputs, and the states if they are wanted.
    pub(crate) fn outputs_and(states: bool) -> Self {
        Self { states, outputs: true }
    }
}

/// One run, as its stages see it.
pub(crate) struct Run<'a> {
    pub(crate) gpu: &'a Gpu,
    pub(crate) flow: &'a Flow,
    pub(crate) asked: Asked,
    /// What Dropout leaves out, in training.
    pub(crate) noise: Option<Noise>,
    pub(crate) reads: HostReads,
    /// Which rows each buffer of the input, of each table and of each stage holds in this run.
    pub(crate) input: Vec<Range<usize>>,
    pub(crate) tables: Vec<Vec<Range<usize>>>,
    pub(crate) stages: Vec<Vec<Range<usize>>>,
    /// Whether the values of each can be rounded to half precision.
    pub(crate) fits: Fitting,
}

/// Whether the values of the input, of each table and of each stage can be rounded to half precision.
#[derive(Clone, Debug)]
pub(crate) struct Fitting {
    pub(crate) input: bool,
    tables: Vec<bool>,
    stages: Vec<bool>,
}

impl Fitting {
    /// Of a flow that begins from states or from zeros, where that of the input is known.
    pub(crate) fn of(flow: &Flow, fits: &Fits, has_states: bool, input: bool) -> Self {
        let mut fitting = Self {
            input,
            tables: fits.tables.clone(),
            stages: Vec::with_capacity(flow.stages.len()),
        };
        for stage in &flow.stages {
            let stage = match stage {
                flow::Stage::Recurrent { cell, .. } => found(&fits.cells, *cell),
                flow::Stage::Dense { dense, .. } => found(&fits.denses, *dense),
                flow::Stage::Transform { transform, .. } => found(&fits.transforms, *transform),
                // only a flow of training has one, which no run of inference takes
                flow::Stage::Dropout { .. } => false,
                flow::Stage::Reshape { input, .. } => fitting.of_source(input.source),
                // the sum and the product of values within one are small, but a GRU may carry on the state where it began
                flow::Stage::Merge { forward, backward, .. } => {
                    !has_states && fitting.of_source(forward.source) && fitting.of_source(backward.source)
                }
            };
            fitting.stages.push(stage);
        }
        fitting
    }

    pub(crate) fn of_source(&self, source: Source) -> bool {
        match source {
            Source::Input => self.input,
            Source::Table(table) => found(&self.tables, table),
            Source::Stage(stage) => found(&self.stages, stage),
        }
    }
}

impl Run<'_> {
    /// Which rows each buffer of a source holds in this run.
    pub(crate) fn held(&self, source: Source) -> Result<&[Range<usize>]> {
        Ok(match source {
            Source::Input => &self.input,
            Source::Table(table) => at(&self.tables, table)?,
            Source::Stage(stage) => at(&self.stages, stage)?,
        })
    }
}

fn found(list: &[bool], number: usize) -> bool {
    list.get(number).is_some_and(|&fits| fits)
}

/// What a list has at this number. It always has something there: the sizes, the flow and the weights come from one model.
pub(crate) fn at<T>(list: &[T], number: usize) -> Result<&T> {
    list.get(number).ok_or_else(defect)
}

/// Cannot happen: the sizes, the flow and the weights come from the same model.
pub(crate) fn defect() -> Error {
    Error::defect("the flow of the model")
}
