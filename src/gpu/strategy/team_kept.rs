//! `recurrent_team`: teams on a software adapter, where registers are memory anyway and two workgroups run at the same time.

use std::sync::Arc;

use crate::cell::Cell;
use crate::gpu::commands::Commands;
use crate::gpu::device::Gpu;
use crate::gpu::rows::VALUE;
use crate::gpu::shader::{Pipeline, Shader};
use crate::gpu::strategy::chunk::Chunk;
use crate::gpu::strategy::entry::{Cells, Group, Ready};
use crate::gpu::strategy::launch::{self, Params, Workgroup, most_steps};
use crate::gpu::strategy::residency::Spin;
use crate::gpu::strategy::team_launches::{BINDINGS, EXCHANGE, HEAD, Launches, exchange_words};

pub(crate) const SHADER: Shader = Shader {
    name: "recurrent_team",
    source: include_str!("../../../shaders/recurrent_team.wgsl"),
    shared: launch::SHARED,
    runs_cell: true,
    params: ("Launch", size_of::<Params>()),
    bindings: BINDINGS,
    constants: launch::CONSTANTS,
};

/// The positions of a team, the fewest first.
const HEIGHTS: [usize; 4] = [1, 2, 4, 8];

/// How a team is made up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Shape {
    /// Workgroups of a team, and the units of each.
    pub(crate) members: usize,
    pub(crate) slice: usize,
    /// How each of them is made up.
    pub(crate) workgroup: Workgroup,
}

impl Shape {
    /// The largest team there may be, of workgroups with a single part.
    pub(crate) fn of(units: usize, members: usize, most_invocations: usize) -> Option<Self> {
        if units == 0 || members < 2 {
            return None;
        }
        let slice = units.div_ceil(members);
        let width = slice.next_multiple_of(8);
        (width <= most_invocations).then_some(Self {
            members: units.div_ceil(slice),
            slice,
            workgroup: Workgroup {
                width,
                parts: 1,
                weights: units.next_multiple_of(4),
            },
        })
    }

    /// The bytes of workgroup memory for so many positions.
    pub(crate) fn bytes(self, rows: usize, lanes: usize) -> usize {
        // several parts wait for each other anyway, so one tile is enough
        let tiles = if self.workgroup.parts == 1 { 2 } else { 1 };
        // and two scalars, which WebGPU counts as 16 bytes each
        self.workgroup.bytes(rows, tiles, lanes) + 32
    }
}

/// The most that one launch does in a workspace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Launch {
    teams: usize,
    steps: usize,
    /// Words of `exchange` of one step.
    step_words: usize,
}

/// The strategy `team` on a software adapter.
#[derive(Debug)]
pub(crate) struct KeptTeam {
    /// One for each height that finds room in the workgroup memory.
    pipelines: Vec<(usize, Arc<Pipeline>)>,
    /// The tallest.
    tallest: (usize, Arc<Pipeline>),
    shape: Shape,
    units: usize,
    kernel_width: usize,
    directions: usize,
    /// Teams that run at the same time.
    most_teams: usize,
    /// Words of `exchange` after its head, at most.
    exchange_words: usize,
    most_polls: u32,
    /// Workgroups that a launch lacks: the tests see by it what happens when one does not run.
    missing: usize,
}

/// The heights that find room, or why a team finds none.
fn heights_on(gpu: &Gpu, shape: Shape, cell: &Cell) -> Result<Vec<usize>, &'static str> {
    let bytes = |rows| shape.bytes(rows, cell.lanes().len());
    shape.workgroup.heights(gpu, SHADER.bindings.len(), (&HEIGHTS, bytes))
}

impl KeptTeam {
    /// Why not, where it cannot run the cells.
    pub(crate) fn make(gpu: &Gpu, cells: &Cells<'_>, spin: Spin) -> Result<Self, &'static str> {
        let most_invocations = gpu.limits().max_compute_invocations_per_workgroup as usize;
        let shape = Shape::of(cells.cell.units, spin.most_members, most_invocations);
        let shape = shape.ok_or("so many units would need more workgroups than may wait for each other")?;
        Self::of_shape(gpu, cells, spin, shape)
    }

    fn of_shape(gpu: &Gpu, cells: &Cells<'_>, spin: Spin, shape: Shape) -> Result<Self, &'static str> {
        let heights = heights_on(gpu, shape, cells.cell)?;
        let tallest = heights.last().copied().unwrap_or(1);
        let most_teams = spin.most_members / shape.members;
        if most_teams == 0 {
            return Err("too few of its workgroups run at the same time");
        }
        let units = cells.cell.units;
        let exchange_words = exchange_words(gpu, EXCHANGE);
        if most_teams * tallest * units > exchange_words {
            return Err("what the workgroups hand each other in one step does not fit a binding");
        }
        let pipeline = |rows: usize| {
            let constants = shape.workgroup.constants(rows);
            (rows, gpu.pipeline_for(&SHADER, cells.variant(&constants)))
        };
        let pipelines: Vec<_> = heights.into_iter().map(pipeline).collect();
        Ok(Self {
            tallest: pipelines.last().cloned().ok_or("a team has no position")?,
            pipelines,
            shape,
            units,
            kernel_width: cells.kernel_width,
            directions: cells.directions,
            most_teams,
            exchange_words,
            most_polls: spin.most_polls(None, 0),
            missing: 0,
        })
    }

    /// The smallest height that has room for so many positions, else the tallest.
    fn height(&self, positions: usize) -> &(usize, Arc<Pipeline>) {
        let fitting = self.pipelines.iter().find(|(rows, _)| *rows >= positions);
        fitting.unwrap_or(&self.tallest)
    }

    fn rows(&self, positions: usize) -> usize {
        self.height(positions).0
    }

    /// The teams that so many positions need.
    fn teams(&self, positions: usize) -> usize {
        self.directions * positions.div_ceil(self.rows(positions))
    }

    /// The launches of a workspace with room for so many positions. With fewer of them a launch has no more teams, nor do
    /// these have more words.
    fn launch(&self, batch: usize) -> Launch {
        let rows = self.rows(batch);
        let teams = self.teams(batch).clamp(1, self.most_teams);
        let step_words = teams * rows * self.units;
        let products = self.shape.slice * self.units * rows;
        Launch {
            teams,
            steps: (self.exchange_words / step_words.max(1))
                .min(most_steps(products))
                .max(1),
            step_words,
        }
    }
}

impl Ready for KeptTeam {
    fn binds(&self) -> (&'static Shader, &Pipeline) {
        (&SHADER, &self.tallest.1)
    }

    /// Never, for on no software adapter is it the fastest.
    fn suits(&self, _gpu: &Gpu, _positions: usize) -> Option<&'static str> {
        None
    }

    fn exchange_bytes(&self, batch: usize, time_steps: usize) -> Option<u64> {
        let launch = self.launch(batch);
        Some((HEAD + launch.steps.min(time_steps) * launch.step_words) as u64 * VALUE)
    }

    fn dispatches(&self, positions: usize, steps: usize) -> usize {
        let launch = self.launch(positions);
        self.teams(positions).div_ceil(launch.teams) * steps.div_ceil(launch.steps)
    }

    fn record(&self, commands: &mut Commands, group: &Group, chunk: &Chunk<'_>) {
        let (rows, pipeline) = self.height(chunk.active(chunk.steps.start));
        let launch = self.launch(chunk.batch);
        let launches = Launches {
            pipeline,
            rows: *rows,
            members: self.shape.members,
            slice: self.shape.slice,
            words: rows * self.units,
            teams: launch.teams,
            steps: launch.steps,
            most_polls: self.most_polls,
            missing: self.missing,
            directions: self.directions,
            units: self.units,
            kernel_width: self.kernel_width,
        };
        launches.record(commands, group, chunk);
    }
}

#[cfg(test)]
#[path = "team_tests.rs"]
mod tests;
