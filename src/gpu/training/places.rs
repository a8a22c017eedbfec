//! Where what a recurrence has on its way back lies: the directions of a layer that go back in the same dispatches share their buffers, and the
//! second one stands behind the first.

use crate::flow::size::{FlowSize, StageKind};
use crate::gpu::rows::VALUE;
use crate::gpu::stage::prepared::Prepared;
use crate::gpu::training::by_gate::leaves_out;
use crate::model::plan::Plan;

/// Of a cell among the directions that go back together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The first of these cells, after which their buffers are called.
    pub(super) first_cell: usize,
    pub(super) direction: usize,
    pub(super) directions: usize,
}

impl Place {
    /// Of a cell that goes back by itself.
    pub(super) fn alone(cell: usize) -> Self {
        Self {
            first_cell: cell,
            direction: 0,
            directions: 1,
        }
    }

    /// The first stage of these directions, from that of this one: they stand side by side.
    pub(super) fn first_stage(self, stage: usize) -> usize {
        stage - self.direction
    }

    /// Whether this is the last of them.
    pub(super) fn is_last(self) -> bool {
        self.direction + 1 == self.directions
    }
}

/// The place of each cell in batches that fit. Directions go back together where they run together forward, unless gates leave out values of
/// their own: such cells go position by position.
pub(super) fn places(plan: &Plan, prepared: &Prepared) -> Vec<Place> {
    let cells = 0..plan.cells.len();
    cells
        .map(|cell| match prepared.running_with(cell) {
            Some(together) if !together.iter().any(|&cell| leaves_out(plan, cell)) => Place {
                first_cell: together.first().copied().unwrap_or(cell),
                direction: together.iter().position(|&other| other == cell).unwrap_or(0),
                directions: together.len(),
            },
            _ => Place::alone(cell),
        })
        .collect()
}

/// The same in batches of (batch, time_steps): directions whose buffers would be larger than a binding go back one after the other.
pub(super) fn places_within(
    limit: u64,
    places: &[Place],
    plan: &Plan,
    (batch, time_steps): (usize, usize),
) -> Vec<Place> {
    let mut places = places.to_vec();
    if places.iter().all(|place| place.directions == 1) {
        return places;
    }
    for stage in FlowSize::in_training(plan, batch, time_steps).stages {
        let StageKind::Recurrent { cell: number, .. } = stage.kind else {
            continue;
        };
        let (Some(planned), Some(place)) = (plan.cells.get(number), places.get_mut(number)) else {
            continue;
        };
        let cell = &planned.cell;
        // the lanes of all rows and the cell states with those before them, or else what is carried
        let rows = cell.gates().saturating_mul(stage.rows.saturating_add(batch));
        let rows = rows.max(batch.saturating_mul(3)) as u64;
        let bytes = rows.saturating_mul((place.directions * cell.units) as u64 * VALUE);
        if bytes > limit {
            *place = Place::alone(number);
        }
    }
    places
}
