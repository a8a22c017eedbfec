//! The list of the stages that there are.

use std::sync::Arc;

use crate::error::Result;
use crate::flow::size::StageKind;
use crate::gpu::rows::RowsSize;
use crate::gpu::stage::dense::DenseSize;
use crate::gpu::stage::dropout::DropoutSize;
use crate::gpu::stage::give::GiveSize;
use crate::gpu::stage::interface::{Ends, Sizer, StageSize};
use crate::gpu::stage::merge::MergeSize;
use crate::gpu::stage::place::PlaceSize;
use crate::gpu::stage::prepared::Prepared;
use crate::gpu::stage::recurrence_size::RecurrenceSize;
use crate::gpu::stage::reshape::ReshapeSize;
use crate::gpu::stage::take::TakeSize;
use crate::gpu::stage::transform::TransformSize;

/// The sizes of all stages.
#[derive(Debug)]
pub(crate) struct StageSizes {
    /// In the order in which they run.
    pub(crate) stages: Vec<Box<dyn StageSize>>,
    /// The layer of each.
    pub(crate) layers: Vec<Arc<str>>,
    /// For each stage of the flow its rows.
    pub(crate) rows: Vec<RowsSize>,
}

/// The sizes of all stages of a flow.
pub(crate) fn sizes(mut sizer: Sizer<'_>) -> Result<StageSizes> {
    let mut sizes: Vec<Box<dyn StageSize>> = Vec::new();
    let mut layers: Vec<Arc<str>> = Vec::new();
    let names = &sizer.prepared.names;
    let mut reshapes = 0;
    let mut merged: Arc<str> = Arc::default(); // the layer whose directions are merged next
    if let Ends::Application { steps, table } = sizer.ends {
        sizes.push(Box::new(TakeSize::new(&sizer, steps, table)?));
        layers.push("input".into());
    }
    while let Some(stage) = sizer.flow.stages.get(sizer.stages.len()) {
        let size: Box<dyn StageSize> = match stage.kind {
            StageKind::Recurrent { cell, schedule, .. } => {
                Box::new(RecurrenceSize::new(&sizer, stage, cell, schedule)?)
            }
            StageKind::Dense { dense, input } => Box::new(DenseSize::new(&sizer, stage, dense, input)?),
            StageKind::Transform { transform, input } => Box::new(TransformSize::new(&sizer, stage, transform, input)?),
            StageKind::Dropout { dropout, input } => Box::new(DropoutSize::new(&sizer, stage, dropout, input)?),
            StageKind::Reshape { input, entries } => Box::new(ReshapeSize::new(&sizer, stage, entries, input)?),
            StageKind::Merge {
                merge,
                forward,
                backward,
            } => Box::new(MergeSize::new(&sizer, stage, merge, [forward, backward])?),
        };
        if let StageKind::Recurrent { cell, .. } = stage.kind {
            merged = names.layer_of(cell);
        }
        layers.push(match stage.kind {
            // both directions, where they run together
            StageKind::Recurrent { cell, .. } if size.rows().len() > 1 => names.layer_of(cell),
            StageKind::Recurrent { cell, .. } => names.cell(cell),
            StageKind::Dense { dense, .. } => names.dense(dense),
            StageKind::Transform { transform, .. } => names.transform(transform),
            StageKind::Dropout { dropout, .. } => dropout_name(sizer.prepared, dropout),
            StageKind::Reshape { .. } => {
                reshapes += 1;
                names.reshape(reshapes - 1)
            }
            StageKind::Merge { .. } => merged.clone(),
        });
        sizer.stages.extend_from_slice(size.rows());
        sizes.push(size);
    }
    for number in 0..sizer.flow.outputs.len() {
        layers.push("output".into());
        sizes.push(match sizer.ends {
            Ends::Host => Box::new(PlaceSize::new(&sizer, number)?),
            Ends::Application { .. } => Box::new(GiveSize::new(&sizer, number)?),
        });
    }
    Ok(StageSizes {
        stages: sizes,
        layers,
        rows: sizer.stages,
    })
}

/// The layer of a Dropout; that of a cell whose input it is about is the cell's.
fn dropout_name(prepared: &Prepared, dropout: usize) -> Arc<str> {
    let planned = prepared.dropouts.get(dropout);
    match planned.and_then(|dropout| dropout.cell) {
        Some(cell) => prepared.names.cell(cell),
        None => format!("layer {} (Dropout)", planned.map_or(0, |dropout| dropout.layer)).into(),
    }
}
