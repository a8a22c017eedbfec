//! From a flow to the commands that run it on the GPU.

use std::ops::Range;

use super::GpuModel;
use crate::error::Result;
use crate::flow::{Flow, Gather, Source, Stage};
use crate::gpu::commands::Commands;
use crate::gpu::rows::{Rows, padded};
use crate::gpu::sizes::RecurrentSize;
use crate::gpu::stage::gather::{Fold, GatherBuffers, Target, neighbours};
use crate::gpu::stage::input_projection::{Projection, ProjectionGroups, Span};
use crate::gpu::strategy::choice::{Asked, choose};
use crate::gpu::strategy::recurrence::{Recurrence, RecurrenceGroups, Stretch};
use crate::gpu::strategy::team::TeamBuffers;
use crate::gpu::workspace::{StageBuffers, StageKind, Workspace, missing};
use crate::layer::bidirectional::MergeMode;
use crate::schedule::Schedule;

/// Which rows each buffer of a source holds in this run.
type Cut = Vec<Range<usize>>;

/// Records one run.
pub(crate) struct Recorder<'a> {
    pub(crate) model: &'a GpuModel,
    pub(crate) workspace: &'a Workspace,
    pub(crate) flow: &'a Flow,
    pub(crate) asked: Asked,
}

impl<'a> Recorder<'a> {
    /// All stages and the placing of the outputs, and of the final states if they are wanted. Gives the rows that the
    /// recurrent steps run.
    pub(crate) fn record(&self, commands: &mut Commands<'a>, wants_states: bool) -> Result<usize> {
        let mut rows_run = 0;
        if let Some(team) = &self.workspace.team {
            commands.clear(&team.control, TeamBuffers::READ_BYTES);
        }
        for (number, (stage, buffers)) in self.flow.stages.iter().zip(&self.workspace.stages).enumerate() {
            let width = self.flow.widths.get(number).copied().unwrap_or(0);
            match (stage, &buffers.kind) {
                (Stage::Recurrent { cell, .. }, _) => {
                    let place = self.model.weights.places.get(*cell).ok_or_else(missing)?;
                    // the first direction runs the second one too
                    if place.direction == 0 {
                        let recurrence = self.model.weights.recurrences.get(place.recurrence);
                        rows_run += self.recurrent(commands, number, recurrence.ok_or_else(missing)?)?;
                    }
                }
                (Stage::Dense { dense, input }, StageKind::Dense { gather, projections }) => {
                    let weights = self.model.weights.denses.get(*dense).ok_or_else(missing)?;
                    for (rows, groups) in buffers
                        .rows
                        .size
                        .full_cut(input.index.len())
                        .into_iter()
                        .zip(projections)
                    {
                        let (source, source_row) = self.gathered(commands, gather, input, rows.clone())?;
                        let span = Span {
                            source_row,
                            target_row: 0,
                            rows: rows.len(),
                        };
                        weights.record(commands, groups, source, span);
                    }
                }
                (
                    Stage::Merge {
                        merge,
                        forward,
                        backward,
                    },
                    StageKind::Merge {
                        forward: first,
                        backward: second,
                    },
                ) => {
                    self.merge(commands, buffers, *merge, width, [(forward, first), (backward, second)])?;
                }
                _ => return Err(missing()),
            }
        }
        for (placed, buffers) in self.flow.outputs.iter().zip(&self.workspace.outputs) {
            let cut = self.cut(placed.gather.source)?;
            let width = placed.shape.last().copied().unwrap_or(0);
            let size = &buffers.rows.size;
            let copies = buffers.rows.buffers.iter().zip(&buffers.staging.buffers);
            for (number, (rows, (made, staging))) in size
                .full_cut(placed.gather.index.len())
                .into_iter()
                .zip(copies)
                .enumerate()
            {
                let bytes = rows.len() as u64 * size.row_bytes();
                buffers
                    .gather
                    .record(commands, rows, &cut, number, Target::rows(width, width));
                commands.copy(made, 0..bytes, staging, 0);
            }
        }
        if wants_states {
            self.final_states(commands)?;
        }
        if let Some(team) = &self.workspace.team {
            commands.copy(&team.control, 0..TeamBuffers::READ_BYTES, &team.staging, 0);
        }
        Ok(rows_run)
    }

    /// Copies the final h, by sequence, and the final c, by position, to where the host reads them.
    fn final_states(&self, commands: &mut Commands<'a>) -> Result<()> {
        for (buffers, &stage) in self.workspace.states.iter().zip(&self.flow.cell_stages) {
            let width = self.flow.widths.get(stage).copied().unwrap_or(0);
            let stride = padded(width);
            let target = Target::rows(width, stride);
            let cut = self.cut(Source::Stage(stage))?;
            buffers.gather.record(commands, 0..self.flow.batch, &cut, 0, target);
            let bytes = (self.flow.batch * stride * size_of::<f32>()) as u64;
            commands.copy(&buffers.hidden, 0..bytes, &buffers.staging, 0);
            let start = buffers.cell_start;
            commands.copy(&buffers.cell_state, start..start + bytes, &buffers.staging, bytes);
        }
        Ok(())
    }

    /// Which rows each buffer of a source holds in this run.
    pub(crate) fn cut(&self, source: Source) -> Result<Cut> {
        Ok(match source {
            Source::Input => self.workspace.input.size.full_cut(self.flow.input_steps.len()),
            Source::Table(table) => {
                let rows = self.model.parts.tables.get(table).map_or(0, |table| table.nrows());
                self.model
                    .weights
                    .tables
                    .get(table)
                    .ok_or_else(missing)?
                    .size
                    .full_cut(rows)
            }
            Source::Stage(number) => {
                let buffers = self.workspace.stages.get(number).ok_or_else(missing)?;
                match (self.flow.stages.get(number), &buffers.kind) {
                    (Some(Stage::Recurrent { schedule, .. }), StageKind::Recurrent { size, .. }) => {
                        let mut cut: Cut = segments(schedule, size)
                            .map(|steps| rows_of(schedule, &steps))
                            .collect();
                        // without a single valid step there is still a buffer, from which rows that are none are read
                        cut.resize(buffers.rows.buffers.len(), 0..0);
                        cut
                    }
                    (Some(stage), _) => buffers.rows.size.full_cut(stage.rows()),
                    (None, _) => return Err(missing()),
                }
            }
        })
    }

    /// Makes rows ready to be projected: gathers them into the scratch, unless they lie side by side already. Gives the
    /// number of the source for [`ProjectionGroups`] and the first row in it.
    fn gathered(
        &self,
        commands: &mut Commands<'a>,
        gather: &'a GatherBuffers,
        input: &Gather,
        rows: Range<usize>,
    ) -> Result<(usize, usize)> {
        let cut = self.cut(input.source)?;
        let entries = input.index.get(rows.clone()).ok_or_else(missing)?;
        if let Some((buffer, row)) = neighbours(entries, &cut) {
            return Ok((buffer + 1, row + self.head(input.source)));
        }
        let width = self.width(input.source);
        let stride = padded(width);
        let target = Target::rows(width, stride);
        gather.record(commands, rows, &cut, 0, target);
        Ok((0, 0))
    }

    /// The cells that run together from stage `number` on. Gives the rows that they run.
    fn recurrent(&self, commands: &mut Commands<'a>, number: usize, recurrence: &'a Recurrence) -> Result<usize> {
        let directions = (number..number + recurrence.directions)
            .map(|number| self.direction(number))
            .collect::<Result<Vec<_>>>()?;
        let first = directions.first().ok_or_else(missing)?;
        let (schedule, size) = (first.schedule, first.size);
        let size_of_run = (schedule.active(0), schedule.steps());
        let choice = choose(&self.model.gpu, recurrence, self.asked, size_of_run);
        let projected_pitch = size.chunk_steps * self.workspace.batch;
        let mut rows_run = 0;
        for (segment, steps) in segments(schedule, size).enumerate() {
            let groups = first.groups.get(segment).ok_or_else(missing)?;
            for direction in &directions {
                direction.carry_hidden(commands, segment, &steps)?;
            }
            for chunk in steps.clone().step_by(size.chunk_steps) {
                let chunk = chunk..(chunk + size.chunk_steps).min(steps.end);
                for (place, direction) in directions.iter().enumerate() {
                    let rows = rows_of(direction.schedule, &chunk);
                    let (source, source_row) =
                        self.gathered(commands, direction.gather, direction.input, rows.clone())?;
                    let span = Span {
                        source_row,
                        target_row: place * projected_pitch,
                        rows: rows.len(),
                    };
                    direction.weights.record(commands, direction.projection, source, span);
                }
                let stretch = Stretch {
                    schedule,
                    steps: chunk,
                    segment_step: steps.start,
                    size,
                    batch: self.workspace.batch,
                    projected_pitch,
                };
                recurrence.record(commands, groups, &stretch, choice.strategy);
                rows_run += stretch.rows(recurrence.directions);
            }
        }
        Ok(rows_run)
    }

    fn direction(&self, number: usize) -> Result<DirectionRun<'a>> {
        let stage = self.flow.stages.get(number).ok_or_else(missing)?;
        let buffers = self.workspace.stages.get(number).ok_or_else(missing)?;
        let (
            Stage::Recurrent { cell, schedule, input },
            StageKind::Recurrent {
                size,
                gather,
                projection,
                groups,
            },
        ) = (stage, &buffers.kind)
        else {
            return Err(missing());
        };
        Ok(DirectionRun {
            schedule,
            input,
            size,
            rows: &buffers.rows,
            gather,
            weights: self.model.weights.projections.get(*cell).ok_or_else(missing)?,
            projection,
            groups,
        })
    }

    fn merge(
        &self,
        commands: &mut Commands<'a>,
        buffers: &'a StageBuffers,
        merge: MergeMode,
        width: usize,
        directions: [(&Gather, &'a GatherBuffers); 2],
    ) -> Result<()> {
        let size = &buffers.rows.size;
        let mut column = 0;
        for (number, (gather, lists)) in directions.into_iter().enumerate() {
            let cut = self.cut(gather.source)?;
            let own = self.width(gather.source);
            let fold = match merge {
                _ if number == 0 => Fold::Set,
                MergeMode::Concat | MergeMode::Separate => Fold::Set,
                MergeMode::Sum => Fold::Add,
                MergeMode::Multiply => Fold::Multiply,
                MergeMode::Average => Fold::Average,
            };
            let target = Target {
                row: 0,
                stride: padded(width),
                column,
                width: own,
                written: own,
                fold,
            };
            for (number, rows) in size.full_cut(gather.index.len()).into_iter().enumerate() {
                lists.record(commands, rows, &cut, number, target);
            }
            if merge == MergeMode::Concat {
                column = own;
            }
        }
        Ok(())
    }

    fn width(&self, source: Source) -> usize {
        match source {
            Source::Input => self.model.parts.features.unwrap_or(0),
            Source::Table(table) => self.model.parts.tables.get(table).map_or(0, |table| table.ncols()),
            Source::Stage(stage) => self.flow.widths.get(stage).copied().unwrap_or(0),
        }
    }

    fn head(&self, source: Source) -> usize {
        match source {
            Source::Stage(stage) => self.workspace.stages.get(stage).map_or(0, |stage| stage.rows.size.head),
            Source::Input | Source::Table(_) => 0,
        }
    }
}

/// One recurrent stage of a run: one direction of a recurrence.
struct DirectionRun<'a> {
    schedule: &'a Schedule,
    input: &'a Gather,
    size: &'a RecurrentSize,
    rows: &'a Rows,
    gather: &'a GatherBuffers,
    weights: &'a Projection,
    projection: &'a ProjectionGroups,
    groups: &'a [RecurrenceGroups],
}

impl<'a> DirectionRun<'a> {
    /// Copies h of the last step of the segment before to the head of this one.
    fn carry_hidden(&self, commands: &mut Commands<'a>, segment: usize, steps: &Range<usize>) -> Result<()> {
        let Some((before, last)) = segment.checked_sub(1).zip(steps.start.checked_sub(1)) else {
            return Ok(()); // the first segment begins with the initial state
        };
        let (source, target) = (
            self.rows.buffers.get(before).ok_or_else(missing)?,
            self.rows.buffers.get(segment).ok_or_else(missing)?,
        );
        let first_step = last + 1 - self.size.segment_steps;
        let size = &self.rows.size;
        let row = self.schedule.rows_of(last).start - self.schedule.rows_of(first_step).start;
        let active = self.schedule.active(steps.start);
        let bytes = |row: usize| row as u64 * size.row_bytes();
        let wanted = bytes(size.head + row)..bytes(size.head + row + active);
        commands.copy(source, wanted, target, bytes(size.block));
        Ok(())
    }
}

/// The steps of each segment.
fn segments(schedule: &Schedule, size: &RecurrentSize) -> impl Iterator<Item = Range<usize>> {
    let (steps, length) = (schedule.steps(), size.segment_steps);
    (0..steps.div_ceil(length)).map(move |segment| segment * length..((segment + 1) * length).min(steps))
}

/// The rows of some steps.
fn rows_of(schedule: &Schedule, steps: &Range<usize>) -> Range<usize> {
    let start = schedule.rows_of(steps.start).start;
    match steps.end.checked_sub(1).filter(|_| steps.end > steps.start) {
        Some(last) => start..schedule.rows_of(last).end,
        None => start..start,
    }
}
