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
struct Share {
    directions: Range<usize>,
    positions: Range<usize>,
    pace: usize,
}

/// The launches for so many positions in each of so many directions, of so many teams.
fn shares(shape: Shape, (teams, directions): (usize, usize), active: usize) -> Vec<Share> {
    // where not even one team of each direction runs at the same time, the directions run one after the other
    let (tiles, each) = match teams / directions.max(1) {
        0 => (1, 1),
        tiles => (tiles, directions.max(1)),
    };
    let most = (tiles * shape.rows).max(1);
    let mut shares = Vec::new();
    for first in (0..active).step_by(most) {
        let positions = first..active.min(first + most);
        let pace = shape.pace(positions.len(), tiles);
        shares.extend((0..directions).step_by(each).map(|direction| Share {
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
    let of = (launches.teams, launches.directions);
    for share in shares(shape, of, chunk.active(chunk.steps.start)) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::strategy::team_make::Make;

    /// Each position is run once in each direction, by no more teams than run at the same time, in as many launches as the host reckons
    /// with.
    #[test]
    fn positions_are_shared_out() {
        for (rows, teams) in [(1, 1), (4, 2), (4, 3), (16, 2), (16, 8), (8, 5)] {
            let shape = Shape {
                rows,
                units: 24,
                slice: 12,
                lanes_of_subgroup: 32,
                group: rows.min(4),
            };
            for active in 1..100 {
                let shares = shares(shape, (teams, 2), active);
                let mut runs = vec![0; active];
                for share in &shares {
                    assert!(share.pace * share.directions.len() <= teams, "{share:?}");
                    assert!(share.positions.len() <= share.pace * rows, "{share:?}");
                    for run in runs.get_mut(share.positions.clone()).into_iter().flatten() {
                        *run += share.directions.len();
                    }
                }
                assert!(runs.iter().all(|&runs| runs == 2), "{shares:?}");
                assert_eq!(shares.len(), Make::Wide(shape).rounds(teams, 2, active));
            }
        }
    }
}
