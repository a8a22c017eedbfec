//! The launches of a chunk by teams whose positions are not neighbours.

use std::ops::Range;

use crate::gpu::commands::Commands;
use crate::gpu::strategy::chunk::Chunk;
use crate::gpu::strategy::entry::Group;
use crate::gpu::strategy::launch::Params;
use crate::gpu::strategy::team_launches::{Launches, Place};
use crate::gpu::strategy::team_wide_shape::Shape;

/// What a launch runs: some directions of some positions, whose rows are shared out among so many teams of each direction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Share {
    pub(super) directions: Range<usize>,
    pub(super) positions: Range<usize>,
    pub(super) pace: usize,
}

/// The launches for so many positions.
pub(super) fn shares(shape: Shape, launches: &Launches<'_>, active: usize) -> Vec<Share> {
    // where not even one team of each direction runs at the same time, the directions run one after the other
    let (tiles, each) = match launches.teams / launches.directions.max(1) {
        0 => (1, 1),
        tiles => (tiles, launches.directions.max(1)),
    };
    let most = (tiles * shape.rows).max(1);
    let mut shares = Vec::new();
    for first in (0..active).step_by(most) {
        let positions = first..active.min(first + most);
        let pace = shape.pace(positions.len(), tiles);
        shares.extend((0..launches.directions).step_by(each).map(|direction| Share {
            directions: direction..direction + each,
            positions: positions.clone(),
            pace,
        }));
    }
    shares
}

/// As many teams as run at the same time do as many steps as a launch may have, then the next steps; then come the next teams.
pub(super) fn record(
    shape: Shape,
    launches: &Launches<'_>,
    (commands, group, chunk): (&mut Commands, &Group, &Chunk<'_>),
) {
    for share in shares(shape, launches, chunk.active(chunk.steps.start)) {
        let place = Place {
            first_team: share.directions.start,
            teams: share.pace * share.directions.len(),
            first_position: share.positions.start,
            pace: share.pace,
        };
        for steps in launches.launches_from(chunk, share.positions.start) {
            let rows_run = |params: &Params| share.directions.len() * params.rows_run(chunk, share.positions.clone());
            launches.launch((commands, group, chunk), place, &steps, rows_run);
        }
    }
}
