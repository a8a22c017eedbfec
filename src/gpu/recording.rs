//! A recording: what a run needs on the GPU, staged; then encoded into any encoder; then collected.
//!
//! *Staging* takes a workspace, uploads lists, input, states and parameters into its buffers, and makes the list of commands.
//! *Encoding* only writes that list down: it touches no queue, waits for nothing and submits nothing. A run that is repeated is encoded while
//! the GPU is at work on the one before (`ahead.rs`). *Collecting* reads back,
//! once what was encoded has run. A recording has its workspace for itself from the first to the last, so several recordings of
//! a model may be encoded into one encoder, and each gives what it would have given alone.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::copy::fetch;
use crate::error::{Error, Result};
use crate::flow::{Flow, Input, Ran};
use crate::gpu::commands::{Begin, Commands};
use crate::gpu::device::mapped;
use crate::gpu::device::timer::{self, Timer};
use crate::gpu::model::GpuModel;
use crate::gpu::stage::home::Home;
use crate::gpu::stage::interface::{HostReads, defect};
use crate::gpu::states::GpuStates;
use crate::gpu::strategy::choice::Asked;
use crate::gpu::strategy::exchange::ExchangeBuffers;
use crate::gpu::upload::{input_fits, upload_input};
use crate::gpu::workspace::Workspace;
use crate::half_precision::fits_half;
use crate::output::{Output, Timing};
use crate::recent::ForSize;
#[cfg(feature = "tracing")]
use crate::settings::Strategy;
use crate::state::State;
#[cfg(feature = "tracing")]
use crate::trace::said;

/// The time, which a browser's wasm cannot be asked for: there the standard library panics.
pub(crate) fn now() -> Option<Instant> {
    cfg!(not(target_arch = "wasm32")).then(Instant::now)
}

/// The states from which the cells begin.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Initial<'a> {
    Zeros,
    /// Of the host, one for each cell.
    Host(&'a [State]),
    /// On the GPU, where the final ones are left too, once it is known that the run was good.
    Gpu(&'a GpuStates),
}

impl<'a> From<Option<&'a [State]>> for Initial<'a> {
    fn from(states: Option<&'a [State]>) -> Self {
        states.map_or(Self::Zeros, Self::Host)
    }
}

/// A batch to run: its flow, what it reads, and the states from which the cells begin.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Batch<'a, 'input> {
    pub(crate) flow: &'a Arc<Flow>,
    pub(crate) input: Input<'input>,
    pub(crate) initial: Initial<'a>,
    pub(crate) reads: HostReads,
}

/// A staged run. Dropping it gives up its workspace, which may still be in use by what was encoded.
#[derive(Debug)]
pub(crate) struct Recording {
    workspace: ForSize<Workspace>,
    commands: Commands,
    staging: Option<Duration>,
    /// The same commands once more, for the next run.
    next: Option<wgpu::CommandBuffer>,
}

impl GpuModel {
    /// Whether the input can be rounded to half precision. Nobody looks where nothing is.
    fn input_fits(&self, batch: Batch<'_, '_>) -> bool {
        match batch.input {
            Input::Values(values) if self.matrices.are_ready() => input_fits(batch.flow, values),
            _ => false,
        }
    }

    /// Refuses states that steps by matrices would make infinite.
    fn check_states(&self, states: &[State]) -> Result<()> {
        // cells without a bound never step by matrices
        let bounded = states.iter().zip(&self.weights.fits.cells).filter(|(_, fits)| **fits);
        let hidden = bounded.filter_map(|(state, _)| state.arrays().next());
        let beyond = hidden.flatten().find(|value| !fits_half(**value));
        match beyond.filter(|_| self.matrices.are_ready()) {
            None => Ok(()),
            Some(value) => Err(Error::Value {
                argument: "the initial state".to_owned(),
                expected: "hidden states within 65,504, which half precision can hold".to_owned(),
                found: value.to_string(),
                repair: "turn the matrix units off by Settings::matrices(false)".to_owned(),
            }),
        }
    }

    /// Uploads into a workspace and makes the list of commands.
    pub(crate) fn stage(
        &self,
        mut workspace: ForSize<Workspace>,
        batch: Batch<'_, '_>,
        asked: Asked,
    ) -> Result<Recording> {
        let buffers = &mut workspace.value;
        buffers.upload_lists(&self.gpu, batch.flow)?;
        if let Input::Values(values) = batch.input {
            upload_input(&self.gpu, &buffers.input, batch.flow, values)?;
        }
        if let Initial::Host(states) = batch.initial {
            self.check_states(states)?;
            for stage in &buffers.stages {
                stage.upload_states(&self.gpu, states)?;
            }
        }
        let start = self.settings.is_timed().then(now).flatten();
        // those on the GPU are known to be within one where that matters
        let wants = (matches!(batch.initial, Initial::Host(_)), batch.reads);
        let run = buffers.run(
            (&self.gpu, &self.weights),
            batch.flow,
            asked,
            wants,
            self.input_fits(batch),
        );
        let begin = match batch.initial {
            Initial::Zeros => Begin::Zeros,
            Initial::Host(_) | Initial::Gpu(_) => Begin::States,
        };
        let mut commands = Commands::beginning(&self.gpu, begin);
        if let Initial::Gpu(states) = batch.initial {
            states.fetch(&mut commands.first, buffers.homes());
        }
        buffers.record(&run, &mut commands)?;
        if let Some(exchange) = buffers.exchange.as_ref().filter(|_| commands.waits) {
            commands.first.clear(&exchange.control, 0..ExchangeBuffers::READ_BYTES);
            commands
                .last
                .copy(&exchange.control, 0..ExchangeBuffers::READ_BYTES, &exchange.staging, 0);
        }
        commands.upload(&self.gpu, &buffers.params)?;
        Ok(Recording {
            staging: start.map(|start| start.elapsed()),
            commands,
            workspace,
            next: None,
        })
    }

    /// What a run gives, once it has run, in the memory of an earlier output where that has the shape; `None` if workgroups
    /// gave up waiting for each other. Without a submission to wait for, the caller has seen to it that it has run. On an error the earlier output
    /// is as it was.
    pub(crate) async fn collect(
        &self,
        recording: &Recording,
        batch: Batch<'_, '_>,
        submission: Option<wgpu::SubmissionIndex>,
        earlier: &mut Output,
    ) -> Result<Option<Ran>> {
        let workspace = &recording.workspace.value;
        // while the GPU is at work, the system finds the memory
        let outputs = batch.flow.outputs.iter().filter(|_| batch.reads.outputs);
        let mut rooms = earlier.rooms(outputs.map(|placed| placed.shape.as_slice()))?;
        rooms.iter_mut().flatten().for_each(fetch);
        let mut wanted: Vec<(&wgpu::Buffer, u64)> = Vec::new();
        for stage in &workspace.stages {
            wanted.extend(stage.wanted(batch.flow, batch.reads)?);
        }
        wanted.extend(workspace.timer.iter().map(|timer| (&timer.staging, timer::BYTES)));
        // the abort word travels with what is read anyway, and where nobody waits there is none
        let exchange = workspace.exchange.as_ref().filter(|_| recording.commands.waits);
        wanted.extend(exchange.map(|exchange| (&exchange.staging, ExchangeBuffers::READ_BYTES)));
        let mut read = match wanted.is_empty() {
            true => Vec::new(), // nobody waits for it
            false => mapped::bytes(&self.gpu, &wanted, submission, &workspace.waits).await?,
        };
        let abort_word = exchange.and_then(|_| read.pop());
        if abort_word.is_some_and(|words| words.iter().take(size_of::<u32>()).any(|&byte| byte != 0)) {
            return Ok(None);
        }
        let stamps = workspace.timer.as_ref().and_then(|_| read.pop());
        let seconds = stamps.map(|stamps| Timer::seconds(&self.gpu, &stamps));
        let cells = self.plan.cells.iter().filter(|_| batch.reads.states);
        let zeros = cells.map(|cell| State::zeros(batch.flow.batch, cell.cell.state_widths()));
        let states = zeros.collect::<Result<_>>()?;
        let mut ran = Ran {
            // last, because nothing behind it fails unless by a mistake of ours
            outputs: earlier.take_rooms(rooms),
            states,
            rows_run: recording.commands.rows_run(),
            was_replayed: false,
            timing: recording.staging.map(|recording| Timing {
                recording,
                // some drivers offer time stamps and leave them at zero
                gpu: seconds.filter(|&seconds| seconds > 0.0).map(Duration::from_secs_f64),
            }),
        };
        let mut read = read.into_iter();
        for stage in &workspace.stages {
            stage.take(batch.flow, &mut read, &mut ran)?;
        }
        match read.next() {
            None => Ok(Some(ran)),
            Some(_) => Err(defect()),
        }
    }
}

impl Recording {
    /// Writes the run down. It uploads nothing, waits for nothing and submits nothing. What is written down may be submitted
    /// once: the run leaves its states where it began.
    pub(crate) fn encode(&self, encoder: &mut wgpu::CommandEncoder) {
        self.commands.encode(self.workspace.value.timer.as_ref(), encoder);
    }

    /// The layers and their stages, in order.
    #[cfg(any(test, feature = "tracing"))]
    pub(crate) fn stages(&self) -> impl Iterator<Item = (&str, &'static str)> {
        self.commands.stages()
    }

    /// Says to those who listen by which strategy each layer runs.
    #[cfg(feature = "tracing")]
    pub(crate) fn say(&self) {
        if !::tracing::enabled!(target: "cellstate", ::tracing::Level::DEBUG) {
            return;
        }
        let is_strategy = |stage: &str| Strategy::ALL.iter().any(|strategy| strategy.name() == stage);
        let mut said = "";
        for (layer, strategy) in self.stages() {
            if said != layer && is_strategy(strategy) {
                said = layer;
                said!("recurrence" { layer, strategy });
            }
        }
    }

    /// Where the states of the cells are before and behind it, each with the number of its cell.
    pub(crate) fn homes(&self) -> impl Iterator<Item = (usize, &Home)> {
        self.workspace.value.homes()
    }

    /// Whether it does what the run before did, and that encoded, if it is there.
    pub(crate) fn take_ahead(&mut self) -> (bool, Option<wgpu::CommandBuffer>) {
        self.workspace.value.ahead.take(&self.commands)
    }

    /// Takes what was encoded of it once more, for the next run.
    pub(crate) fn set_next(&mut self, encoded: wgpu::CommandBuffer) {
        self.next = Some(encoded);
    }

    /// Its workspace, for the next recording: only when what was encoded has run.
    pub(crate) fn into_workspace(mut self) -> ForSize<Workspace> {
        self.workspace.value.ahead.keep(self.commands, self.next);
        self.workspace
    }
}

#[cfg(test)]
#[path = "recording_tests.rs"]
mod tests;
