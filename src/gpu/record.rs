//! From a flow to the commands that run it on the GPU.

use std::ops::Range;

use super::GpuModel;
use super::commands::Commands;
use super::gather::{Fold, GatherBuffers, Target, neighbours};
use super::input_projection::{ProjectionGroups, Span};
use super::recurrent_step::Step;
use super::rows::padded;
use super::sizes::RecurrentSize;
use super::workspace::{StageBuffers, StageKind, Workspace, missing};
use crate::error::Result;
use crate::flow::{Flow, Gather, Source, Stage};
use crate::layer::bidirectional::MergeMode;
use crate::schedule::Schedule;

/// Which rows each buffer of a source holds in this run.
type Cut = Vec<Range<usize>>;

/// Records one run.
pub(crate) struct Recorder<'a> {
    pub(crate) model: &'a GpuModel,
    pub(crate) workspace: &'a Workspace,
    pub(crate) flow: &'a Flow,
}

impl<'a> Recorder<'a> {
    /// All stages and the placing of the outputs, and of the final states if they are wanted. Gives the rows that the
    /// recurrent steps run.
    pub(crate) fn record(&self, commands: &mut Commands<'a>, wants_states: bool) -> Result<usize> {
        let mut rows_run = 0;
        for (number, (stage, buffers)) in self.flow.stages.iter().zip(&self.workspace.stages).enumerate() {
            let width = self.flow.widths.get(number).copied().unwrap_or(0);
            match (stage, &buffers.kind) {
                (
                    Stage::Recurrent { cell, schedule, input },
                    StageKind::Recurrent {
                        size,
                        gather,
                        projection,
                        steps,
                    },
                ) => {
                    let run = RecurrentRun {
                        size,
                        schedule,
                        buffers,
                        steps,
                        cell: *cell,
                    };
                    rows_run += self.recurrent(commands, &run, (gather, projection, input))?;
                }
                (Stage::Dense { dense, input }, StageKind::Dense { gather, projections }) => {
                    let weights = self.model.denses.get(*dense).ok_or_else(missing)?;
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
            commands.copy(&buffers.cell_state, 0..bytes, &buffers.staging, bytes);
        }
        Ok(())
    }

    /// Which rows each buffer of a source holds in this run.
    pub(crate) fn cut(&self, source: Source) -> Result<Cut> {
        Ok(match source {
            Source::Input => self.workspace.input.size.full_cut(self.flow.input_steps.len()),
            Source::Table(table) => {
                let rows = self.model.parts.tables.get(table).map_or(0, |table| table.nrows());
                self.model.tables.get(table).ok_or_else(missing)?.size.full_cut(rows)
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

    fn recurrent(
        &self,
        commands: &mut Commands<'a>,
        run: &RecurrentRun<'a>,
        (gather, projection, input): (&'a GatherBuffers, &'a ProjectionGroups, &Gather),
    ) -> Result<usize> {
        let mut rows_run = 0;
        let weights = self.model.cells.get(run.cell).ok_or_else(missing)?;
        let schedule = run.schedule;
        let head = run.buffers.rows.size.head;
        for (segment, steps) in segments(schedule, run.size).enumerate() {
            let start = rows_of(schedule, &steps).start;
            let group = run.steps.get(segment).ok_or_else(missing)?;
            run.carry_hidden(commands, segment, &steps)?;
            let mut first = steps.start;
            while first < steps.end {
                let last = (first + run.size.chunk_steps).min(steps.end);
                let rows = rows_of(schedule, &(first..last));
                let (source, source_row) = self.gathered(commands, gather, input, rows.clone())?;
                let span = Span {
                    source_row,
                    target_row: 0,
                    rows: rows.len(),
                };
                weights.projection.record(commands, projection, source, span);
                for step in first..last {
                    let current = schedule.rows_of(step);
                    let previous_row = match step.checked_sub(1) {
                        Some(previous) if step > steps.start => head + schedule.rows_of(previous).start - start,
                        _ => 0,
                    };
                    rows_run += current.len();
                    weights.step.record(
                        commands,
                        group,
                        Step {
                            previous_row,
                            current_row: head + current.start - start,
                            projected_row: current.start - rows.start,
                            active: current.len(),
                        },
                    );
                }
                first = last;
            }
        }
        Ok(rows_run)
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

/// One recurrent stage of a run.
struct RecurrentRun<'a> {
    size: &'a RecurrentSize,
    schedule: &'a Schedule,
    buffers: &'a StageBuffers,
    steps: &'a [wgpu::BindGroup],
    cell: usize,
}

impl<'a> RecurrentRun<'a> {
    /// Copies h of the last step of the segment before to the head of this one.
    fn carry_hidden(&self, commands: &mut Commands<'a>, segment: usize, steps: &Range<usize>) -> Result<()> {
        let Some((before, last)) = segment.checked_sub(1).zip(steps.start.checked_sub(1)) else {
            return Ok(()); // the first segment begins with the initial state
        };
        let buffers = &self.buffers.rows.buffers;
        let (source, target) = (
            buffers.get(before).ok_or_else(missing)?,
            buffers.get(segment).ok_or_else(missing)?,
        );
        let first_step = last + 1 - self.size.segment_steps;
        let row_bytes = self.buffers.rows.size.row_bytes();
        let first = (self.buffers.rows.size.head + self.schedule.rows_of(last).start
            - self.schedule.rows_of(first_step).start) as u64;
        let active = self.schedule.active(steps.start) as u64;
        commands.copy(source, first * row_bytes..(first + active) * row_bytes, target, 0);
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
