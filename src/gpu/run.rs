//! One run: staged, encoded, submitted and collected. The outermost call, and the only one that submits a run.

use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::flow::{Flow, Input, Ran};
use crate::gpu::model::GpuModel;
use crate::gpu::recording::{Batch, Initial, Recording, now};
use crate::gpu::stage::interface::HostReads;
use crate::gpu::strategy::choice::Asked;
use crate::gpu::strategy::list::EVERYTHING;
use crate::gpu::workspace::Workspace;
use crate::model::plan::Plan;
use crate::output::Output;
use crate::recent::ForSize;
use crate::state::State;

impl GpuModel {
    /// Runs a flow from the states of all cells; the final states are read back if they are wanted. The outputs take the memory of
    /// an earlier output where that has their shape; on an error it is as it was.
    pub(crate) async fn run(&self, batch: Batch<'_, '_>, earlier: &mut Output) -> Result<Ran> {
        let size = batch.input.size();
        let workspace = self.workspace(size).await?;
        let (ran, workspace) = self.run_in(workspace, batch, earlier).await?;
        self.keep_workspace(workspace, size);
        Ok(ran)
    }

    /// The same in a workspace of the caller, which has the rows of the run afterwards.
    pub(crate) async fn run_in(
        &self,
        mut workspace: ForSize<Workspace>,
        batch: Batch<'_, '_>,
        earlier: &mut Output,
    ) -> Result<(Ran, ForSize<Workspace>)> {
        let (mut ran, mut was_replayed) = (None, false);
        // where workgroups gave up waiting for each other nothing that was made is of use, and everything is run again without waiting
        let by_step = Asked {
            strategy: Some((EVERYTHING, "a team whose workgroups gave up waiting for each other")),
            ..self.asked
        };
        for asked in [self.asked, by_step] {
            let (mut encoding, mut is_repeated) = (None, false);
            let work = || {
                let mut recording = self.stage(workspace, batch, asked)?;
                #[cfg(feature = "tracing")]
                recording.say();
                let start = now();
                let encoded;
                (is_repeated, encoded) = recording.take_ahead();
                let encoded = encoded.unwrap_or_else(|| self.encoded(&recording));
                let submission = self.gpu.queue().submit([encoded]);
                encoding = start.map(|start| start.elapsed());
                Ok((recording, submission))
            };
            let (mut recording, submission) = self.gpu.guarded("running the model", work).await?;
            // who runs the same twice is likely to run it again; a browser would be waited for by now
            if is_repeated && cfg!(not(target_arch = "wasm32")) {
                // this run has been submitted, and what is really lost shows when it is collected
                if let (next, None) = self.gpu.caught(|| self.encoded(&recording)).await {
                    recording.set_next(next);
                }
            }
            ran = self.collect(&recording, batch, Some(submission), earlier).await?;
            if let (Initial::Gpu(states), Some(_)) = (batch.initial, &ran) {
                // a submission of its own: states stay as they were where anything went wrong
                states.keep(recording.homes()).await?;
            }
            workspace = recording.into_workspace();
            if let Some(ran) = &mut ran {
                ran.was_replayed = was_replayed;
                if let Some(timing) = &mut ran.timing {
                    timing.recording += encoding.unwrap_or(Duration::ZERO);
                }
                break;
            }
            self.gpu.counters().count_aborted_team();
            was_replayed = true;
        }
        let ran = ran.ok_or_else(|| Error::defect("the abort word"))?;
        Ok((ran, workspace))
    }

    /// Runs a flow from states of the host, and leaves the final ones there, in a workspace of the caller. What it gives takes the place of an
    /// earlier output, unless nobody reads it; on an error both are as they were.
    pub(crate) async fn run_from_host(
        &self,
        workspace: ForSize<Workspace>,
        (flow, input): (&Arc<Flow>, Input<'_>),
        states: Option<&mut [State]>,
        (name, output, reads_outputs): (&Arc<str>, &mut Output, bool),
    ) -> Result<ForSize<Workspace>> {
        let batch = Batch {
            flow,
            input,
            initial: states.as_deref().into(),
            reads: HostReads {
                states: states.is_some() || (!self.plan.returned_states.is_empty() && reads_outputs),
                outputs: reads_outputs,
            },
        };
        let (ran, workspace) = self.run_in(workspace, batch, output).await?;
        let last = give(ran, (&self.plan, name), states.is_some(), output)?;
        for (state, last) in states.into_iter().flatten().zip(last) {
            if let Some(last) = last {
                *state = last;
            }
        }
        Ok(workspace)
    }

    /// What a recording has the GPU do, to be submitted once.
    fn encoded(&self, recording: &Recording) -> wgpu::CommandBuffer {
        let mut encoder = self.gpu.encoder("run");
        recording.encode(&mut encoder);
        encoder.finish()
    }
}

/// Makes an output of what a run gives, and gives the final states that are not in it; all of them if the caller keeps them.
pub(crate) fn give(
    ran: Ran,
    (plan, name): (&Plan, &Arc<str>),
    keeps_states: bool,
    output: &mut Output,
) -> Result<Vec<Option<State>>> {
    let mut outputs = ran.outputs.into_iter();
    let mut last: Vec<Option<State>> = ran.states.into_iter().map(Some).collect();
    let returned = plan.returned_states.iter();
    // only who asks for states of their own has them copied: the memory of the earlier output is in use by now, so that nothing may fail
    let returned = returned.filter_map(|&cell| match keeps_states {
        true => last.get(cell)?.as_ref().map(State::copied),
        false => last.get_mut(cell)?.take().map(Ok),
    });
    *output = Output {
        values: outputs.next().unwrap_or_default(),
        backward: outputs.next(),
        states: returned.collect::<Result<_>>()?,
        device: Arc::clone(name),
        rows_run: ran.rows_run,
        was_replayed: ran.was_replayed,
        timing: ran.timing,
    };
    Ok(last)
}
