//! The recurrence: the cells that run together, from their projected rows to their final states, by one of the strategies.

use std::sync::Arc;

use crate::error::Result;
use crate::flow::size::{StageKind, StageSize as FlowStageSize};
use crate::flow::{Flow, Gather, Ran, Source, Stage as FlowStage};
use crate::gpu::commands::Commands;
use crate::gpu::device::Gpu;
use crate::gpu::device::buffer::{Use, buffer_bytes};
use crate::gpu::device::mapped::Bytes;
use crate::gpu::device::writes::Writes;
use crate::gpu::rows::{RecurrentRows, RowsSize, VALUE, padded, rows_of, segments};
use crate::gpu::stage::carry::{self, Carry, GpuMask, OfRecurrence};
use crate::gpu::stage::direction::{CellPart, DirectionBuffers};
use crate::gpu::stage::earlier_rows::{EarlierRows, one_by_one};
use crate::gpu::stage::gather::GatherBuffers;
use crate::gpu::stage::home::{Home, read_state};
use crate::gpu::stage::input_projection::Projection;
use crate::gpu::stage::interface::{Ends, Maker, Run, Scratch, Sizer, Stage, StageSize, Tunable, at, defect};
use crate::gpu::stage::lists::index_bytes;
use crate::gpu::stage::pieces::Pieces;
use crate::gpu::stage::projected_input::{ProjectedInput, ProjectedTo};
use crate::gpu::strategy::choice::choose;
use crate::gpu::strategy::chunk::Chunk;
use crate::gpu::strategy::entry::Work;
use crate::gpu::strategy::recurrence::{Recurrence, RecurrenceGroups};
use crate::gpu::weights::projected_width;
use crate::schedule::Schedule;
use crate::settings::Strategy;
use crate::state::State;

/// What a recurrence takes.
#[derive(Debug)]
pub(crate) struct RecurrenceSize {
    /// The number of its first stage in the flow; the other direction is the next one.
    number: usize,
    schedule: usize,
    /// For each direction its rows, its cell and what it reads.
    rows: Vec<RowsSize>,
    directions: Vec<(usize, Source)>,
    entries: usize,
    features: usize,
    source_buffers: usize,
    /// The dispatches that project rows once, of all directions.
    projections: usize,
    pieces: Pieces,
    recurrence: Arc<Recurrence>,
    earlier_rows: Option<Arc<Projection>>,
    /// Whether a mask on the GPU may undo steps.
    may_carry: bool,
}

impl RecurrenceSize {
    /// The recurrence whose first cell this is.
    pub(crate) fn new(sizer: &Sizer<'_>, stage: &FlowStageSize, cell: usize, schedule: usize) -> Result<Self> {
        let number = sizer.stages.len();
        let recurrence = Arc::clone(sizer.prepared.recurrence(cell).ok_or_else(defect)?);
        let stages = sizer.flow.stages.get(number..number + recurrence.directions);
        let stages = stages.ok_or_else(defect)?;
        let (mut directions, mut features, mut source_buffers, mut projections) = (Vec::new(), 0, 0, 0);
        for stage in stages {
            let StageKind::Recurrent { cell, input, .. } = stage.kind else {
                return Err(defect());
            };
            let source = sizer.source(input)?;
            features = features.max(source.width);
            source_buffers += source.buffers;
            projections += at(&sizer.prepared.projections, cell)?.parts();
            directions.push((cell, input));
        }
        let batch = sizer.flow.batch;
        let steps = *at(&sizer.flow.schedules, schedule)?;
        let pieces = Pieces::of(sizer.limit, (batch, steps), features, &recurrence);
        let width = recurrence.cell.output;
        let rows = |direction| RowsSize {
            recurrent: Some(RecurrentRows {
                batch,
                segment_steps: pieces.segment_steps,
                direction,
                directions: directions.len(),
            }),
            ..RowsSize::cut(width, padded(width), stage.rows, pieces.segment_rows())
        };
        Ok(Self {
            number,
            schedule,
            rows: (0..directions.len()).map(rows).collect(),
            directions,
            entries: stage.rows,
            features,
            source_buffers,
            projections,
            pieces,
            recurrence,
            earlier_rows: sizer.prepared.earlier_rows(cell).cloned(),
            may_carry: sizer.ends != Ends::Host,
        })
    }

    /// The buffers that the rows of all directions share.
    fn buffers(&self) -> usize {
        self.rows.first().map_or(0, |rows| rows.buffers)
    }

    /// The bytes of c of one direction; none where the cell has no such state.
    fn cell_bytes(&self) -> u64 {
        let cell = &self.recurrence.cell;
        let width = if cell.has_cell_state() { padded(cell.units) } else { 0 };
        (self.pieces.batch * width) as u64 * VALUE
    }

    fn direction(&self, maker: &Maker<'_>, direction: usize, cell_state: &wgpu::Buffer) -> Result<DirectionBuffers> {
        let (gpu, batch, widths) = (maker.gpu, self.pieces.batch, self.recurrence.cell.state_widths());
        let rows = maker.source(Source::Stage(self.number + direction))?.clone();
        let &(cell, input) = at(&self.directions, direction)?;
        let source = maker.source(input)?;
        let weights = at(&maker.prepared.projections, cell)?;
        let projected = std::slice::from_ref(maker.projected);
        let list = &at(maker.schedules, self.schedule)?.sequences;
        let [state, staging] = ["state", "state.staging"].map(|what| maker.label(what));
        let home = Home::make((gpu, &state), batch, widths.clone());
        let hidden = at(&home.parts, 0)?.rows(batch);
        let of_cell = home.parts.get(1).map(|part| {
            let place = (direction, self.directions.len(), batch);
            CellPart::make(maker, list, cell_state, &part.rows(batch), place)
        });
        Ok(DirectionBuffers {
            cell,
            input: ProjectedInput::make(maker, "input_projection", weights, (source, self.entries), projected),
            start: GatherBuffers::by(maker, "start_hidden", list.clone(), &hidden, rows.first()),
            finals: GatherBuffers::by(maker, "final_hidden", list.clone(), &rows, &hidden.buffers),
            cell_state: of_cell,
            staging: gpu.make_buffer(&staging, Home::staging_bytes(batch, widths), Use::Readback),
            home,
            rows,
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
        let (batch, widths) = (self.pieces.batch, self.recurrence.cell.state_widths());
        let staging = buffer_bytes(Home::staging_bytes(batch, widths.clone()));
        let state = Home::memory(batch, widths) + staging;
        directions * (list + state) + buffer_bytes(directions * self.cell_bytes())
    }

    fn scratch(&self) -> Scratch {
        let chunk_rows = (self.pieces.chunk_steps * self.pieces.batch) as u64;
        let projected = projected_width(&self.recurrence.cell) as u64 * VALUE;
        Scratch {
            gathered: chunk_rows * padded(self.features) as u64 * VALUE,
            projected: self.directions.len() as u64 * chunk_rows * projected,
            exchange: self.recurrence.exchange_bytes(self.pieces.batch, self.pieces.steps),
        }
    }

    fn dispatches(&self) -> usize {
        let Pieces { steps, chunk_steps, .. } = self.pieces;
        let chunks = self.buffers() + steps.div_ceil(chunk_steps);
        let strategies = self.recurrence.ready();
        let launches = strategies.map(|(strategy, _)| self.pieces.dispatches(&self.recurrence, strategy));
        // each direction is gathered and projected, h and c are fetched, and brought home: h from all buffers
        let states = self.directions.len() * (self.buffers() + 3);
        let others = chunks * (self.projections + self.source_buffers) + states;
        let earlier = self.earlier_rows.as_ref().map_or(0, |rows| steps * rows.parts());
        // behind each step, and behind all of a buffer
        let carried = if self.may_carry { steps + self.buffers() } else { 0 };
        launches.max().unwrap_or(0) + others + earlier + carried
    }

    fn make(&self, maker: &Maker<'_>) -> Result<Box<dyn Stage>> {
        self.recurrence.make_for(maker.gpu, self.pieces.batch);
        if self.may_carry {
            // kept for the mask that may be set later
            drop(maker.gpu.pipeline(&carry::SHADER, &[]));
        }
        // where there is no such state the shaders bind an empty buffer
        let bytes = self.directions.len() as u64 * self.cell_bytes();
        let cell_state = maker.gpu.make_buffer(&maker.label("cell_state"), bytes, Use::Storage);
        let directions: Vec<DirectionBuffers> = (0..self.directions.len())
            .map(|direction| self.direction(maker, direction, &cell_state))
            .collect::<Result<_>>()?;
        let starts = &at(maker.schedules, self.schedule)?.starts;
        let group = |hidden| {
            let buffers = [maker.projected, hidden, &cell_state, starts];
            self.recurrence
                .groups((maker.gpu, maker.layer), maker.params, buffers, maker.exchange)
        };
        let rows = &at(&directions, 0)?.rows;
        let of = (maker.gpu, &*maker.label("earlier_rows"));
        Ok(Box::new(RecurrenceStage {
            number: self.number,
            hidden_pitch: rows.size.pitch(),
            pieces: self.pieces,
            is_fresh: maker.fresh.get(self.number).copied().unwrap_or(false),
            groups: rows.buffers.iter().map(group).collect(),
            earlier_rows: self
                .earlier_rows
                .as_ref()
                .map(|weights| EarlierRows::make(of, weights, (maker.params, maker.projected), &rows.buffers)),
            directions,
            carry: None,
            cell_state,
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
    /// The rows of h from one direction to the next.
    hidden_pitch: usize,
    pieces: Pieces,
    /// Whether no earlier stage of a run has used the buffers of its rows.
    is_fresh: bool,
    directions: Vec<DirectionBuffers>,
    recurrence: Arc<Recurrence>,
    /// One for each buffer of the rows.
    groups: Vec<RecurrenceGroups>,
    earlier_rows: Option<EarlierRows>,
    /// c of all directions; empty where there is none.
    cell_state: wgpu::Buffer,
    /// Under a mask on the GPU.
    carry: Option<Carry>,
    /// For each step the row of position 0, and one more for the end.
    starts: wgpu::Buffer,
}

impl RecurrenceStage {
    /// For each direction its buffers, its schedule and its list in a run.
    fn in_run<'a>(&'a self, flow: &'a Flow) -> Result<Vec<(&'a DirectionBuffers, &'a Schedule, &'a Gather)>> {
        let number = |(direction, buffers)| match flow.stage(self.number + direction)? {
            FlowStage::Recurrent { schedule, input, .. } => Ok((buffers, &**schedule, input)),
            _ => Err(defect()),
        };
        self.directions.iter().enumerate().map(number).collect()
    }

    /// Runs the steps of a chunk: one by one where something is to be done between them.
    fn record_chunk(
        &self,
        commands: &mut Commands,
        (segment, groups): (usize, &RecurrenceGroups),
        chunk: &Chunk<'_>,
        strategy: Strategy,
    ) {
        if self.earlier_rows.is_none() && self.carry.is_none() {
            return self.recurrence.record(commands, groups, chunk, strategy);
        }
        for (step, one) in one_by_one(chunk) {
            if let Some(earlier) = &self.earlier_rows {
                earlier.record(commands, segment, chunk, step);
            }
            self.recurrence.record(commands, groups, &one, strategy);
            if let Some(carry) = &self.carry {
                carry.record(commands, segment, chunk, step);
            }
        }
    }
}

impl Stage for RecurrenceStage {
    fn upload_lists(&self, to: &mut dyn Writes, flow: &Flow) -> Result<()> {
        for (buffers, _, input) in self.in_run(flow)? {
            buffers.input.upload(to, input);
        }
        Ok(())
    }

    fn upload_states(&self, gpu: &Gpu, states: &[State]) -> Result<()> {
        let mut buffers = self.directions.iter();
        buffers.try_for_each(|buffers| buffers.home.upload(gpu, at(states, buffers.cell)?))
    }

    fn record(&self, run: &Run<'_>, commands: &mut Commands) -> Result<()> {
        let directions = self.in_run(run.flow)?;
        // the directions differ in the order of time, and in nothing else that their schedules say
        let &(_, schedule, _) = at(&directions, 0)?;
        commands.begin_stage("states");
        for (buffers, _, _) in &directions {
            buffers.begin(commands, run.flow.batch, self.is_fresh)?;
        }
        if let Some(carry) = &self.carry {
            carry.begin(commands);
        }
        let work = Work {
            positions: schedule.active(0),
            steps: schedule.steps(),
            rows: schedule.rows(),
        };
        let strategy = choose(run.gpu, &self.recurrence, run.asked, (self.pieces.batch, work)).strategy;
        for (segment, steps) in segments(schedule, self.pieces.segment_steps).enumerate() {
            let groups = at(&self.groups, segment)?;
            commands.begin_stage("states");
            for (buffers, _, _) in &directions {
                buffers.carry_hidden(commands, segment, schedule, steps.start)?;
            }
            for first in steps.clone().step_by(self.pieces.chunk_steps) {
                let steps = first..(first + self.pieces.chunk_steps).min(steps.end);
                let chunk = self.pieces.chunk(
                    (schedule.offsets(), schedule.lengths()),
                    steps.clone(),
                    self.hidden_pitch,
                );
                for (number, (buffers, schedule, input)) in directions.iter().enumerate() {
                    let to = ProjectedTo {
                        buffer: 0,
                        row: number * chunk.projected_pitch,
                    };
                    let rows = rows_of(schedule, &steps);
                    buffers.input.record(run, commands, (input, rows), to)?;
                }
                commands.begin_stage(strategy.name());
                self.record_chunk(commands, (segment, groups), &chunk, strategy);
            }
        }
        commands.begin_stage("final_states");
        for (direction, (buffers, _, _)) in directions.iter().enumerate() {
            let held = run.held(Source::Stage(self.number + direction))?;
            buffers.end(commands, run.flow.batch, held, run.wants_states);
        }
        // behind that, for what is put out may be zero where the state is not
        if let Some(carry) = &self.carry {
            commands.begin_stage("carry");
            for (segment, steps) in segments(schedule, self.pieces.segment_steps).enumerate() {
                carry.end(commands, segment, &steps);
            }
        }
        Ok(())
    }

    fn bind_mask(&mut self, gpu: &Gpu, params: &wgpu::Buffer, mask: Option<&GpuMask>) {
        let cells: Vec<usize> = self.directions.iter().map(|buffers| buffers.cell).collect();
        let cell = &self.recurrence.cell;
        let units = if cell.has_cell_state() { cell.units } else { 0 };
        self.carry = self.directions.first().zip(mask).and_then(|(first, mask)| {
            let of = OfRecurrence {
                cells: &cells,
                rows: &first.rows.size,
                hidden: &first.rows.buffers,
                cell_state: &self.cell_state,
                cell_width: (units, padded(units)),
                batch: self.pieces.batch,
            };
            Carry::make((gpu, params), mask, &of)
        });
    }

    fn wanted(&self, flow: &Flow, wants_states: bool) -> Result<Vec<(&wgpu::Buffer, u64)>> {
        let wanted = self.directions.iter().filter(|_| wants_states);
        Ok(wanted.map(|buffers| buffers.wanted(flow.batch)).collect())
    }

    fn take(&self, _flow: &Flow, read: &mut dyn Iterator<Item = Bytes>, ran: &mut Ran) -> Result<()> {
        for buffers in &self.directions {
            // without a place to put it, nobody wanted it and nothing was read
            if let Some(state) = ran.states.get_mut(buffers.cell) {
                read_state(&read.next().ok_or_else(defect)?.values(), state);
            }
        }
        Ok(())
    }

    fn homes(&self) -> Vec<(usize, &Home)> {
        let directions = self.directions.iter();
        directions.map(|buffers| (buffers.cell, &buffers.home)).collect()
    }

    fn tunable(&self) -> Option<Tunable<'_>> {
        Some(Tunable {
            recurrence: &self.recurrence,
            pieces: &self.pieces,
            hidden_pitch: self.hidden_pitch,
            groups: self.groups.first()?,
            starts: &self.starts,
        })
    }
}
