//! The way back of one batch: the lists of the flow in reverse order, each with the gradient of what it has read. What a stage makes of its
//! gradient stands in `stages`.

use std::sync::Arc;

use crate::error::Result;
use crate::flow::backward::{Backward, Reader, Reading};
use crate::flow::size::FlowSize;
use crate::flow::{BatchStatistics, Flow, Gather, Source, Stage};
use crate::gpu::device::Gpu;
use crate::gpu::device::buffer::Use;
use crate::gpu::rows::Rows;
use crate::gpu::stage::interface::{at, defect};
use crate::gpu::stage::left_out::LeftOut;
use crate::gpu::stage::moments::Moments;
use crate::gpu::stage::row_transform::RowTransform;
use crate::gpu::training::buffers::Buffers;
use crate::gpu::training::flow_size::size_of;
use crate::gpu::training::penalties::Penalties;
use crate::gpu::training::places::Place;
use crate::gpu::training::recorder::{Block, Matrix, PARAMETERS, Recorder, Software, parameters};
use crate::gpu::training::scatter::Uploaded;
use crate::gpu::training::sizes::{Wanted, WaySizes};
use crate::gpu::training::solo_back::SoloBack;
use crate::gpu::training::weights::Weights;
use crate::gpu::workspace::Workspace;
use crate::gradients::Upstream;
use crate::loss::elsewhere::DeviceLoss;
use crate::model::plan::Plan;
use crate::model::planned_weight::Owner;
use crate::parameters::Role;
use crate::random::Noise;

/// The way back of one batch.
pub(super) struct Way<'a> {
    pub(super) flow: &'a Flow,
    pub(super) backward: &'a Backward,
    pub(super) plan: &'a Plan,
    pub(super) weights: &'a Weights,
    pub(super) solos: &'a [Option<SoloBack>],
    pub(super) places: &'a [Place],
    pub(super) workspace: &'a Workspace,
    /// The sequences and time steps that it was made for.
    pub(super) size: (usize, usize),
    pub(super) tables: &'a [Rows],
    pub(super) transforms: &'a [Arc<RowTransform>],
    pub(super) upstream: &'a Upstream,
    pub(super) noise: Option<Noise>,
    pub(super) wants_input: bool,
    /// The loss, where it is computed here; else the host says its gradient.
    pub(super) loss: Option<&'a DeviceLoss>,
    /// Added to the gradients of the weights, where these stay here.
    pub(super) penalties: Option<&'a Penalties>,
}

/// The gradient of what a list has read, entry by entry: a buffer, the value with which it begins, the values from an entry to the next,
/// and what to multiply it by.
pub(super) struct OfList {
    pub(super) buffer: wgpu::Buffer,
    pub(super) first: usize,
    pub(super) stride: usize,
    pub(super) scale: f32,
}

impl OfList {
    pub(super) fn tight(buffer: wgpu::Buffer, width: usize) -> Self {
        Self {
            buffer,
            first: 0,
            stride: width,
            scale: 1.0,
        }
    }
}

impl Way<'_> {
    /// Makes room for everything, so that no buffer grows on the way. Gives how many dispatches there are at most.
    pub(super) fn reserve(&self, gpu: &Gpu, buffers: &mut Buffers) -> Result<usize> {
        let (plan, (room, time_steps)) = (self.plan, self.size);
        let wanted = Wanted {
            plan,
            solos: self.solos,
            places: self.places,
            room,
            wants_input: self.wants_input,
            software: Software::of(gpu),
            judges_by: self.loss.map(|loss| loss.rule),
        };
        let now = WaySizes::new(&size_of(self.flow, plan), wanted);
        let most = WaySizes::new(&FlowSize::in_training(plan, room, time_steps), wanted);
        for (name, &(count, purpose)) in &now.buffers {
            buffers.reserve(gpu, *name, (count, most.count(name)), purpose)?;
        }
        let of_dispatches = [now.dispatches, most.dispatches].map(|dispatches| parameters(gpu, dispatches));
        buffers.reserve(gpu, PARAMETERS, of_dispatches.into(), Use::Uniform)?;
        Ok(now.dispatches)
    }

    /// Records everything. The gradients of weights and states are left in their buffers.
    pub(super) fn record(&self, recorder: &mut Recorder<'_>) -> Result<()> {
        for (number, weight) in self.plan.weights.iter().enumerate() {
            recorder.zeros(("gradient", number), weight.shape.iter().product())?;
        }
        for stage in 0..self.flow.stages.len() {
            let place = self.place_of(stage)?;
            if place.direction == 0 {
                recorder.zeros(("rows gradient", stage), place.directions * self.values_of(stage)?)?;
            }
        }
        if self.wants_input {
            let features = self.plan.features.unwrap_or(0);
            recorder.zeros(("input gradient", 0), self.flow.input_steps.len() * features)?;
        }
        for (number, reading) in self.backward.readings.iter().enumerate() {
            self.reading(recorder, number, reading)?;
        }
        match self.penalties {
            Some(penalties) => penalties.record(recorder, self.plan, (self.weights, self.tables)),
            None => Ok(()),
        }
    }

    /// Adds the gradient of what a list has read to that of its source.
    fn reading(&self, recorder: &mut Recorder<'_>, number: usize, reading: &Reading) -> Result<()> {
        let width = self.width_of(reading.source);
        let target = self.target(recorder, reading.source)?;
        let of_list = match reading.by {
            Reader::Output(output) => Some(self.output(recorder, output, width)?),
            Reader::Stage(stage) => self.stage(recorder, stage, target.is_some())?,
            Reader::MergedBackward(stage) => Some(self.merged(recorder, stage, true)?),
        };
        let (Some(of_list), Some(target)) = (of_list, target) else {
            return Ok(());
        };
        let source = Matrix {
            buffer: &of_list.buffer,
            first: of_list.first,
            stride: of_list.stride,
        };
        let readers = Uploaded::upload(recorder, number, &reading.readers)?;
        readers.add(recorder, (source, width), target.matrix(), of_list.scale);
        Ok(())
    }

    pub(super) fn width_of(&self, source: Source) -> usize {
        match source {
            Source::Input => self.plan.features.unwrap_or(0),
            Source::Table(table) => self.plan.tables.get(table).map_or(0, |table| table.ncols()),
            Source::Stage(stage) => self.flow.widths.get(stage).copied().unwrap_or(0),
        }
    }

    /// Where the gradient of the rows of a source is added up, if anybody wants it.
    pub(super) fn target(&self, recorder: &mut Recorder<'_>, source: Source) -> Result<Option<Block>> {
        let width = self.width_of(source);
        let whole = |buffer| Block {
            buffer,
            first: 0,
            width,
        };
        Ok(match source {
            Source::Input if !self.wants_input => None,
            Source::Input => {
                let rows = self.flow.input_steps.len();
                Some(whole(recorder.buffer(("input gradient", 0), rows * width)?))
            }
            Source::Table(table) => {
                let tensor = self.weights.get(Owner::Table(table), Role::Embeddings)?;
                Some(whole(tensor.gradient(recorder)?))
            }
            Source::Stage(stage) => Some(self.block_of(recorder, stage)?),
        })
    }

    /// The gradient of the rows that a stage has made.
    pub(super) fn block_of(&self, recorder: &mut Recorder<'_>, stage: usize) -> Result<Block> {
        let (place, values) = (self.place_of(stage)?, self.values_of(stage)?);
        let name = ("rows gradient", place.first_stage(stage));
        Ok(Block {
            buffer: recorder.buffer(name, place.directions * values)?,
            first: place.direction * values,
            width: self.width_of(Source::Stage(stage)),
        })
    }

    /// The same of a stage that shares no buffer with another.
    pub(super) fn gradient_of(&self, recorder: &mut Recorder<'_>, stage: usize) -> Result<wgpu::Buffer> {
        self.block_of(recorder, stage).map(|block| block.buffer)
    }

    /// The place of a recurrence among the directions that go back together; of another stage that of one by itself.
    fn place_of(&self, stage: usize) -> Result<Place> {
        match self.flow.stage(stage)? {
            Stage::Recurrent { cell, .. } => at(self.places, *cell).copied(),
            _ => Ok(Place::alone(0)),
        }
    }

    fn values_of(&self, stage: usize) -> Result<usize> {
        Ok(self.flow.stage(stage)?.rows() * self.width_of(Source::Stage(stage)))
    }

    /// The rows of a source as the forward pass has left them.
    pub(super) fn rows(&self, source: Source) -> Result<(Matrix<'_>, &Rows)> {
        let rows = match source {
            Source::Input => &self.workspace.input,
            Source::Table(table) => at(self.tables, table)?,
            Source::Stage(stage) => at(&self.workspace.rows, stage)?,
        };
        let size = &rows.size;
        let matrix = Matrix {
            buffer: rows.whole()?,
            first: size.first_row() * size.stride,
            stride: size.stride,
        };
        Ok((matrix, rows))
    }

    /// What a BatchNormalization has found of the batch, if it has run as in training.
    pub(super) fn statistics(&self, stage: usize) -> Option<(&Moments, &BatchStatistics)> {
        let statistics = self.flow.statistics(stage).filter(|_| self.noise.is_some())?;
        let mut found = self.workspace.stages.iter();
        Some((found.find_map(|made| made.moments(stage))?, statistics))
    }

    /// What the gates of a stage have left out, each of its own, if they have.
    pub(super) fn left_out(&self, stage: usize) -> Option<LeftOut<'_>> {
        let mut made = self.workspace.stages.iter().filter(|_| self.noise.is_some());
        made.find_map(|made| made.left_out(stage))
    }

    /// The first list of a stage.
    pub(super) fn index(&self, recorder: &mut Recorder<'_>, stage: usize, gather: &Gather) -> Result<wgpu::Buffer> {
        recorder.upload(("list", stage), &gather.index)
    }

    /// What the loss says of an output.
    fn output(&self, recorder: &mut Recorder<'_>, output: usize, width: usize) -> Result<OfList> {
        let wanted = &at(&self.flow.outputs, output)?.shape;
        if let Some(loss) = self.loss {
            let outputs = self.workspace.output(output).ok_or_else(defect)?;
            let gradient = loss.record(recorder, (outputs, wanted.iter().product()))?;
            return Ok(OfList::tight(gradient, width));
        }
        let values = at(&self.upstream.outputs, output)?.as_standard_layout();
        match values.as_slice() {
            Some(values) if wanted.iter().product::<usize>() == values.len() => {
                Ok(OfList::tight(recorder.upload(("upstream", output), values)?, width))
            }
            _ => Err(defect()),
        }
    }
}
