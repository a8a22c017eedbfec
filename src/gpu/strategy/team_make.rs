//! How a team is made up on a GPU: by which text, and how units and positions are shared out.

use crate::gpu::commands::Commands;
use crate::gpu::shader::Shader;
use crate::gpu::strategy::chunk::Chunk;
use crate::gpu::strategy::entry::{Group, Work};
use crate::gpu::strategy::residency::Spin;
use crate::gpu::strategy::team_launches::Launches;
use crate::gpu::strategy::team_shape::{Cost, Limits, Shape};
use crate::gpu::strategy::{team_parts, team_wide, team_wide_launches, team_wide_shape};

/// How a team is made up. Both texts bind the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Make {
    /// The sums of a unit's parts go through workgroup memory.
    Parts(Shape),
    /// They are added up within a subgroup.
    Wide(team_wide_shape::Shape),
}

impl Make {
    /// All that a device allows for so many units of so many lanes.
    pub(crate) fn all((units, lanes): (usize, usize), lanes_of_subgroup: Option<usize>, limits: Limits) -> Vec<Self> {
        let parts = Shape::all(units, lanes, limits).into_iter().map(Self::Parts);
        let wide = lanes_of_subgroup.map(|of| team_wide_shape::Shape::all(units, lanes, of, limits));
        parts.chain(wide.into_iter().flatten().map(Self::Wide)).collect()
    }

    pub(crate) fn shader(self) -> &'static Shader {
        match self {
            Self::Parts(_) => &team_parts::SHADER,
            Self::Wide(_) => &team_wide::SHADER,
        }
    }

    /// The constants of its text.
    pub(crate) fn constants(self, spin: Spin) -> Vec<u32> {
        match self {
            Self::Parts(shape) => team_parts::constants(shape, spin),
            Self::Wide(shape) => team_wide::constants(shape, spin),
        }
    }

    /// The positions of a team,
    pub(crate) fn rows(self) -> usize {
        match self {
            Self::Parts(shape) => shape.rows,
            Self::Wide(shape) => shape.rows,
        }
    }

    /// its units,
    pub(crate) fn units(self) -> usize {
        match self {
            Self::Parts(shape) => shape.units,
            Self::Wide(shape) => shape.units,
        }
    }

    /// those of a workgroup,
    pub(crate) fn slice(self) -> usize {
        match self {
            Self::Parts(shape) => shape.slice,
            Self::Wide(shape) => shape.slice,
        }
    }

    /// its workgroups,
    pub(crate) fn members(self) -> usize {
        self.units() / self.slice().max(1)
    }

    /// and its words in a step.
    pub(crate) fn words(self) -> usize {
        match self {
            Self::Parts(shape) => shape.rows * shape.units,
            Self::Wide(shape) => shape.words(),
        }
    }

    /// The products of a workgroup in a step, of one lane.
    pub(crate) fn products(self) -> usize {
        match self {
            Self::Parts(shape) => shape.products(1),
            Self::Wide(shape) => shape.products(1, shape.rows),
        }
    }

    /// The teams for so many positions in each of so many directions, at most.
    pub(crate) fn teams(self, directions: usize, positions: usize) -> usize {
        match self {
            Self::Parts(shape) => shape.teams(directions, positions),
            Self::Wide(shape) => shape.teams(directions, positions),
        }
    }

    /// The seconds of a batch, of which `most_teams` run at once and a launch has so many steps.
    pub(crate) fn seconds(self, cost: Cost<'_>, work: Work, most_teams: usize, launch_steps: usize) -> f64 {
        match self {
            Self::Parts(shape) => shape.seconds(cost, work, most_teams, launch_steps),
            Self::Wide(shape) => shape.seconds(cost, work, most_teams, launch_steps),
        }
    }

    /// How many launches so many positions take one after the other, with so many teams in each.
    pub(crate) fn rounds(self, teams_at_once: usize, directions: usize, positions: usize) -> usize {
        match self {
            Self::Parts(shape) => shape.teams(directions, positions).div_ceil(teams_at_once.max(1)),
            Self::Wide(shape) => match teams_at_once / directions.max(1) {
                0 => directions * positions.div_ceil(shape.rows.max(1)),
                tiles => positions.div_ceil((tiles * shape.rows).max(1)),
            },
        }
    }

    pub(crate) fn record(self, launches: &Launches<'_>, (commands, group, chunk): (&mut Commands, &Group, &Chunk<'_>)) {
        match self {
            Self::Parts(_) => launches.record(commands, group, chunk),
            Self::Wide(shape) => team_wide_launches::record(shape, launches, (commands, group, chunk)),
        }
    }
}
