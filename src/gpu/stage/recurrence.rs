//! The recurrence: the cells that run together, from their projected rows to their final states, by one of the strategies.

use std::sync::Arc;

use crate::error::Result;
use crate::flow::{Flow, Gather, Ran, Source, Stage as FlowStage};
use crate::gpu::commands::Commands;
use crate::gpu::device::Gpu;
use crate::gpu::device::mapped::Bytes;
use crate::gpu::device::writes::Writes;
use crate::gpu::rows::{padded, rows_of, segments};
use crate::gpu::stage::carry::{Carry, GpuMask, OfRecurrence};
use crate::gpu::stage::direction::DirectionBuffers;
use crate::gpu::stage::earlier_rows::{EarlierRows, one_by_one};
use crate::gpu::stage::home::{Home, read_state};
use crate::gpu::stage::interface::{HostReads, Run, Stage, Tunable, at, defect};
use crate::gpu::stage::left_out::LeftOut;
use crate::gpu::stage::masked::Masked;
use crate::gpu::stage::pieces::Pieces;
use crate::gpu::stage::projected_input::ProjectedTo;
use crate::gpu::strategy::choice::choose;
use crate::gpu::strategy::chunk::Chunk;
use crate::gpu::strategy::entry::Work;
use crate::gpu::strategy::recurrence::{Recurrence, RecurrenceGroups};
use crate::schedule::Schedule;
use crate::settings::Strategy;
use crate::state::State;

/// A recurrence.
#[derive(Debug)]
pub(crate) struct RecurrenceStage {
    pub(super) number: usize,
    /// The rows of h from one direction to the next.
    pub(super) hidden_pitch: usize,
    pub(super) pieces: Pieces,
    /// Whether no earlier stage of a run has used the buffers of its rows.
    pub(super) is_fresh: bool,
    pub(super) directions: Vec<DirectionBuffers>,
    pub(super) recurrence: Arc<Recurrence>,
    /// One for each buffer of the rows.
    pub(super) groups: Vec<RecurrenceGroups>,
    pub(super) earlier_rows: Option<EarlierRows>,
    /// In training where gates leave out values of their own.
    pub(super) masked: Option<Masked>,
    /// c of all directions; empty where there is none.
    pub(super) cell_state: wgpu::Buffer,
    /// Under a mask on the GPU.
    pub(super) carry: Option<Carry>,
    /// For each step the row of position 0, and one more for the end.
    pub(super) starts: wgpu::Buffer,
}

/// The buffers of a direction, its schedule and its list in a run.
type InRun<'a> = (&'a DirectionBuffers, &'a Schedule, &'a Gather);

impl RecurrenceStage {
    /// For each direction its buffers, its schedule and its list in a run.
    fn in_run<'a>(&'a self, flow: &'a Flow) -> Result<Vec<InRun<'a>>> {
        let number = |(direction, buffers)| match flow.stage(self.number + direction)? {
            FlowStage::Recurrent { schedule, input, .. } => Ok((buffers, &**schedule, input)),
            _ => Err(defect()),
        };
        self.directions.iter().enumerate().map(number).collect()
    }

    /// What makes the steps of a run whose gates leave out values of their own.
    fn masked(&self, run: &Run<'_>) -> Option<&Masked> {
        self.masked.as_ref().filter(|_| run.noise.is_some())
    }

    /// Projects the rows of a chunk.
    fn project(
        &self,
        run: &Run<'_>,
        commands: &mut Commands,
        chunk: &Chunk<'_>,
        directions: &[InRun<'_>],
    ) -> Result<()> {
        for (number, &(buffers, schedule, input)) in directions.iter().enumerate() {
            let rows = rows_of(schedule, &chunk.steps);
            let row = number * chunk.projected_pitch;
            match self.masked(run).filter(|masked| masked.loses_input(number)) {
                Some(masked) => {
                    buffers.input.gather(commands, rows.clone(), run.held(input.source)?);
                    masked.project(commands, number, rows, row);
                }
                None => {
                    let to = ProjectedTo { buffer: 0, row };
                    buffers.input.record(run, commands, (input, rows), to)?;
                }
            }
        }
        Ok(())
    }

    /// Runs the steps of a chunk: one by one where something is to be done between them.
    fn record_chunk(
        &self,
        commands: &mut Commands,
        (segment, groups): (usize, &RecurrenceGroups),
        chunk: &Chunk<'_>,
        (run, strategy): (&Run<'_>, Strategy),
    ) {
        if let Some(masked) = self.masked(run) {
            return masked.steps(commands, segment, chunk);
        }
        commands.begin_stage(strategy.name());
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
        match (&self.masked, flow.stage(self.number)?) {
            (Some(masked), FlowStage::Recurrent { schedule, .. }) => masked.upload_lists(to, schedule),
            _ => Ok(()),
        }
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
        if let (Some(masked), Some(noise)) = (&self.masked, run.noise) {
            masked.draw(run.gpu, noise, schedule)?;
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
                let lists = (schedule.offsets(), schedule.lengths());
                let chunk = self.pieces.chunk(lists, steps, self.hidden_pitch);
                self.project(run, commands, &chunk, &directions)?;
                self.record_chunk(commands, (segment, groups), &chunk, (run, strategy));
            }
        }
        commands.begin_stage("final_states");
        for (direction, (buffers, _, _)) in directions.iter().enumerate() {
            let held = run.held(Source::Stage(self.number + direction))?;
            buffers.end(commands, run.flow.batch, held, run.reads.states);
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

    fn wanted(&self, flow: &Flow, reads: HostReads) -> Result<Vec<(&wgpu::Buffer, u64)>> {
        let wanted = self.directions.iter().filter(|_| reads.states);
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

    fn left_out(&self, stage: usize) -> Option<LeftOut<'_>> {
        let direction = stage.checked_sub(self.number)?;
        self.masked.as_ref()?.left_out(direction)
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
