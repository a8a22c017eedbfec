//! One run: staged, encoded, submitted and collected. The outermost call, and the only one that submits a run.

use std::time::Duration;

use crate::error::{Error, Result};
use crate::flow::Ran;
use crate::gpu::model::GpuModel;
use crate::gpu::recording::{Batch, Initial, Recording, now};
use crate::gpu::strategy::choice::Asked;
use crate::gpu::strategy::list::EVERYTHING;
use crate::output::Output;

impl GpuModel {
    /// Runs a flow from the states of all cells; the final states are read back if they are wanted. The outputs take the memory of
    /// an earlier output where that has their shape; on an error it is as it was.
    pub(crate) async fn run(&self, batch: Batch<'_, '_>, earlier: &mut Output) -> Result<Ran> {
        let size = batch.input.size();
        let mut workspace = self.workspace(size).await?;
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
        self.keep_workspace(workspace, size);
        ran.ok_or_else(|| Error::defect("the abort word"))
    }

    /// What a recording has the GPU do, to be submitted once.
    fn encoded(&self, recording: &Recording) -> wgpu::CommandBuffer {
        let mut encoder = self.gpu.encoder("run");
        recording.encode(&mut encoder);
        encoder.finish()
    }
}
