//! The commands of the next run, encoded while the GPU is at work on this one.
//!
//! What is encoded names buffers, pipelines and numbers and holds no values, so a run that is like the one before needs the same
//! commands once more. Each run makes its list of commands as ever, whatever has changed since: lengths, states, what was
//! measured, what is trusted. Only if the list is that of the run before, command by command, what was encoded from it is submitted.

use crate::gpu::commands::Commands;

/// What the last run in a workspace had the GPU do; and the same once more, encoded and not submitted yet.
#[derive(Debug, Default)]
pub(crate) struct Ahead {
    last: Option<Commands>,
    encoded: Option<wgpu::CommandBuffer>,
}

impl Ahead {
    /// Whether these are the commands of the run before, and what was encoded from them. What was encoded from others is dropped.
    pub(crate) fn take(&mut self, commands: &Commands) -> (bool, Option<wgpu::CommandBuffer>) {
        let is_repeated = self.last.take().is_some_and(|last| last.do_the_same(commands));
        (is_repeated, self.encoded.take().filter(|_| is_repeated))
    }

    /// Keeps the commands of a run, and what was encoded from them for the next one.
    pub(crate) fn keep(&mut self, commands: Commands, encoded: Option<wgpu::CommandBuffer>) {
        self.last = Some(commands);
        self.encoded = encoded;
    }
}
