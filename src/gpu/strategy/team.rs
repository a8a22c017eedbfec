//! `recurrent_team`: several workgroups share the units of some positions for many time steps, in one dispatch.

use std::ops::Range;
use std::sync::Arc;

use bytemuck::{Pod, Zeroable};

use crate::gpu::commands::{Commands, Workgroups};
use crate::gpu::device::Gpu;
use crate::gpu::rows::{VALUE, padded};
use crate::gpu::shader::{Pipeline, Shader, reads, writes};
use crate::gpu::strategy::chunk::{Bound, Chunk};
use crate::gpu::strategy::residency::{self, Spin};
use crate::gpu::strategy::solo::fits_axes;
use crate::gpu::strategy::team_shape::Shape;
use crate::gpu::weights::{Form, is_rowwise};
use crate::model::plan::PlannedCell as Cell;

pub(crate) const SHADER: Shader = Shader {
    name: "recurrent_team",
    source: include_str!("../../../shaders/recurrent_team.wgsl"),
    params: ("Team", size_of::<Params>()),
    bindings: &[
        reads("recurrent_kernel"),
        reads("projected"),
        writes("hidden"),
        writes("cell_state"),
        reads("starts"),
        writes("exchange"),
        writes("control"),
    ],
    constants: &[
        "ACTIVATION",
        "ALPHA",
        "BETA",
        "RECURRENT_ACTIVATION",
        "RECURRENT_ALPHA",
        "RECURRENT_BETA",
        "ROWS",
        "WIDTH",
        "PARTS",
        "WEIGHTS",
    ],
};

/// The positions of a team, the fewest first.
const HEIGHTS: [usize; 4] = [1, 2, 4, 8];

/// Words of `exchange` before those of the first step.
const HEAD: usize = 4;

/// Words of `exchange`, at most.
const EXCHANGE: usize = 1 << 20;

/// Products of a workgroup in a launch, at most: no driver should take it for one that hangs.
const LAUNCH: usize = 1 << 27;

/// The struct `Team` of types.wgsl.
#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct Params {
    previous_row: u32,
    hidden_base: u32,
    projected_base: u32,
    first_step: u32,
    last_step: u32,
    units: u32,
    stride: u32,
    hidden_pitch: u32,
    projected_pitch: u32,
    cell_pitch: u32,
    slice: u32,
    members: u32,
    teams: u32,
    first_team: u32,
    directions: u32,
    most_polls: u32,
}

/// A bind group, and the buffer that is to be emptied before a launch.
#[derive(Debug)]
pub(crate) struct TeamGroup {
    group: wgpu::BindGroup,
    exchange: wgpu::Buffer,
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
    /// One for each height that finds room in the workgroup memory; never none.
    pipelines: Vec<(usize, Arc<Pipeline>)>,
    shape: Shape,
    units: usize,
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
pub(crate) async fn probe(gpu: &Gpu, cells: &[Cell]) -> crate::error::Result<()> {
    for cell in cells.iter().filter(|cell| !is_rowwise(cell)) {
        let Ok((spin, shape)) = shape_on(gpu, cell.units()) else {
            continue;
        };
        if let Some(&tallest) = heights_on(gpu, shape).unwrap_or_default().last() {
            residency::probe(gpu, spin, shape, tallest).await?;
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
fn heights_on(gpu: &Gpu, shape: Shape) -> Result<Vec<usize>, &'static str> {
    let limits = gpu.limits();
    if (limits.max_storage_buffers_per_shader_stage as usize) < SHADER.bindings.len() {
        return Err("the device was opened with too few storage buffers for a shader");
    }
    if !fits_axes(gpu, shape.width, shape.parts) {
        return Err("its workgroups would be too wide for the device");
    }
    let fits = |&rows: &usize| shape.bytes(rows) <= limits.max_compute_workgroup_storage_size as usize;
    Ok(HEIGHTS.into_iter().filter(fits).collect())
}

impl RecurrentTeam {
    /// Why not, where it cannot run the cells.
    pub(crate) fn make(gpu: &Gpu, form: Form, cells: &[&Cell]) -> Result<Self, &'static str> {
        let (spin, shape) = shape_on(gpu, cells.first().map_or(0, |cell| cell.units()))?;
        Self::of_shape(gpu, form, cells, spin, shape)
    }

    fn of_shape(gpu: &Gpu, form: Form, cells: &[&Cell], spin: Spin, shape: Shape) -> Result<Self, &'static str> {
        let cell = cells.first().filter(|cell| !is_rowwise(cell));
        let cell = cell.ok_or("an activation needs all units at once")?;
        let heights = heights_on(gpu, shape)?;
        let tallest = *heights.last().ok_or("a state does not fit the memory of a workgroup")?;
        let most_teams = residency::budget(gpu, spin, shape, tallest) / shape.members;
        if most_teams == 0 {
            return Err("too few of its workgroups run at the same time");
        }
        let units = cell.units();
        let exchange_words = EXCHANGE
            .min((gpu.largest_binding() / VALUE) as usize)
            .saturating_sub(HEAD);
        if most_teams * tallest * units > exchange_words {
            return Err("what the workgroups hand each other in one step does not fit a binding");
        }
        let activations = [cell.activation().constants(), cell.recurrent_activation().constants()].concat();
        let pipeline = |rows: usize| {
            let constants = [&activations[..], &shape.constants(rows)].concat();
            (rows, gpu.pipeline_for(&SHADER, form, &constants))
        };
        Ok(Self {
            pipelines: heights.into_iter().map(pipeline).collect(),
            shape,
            units,
            directions: cells.len(),
            most_teams,
            exchange_words,
            most_polls: spin.most_polls,
            missing: 0,
        })
    }

    pub(crate) fn group(&self, gpu: &Gpu, bound: Bound<'_>) -> Option<TeamGroup> {
        let (_, pipeline) = self.pipelines.first()?; // all have the same entries
        let team = bound.team?;
        let storage = [
            bound.recurrent_kernel,
            bound.projected,
            bound.hidden,
            bound.cell_state,
            bound.starts,
            &team.exchange,
            &team.control,
        ];
        Some(TeamGroup {
            group: gpu.make_bind_group("recurrent_team", pipeline, bound.params, &storage),
            exchange: team.exchange.clone(),
        })
    }

    /// The smallest height that has room for so many positions, else the tallest.
    fn height(&self, positions: usize) -> Option<&(usize, Arc<Pipeline>)> {
        let fitting = self.pipelines.iter().find(|(rows, _)| *rows >= positions);
        fitting.or(self.pipelines.last())
    }

    fn rows(&self, positions: usize) -> usize {
        self.height(positions).map_or(1, |(rows, _)| *rows)
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
                .min(LAUNCH / products.max(1))
                .max(1),
            step_words,
        }
    }

    /// The bytes of `exchange` in a workspace.
    pub(crate) fn exchange_bytes(&self, batch: usize, time_steps: usize) -> u64 {
        let launch = self.launch(batch);
        (HEAD + launch.steps.min(time_steps) * launch.step_words) as u64 * VALUE
    }

    /// The dispatches for a chunk of so many steps, at most.
    pub(crate) fn dispatches(&self, batch: usize, steps: usize) -> usize {
        let launch = self.launch(batch);
        self.teams(batch).div_ceil(launch.teams) * steps.div_ceil(launch.steps)
    }

    /// As many teams as run at the same time do as many steps as a launch may have, then the next steps; then come the next
    /// teams.
    pub(crate) fn record(&self, commands: &mut Commands, group: &TeamGroup, chunk: &Chunk<'_>) {
        let active = chunk.active(chunk.steps.start);
        let Some((rows, pipeline)) = self.height(active) else {
            return;
        };
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
                commands.list.clear(&group.exchange, 0..words as u64 * VALUE);
                let params = Params {
                    teams: teams as u32,
                    first_team: first_team as u32,
                    ..self.params(chunk, steps)
                };
                let workgroups = (teams * self.shape.members).saturating_sub(self.missing);
                commands.dispatch(pipeline, &group.group, params, Workgroups::Flat(workgroups as u64));
            }
        }
    }

    fn params(&self, chunk: &Chunk<'_>, steps: Range<usize>) -> Params {
        let start = chunk.start(steps.start) as u32;
        Params {
            previous_row: chunk.previous_row(steps.start) as u32,
            hidden_base: start.wrapping_sub(chunk.current_row(steps.start) as u32),
            projected_base: start.wrapping_sub(chunk.projected_row(steps.start) as u32),
            first_step: steps.start as u32,
            last_step: steps.end as u32,
            units: self.units as u32,
            stride: padded(self.units) as u32,
            hidden_pitch: chunk.hidden_pitch as u32,
            projected_pitch: chunk.projected_pitch as u32,
            cell_pitch: chunk.batch as u32,
            slice: self.shape.slice as u32,
            members: self.shape.members as u32,
            directions: self.directions as u32,
            most_polls: self.most_polls,
            ..Params::default()
        }
    }
}

#[cfg(test)]
#[path = "team_tests.rs"]
mod tests;
