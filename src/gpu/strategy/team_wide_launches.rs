//! The launches of a chunk by teams for many positions.

use std::ops::Range;
use std::sync::Arc;

use crate::gpu::commands::{Commands, Workgroups};
use crate::gpu::rows::VALUE;
use crate::gpu::shader::Pipeline;
use crate::gpu::strategy::chunk::Chunk;
use crate::gpu::strategy::entry::Group;
use crate::gpu::strategy::launch::Params;
use crate::gpu::strategy::team_launches::HEAD;
use crate::gpu::strategy::team_wide_shape::Shape;

/// The fewest positions for which a team is worth its while: what is summed up at a time.
const FEW: usize = 4;

/// The launches of a chunk.
#[derive(Debug)]
pub(crate) struct WideLaunches<'a> {
    pub(crate) pipeline: &'a Arc<Pipeline>,
    pub(crate) shape: Shape,
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

/// What a launch runs: some directions of some positions, whose rows are shared out among so many teams of each direction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Share {
    pub(super) directions: Range<usize>,
    pub(super) positions: Range<usize>,
    pub(super) pace: usize,
}

impl WideLaunches<'_> {
    /// The launches for so many positions.
    pub(super) fn shares(&self, active: usize) -> Vec<Share> {
        let rows = self.shape.rows.max(1);
        // where not even one team of each direction runs at the same time, the directions run one after the other
        let together = self.teams >= self.directions;
        let (tiles, each) = match together {
            true => (self.teams / self.directions.max(1), self.directions.max(1)),
            false => (1, 1),
        };
        let mut shares = Vec::new();
        for first in (0..active).step_by((tiles * rows).max(1)) {
            let positions = first..active.min(first + tiles * rows);
            let pace = positions.len().div_ceil(FEW.min(rows)).min(tiles);
            shares.extend((0..self.directions).step_by(each).map(|direction| Share {
                directions: direction..direction + each,
                positions: positions.clone(),
                pace,
            }));
        }
        shares
    }

    /// As many teams as run at the same time do as many steps as a launch may have, then the next steps; then come the next
    /// teams.
    pub(crate) fn record(&self, commands: &mut Commands, group: &Group, chunk: &Chunk<'_>) {
        for share in self.shares(chunk.active(chunk.steps.start)) {
            // the first position has the longest sequence of the launch
            let length = chunk
                .lengths
                .get(share.positions.start)
                .map_or(0, |&length| length as usize);
            let end = length.min(chunk.steps.end);
            for first in (chunk.steps.start..end).step_by(self.steps.max(1)) {
                let steps = first..(first + self.steps).min(end);
                self.launch((commands, group, chunk), &share, &steps);
            }
        }
    }

    fn launch(
        &self,
        (commands, group, chunk): (&mut Commands, &Group, &Chunk<'_>),
        share: &Share,
        steps: &Range<usize>,
    ) {
        let teams = share.pace * share.directions.len();
        let words = HEAD + steps.len() * teams * self.shape.words();
        if let Some(exchange) = &group.exchange {
            commands.list.clear(exchange, 0..words as u64 * VALUE);
        }
        let params = Params {
            slice: self.shape.slice as u32,
            members: self.shape.members() as u32,
            teams: teams as u32,
            first_team: share.directions.start as u32,
            directions: self.directions as u32,
            most_polls: self.most_polls,
            first_position: share.positions.start as u32,
            pace: share.pace as u32,
            ..Params::new(chunk, steps, self.units, self.kernel_width)
        };
        let workgroups = (teams * self.shape.members()).saturating_sub(self.missing);
        let rows_run = share.directions.len() * params.rows_run(chunk, share.positions.clone());
        commands.waits = true;
        commands.dispatch_rows(
            rows_run,
            self.pipeline,
            &group.group,
            params,
            Workgroups::Flat(workgroups as u64),
        );
    }
}
