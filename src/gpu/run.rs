//! One run: upload, record, submit, read back.

use std::sync::PoisonError;

use ndarray::{Array2, ArrayD, Axis, IxDyn};

use super::GpuModel;
use super::commands::Commands;
use super::mapped::Mapped;
use super::record::Recorder;
use super::rows::{VALUE, padded};
use super::workspace::{StageKind, Workspace, missing};
use crate::error::{Error, Result};
use crate::flow::{Flow, Input, NONE, Ran, Stage};
use crate::schedule::Schedule;
use crate::state::State;

/// How many sizes keep their workspaces for the next run.
const WORKSPACES: usize = 4;

impl GpuModel {
    /// Runs a flow from the states of all cells; the final states are read back if they are wanted.
    pub(crate) async fn run(&self, flow: &Flow, input: Input<'_>, states: &[State], wants_states: bool) -> Result<Ran> {
        let (batch, time_steps) = input.size();
        let workspace = self.workspace(batch, time_steps).await?;
        let (rows_run, submission) = self
            .gpu
            .guarded("running the model", || {
                self.submit(&workspace, flow, input, states, wants_states)
            })
            .await?;
        let (outputs, states) = self
            .read_back(&workspace, flow, states, wants_states, submission)
            .await?;
        self.keep_workspace(workspace);
        Ok(Ran {
            outputs,
            states,
            rows_run,
        })
    }

    /// A workspace for the batch: the smallest of those kept that holds it, else a new one.
    async fn workspace(&self, batch: usize, time_steps: usize) -> Result<Workspace> {
        if let Some(workspace) = self.take_workspace(batch, time_steps) {
            return Ok(workspace);
        }
        let doing = "making the buffers";
        let make = || Workspace::make(self, batch, time_steps);
        match self.gpu.guarded(doing, make).await {
            Err(Error::Gpu { .. }) if self.drop_workspaces() => self.gpu.guarded(doing, make).await,
            made => made,
        }
    }

    fn take_workspace(&self, batch: usize, time_steps: usize) -> Option<Workspace> {
        let mut kept = self.workspaces.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |workspace: &Workspace| workspace.batch >= batch && workspace.time_steps >= time_steps;
        let size = |workspace: &Workspace| workspace.batch * workspace.time_steps;
        let fitting = kept.iter().enumerate().filter(|(_, workspace)| fits(workspace));
        let (position, _) = fitting.min_by_key(|(_, workspace)| size(workspace))?;
        Some(kept.remove(position))
    }

    /// Gives the memory of all kept workspaces back; whether there were any.
    pub(crate) fn drop_workspaces(&self) -> bool {
        let mut kept = self.workspaces.lock().unwrap_or_else(PoisonError::into_inner);
        let any = !kept.is_empty();
        kept.clear();
        any
    }

    fn keep_workspace(&self, workspace: Workspace) {
        let mut kept = self.workspaces.lock().unwrap_or_else(PoisonError::into_inner);
        kept.push(workspace);
        let surplus = kept.len().saturating_sub(WORKSPACES);
        kept.drain(..surplus);
    }

    /// Uploads, records and submits; gives the rows that the recurrent steps run, and what to wait for.
    fn submit(
        &self,
        workspace: &Workspace,
        flow: &Flow,
        input: Input<'_>,
        states: &[State],
        wants_states: bool,
    ) -> Result<(usize, wgpu::SubmissionIndex)> {
        self.upload(workspace, flow, input, states)?;
        let mut commands = Commands::new(&self.gpu, workspace.params_bytes);
        let rows_run = Recorder {
            model: self,
            workspace,
            flow,
        }
        .record(&mut commands, wants_states)?;
        let descriptor = wgpu::CommandEncoderDescriptor {
            label: Some("cellstate"),
        };
        let mut encoder = self.gpu.device().create_command_encoder(&descriptor);
        commands.record(&self.gpu, &workspace.params, &mut encoder)?;
        Ok((rows_run, self.gpu.queue().submit([encoder.finish()])))
    }

    /// Uploads the rows of the input that are read, the lists of rows, and the initial states. Padding is not among them.
    fn upload(&self, workspace: &Workspace, flow: &Flow, input: Input<'_>, states: &[State]) -> Result<()> {
        let queue = self.gpu.queue();
        let list = |buffer: &wgpu::Buffer, index: &[u32]| queue.write_buffer(buffer, 0, bytemuck::cast_slice(index));
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
            match (stage, &buffers.kind) {
                (Stage::Recurrent { cell, schedule, input }, StageKind::Recurrent { gather, .. }) => {
                    list(&gather.index, &input.index);
                    let state = states.get(*cell).ok_or_else(missing)?;
                    let cell_state = &workspace.states.get(*cell).ok_or_else(missing)?.cell_state;
                    let hidden = buffers.rows.buffers.first().ok_or_else(missing)?;
                    queue.write_buffer(hidden, 0, bytemuck::cast_slice(&by_position(schedule, &state.hidden)));
                    queue.write_buffer(cell_state, 0, bytemuck::cast_slice(&by_position(schedule, &state.cell)));
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
            list(
                &buffers.gather.index,
                &last_rows(flow.schedule(cell).ok_or_else(missing)?),
            );
        }
        Ok(())
    }

    async fn read_back(
        &self,
        workspace: &Workspace,
        flow: &Flow,
        states: &[State],
        wants_states: bool,
        submission: wgpu::SubmissionIndex,
    ) -> Result<(Vec<ArrayD<f32>>, Vec<State>)> {
        let mut wanted: Vec<(&wgpu::Buffer, u64)> = Vec::new();
        for (placed, buffers) in flow.outputs.iter().zip(&workspace.outputs) {
            let size = &buffers.staging.size;
            let held = size.full_cut(placed.gather.index.len());
            let bytes = held.into_iter().map(|rows| rows.len() as u64 * size.row_bytes());
            wanted.extend(buffers.staging.buffers.iter().zip(bytes));
        }
        if wants_states {
            let bytes = |state: &State| 2 * (flow.batch * padded(state.cell.ncols())) as u64 * VALUE;
            wanted.extend(
                workspace
                    .states
                    .iter()
                    .map(|buffers| &buffers.staging)
                    .zip(states.iter().map(bytes)),
            );
        }
        let mut read = self.map(&wanted, submission).await?.into_iter();
        let mut outputs = Vec::with_capacity(flow.outputs.len());
        for (placed, buffers) in flow.outputs.iter().zip(&workspace.outputs) {
            let mut all: Vec<f32> = Vec::with_capacity(placed.shape.iter().product());
            for _ in &buffers.staging.buffers {
                all.extend(read.next().ok_or_else(missing)?);
            }
            outputs.push(ArrayD::from_shape_vec(IxDyn(&placed.shape), all).map_err(|_| missing())?);
        }
        let mut finals = states.to_vec();
        for (cell, (values, state)) in read.zip(&mut finals).enumerate() {
            read_state(&values, flow.schedule(cell).ok_or_else(missing)?, state);
        }
        Ok((outputs, finals))
    }

    /// The values of buffers that the host reads, once the GPU has finished a submission; what an application has submitted
    /// behind it is not waited for.
    #[cfg_attr(target_arch = "wasm32", allow(unused_variables, reason = "a browser cannot wait"))]
    async fn map(&self, wanted: &[(&wgpu::Buffer, u64)], submission: wgpu::SubmissionIndex) -> Result<Vec<Vec<f32>>> {
        let failed = |message: String| self.gpu.failed("reading back", message);
        let request = |&(buffer, bytes): &(&wgpu::Buffer, u64)| (bytes > 0).then(|| Mapped::request(buffer, bytes));
        let mapped: Vec<Option<Mapped>> = wanted.iter().map(request).collect();
        #[cfg(not(target_arch = "wasm32"))]
        self.gpu
            .device()
            .poll(wgpu::PollType::Wait {
                submission_index: Some(submission),
                timeout: None,
            })
            .map_err(|error| failed(error.to_string()))?;
        let mut read = Vec::with_capacity(wanted.len());
        for (&(buffer, bytes), mapped) in wanted.iter().zip(mapped) {
            let Some(mapped) = mapped else {
                read.push(Vec::new());
                continue;
            };
            mapped.await.map_err(|error| failed(error.to_string()))?;
            let view = buffer
                .slice(..bytes)
                .get_mapped_range()
                .map_err(|error| failed(error.to_string()))?;
            read.push(bytemuck::pod_collect_to_vec(&view[..]));
            drop(view);
            buffer.unmap();
        }
        Ok(read)
    }
}

/// The rows of a state in the order of a schedule's positions, padded as rows on the GPU are.
fn by_position(schedule: &Schedule, state: &Array2<f32>) -> Vec<f32> {
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

/// Takes the final state from what was read back: h by sequence, then c by position. A sequence without a valid step
/// keeps the state that it had.
fn read_state(values: &[f32], schedule: &Schedule, state: &mut State) {
    let stride = padded(state.hidden.ncols()).max(1);
    let (hidden, cell_state) = values.split_at((schedule.batch() * stride).min(values.len()));
    let hidden: Vec<&[f32]> = hidden.chunks_exact(stride).collect();
    let positions = schedule
        .order()
        .iter()
        .zip(schedule.lengths())
        .zip(cell_state.chunks_exact(stride));
    for ((&sequence, &length), cell_state) in positions {
        let sequence = sequence as usize;
        if let Some(hidden) = hidden.get(sequence).filter(|_| length > 0) {
            state
                .hidden
                .row_mut(sequence)
                .iter_mut()
                .zip(*hidden)
                .for_each(|(value, &new)| *value = new);
            state
                .cell
                .row_mut(sequence)
                .iter_mut()
                .zip(cell_state)
                .for_each(|(value, &new)| *value = new);
        }
    }
}
