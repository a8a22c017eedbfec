//! The sizes of a flow that is there: those from which the sizes of a way back follow.

use crate::flow::size::{FlowSize, OutputSize, StageKind, StageSize};
use crate::flow::{Flow, Stage};
use crate::model::plan::Plan;

/// The sizes of a flow.
pub(super) fn size_of(flow: &Flow, plan: &Plan) -> FlowSize {
    let mut schedules = Vec::new();
    let stages = flow.stages.iter().zip(&flow.widths).map(|(stage, &width)| {
        let input = stage.input().source;
        let kind = match stage {
            Stage::Recurrent { cell, schedule, .. } => {
                schedules.push(schedule.steps());
                StageKind::Recurrent {
                    cell: *cell,
                    input,
                    schedule: schedules.len() - 1,
                }
            }
            Stage::Dense { dense, .. } => StageKind::Dense { dense: *dense, input },
            Stage::Transform { transform, .. } => StageKind::Transform {
                transform: *transform,
                input,
            },
            Stage::Dropout { dropout, .. } => StageKind::Dropout {
                dropout: *dropout,
                input,
            },
            Stage::Reshape { input: list, .. } => StageKind::Reshape {
                input,
                entries: list.index.len(),
            },
            Stage::Merge {
                merge,
                forward,
                backward,
            } => StageKind::Merge {
                merge: *merge,
                forward: forward.source,
                backward: backward.source,
            },
        };
        let rows = stage.rows();
        StageSize { kind, rows, width }
    });
    let stages: Vec<StageSize> = stages.collect();
    let outputs = flow.outputs.iter().map(|placed| OutputSize {
        source: placed.gather.source,
        entries: placed.shape.iter().rev().skip(1).product(),
        width: placed.shape.last().copied().unwrap_or(0),
    });
    FlowSize {
        batch: flow.batch,
        features: plan.features.unwrap_or(0),
        input_rows: flow.input_steps.len(),
        outputs: outputs.collect(),
        stages,
        schedules,
    }
}
