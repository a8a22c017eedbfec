//! The buffers and bind groups of one (batch, time_steps) on the GPU, made once.

use std::sync::Weak;

use super::GpuModel;
use crate::error::{Error, Result};
use crate::flow::{Flow, Gather, Input, Source, Stage};
use crate::gpu::device::Gpu;
use crate::gpu::device::buffer::{Use, buffer_bytes};
use crate::gpu::device::timer::Timer;
use crate::gpu::rows::{Rows, RowsSize, VALUE};
use crate::gpu::sizes::{RecurrentSize, Sizes, StageSize};
use crate::gpu::stage::gather::{GatherBuffers, index_bytes};
use crate::gpu::stage::input_projection::ProjectionGroups;
use crate::gpu::strategy::recurrence::RecurrenceGroups;
use crate::gpu::strategy::team::TeamBuffers;

/// Everything that a batch of one size needs on the GPU besides the weights.
#[derive(Debug)]
pub(crate) struct Workspace {
    pub(crate) batch: usize,
    pub(crate) time_steps: usize,
    pub(crate) params: wgpu::Buffer,
    pub(crate) params_bytes: u64,
    pub(crate) input: Rows,
    pub(crate) stages: Vec<StageBuffers>,
    pub(crate) outputs: Vec<OutputBuffers>,
    pub(crate) states: Vec<StateBuffers>,
    /// For each recurrence the first row of each step of its schedule.
    pub(crate) starts: Vec<wgpu::Buffer>,
    pub(crate) team: Option<TeamBuffers>,
    pub(crate) timer: Option<Timer>,
    /// The flow whose lists are here already.
    pub(crate) lists_of: Weak<Flow>,
}

/// The buffers of a stage.
#[derive(Debug)]
pub(crate) struct StageBuffers {
    pub(crate) rows: Rows,
    pub(crate) kind: StageKind,
}

#[derive(Debug)]
pub(crate) enum StageKind {
    Recurrent {
        size: RecurrentSize,
        gather: GatherBuffers,
        /// From the gathered scratch, then from each buffer of the source, into the projected scratch.
        projection: ProjectionGroups,
        /// One for each buffer of the rows. None for the second direction, which runs with the first one.
        groups: Vec<RecurrenceGroups>,
    },
    Dense {
        gather: GatherBuffers,
        /// One for each buffer of the rows; from the gathered scratch, then from each buffer of the source.
        projections: Vec<ProjectionGroups>,
    },
    Merge {
        forward: GatherBuffers,
        backward: GatherBuffers,
    },
}

/// An output in the shape that the caller gets, and the buffers that the host reads.
#[derive(Debug)]
pub(crate) struct OutputBuffers {
    pub(crate) rows: Rows,
    pub(crate) gather: GatherBuffers,
    pub(crate) staging: Rows,
}

/// The state of a cell: where it lives while the model runs, and what the host reads.
#[derive(Debug)]
pub(crate) struct StateBuffers {
    /// c by position of the schedule, (batch, padded units); from byte `cell_start` on.
    pub(crate) cell_state: wgpu::Buffer,
    pub(crate) cell_start: u64,
    /// The final h by sequence, (batch, padded units).
    pub(crate) hidden: wgpu::Buffer,
    pub(crate) gather: GatherBuffers,
    /// First h, then c.
    pub(crate) staging: wgpu::Buffer,
}

impl Sizes {
    /// The bytes of all buffers that a workspace makes.
    pub(crate) fn total(&self) -> u64 {
        let rows = |size: &RowsSize| size.bytes().sum::<u64>();
        let lists = self
            .entries
            .iter()
            .flatten()
            .map(|&entries| buffer_bytes(index_bytes(entries)));
        let outputs = self.outputs.iter().zip(&self.output_entries);
        [
            rows(&self.input),
            self.stages.iter().map(|stage| rows(stage.rows())).sum(),
            lists.sum(),
            outputs
                .map(|(size, &entries)| 2 * rows(size) + buffer_bytes(index_bytes(entries)))
                .sum(),
            self.states
                .iter()
                .map(|&values| {
                    let bytes = values as u64 * VALUE;
                    buffer_bytes(bytes) + buffer_bytes(2 * bytes) + buffer_bytes(index_bytes(self.batch))
                })
                .sum(),
            self.cell_states.len() as u64 * buffer_bytes(self.starts),
            self.cell_states.iter().map(|&bytes| buffer_bytes(bytes)).sum(),
            buffer_bytes(self.gathered),
            buffer_bytes(self.projected),
            buffer_bytes(self.params),
            self.exchange.map_or(0, TeamBuffers::bytes),
        ]
        .iter()
        .sum()
    }
}

impl Workspace {
    pub(crate) fn make(model: &GpuModel, batch: usize, time_steps: usize) -> Result<Self> {
        let sizes = model.sizes(batch, time_steps)?;
        let flow = Flow::new(&model.parts, Input::Full { batch, time_steps }, None)?;
        let gpu = &model.gpu;
        let storage = |label: &str, bytes| gpu.make_buffer(&format!("cellstate.{label}"), bytes, Use::Storage);
        let params = gpu.make_buffer("cellstate.params", sizes.params, Use::Uniform);
        let recurrences = model.weights.recurrences.iter();
        let starts: Vec<wgpu::Buffer> = recurrences.map(|_| storage("starts", sizes.starts)).collect();
        let team = sizes.exchange.map(|bytes| TeamBuffers::make(gpu, bytes));
        let maker = Maker {
            gpu,
            model,
            sizes: &sizes,
            params: &params,
            starts: &starts,
            team: team.as_ref(),
            gathered: storage("gathered", sizes.gathered),
            projected: storage("projected", sizes.projected),
            input: Rows::make(gpu, "cellstate.input", &sizes.input, Use::Storage),
        };
        let cell_bytes = |values: usize| values as u64 * VALUE;
        let mut cell_states: Vec<(wgpu::Buffer, u64)> = Vec::new();
        for (place, &values) in model.weights.places.iter().zip(&sizes.states) {
            let shared = cell_states.last().filter(|_| place.direction > 0).cloned();
            let made = shared
                .map(|(buffer, _)| buffer)
                .unwrap_or_else(|| storage("cell_state", place.directions as u64 * cell_bytes(values)));
            cell_states.push((made, place.direction as u64 * cell_bytes(values)));
        }
        let mut stages: Vec<StageBuffers> = Vec::new();
        for (number, stage) in flow.stages.iter().enumerate() {
            let made = maker.stage(number, stage, &stages, &cell_states)?;
            stages.push(made);
        }
        let outputs = flow.outputs.iter().zip(sizes.outputs.iter().zip(&sizes.output_entries));
        let outputs = outputs
            .map(|(placed, (size, &entries))| {
                let rows = Rows::make(gpu, "cellstate.output", size, Use::Storage);
                let source = maker.source(&placed.gather, &stages)?;
                let targets: Vec<_> = rows.buffers.iter().collect();
                let gather = GatherBuffers::make(gpu, "place", entries, source, &targets, &params);
                let staging = Rows::make(gpu, "cellstate.output.staging", size, Use::Readback);
                Ok(OutputBuffers { rows, gather, staging })
            })
            .collect::<Result<Vec<_>>>()?;
        let states = cell_states.into_iter().zip(&sizes.states).zip(&flow.cell_stages);
        let states = states
            .map(|(((cell_state, cell_start), &values), &stage)| {
                let hidden = storage("final_hidden", cell_bytes(values));
                let source = &stages.get(stage).ok_or_else(missing)?.rows;
                let gather = GatherBuffers::make(gpu, "final_hidden", batch, source, &[&hidden], &params);
                let staging = gpu.make_buffer("cellstate.state.staging", 2 * values as u64 * VALUE, Use::Readback);
                Ok(StateBuffers {
                    cell_state,
                    cell_start,
                    hidden,
                    gather,
                    staging,
                })
            })
            .collect::<Result<Vec<_>>>()?;
        let input = maker.input;
        Ok(Self {
            batch,
            time_steps,
            params,
            params_bytes: sizes.params,
            input,
            stages,
            outputs,
            states,
            starts,
            lists_of: Weak::new(),
            team,
            timer: model.settings.is_timed().then(|| Timer::make(gpu)).flatten(),
        })
    }
}

struct Maker<'a> {
    gpu: &'a Gpu,
    model: &'a GpuModel,
    sizes: &'a Sizes,
    params: &'a wgpu::Buffer,
    starts: &'a [wgpu::Buffer],
    team: Option<&'a TeamBuffers>,
    gathered: wgpu::Buffer,
    projected: wgpu::Buffer,
    input: Rows,
}

impl Maker<'_> {
    fn stage(
        &self,
        number: usize,
        stage: &Stage,
        before: &[StageBuffers],
        cell_states: &[(wgpu::Buffer, u64)],
    ) -> Result<StageBuffers> {
        let size = self.sizes.stages.get(number).ok_or_else(missing)?;
        let lists = self.sizes.entries.get(number).ok_or_else(missing)?;
        let entries = *lists.first().ok_or_else(missing)?;
        let more_entries = lists.get(1).copied().unwrap_or(0);
        let gpu = self.gpu;
        match (stage, size) {
            (Stage::Recurrent { cell, input, .. }, StageSize::Recurrent(size)) => {
                let source = self.source(input, before)?;
                let weights = &self.model.weights;
                let place = weights.places.get(*cell).ok_or_else(missing)?;
                let recurrence = weights.recurrences.get(place.recurrence).ok_or_else(missing)?;
                let (cell_state, _) = cell_states.get(*cell).ok_or_else(missing)?;
                let rows = match before.last().filter(|_| place.direction > 0) {
                    Some(first) => Rows {
                        size: size.rows.clone(),
                        buffers: first.rows.buffers.clone(),
                    },
                    None => Rows::make(gpu, "cellstate.hidden", &size.rows, Use::Storage),
                };
                let gather = GatherBuffers::make(gpu, "gather", entries, source, &[&self.gathered], self.params);
                let sources = std::iter::once(&self.gathered).chain(&source.buffers);
                let projection = weights.projections.get(*cell).ok_or_else(missing)?;
                let projection = projection.groups(gpu, "input_projection", self.params, sources, &self.projected);
                let starts = self.starts.get(place.recurrence).ok_or_else(missing)?;
                let group = |hidden| {
                    let buffers = [&self.projected, hidden, cell_state, starts];
                    recurrence.groups(gpu, self.params, buffers, self.team)
                };
                let first = place.direction == 0;
                let groups = rows.buffers.iter().filter(|_| first).map(group).collect();
                let kind = StageKind::Recurrent {
                    size: size.clone(),
                    gather,
                    projection,
                    groups,
                };
                Ok(StageBuffers { rows, kind })
            }
            (Stage::Dense { dense, input }, StageSize::Rows(size)) => {
                let source = self.source(input, before)?;
                let weights = self.model.weights.denses.get(*dense).ok_or_else(missing)?;
                let rows = Rows::make(gpu, "cellstate.dense", size, Use::Storage);
                let gather = GatherBuffers::make(gpu, "gather", entries, source, &[&self.gathered], self.params);
                let group = |target| {
                    let sources = std::iter::once(&self.gathered).chain(&source.buffers);
                    weights.groups(gpu, "dense", self.params, sources, target)
                };
                let projections = rows.buffers.iter().map(group).collect();
                Ok(StageBuffers {
                    rows,
                    kind: StageKind::Dense { gather, projections },
                })
            }
            (Stage::Merge { forward, backward, .. }, StageSize::Rows(size)) => {
                let rows = Rows::make(gpu, "cellstate.merged", size, Use::Storage);
                let targets: Vec<_> = rows.buffers.iter().collect();
                let make = |gather: &Gather, entries| {
                    let source = self.source(gather, before)?;
                    Ok(GatherBuffers::make(
                        gpu,
                        "merge",
                        entries,
                        source,
                        &targets,
                        self.params,
                    ))
                };
                let kind = StageKind::Merge {
                    forward: make(forward, entries)?,
                    backward: make(backward, more_entries)?,
                };
                Ok(StageBuffers { rows, kind })
            }
            _ => Err(missing()),
        }
    }

    fn source<'b>(&'b self, gather: &Gather, stages: &'b [StageBuffers]) -> Result<&'b Rows> {
        match gather.source {
            Source::Input => Some(&self.input),
            Source::Table(table) => self.model.weights.tables.get(table),
            Source::Stage(stage) => stages.get(stage).map(|stage| &stage.rows),
        }
        .ok_or_else(missing)
    }
}

/// Cannot happen: the sizes, the flow and the model come from the same parts.
pub(crate) fn missing() -> Error {
    Error::defect("the flow of the model")
}
