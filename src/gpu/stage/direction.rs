//! One direction of a recurrence: its buffers, and the states in which it begins and ends.

use std::ops::Range;

use ndarray::ArrayView2;

use crate::error::Result;
use crate::gpu::commands::Commands;
use crate::gpu::device::Gpu;
use crate::gpu::device::mapped::Bytes;
use crate::gpu::rows::{Rows, VALUE, padded};
use crate::gpu::stage::gather::{GatherBuffers, Target};
use crate::gpu::stage::interface::at;
use crate::gpu::stage::projected_input::ProjectedInput;
use crate::memory::RUN;
use crate::schedule::Schedule;
use crate::state::State;

/// The buffers of one direction.
#[derive(Debug)]
pub(crate) struct DirectionBuffers {
    pub(crate) cell: usize,
    pub(crate) input: ProjectedInput,
    pub(crate) rows: Rows,
    /// h before the first step, by position of the schedule; in the end the final h, by sequence. (batch, padded width)
    pub(crate) hidden: wgpu::Buffer,
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
    /// The byte at which it begins.
    pub(crate) start: u64,
    pub(crate) width: usize,
}

impl CellPart {
    /// Where c of so many sequences is.
    fn bytes(&self, batch: usize) -> Range<u64> {
        self.start..self.start + (batch * padded(self.width)) as u64 * VALUE
    }
}

impl DirectionBuffers {
    /// The bytes of h of so many sequences.
    fn hidden_bytes(&self, batch: usize) -> u64 {
        batch as u64 * self.rows.size.row_bytes()
    }

    /// Uploads the state from which it begins.
    pub(crate) fn upload_state(&self, gpu: &Gpu, schedule: &Schedule, state: &State) -> Result<()> {
        let cell_state = self.cell_state.iter().map(|cell| (&cell.buffer, cell.start));
        let starts = [(&self.hidden, 0)].into_iter().chain(cell_state);
        for ((buffer, start), values) in starts.zip(state.arrays()) {
            let packed = by_position(schedule, values.view())?;
            gpu.queue().write_buffer(buffer, start, bytemuck::cast_slice(&packed));
        }
        Ok(())
    }

    /// What the host reads of the final state of so many sequences.
    pub(crate) fn wanted(&self, batch: usize) -> (&wgpu::Buffer, u64) {
        let cell = self.cell_state.as_ref().map_or(0..0, |cell| cell.bytes(batch));
        (&self.staging, self.hidden_bytes(batch) + cell.end - cell.start)
    }

    /// The states before the first step: those that were uploaded, or zeros.
    pub(crate) fn begin(&self, commands: &mut Commands, batch: usize, has_states: bool, is_fresh: bool) -> Result<()> {
        let bytes = self.hidden_bytes(batch);
        let rows = at(&self.rows.buffers, 0)?;
        let start = self.rows.size.states_row() as u64 * self.rows.size.row_bytes();
        if let Some(cell) = self.cell_state.as_ref().filter(|_| !has_states) {
            commands.first.clear(&cell.buffer, cell.bytes(batch));
        }
        // what stands before all dispatches ends no pass
        let copies = if is_fresh {
            &mut commands.first
        } else {
            &mut commands.list
        };
        match has_states {
            true => copies.copy(&self.hidden, 0..bytes, rows, start),
            false => copies.clear(rows, start..start + bytes),
        }
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

    /// Copies the final h, by sequence, and the final c, by position, to where the host reads them.
    pub(crate) fn end(&self, commands: &mut Commands, batch: usize, held: &[Range<usize>]) {
        let size = &self.rows.size;
        let bytes = self.hidden_bytes(batch);
        self.finals
            .record(commands, 0..batch, held, 0, Target::rows(size.width, size.stride));
        commands.last.copy(&self.hidden, 0..bytes, &self.staging, 0);
        if let Some(cell) = &self.cell_state {
            commands
                .last
                .copy(&cell.buffer, cell.bytes(batch), &self.staging, bytes);
        }
    }
}

/// The rows of a state in the order of a schedule's positions, padded as rows on the GPU are.
fn by_position(schedule: &Schedule, state: ArrayView2<'_, f32>) -> Result<Vec<f32>> {
    let stride = padded(state.ncols());
    let mut packed = RUN.zeros(schedule.batch() * stride)?;
    for (packed, &sequence) in packed.chunks_exact_mut(stride.max(1)).zip(schedule.order()) {
        let row = state.row(sequence as usize);
        packed.iter_mut().zip(row).for_each(|(packed, &value)| *packed = value);
    }
    Ok(packed)
}

/// Takes the final state from what was read back: h by sequence, then c by position, where the cell has such a state. A
/// sequence without a valid step keeps the state that it had.
pub(crate) fn read_state(read: &Bytes, schedule: &Schedule, state: &mut State) {
    let hidden_stride = padded(state.hidden().ncols()).max(1);
    let values = read.values();
    let (hidden, cell_state) = values.split_at((schedule.batch() * hidden_stride).min(values.len()));
    let cell_stride = state.cell().map_or(0, |cell| padded(cell.ncols())).max(1);
    let mut cell_state = cell_state.chunks_exact(cell_stride);
    for (&sequence, &length) in schedule.order().iter().zip(schedule.lengths()) {
        let sequence = sequence as usize;
        let of_hidden = hidden.get(sequence * hidden_stride..(sequence + 1) * hidden_stride);
        let parts = [of_hidden, cell_state.next()];
        for (array, values) in state.arrays_mut().zip(parts).filter(|_| length > 0) {
            let row = array.row_mut(sequence).into_iter().zip(values.into_iter().flatten());
            row.for_each(|(value, &new)| *value = new);
        }
    }
}
