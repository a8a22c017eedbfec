//! How many dispatches a way back records at most.

use crate::flow::size::{FlowSize, StageKind, StageSize};
use crate::gpu::training::by_gate::leaves_out;
use crate::gpu::training::rowwise::DISPATCHES;
use crate::model::plan::Plan;

/// The most dispatches of a stage and its lists.
pub(super) fn dispatches(size: &FlowSize, plan: &Plan, stage: &StageSize) -> usize {
    /// Besides the steps.
    const OF_STAGE: usize = 24;
    let StageKind::Recurrent { cell, schedule, .. } = stage.kind else {
        return OF_STAGE;
    };
    let is_masked = leaves_out(plan, cell);
    let cell = plan.cells.get(cell).map(|planned| &planned.cell);
    let is_rowwise = is_masked || cell.is_some_and(|cell| cell.obstacle().is_some());
    // a scan is cut where a loop may not be long, at many thousand steps
    let of_step = if is_rowwise { 1 + DISPATCHES } else { 2 };
    let steps = size.schedules.get(schedule).copied().unwrap_or(0);
    // a product of the stage and of its end may be one for each of four gates
    let others = if is_masked { 3 * OF_STAGE } else { OF_STAGE };
    steps.saturating_mul(of_step).saturating_add(others)
}
