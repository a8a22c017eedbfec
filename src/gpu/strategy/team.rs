//! `recurrent_team`: several workgroups share the units of some positions for many time steps, in one dispatch.

use std::sync::Arc;

use crate::cell::Cell;
use crate::gpu::commands::{Commands, Workgroups};
use crate::gpu::device::Gpu;
use crate::gpu::rows::VALUE;
use crate::gpu::shader::{Pipeline, Shader, reads, writes};
use crate::gpu::strategy::chunk::Chunk;
use crate::gpu::strategy::entry::{Cells, Entry, Group, Ready};
use crate::gpu::strategy::launch::{self, Params, Workgroup, most_steps};
use crate::gpu::strategy::residency::{self, Spin};
use crate::settings::Strategy;

pub(crate) const ENTRY: Entry = Entry {
    name: Strategy::Team,
    waits: true,
    prepare: |gpu, cells| Ok(Box::new(RecurrentTeam::make(gpu, cells)?)),
    probe: Some(|gpu, cells| Box::pin(probe(gpu, cells))),
};

pub(crate) const SHADER: Shader = Shader {
    name: "recurrent_team",
    source: include_str!("../../../shaders/recurrent_team.wgsl"),
    shared: launch::SHARED,
    runs_cell: true,
    params: ("Launch", size_of::<Params>()),
    bindings: &[
        reads("recurrent_kernel"),
        reads("projected"),
        writes("hidden"),
        writes("cell_state"),
        reads("starts"),
        writes("exchange"),
        writes("control"),
    ],
    constants: launch::CONSTANTS,
};

/// The positions of a team, the fewest first.
const HEIGHTS: [usize; 4] = [1, 2, 4, 8];

/// Invocations of a workgroup on a GPU, at most: with so many registers each, a core has room for few more.
const INVOCATIONS: usize = 256;

/// Words of `exchange` before those of the first step.
const HEAD: usize = 4;

/// Words of `exchange`, at most.
const EXCHANGE: usize = 1 << 20;

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
    /// The team of the fewest workgroups that can keep the weights in registers. In software registers are memory anyway,
    /// there the team is as large as may be and has a single part.
    pub(crate) fn of(units: usize, budget: usize, most_invocations: usize, in_software: bool) -> Option<Self> {
        let fitting = |members: &usize| {
            let slice = units.div_ceil(*members);
            let width = slice.next_multiple_of(8);
            let most = if in_software { most_invocations } else { INVOCATIONS };
            let parts = match in_software {
                true => 1,
                false => (most / width.max(1)).min(units.div_ceil(4)),
            };
            let weights = units.div_ceil(parts.max(1)).next_multiple_of(4);
            let fits = width * parts.max(1) <= most && (in_software || weights <= launch::WEIGHTS);
            fits.then_some(Self {
                members: units.div_ceil(slice.max(1)),
                slice,
                workgroup: Workgroup {
                    width,
                    parts: units.div_ceil(weights.max(1)),
                    weights,
                },
            })
        };
        if units == 0 || budget < 2 {
            return None;
        }
        match in_software {
            true => fitting(&budget),
            false => (2..=budget).find_map(|members| fitting(&members)),
        }
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

/// The strategy `team`.
#[derive(Debug)]
pub(crate) struct RecurrentTeam {
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

/// Finds out how many workgroups of the teams of these cells run at the same time, which [`RecurrentTeam::make`] has to know. For
/// cells that no team can run there is nothing to find out.
async fn probe(gpu: &Gpu, cells: &[&Cell]) -> crate::error::Result<()> {
    for cell in cells.iter().filter(|cell| cell.obstacle().is_none()) {
        let Ok((spin, shape)) = shape_on(gpu, cell.units) else {
            continue;
        };
        if let Some(&tallest) = heights_on(gpu, shape, cell).unwrap_or_default().last() {
            residency::probe(gpu, spin, shape.workgroup, tallest).await?;
        }
    }
    Ok(())
}

/// How a team for so many units is made up on a GPU, or why there is none.
fn shape_on(gpu: &Gpu, units: usize) -> Result<(Spin, Shape), &'static str> {
    let spin = Spin::of(gpu)?;
    let most_invocations = gpu.limits().max_compute_invocations_per_workgroup as usize;
    let shape = Shape::of(units, spin.most_members, most_invocations, spin.in_software);
    let shape = shape.ok_or("so many units would need more workgroups than may wait for each other")?;
    Ok((spin, shape))
}

/// The heights that find room on a GPU, or why a team finds none.
fn heights_on(gpu: &Gpu, shape: Shape, cell: &Cell) -> Result<Vec<usize>, &'static str> {
    let bytes = |rows| shape.bytes(rows, cell.lanes().len());
    shape.workgroup.heights(gpu, SHADER.bindings.len(), (&HEIGHTS, bytes))
}

impl RecurrentTeam {
    /// Why not, where it cannot run the cells.
    fn make(gpu: &Gpu, cells: &Cells<'_>) -> Result<Self, &'static str> {
        if let Some(why) = cells.cell.obstacle() {
            return Err(why);
        }
        let (spin, shape) = shape_on(gpu, cells.cell.units)?;
        Self::of_shape(gpu, cells, spin, shape)
    }

    fn of_shape(gpu: &Gpu, cells: &Cells<'_>, spin: Spin, shape: Shape) -> Result<Self, &'static str> {
        let heights = heights_on(gpu, shape, cells.cell)?;
        let tallest = heights.last().copied().unwrap_or(1);
        let most_teams = residency::budget(gpu, spin, shape.workgroup, tallest) / shape.members;
        if most_teams == 0 {
            return Err("too few of its workgroups run at the same time");
        }
        let units = cells.cell.units;
        let exchange_words = EXCHANGE
            .min((gpu.largest_binding() / VALUE) as usize)
            .saturating_sub(HEAD);
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
            most_polls: spin.most_polls,
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

impl Ready for RecurrentTeam {
    fn binds(&self) -> (&'static Shader, &Pipeline) {
        (&SHADER, &self.tallest.1)
    }

    /// Never, for no adapter was measured on which it is the fastest.
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

    /// As many teams as run at the same time do as many steps as a launch may have, then the next steps; then come the next
    /// teams.
    fn record(&self, commands: &mut Commands, group: &Group, chunk: &Chunk<'_>) {
        let active = chunk.active(chunk.steps.start);
        let (rows, pipeline) = self.height(active);
        let launch = self.launch(chunk.batch);
        let all = self.teams(active);
        for first_team in (0..all).step_by(launch.teams) {
            let teams = launch.teams.min(all - first_team);
            // the first position has the longest sequence of the launch
            let position = first_team / self.directions.max(1) * rows;
            let length = chunk.lengths.get(position).map_or(0, |&length| length as usize);
            let end = length.min(chunk.steps.end);
            for first in (chunk.steps.start..end).step_by(launch.steps) {
                let steps = first..(first + launch.steps).min(end);
                let words = HEAD + steps.len() * teams * rows * self.units;
                if let Some(exchange) = &group.exchange {
                    commands.list.clear(exchange, 0..words as u64 * VALUE);
                }
                let params = Params {
                    slice: self.shape.slice as u32,
                    members: self.shape.members as u32,
                    teams: teams as u32,
                    first_team: first_team as u32,
                    directions: self.directions as u32,
                    most_polls: self.most_polls,
                    ..Params::new(chunk, &steps, self.units, self.kernel_width)
                };
                let workgroups = (teams * self.shape.members).saturating_sub(self.missing);
                let workgroups = Workgroups::Flat(workgroups as u64);
                let rows_run = params.rows_run_by_teams(chunk, *rows);
                commands.dispatch_rows(rows_run, pipeline, &group.group, params, workgroups);
            }
        }
    }
}

#[cfg(test)]
#[path = "team_tests.rs"]
mod tests;
