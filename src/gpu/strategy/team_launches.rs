//! What the texts of `team` share: what they bind, the words that workgroups hand each other, and the launches of a chunk.

use std::ops::Range;
use std::sync::Arc;

use crate::gpu::commands::{Commands, Workgroups};
use crate::gpu::device::Gpu;
use crate::gpu::rows::VALUE;
use crate::gpu::shader::{Binding, Pipeline, reads, writes};
use crate::gpu::strategy::chunk::Chunk;
use crate::gpu::strategy::entry::Group;
use crate::gpu::strategy::launch::Params;

/// What they all bind.
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

/// Words of `exchange`, at most: in software,
pub(crate) const EXCHANGE: usize = 1 << 20;

/// and on a GPU. With a quarter of them 64 sequences of 512 units took 7 % longer on an H200: each further launch reads the weights again,
/// behind words that have to be emptied.
pub(crate) const EXCHANGE_OF_GPU: usize = 1 << 22;

/// The words of `exchange` that there may be after its head.
pub(crate) fn exchange_words(gpu: &Gpu, most: usize) -> usize {
    let most = most.min((gpu.largest_binding() / VALUE) as usize);
    most.saturating_sub(HEAD)
}

/// The launches of a chunk.
#[derive(Debug)]
pub(crate) struct Launches<'a> {
    pub(crate) pipeline: &'a Arc<Pipeline>,
    /// The positions of a team, its workgroups, the units of each, and the words of the team in a step.
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

/// What the teams of a launch are told of where they stand.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Place {
    pub(crate) first_team: usize,
    pub(crate) teams: usize,
    /// Where the rows of a team are not neighbours: the first position of all, and the positions from one to the next.
    pub(crate) first_position: usize,
    pub(crate) pace: usize,
}

impl Launches<'_> {
    /// As many teams as run at the same time do as many steps as a launch may have, then the next steps; then come the next
    /// teams.
    pub(crate) fn record(&self, commands: &mut Commands, group: &Group, chunk: &Chunk<'_>) {
        let active = chunk.active(chunk.steps.start);
        let all = self.directions * active.div_ceil(self.rows.max(1));
        for first_team in (0..all).step_by(self.teams.max(1)) {
            let place = Place {
                first_team,
                teams: self.teams.min(all - first_team),
                ..Place::default()
            };
            let position = first_team / self.directions.max(1) * self.rows;
            for steps in self.launches_from(chunk, position) {
                let rows_run = |params: &Params| params.rows_run_by_teams(chunk, self.rows);
                self.launch((commands, group, chunk), place, &steps, rows_run);
            }
        }
    }

    /// The steps of the launches of teams whose first position this is: the one with their longest sequence.
    pub(crate) fn launches_from(&self, chunk: &Chunk<'_>, position: usize) -> impl Iterator<Item = Range<usize>> {
        let length = chunk.lengths.get(position).map_or(0, |&length| length as usize);
        let end = length.min(chunk.steps.end);
        let most = self.steps.max(1);
        (chunk.steps.start..end)
            .step_by(most)
            .map(move |first| first..(first + most).min(end))
    }

    pub(crate) fn launch(
        &self,
        (commands, group, chunk): (&mut Commands, &Group, &Chunk<'_>),
        place: Place,
        steps: &Range<usize>,
        rows_run: impl Fn(&Params) -> usize,
    ) {
        let words = HEAD + steps.len() * place.teams * self.words;
        if let Some(exchange) = &group.exchange {
            commands.list.clear(exchange, 0..words as u64 * VALUE);
        }
        let params = Params {
            slice: self.slice as u32,
            members: self.members as u32,
            teams: place.teams as u32,
            first_team: place.first_team as u32,
            directions: self.directions as u32,
            most_polls: self.most_polls,
            first_position: place.first_position as u32,
            pace: place.pace as u32,
            ..Params::new(chunk, steps, self.units, self.kernel_width)
        };
        let workgroups = (place.teams * self.members).saturating_sub(self.missing);
        let workgroups = Workgroups::Flat(workgroups as u64);
        commands.waits = true;
        commands.dispatch_rows(rows_run(&params), self.pipeline, &group.group, params, workgroups);
    }
}
