//! What a run sends to the GPU before it is submitted.

use ndarray::{ArrayView2, Axis};

use super::GpuModel;
use crate::error::Result;
use crate::flow::{Flow, Input, NONE, Stage};
use crate::gpu::rows::padded;
use crate::gpu::workspace::{StageKind, Workspace, missing};
use crate::schedule::Schedule;
use crate::state::State;

impl GpuModel {
    /// Uploads the rows of the input that are read, and the initial states. Padding is not among them.
    pub(crate) fn upload_values(
        &self,
        workspace: &Workspace,
        flow: &Flow,
        input: Input<'_>,
        states: &[State],
    ) -> Result<()> {
        let queue = self.gpu.queue();
        if let Input::Values(values) = input {
            let (_, time_steps, _) = values.dim();
            let size = &workspace.input.size;
            let cut = size.full_cut(flow.input_steps.len());
            for (buffer, held) in workspace.input.buffers.iter().zip(cut) {
                let steps = flow.input_steps.get(held).ok_or_else(missing)?;
                let mut packed = vec![0.0_f32; steps.len() * size.stride];
                for (packed, &step) in packed.chunks_exact_mut(size.stride.max(1)).zip(steps) {
                    let (sequence, time_step) = (step as usize / time_steps, step as usize % time_steps);
                    let row = values.index_axis(Axis(0), sequence);
                    let row = row.index_axis(Axis(0), time_step);
                    packed.iter_mut().zip(row).for_each(|(packed, &value)| *packed = value);
                }
                queue.write_buffer(buffer, 0, bytemuck::cast_slice(&packed));
            }
        }
        for (stage, buffers) in flow.stages.iter().zip(&workspace.stages) {
            let Stage::Recurrent { cell, schedule, .. } = stage else {
                continue;
            };
            let state = states.get(*cell).ok_or_else(missing)?;
            let (hidden_state, cell_state) = (state.hidden(), state.cell().ok_or_else(missing)?);
            let write = |buffer: &wgpu::Buffer, start, values: ArrayView2<'_, f32>| {
                queue.write_buffer(buffer, start, bytemuck::cast_slice(&by_position(schedule, values)));
            };
            let size = &buffers.rows.size;
            let hidden = buffers.rows.buffers.first().ok_or_else(missing)?;
            write(hidden, size.block as u64 * size.row_bytes(), hidden_state);
            let kept = workspace.states.get(*cell).ok_or_else(missing)?;
            write(&kept.cell_state, kept.cell_start, cell_state);
        }
        Ok(())
    }

    /// Uploads the lists of a flow: which rows are read, where each step begins, and what goes where.
    pub(crate) fn upload_lists(&self, workspace: &Workspace, flow: &Flow) -> Result<()> {
        let queue = self.gpu.queue();
        let list = |buffer: &wgpu::Buffer, index: &[u32]| queue.write_buffer(buffer, 0, bytemuck::cast_slice(index));
        for (stage, buffers) in flow.stages.iter().zip(&workspace.stages) {
            match (stage, &buffers.kind) {
                (Stage::Recurrent { cell, schedule, input }, StageKind::Recurrent { gather, .. }) => {
                    list(&gather.index, &input.index);
                    let place = self.weights.places.get(*cell).ok_or_else(missing)?;
                    let starts = workspace.starts.get(place.recurrence).ok_or_else(missing)?;
                    list(starts, schedule.offsets());
                }
                (Stage::Dense { input, .. }, StageKind::Dense { gather, .. }) => list(&gather.index, &input.index),
                (
                    Stage::Merge { forward, backward, .. },
                    StageKind::Merge {
                        forward: forward_list,
                        backward: backward_list,
                    },
                ) => {
                    list(&forward_list.index, &forward.index);
                    list(&backward_list.index, &backward.index);
                }
                _ => return Err(missing()),
            }
        }
        for (placed, buffers) in flow.outputs.iter().zip(&workspace.outputs) {
            list(&buffers.gather.index, &placed.gather.index);
        }
        for (cell, buffers) in workspace.states.iter().enumerate() {
            let schedule = flow.schedule(cell).ok_or_else(missing)?;
            list(&buffers.gather.index, &last_rows(schedule));
        }
        Ok(())
    }
}

/// The rows of a state in the order of a schedule's positions, padded as rows on the GPU are.
fn by_position(schedule: &Schedule, state: ArrayView2<'_, f32>) -> Vec<f32> {
    let stride = padded(state.ncols());
    let mut packed = vec![0.0; schedule.batch() * stride];
    for (packed, &sequence) in packed.chunks_exact_mut(stride.max(1)).zip(schedule.order()) {
        let row = state.row(sequence as usize);
        packed.iter_mut().zip(row).for_each(|(packed, &value)| *packed = value);
    }
    packed
}

/// For each sequence the row after which it is finished.
fn last_rows(schedule: &Schedule) -> Vec<u32> {
    let mut rows = vec![NONE; schedule.batch()];
    for (position, &sequence) in schedule.order().iter().enumerate() {
        if let (Some(entry), Some(row)) = (rows.get_mut(sequence as usize), schedule.last_row(position)) {
            *entry = row as u32;
        }
    }
    rows
}
