//! The recurrence: the cells that run together, from their projected rows to their final states, by one of the strategies.
//!
//! Its rows are cut over time twice: into *segments*, whose rows lie in one buffer, and these into *chunks*, whose rows are
//! projected at once.

use std::ops::Range;
use std::sync::Arc;

use crate::error::Result;
use crate::flow::size::{StageKind, StageSize as FlowStageSize};
use crate::flow::{Flow, Gather, Ran, Source, Stage as FlowStage};
use crate::gpu::commands::Commands;
use crate::gpu::device::Gpu;
use crate::gpu::device::buffer::{Use, buffer_bytes};
use crate::gpu::rows::{RecurrentRows, RowsSize, VALUE, padded, rows_of, segments};
use crate::gpu::stage::direction::{CellPart, DirectionBuffers, read_state};
use crate::gpu::stage::gather::{GatherBuffers, index_bytes, upload_list};
use crate::gpu::stage::input_projection::{ProjectedInput, ProjectedTo};
use crate::gpu::stage::{Maker, Run, Scratch, Sizer, Stage, StageSize, at, defect};
use crate::gpu::strategy::choice::choose;
use crate::gpu::strategy::chunk::Chunk;
use crate::gpu::strategy::recurrence::{Recurrence, RecurrenceGroups};
use crate::gpu::weights::projected_width;
use crate::schedule::Schedule;
use crate::settings::Strategy;
use crate::state::State;

/// The bytes of the scratch for projected rows, if the batch has so many: what is projected at once should find room in
/// the GPU's cache, and need not be there for the whole sequence.
const PROJECTED_BYTES: u64 = 64 << 20;

/// How a recurrence is cut over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pieces {
    /// The steps of a segment and of a chunk, at most.
    pub(crate) segment_steps: usize,
    pub(crate) chunk_steps: usize,
    /// The steps of a batch without a mask, and the sequences that run them.
    pub(crate) steps: usize,
    pub(crate) positions: usize,
}

impl Pieces {
    fn of(sizer: &Sizer<'_>, steps: usize, features: usize, recurrence: &Recurrence) -> Self {
        let batch = sizer.flow.batch.max(1) as u64;
        let (cell, directions) = (&recurrence.cell, recurrence.directions);
        let row = (directions * padded(cell.output)) as u64 * VALUE;
        let projected = (directions * projected_width(cell)) as u64 * VALUE;
        let gathered = padded(features) as u64 * VALUE;
        let most_steps = |bytes: u64, budget: u64| (budget / (bytes * batch).max(1)).max(1) as usize;
        let segment_steps = (most_steps(row, sizer.limit) - 1).clamp(1, steps.max(1));
        let chunk_steps = most_steps(projected, sizer.limit.min(PROJECTED_BYTES))
            .min(most_steps(gathered, sizer.limit))
            .min(segment_steps);
        Self {
            segment_steps,
            chunk_steps,
            steps,
            positions: if steps == 0 { 0 } else { sizer.flow.batch },
        }
    }

    /// The dispatches by which a strategy runs all steps.
    pub(crate) fn dispatches(&self, recurrence: &Recurrence, strategy: Strategy) -> usize {
        // all segments but the last one are alike, and so are all chunks of a segment but its last one
        let of_chunk = |steps| recurrence.dispatches(strategy, self.positions, steps);
        let of_segment =
            |steps: usize| steps / self.chunk_steps * of_chunk(self.chunk_steps) + of_chunk(steps % self.chunk_steps);
        self.steps / self.segment_steps * of_segment(self.segment_steps) + of_segment(self.steps % self.segment_steps)
    }
}

/// What a recurrence takes.
#[derive(Debug)]
pub(crate) struct RecurrenceSize {
    /// The number of its first stage in the flow; the other direction is the next one.
    number: usize,
    schedule: usize,
    batch: usize,
    /// For each direction its rows, its cell and what it reads.
    rows: Vec<RowsSize>,
    directions: Vec<(usize, Source)>,
    entries: usize,
    features: usize,
    source_buffers: usize,
    pieces: Pieces,
    recurrence: Arc<Recurrence>,
}

impl RecurrenceSize {
    /// The recurrence whose first cell this is.
    pub(crate) fn new(sizer: &Sizer<'_>, stage: &FlowStageSize, cell: usize, schedule: usize) -> Result<Self> {
        let number = sizer.stages.len();
        let recurrence = Arc::clone(sizer.prepared.recurrence(cell).ok_or_else(defect)?);
        let stages = sizer.flow.stages.get(number..number + recurrence.directions);
        let stages = stages.ok_or_else(defect)?;
        let (mut directions, mut features, mut source_buffers) = (Vec::new(), 0, 0);
        for stage in stages {
            let StageKind::Recurrent { cell, input, .. } = stage.kind else {
                return Err(defect());
            };
            let source = sizer.source(input)?;
            features = features.max(source.width);
            source_buffers += source.buffers;
            directions.push((cell, input));
        }
        let batch = sizer.flow.batch;
        let steps = *at(&sizer.flow.schedules, schedule)?;
        let pieces = Pieces::of(sizer, steps, features, &recurrence);
        let width = recurrence.cell.output;
        let rows = |direction| RowsSize {
            recurrent: Some(RecurrentRows {
                batch,
                segment_steps: pieces.segment_steps,
                direction,
                directions: directions.len(),
            }),
            ..RowsSize::cut(width, padded(width), stage.rows, batch.max(1) * pieces.segment_steps)
        };
        Ok(Self {
            number,
            schedule,
            batch,
            rows: (0..directions.len()).map(rows).collect(),
            directions,
            entries: stage.rows,
            features,
            source_buffers,
            pieces,
            recurrence,
        })
    }

    /// The buffers that the rows of all directions share.
    fn buffers(&self) -> usize {
        self.rows.first().map_or(0, |rows| rows.buffers)
    }

    /// The bytes of h of one direction,
    fn hidden_bytes(&self) -> u64 {
        (self.batch * padded(self.recurrence.cell.output)) as u64 * VALUE
    }

    /// and of c; none where the cell has no such state.
    fn cell_bytes(&self) -> u64 {
        let cell = &self.recurrence.cell;
        let width = if cell.has_cell_state() { padded(cell.units) } else { 0 };
        (self.batch * width) as u64 * VALUE
    }

    /// What the host reads of one direction.
    fn staging_bytes(&self) -> u64 {
        self.hidden_bytes() + self.cell_bytes()
    }

    fn direction(&self, maker: &Maker<'_>, direction: usize, cell_state: &wgpu::Buffer) -> Result<DirectionBuffers> {
        let gpu = maker.gpu;
        let rows = maker.source(Source::Stage(self.number + direction))?.clone();
        let &(cell, input) = at(&self.directions, direction)?;
        let source = maker.source(input)?;
        let weights = at(&maker.prepared.projections, cell)?;
        let projected = std::slice::from_ref(maker.projected);
        let hidden = gpu.make_buffer("cellstate.state", self.hidden_bytes(), Use::Storage);
        let lists = at(maker.schedules, self.schedule)?;
        let target = std::slice::from_ref(&hidden);
        Ok(DirectionBuffers {
            cell,
            input: ProjectedInput::make(maker, "input_projection", weights, (source, self.entries), projected),
            finals: GatherBuffers::by(maker, "final_hidden", lists.last_rows.clone(), &rows, target),
            rows,
            staging: gpu.make_buffer("cellstate.state.staging", self.staging_bytes(), Use::Readback),
            hidden,
            cell_state: self.recurrence.cell.has_cell_state().then(|| CellPart {
                buffer: cell_state.clone(),
                start: direction as u64 * self.cell_bytes(),
                width: self.recurrence.cell.units,
            }),
        })
    }
}

impl StageSize for RecurrenceSize {
    fn rows(&self) -> &[RowsSize] {
        &self.rows
    }

    fn sources(&self) -> Vec<Source> {
        self.directions.iter().map(|&(_, input)| input).collect()
    }

    fn bytes(&self) -> u64 {
        let directions = self.directions.len() as u64;
        let list = buffer_bytes(index_bytes(self.entries));
        let state = buffer_bytes(self.hidden_bytes()) + buffer_bytes(self.staging_bytes());
        directions * (list + state) + buffer_bytes(directions * self.cell_bytes())
    }

    fn scratch(&self) -> Scratch {
        let chunk_rows = (self.pieces.chunk_steps * self.batch) as u64;
        let projected = projected_width(&self.recurrence.cell) as u64 * VALUE;
        Scratch {
            gathered: chunk_rows * padded(self.features) as u64 * VALUE,
            projected: self.directions.len() as u64 * chunk_rows * projected,
            exchange: self.recurrence.exchange_bytes(self.batch, self.pieces.steps),
        }
    }

    fn dispatches(&self) -> usize {
        let Pieces { steps, chunk_steps, .. } = self.pieces;
        let chunks = self.buffers() + steps.div_ceil(chunk_steps);
        let strategies = self.recurrence.ready();
        let launches = strategies.map(|(strategy, _)| self.pieces.dispatches(&self.recurrence, strategy));
        // each direction is gathered, projected, and its final h gathered
        let others = chunks * (self.directions.len() + self.source_buffers) + self.directions.len() * self.buffers();
        launches.max().unwrap_or(0) + others
    }

    fn make(&self, maker: &Maker<'_>) -> Result<Box<dyn Stage>> {
        // where there is no such state the shaders bind an empty buffer
        let bytes = self.directions.len() as u64 * self.cell_bytes();
        let cell_state = maker.gpu.make_buffer("cellstate.cell_state", bytes, Use::Storage);
        let directions: Vec<DirectionBuffers> = (0..self.directions.len())
            .map(|direction| self.direction(maker, direction, &cell_state))
            .collect::<Result<_>>()?;
        let starts = &at(maker.schedules, self.schedule)?.starts;
        let group = |hidden| {
            let buffers = [maker.projected, hidden, &cell_state, starts];
            self.recurrence.groups(maker.gpu, maker.params, buffers, maker.exchange)
        };
        let rows = &at(&directions, 0)?.rows;
        Ok(Box::new(RecurrenceStage {
            number: self.number,
            batch: self.batch,
            pieces: self.pieces,
            is_fresh: maker.fresh.get(self.number).copied().unwrap_or(false),
            groups: rows.buffers.iter().map(group).collect(),
            directions,
            recurrence: Arc::clone(&self.recurrence),
            starts: starts.clone(),
        }))
    }

    fn pieces(&self) -> Option<&Pieces> {
        Some(&self.pieces)
    }
}

/// A recurrence.
#[derive(Debug)]
pub(crate) struct RecurrenceStage {
    number: usize,
    batch: usize,
    pub(crate) pieces: Pieces,
    /// Whether no earlier stage of a run has used the buffers of its rows.
    is_fresh: bool,
    directions: Vec<DirectionBuffers>,
    recurrence: Arc<Recurrence>,
    /// One for each buffer of the rows.
    groups: Vec<RecurrenceGroups>,
    /// For each step the row of position 0, and one more for the end.
    starts: wgpu::Buffer,
}

impl RecurrenceStage {
    /// What the strategies are told of some steps of a schedule.
    pub(crate) fn chunk<'a>(&self, starts: &'a [u32], lengths: &'a [u32], steps: Range<usize>) -> Chunk<'a> {
        let size = self.directions.first().map(|first| &first.rows.size);
        Chunk {
            starts,
            lengths,
            segment_step: steps.start / self.pieces.segment_steps * self.pieces.segment_steps,
            steps,
            batch: self.batch,
            hidden_pitch: size.map_or(0, RowsSize::pitch),
            projected_pitch: self.pieces.chunk_steps * self.batch,
        }
    }

    /// Uploads where the steps of a batch without a mask begin, for a tuning.
    pub(crate) fn upload_starts(&self, gpu: &Gpu, starts: &[u32]) {
        upload_list(gpu, &self.starts, starts);
    }

    /// The bind groups of the first segment.
    pub(crate) fn groups(&self) -> Result<&RecurrenceGroups> {
        at(&self.groups, 0)
    }

    /// For each direction its buffers, its schedule and its list in a run.
    fn in_run<'a>(&'a self, flow: &'a Flow) -> Result<Vec<(&'a DirectionBuffers, &'a Schedule, &'a Gather)>> {
        let number = |(direction, buffers)| match flow.stage(self.number + direction)? {
            FlowStage::Recurrent { schedule, input, .. } => Ok((buffers, &**schedule, input)),
            FlowStage::Dense { .. } | FlowStage::Merge { .. } => Err(defect()),
        };
        self.directions.iter().enumerate().map(number).collect()
    }
}

impl Stage for RecurrenceStage {
    fn upload_lists(&self, gpu: &Gpu, flow: &Flow) -> Result<()> {
        for (buffers, _, input) in self.in_run(flow)? {
            buffers.input.upload(gpu, input);
        }
        Ok(())
    }

    fn upload_states(&self, gpu: &Gpu, flow: &Flow, states: &[State]) -> Result<()> {
        for (buffers, schedule, _) in self.in_run(flow)? {
            let state = at(states, buffers.cell)?;
            buffers.upload_state(gpu, schedule, state);
        }
        Ok(())
    }

    fn record(&self, run: &Run<'_>, commands: &mut Commands) -> Result<()> {
        let directions = self.in_run(run.flow)?;
        // the directions differ in the order of time, and in nothing else that their schedules say
        let &(_, schedule, _) = at(&directions, 0)?;
        for (buffers, _, _) in &directions {
            buffers.begin(commands, run.flow.batch, run.has_states, self.is_fresh)?;
        }
        let size = (schedule.active(0), schedule.steps());
        let strategy = choose(run.gpu, &self.recurrence, run.asked, size).strategy;
        for (segment, steps) in segments(schedule, self.pieces.segment_steps).enumerate() {
            let groups = at(&self.groups, segment)?;
            for (buffers, _, _) in &directions {
                buffers.carry_hidden(commands, segment, schedule, steps.start)?;
            }
            for first in steps.clone().step_by(self.pieces.chunk_steps) {
                let steps = first..(first + self.pieces.chunk_steps).min(steps.end);
                let chunk = self.chunk(schedule.offsets(), schedule.lengths(), steps.clone());
                for (number, (buffers, schedule, input)) in directions.iter().enumerate() {
                    let to = ProjectedTo {
                        buffer: 0,
                        row: number * chunk.projected_pitch,
                    };
                    let rows = rows_of(schedule, &steps);
                    buffers.input.record(run, commands, (input, rows), to)?;
                }
                self.recurrence.record(commands, groups, &chunk, strategy);
                commands.rows_run += directions.len() * chunk.rows().len();
            }
        }
        if run.wants_states {
            for (direction, (buffers, _, _)) in directions.iter().enumerate() {
                let held = run.held(Source::Stage(self.number + direction))?;
                buffers.end(commands, run.flow.batch, held);
            }
        }
        Ok(())
    }

    fn wanted(&self, flow: &Flow, wants_states: bool) -> Result<Vec<(&wgpu::Buffer, u64)>> {
        let wanted = self.directions.iter().filter(|_| wants_states);
        Ok(wanted.map(|buffers| buffers.wanted(flow.batch)).collect())
    }

    fn take(&self, flow: &Flow, read: &mut dyn Iterator<Item = Vec<f32>>, ran: &mut Ran) -> Result<()> {
        for (buffers, schedule, _) in self.in_run(flow)? {
            // without a place to put it, nobody wanted it and nothing was read
            if let Some(state) = ran.states.get_mut(buffers.cell) {
                read_state(&read.next().ok_or_else(defect)?, schedule, state);
            }
        }
        Ok(())
    }

    fn as_recurrence(&self) -> Option<&RecurrenceStage> {
        Some(self)
    }
}
