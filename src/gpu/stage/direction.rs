//! One direction of a recurrence: its buffers, and the states in which it begins and ends.

use std::ops::Range;

use crate::error::Result;
use crate::gpu::commands::{Begin, Commands};
use crate::gpu::rows::{RecurrentRows, Rows, RowsSize};
use crate::gpu::stage::gather::{GatherBuffers, Target};
use crate::gpu::stage::home::Home;
use crate::gpu::stage::interface::{Maker, at};
use crate::gpu::stage::lists::{last_rows, order, positions};
use crate::gpu::stage::projected_input::ProjectedInput;
use crate::schedule::Schedule;

/// The buffers of one direction.
#[derive(Debug)]
pub(crate) struct DirectionBuffers {
    pub(crate) cell: usize,
    pub(crate) input: ProjectedInput,
    pub(crate) rows: Rows,
    /// Where the state is before a run, if there is one, and where it is left.
    pub(crate) home: Home,
    /// h from its home to before the first step, and from the last rows to its home.
    pub(crate) start: GatherBuffers,
    pub(crate) finals: GatherBuffers,
    /// c, where the cell has such a state.
    pub(crate) cell_state: Option<CellPart>,
    /// What the host reads: the final h, then the final c.
    pub(crate) staging: wgpu::Buffer,
}

/// c of one direction by position of the schedule, (batch, padded width), in a buffer of both directions.
#[derive(Debug)]
pub(crate) struct CellPart {
    pub(crate) buffer: wgpu::Buffer,
    size: RowsSize,
    /// From its home, and back.
    start: GatherBuffers,
    finals: GatherBuffers,
}

impl CellPart {
    /// The part of a direction in a buffer of all `directions` with room for `batch` sequences each.
    pub(crate) fn make(
        maker: &Maker<'_>,
        list: &wgpu::Buffer,
        buffer: &wgpu::Buffer,
        home: &Rows,
        (direction, directions, batch): (usize, usize, usize),
    ) -> Self {
        let size = RowsSize {
            recurrent: Some(RecurrentRows {
                batch: 0, // no rows stand before its own
                segment_steps: 1,
                direction,
                directions,
            }),
            ..RowsSize::cut(home.size.width, home.size.stride, batch, batch)
        };
        let buffers = std::slice::from_ref(buffer);
        let rows = Rows {
            size,
            buffers: buffers.to_vec(),
        };
        Self {
            start: GatherBuffers::by(maker, "start_cell_state", list.clone(), home, buffers),
            finals: GatherBuffers::by(maker, "final_cell_state", list.clone(), &rows, &home.buffers),
            buffer: buffer.clone(),
            size: rows.size,
        }
    }

    /// Where c of so many sequences is.
    fn bytes(&self, batch: usize) -> Range<u64> {
        let bytes = |rows: usize| rows as u64 * self.size.row_bytes();
        bytes(self.size.first_row())..bytes(self.size.first_row() + batch)
    }

    fn target(&self, row: usize) -> Target {
        Target {
            row,
            ..Target::rows(self.size.width, self.size.stride)
        }
    }
}

impl DirectionBuffers {
    /// What the host reads of the final state of so many sequences.
    pub(crate) fn wanted(&self, batch: usize) -> (&wgpu::Buffer, u64) {
        (&self.staging, Home::staging_bytes(batch, self.home.widths()))
    }

    /// The states before the first step: those that are at home, or zeros.
    pub(crate) fn begin(&self, commands: &mut Commands, batch: usize, is_fresh: bool) -> Result<()> {
        let size = &self.rows.size;
        let rows = at(&self.rows.buffers, 0)?;
        let bytes = |row: usize| row as u64 * size.row_bytes();
        let row = size.states_row();
        commands.only_from(Begin::Zeros, |commands| {
            if let Some(cell) = &self.cell_state {
                commands.first.clear(&cell.buffer, cell.bytes(batch));
            }
            // what stands before all dispatches ends no pass
            let copies = match is_fresh {
                true => &mut commands.first,
                false => &mut commands.list,
            };
            copies.clear(rows, bytes(row)..bytes(row + batch));
        });
        commands.only_from(Begin::States, |commands| {
            let target = Target {
                row,
                ..Target::rows(size.width, size.stride)
            };
            let all = 0..batch;
            let held = std::slice::from_ref(&all);
            self.start.record(commands, order(batch), held, 0, target);
            if let Some(cell) = &self.cell_state {
                let target = cell.target(cell.size.first_row());
                cell.start.record(commands, order(batch), held, 0, target);
            }
        });
        Ok(())
    }

    /// Copies h of the last step of the segment before to where the one from `step` on begins.
    pub(crate) fn carry_hidden(
        &self,
        commands: &mut Commands,
        segment: usize,
        schedule: &Schedule,
        step: usize,
    ) -> Result<()> {
        let (Some(before), Some(recurrent)) = (segment.checked_sub(1), self.rows.size.recurrent) else {
            return Ok(()); // the first segment begins with the initial state
        };
        let size = &self.rows.size;
        let start = |step| schedule.rows_of(step).start;
        let row = size.first_row() + start(step - 1) - start(step - recurrent.segment_steps);
        let bytes = |row: usize| row as u64 * size.row_bytes();
        let wanted = bytes(row)..bytes(row + schedule.active(step));
        let (source, target) = (at(&self.rows.buffers, before)?, at(&self.rows.buffers, segment)?);
        commands.list.copy(source, wanted, target, bytes(size.states_row()));
        Ok(())
    }

    /// Brings the final states home. A sequence without a step keeps what is there, or has zeros where the run began with them.
    pub(crate) fn end(&self, commands: &mut Commands, batch: usize, held: &[Range<usize>], wants_states: bool) {
        commands.only_from(Begin::States, |commands| self.bring_home(commands, batch, held, true));
        if !wants_states {
            return;
        }
        commands.only_from(Begin::Zeros, |commands| self.bring_home(commands, batch, held, false));
        for (part, bytes, start) in self.home.staged(batch) {
            commands.last.copy(part, 0..bytes, &self.staging, start);
        }
    }

    fn bring_home(&self, commands: &mut Commands, batch: usize, held: &[Range<usize>], keeps: bool) {
        let size = &self.rows.size;
        let target = Target {
            keeps,
            ..Target::rows(size.width, size.stride)
        };
        self.finals.record(commands, last_rows(batch), held, 0, target);
        if let Some(cell) = &self.cell_state {
            let all = 0..batch;
            let target = cell.target(0);
            cell.finals
                .record(commands, positions(batch), std::slice::from_ref(&all), 0, target);
        }
    }
}
