//! What both texts of `team` share: what they bind, the words that workgroups hand each other, and the launches of a chunk.

use std::sync::Arc;

use crate::gpu::commands::{Commands, Workgroups};
use crate::gpu::device::Gpu;
use crate::gpu::rows::VALUE;
use crate::gpu::shader::{Binding, Pipeline, reads, writes};
use crate::gpu::strategy::chunk::Chunk;
use crate::gpu::strategy::entry::Group;
use crate::gpu::strategy::launch::Params;

/// What both texts bind.
pub(crate) const BINDINGS: &[Binding] = &[
    reads("recurrent_kernel"),
    reads("projected"),
    writes("hidden"),
    writes("cell_state"),
    reads("starts"),
    writes("exchange"),
    writes("control"),
];

/// Words of `exchange` before those of the first step.
pub(crate) const HEAD: usize = 4;

/// Words of `exchange`, at most.
pub(crate) const EXCHANGE: usize = 1 << 20;

/// The words of `exchange` that there may be after its head.
pub(crate) fn exchange_words(gpu: &Gpu) -> usize {
    let most = EXCHANGE.min((gpu.largest_binding() / VALUE) as usize);
    most.saturating_sub(HEAD)
}

/// The launches of a chunk.
#[derive(Debug)]
pub(crate) struct Launches<'a> {
    pub(crate) pipeline: &'a Arc<Pipeline>,
    /// The positions of a team, its workgroups, the units of each, and the words of a position in a step.
    pub(crate) rows: usize,
    pub(crate) members: usize,
    pub(crate) slice: usize,
    pub(crate) words: usize,
    /// The teams and the steps of a launch, at most.
    pub(crate) teams: usize,
    pub(crate) steps: usize,
    pub(crate) most_polls: u32,
    /// Workgroups that a launch lacks: the tests see by it what happens when one does not run.
    pub(crate) missing: usize,
    pub(crate) directions: usize,
    pub(crate) units: usize,
    pub(crate) kernel_width: usize,
}

impl Launches<'_> {
    /// As many teams as run at the same time do as many steps as a launch may have, then the next steps; then come the next
    /// teams.
    pub(crate) fn record(&self, commands: &mut Commands, group: &Group, chunk: &Chunk<'_>) {
        let active = chunk.active(chunk.steps.start);
        let all = self.directions * active.div_ceil(self.rows.max(1));
        for first_team in (0..all).step_by(self.teams.max(1)) {
            let teams = self.teams.min(all - first_team);
            // the first position has the longest sequence of the launch
            let position = first_team / self.directions.max(1) * self.rows;
            let length = chunk.lengths.get(position).map_or(0, |&length| length as usize);
            let end = length.min(chunk.steps.end);
            for first in (chunk.steps.start..end).step_by(self.steps.max(1)) {
                let steps = first..(first + self.steps).min(end);
                let words = HEAD + steps.len() * teams * self.rows * self.words;
                if let Some(exchange) = &group.exchange {
                    commands.list.clear(exchange, 0..words as u64 * VALUE);
                }
                let params = Params {
                    slice: self.slice as u32,
                    members: self.members as u32,
                    teams: teams as u32,
                    first_team: first_team as u32,
                    directions: self.directions as u32,
                    most_polls: self.most_polls,
                    ..Params::new(chunk, &steps, self.units, self.kernel_width)
                };
                let workgroups = (teams * self.members).saturating_sub(self.missing);
                let workgroups = Workgroups::Flat(workgroups as u64);
                let rows_run = params.rows_run_by_teams(chunk, self.rows);
                commands.waits = true;
                commands.dispatch_rows(rows_run, self.pipeline, &group.group, params, workgroups);
            }
        }
    }
}
