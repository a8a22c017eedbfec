//! The recurrence: cells that run together, and the strategies that can run them behind one interface.

use crate::gpu::commands::Commands;
use crate::gpu::device::Gpu;
use crate::gpu::strategy::chunk::{Bound, Chunk};
use crate::gpu::strategy::exchange::TeamBuffers;
use crate::gpu::strategy::solo::RecurrentSolo;
use crate::gpu::strategy::step::RecurrentStep;
use crate::gpu::strategy::team::{RecurrentTeam, TeamGroup};
use crate::gpu::weights::{Form, is_rowwise};
use crate::gpu::weights::{GATES, gates_of};
use crate::model::plan::{Operation, Plan, PlannedCell as Cell};
use crate::settings::Strategy;

/// Which cells of a model run together. The two directions of a layer run in the same dispatches where the same shader can do
/// both: `wgpu` drains the GPU between two dispatches, so what is to run at the same time has to be one.
pub(crate) fn together(parts: &Plan) -> Vec<Vec<usize>> {
    let mut together = Vec::with_capacity(parts.cells.len());
    for operation in &parts.operations {
        match operation {
            Operation::Recurrent { cells, .. } => together.extend(cells.iter().map(|&cell| vec![cell])),
            Operation::Bidirectional { forward, backward, .. } => {
                let cells = parts.cells.get(*forward).zip(parts.cells.get(*backward));
                match cells.is_some_and(|(forward, backward)| difference(forward, backward).is_none()) {
                    true => together.push(vec![*forward, *backward]),
                    false => together.extend([vec![*forward], vec![*backward]]),
                }
            }
            _ => {}
        }
    }
    together
}

/// Why one shader with one set of constants and sizes cannot run both; `None` where it can.
pub(crate) fn difference(one: &Cell, other: &Cell) -> Option<&'static str> {
    if one.units() != other.units() {
        return Some("they differ in units");
    }
    if one.activation() != other.activation() || one.recurrent_activation() != other.recurrent_activation() {
        return Some("they differ in activations");
    }
    is_rowwise(one).then_some("an activation needs all units at once")
}

/// The recurrent weights of one or both directions on the GPU, and the strategies that can run them.
#[derive(Debug)]
pub(crate) struct Recurrence {
    pub(crate) units: usize,
    pub(crate) directions: usize,
    step: RecurrentStep,
    solo: Option<RecurrentSolo>,
    /// Or why there is none.
    pub(crate) team: Result<RecurrentTeam, &'static str>,
    /// `[direction][k][unit]` as vec4 i f g o, in the form that the strategies read.
    recurrent_kernel: wgpu::Buffer,
}

/// The bind groups of a recurrence for one buffer of its rows.
#[derive(Debug)]
pub(crate) struct RecurrenceGroups {
    step: wgpu::BindGroup,
    solo: Option<wgpu::BindGroup>,
    team: Option<TeamGroup>,
}

impl Recurrence {
    /// The cells are the directions of one layer, or a single cell.
    pub(crate) fn make(gpu: &Gpu, label: &str, form: Form, cells: &[&Cell], wants_team: bool) -> Self {
        let units = cells.first().map_or(0, |cell| cell.units());
        let packed: Vec<[f32; GATES]> = cells
            .iter()
            .flat_map(|cell| {
                cell.weights
                    .recurrent_kernel
                    .outer_iter()
                    .flat_map(|row| gates_of(row, units))
            })
            .collect();
        Self {
            units,
            directions: cells.len(),
            step: RecurrentStep::make(gpu, form, cells),
            solo: RecurrentSolo::make(gpu, form, cells),
            team: match wants_team {
                true => RecurrentTeam::make(gpu, form, cells),
                false => Err("neither was it asked for by name, nor is there a tuning file on a GPU"),
            },
            recurrent_kernel: gpu.upload_weights(&format!("cellstate.{label}.recurrent_kernel"), form, &packed),
        }
    }

    pub(crate) fn groups(
        &self,
        gpu: &Gpu,
        params: &wgpu::Buffer,
        [projected, hidden, cell_state, starts]: [&wgpu::Buffer; 4],
        team: Option<&TeamBuffers>,
    ) -> RecurrenceGroups {
        let bound = Bound {
            params,
            recurrent_kernel: &self.recurrent_kernel,
            projected,
            hidden,
            cell_state,
            starts,
            team,
        };
        RecurrenceGroups {
            step: self.step.group(gpu, bound),
            solo: self.solo.as_ref().and_then(|solo| solo.group(gpu, bound)),
            team: self.team.as_ref().ok().and_then(|team| team.group(gpu, bound)),
        }
    }

    /// Whether a strategy can run it, and why not.
    pub(crate) fn can(&self, strategy: Strategy) -> Result<(), &'static str> {
        match strategy {
            Strategy::Step => Ok(()),
            Strategy::Solo if self.solo.is_some() => Ok(()),
            Strategy::Solo => Err(
                "the weights or a state do not fit a workgroup, an activation needs all units at once, or the device was opened with too few storage buffers",
            ),
            Strategy::Team => self.team.as_ref().map(|_| ()).map_err(|&why| why),
        }
    }

    /// The dispatches for so many steps of so many positions.
    pub(crate) fn launches(&self, strategy: Strategy, positions: usize, steps: usize) -> usize {
        match (strategy, &self.solo, &self.team) {
            (Strategy::Solo, Some(solo), _) => solo.launches(positions, steps),
            (Strategy::Team, _, Ok(team)) => team.dispatches(positions, steps),
            _ => steps,
        }
    }

    /// Runs steps by a strategy that [`can`](Self::can) run them.
    pub(crate) fn record(
        &self,
        commands: &mut Commands,
        groups: &RecurrenceGroups,
        chunk: &Chunk<'_>,
        strategy: Strategy,
    ) {
        match strategy {
            Strategy::Solo => {
                if let (Some(solo), Some(group)) = (&self.solo, &groups.solo) {
                    return solo.record(commands, group, chunk);
                }
            }
            Strategy::Team => {
                if let (Ok(team), Some(group)) = (&self.team, &groups.team) {
                    return team.record(commands, group, chunk);
                }
            }
            Strategy::Step => {}
        }
        self.step.record(commands, &groups.step, chunk);
    }
}
