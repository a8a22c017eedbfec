//! One run: upload, record, submit, read back.

use std::sync::{Arc, PoisonError};

use std::time::{Duration, Instant};

use ndarray::{ArrayD, IxDyn};

use super::GpuModel;
use crate::error::{Error, Result};
use crate::flow::{Flow, Input, Ran};
use crate::gpu::commands::Commands;
use crate::gpu::device::mapped::Mapped;
use crate::gpu::device::timer::{self, Timer};
use crate::gpu::record::Recorder;
use crate::gpu::rows::{VALUE, padded};
use crate::gpu::strategy::choice::Asked;
use crate::gpu::strategy::team::TeamBuffers;
use crate::gpu::workspace::{Workspace, missing};
use crate::output::Timing;
use crate::schedule::Schedule;
use crate::settings::Strategy;
use crate::state::State;

/// How many sizes keep their workspaces for the next run.
const WORKSPACES: usize = 4;

/// What was submitted: what to wait for, the rows that the recurrent steps run, and how long the host took to record it.
struct Submitted {
    index: wgpu::SubmissionIndex,
    rows_run: usize,
    recording: Option<Duration>,
}

/// The time, which a browser's wasm cannot be asked for: there the standard library panics.
pub(super) fn now() -> Option<Instant> {
    cfg!(not(target_arch = "wasm32")).then(Instant::now)
}

impl GpuModel {
    /// Runs a flow from the states of all cells; the final states are read back if they are wanted.
    pub(crate) async fn run(
        &self,
        flow: &Arc<Flow>,
        input: Input<'_>,
        states: &[State],
        wants_states: bool,
    ) -> Result<Ran> {
        let (batch, time_steps) = input.size();
        let mut workspace = self.workspace(batch, time_steps).await?;
        let mut ran = None;
        // where a team has waited in vain nothing that was made is of use, and everything is run again without teams
        let by_step = Asked {
            strategy: Some((Strategy::Step, "a team that waited in vain")),
            ..self.asked
        };
        for asked in [self.asked, by_step] {
            let submitted = self
                .gpu
                .guarded("running the model", || {
                    self.submit(&workspace, flow, input, states, (wants_states, asked))
                })
                .await?;
            ran = self
                .read_back(&workspace, flow, states, wants_states, submitted)
                .await?;
            if ran.is_some() {
                break;
            }
            self.gpu.counters().count_aborted_team();
        }
        // nothing else may be in its place while this is held, so the same address is the same flow
        workspace.lists_of = Arc::downgrade(flow);
        self.keep_workspace(workspace);
        ran.ok_or_else(|| Error::defect("the abort word"))
    }

    /// A workspace for the batch: the smallest of those kept that holds it, else a new one.
    pub(super) async fn workspace(&self, batch: usize, time_steps: usize) -> Result<Workspace> {
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

    pub(super) fn keep_workspace(&self, workspace: Workspace) {
        let mut kept = self.workspaces.lock().unwrap_or_else(PoisonError::into_inner);
        kept.push(workspace);
        let surplus = kept.len().saturating_sub(WORKSPACES);
        kept.drain(..surplus);
    }

    /// Uploads, records and submits.
    fn submit(
        &self,
        workspace: &Workspace,
        flow: &Arc<Flow>,
        input: Input<'_>,
        states: &[State],
        (wants_states, asked): (bool, Asked),
    ) -> Result<Submitted> {
        if !std::ptr::eq(workspace.lists_of.as_ptr(), Arc::as_ptr(flow)) {
            self.upload_lists(workspace, flow)?;
        }
        self.upload_values(workspace, flow, input, states)?;
        let start = self.settings.is_timed().then(now).flatten();
        let mut commands = Commands::new(&self.gpu, workspace.params_bytes);
        let rows_run = Recorder {
            model: self,
            workspace,
            flow,
            asked,
        }
        .record(&mut commands, wants_states)?;
        let descriptor = wgpu::CommandEncoderDescriptor {
            label: Some("cellstate"),
        };
        let mut encoder = self.gpu.device().create_command_encoder(&descriptor);
        commands.record(&self.gpu, &workspace.params, workspace.timer.as_ref(), &mut encoder)?;
        let index = self.gpu.queue().submit([encoder.finish()]);
        Ok(Submitted {
            index,
            rows_run,
            recording: start.map(|start| start.elapsed()),
        })
    }

    /// What a run gives; `None` if a team has waited in vain.
    async fn read_back(
        &self,
        workspace: &Workspace,
        flow: &Flow,
        states: &[State],
        wants_states: bool,
        submitted: Submitted,
    ) -> Result<Option<Ran>> {
        let mut wanted: Vec<(&wgpu::Buffer, u64)> = Vec::new();
        for (placed, buffers) in flow.outputs.iter().zip(&workspace.outputs) {
            let size = &buffers.staging.size;
            let held = size.full_cut(placed.gather.index.len());
            let bytes = held.into_iter().map(|rows| rows.len() as u64 * size.row_bytes());
            wanted.extend(buffers.staging.buffers.iter().zip(bytes));
        }
        if wants_states {
            let bytes = |state: &State| 2 * (flow.batch * padded(state.hidden().ncols())) as u64 * VALUE;
            wanted.extend(
                workspace
                    .states
                    .iter()
                    .map(|buffers| &buffers.staging)
                    .zip(states.iter().map(bytes)),
            );
        }
        wanted.extend(workspace.timer.iter().map(|timer| (&timer.staging, timer::BYTES)));
        let team = workspace.team.iter();
        wanted.extend(team.map(|team| (&team.staging, TeamBuffers::READ_BYTES)));
        let mut read = self.map(&wanted, submitted.index).await?;
        let abort_word = workspace.team.as_ref().and_then(|_| read.pop());
        if abort_word.is_some_and(|words| words.first().is_some_and(|word| word.to_bits() != 0)) {
            return Ok(None);
        }
        let stamps = workspace.timer.as_ref().and_then(|_| read.pop());
        let mut read = read.into_iter();
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
        let seconds = stamps.map(|stamps| Timer::seconds(&self.gpu, bytemuck::cast_slice(&stamps)));
        Ok(Some(Ran {
            outputs,
            states: finals,
            rows_run: submitted.rows_run,
            timing: submitted.recording.map(|recording| Timing {
                recording,
                // some drivers offer time stamps and leave them at zero
                gpu: seconds.filter(|&seconds| seconds > 0.0).map(Duration::from_secs_f64),
            }),
        }))
    }

    /// The values of buffers that the host reads, once the GPU has finished a submission; what an application has submitted
    /// behind it is not waited for.
    #[cfg_attr(target_arch = "wasm32", allow(unused_variables, reason = "a browser cannot wait"))]
    pub(super) async fn map(
        &self,
        wanted: &[(&wgpu::Buffer, u64)],
        submission: wgpu::SubmissionIndex,
    ) -> Result<Vec<Vec<f32>>> {
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

/// Takes the final state from what was read back: h by sequence, then c by position. A sequence without a valid step
/// keeps the state that it had.
fn read_state(values: &[f32], schedule: &Schedule, state: &mut State) {
    let stride = padded(state.hidden().ncols()).max(1);
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
            let parts = state.arrays_mut().zip([*hidden, cell_state]);
            for (array, values) in parts {
                let row = array.row_mut(sequence).into_iter().zip(values);
                row.for_each(|(value, &new)| *value = new);
            }
        }
    }
}
