//! The list of the stages that there are.

use crate::error::Result;
use crate::flow::size::StageKind;
use crate::gpu::rows::RowsSize;
use crate::gpu::stage::dense::DenseSize;
use crate::gpu::stage::give::GiveSize;
use crate::gpu::stage::interface::{Ends, Sizer, StageSize};
use crate::gpu::stage::merge::MergeSize;
use crate::gpu::stage::place::PlaceSize;
use crate::gpu::stage::recurrence::RecurrenceSize;
use crate::gpu::stage::reshape::ReshapeSize;
use crate::gpu::stage::take::TakeSize;
use crate::gpu::stage::transform::TransformSize;

/// The sizes of all stages.
#[derive(Debug)]
pub(crate) struct StageSizes {
    /// In the order in which they run.
    pub(crate) stages: Vec<Box<dyn StageSize>>,
    /// For each stage of the flow its rows.
    pub(crate) rows: Vec<RowsSize>,
}

/// The sizes of all stages of a flow.
pub(crate) fn sizes(mut sizer: Sizer<'_>) -> Result<StageSizes> {
    let mut sizes: Vec<Box<dyn StageSize>> = Vec::new();
    if let Ends::Application { steps, table } = sizer.ends {
        sizes.push(Box::new(TakeSize::new(&sizer, steps, table)?));
    }
    while let Some(stage) = sizer.flow.stages.get(sizer.stages.len()) {
        let size: Box<dyn StageSize> = match stage.kind {
            StageKind::Recurrent { cell, schedule, .. } => {
                Box::new(RecurrenceSize::new(&sizer, stage, cell, schedule)?)
            }
            StageKind::Dense { dense, input } => Box::new(DenseSize::new(&sizer, stage, dense, input)?),
            StageKind::Transform { transform, input } => Box::new(TransformSize::new(&sizer, stage, transform, input)?),
            StageKind::Reshape { input, entries } => Box::new(ReshapeSize::new(&sizer, stage, entries, input)?),
            StageKind::Merge {
                merge,
                forward,
                backward,
            } => Box::new(MergeSize::new(&sizer, stage, merge, [forward, backward])?),
        };
        sizer.stages.extend_from_slice(size.rows());
        sizes.push(size);
    }
    for number in 0..sizer.flow.outputs.len() {
        sizes.push(match sizer.ends {
            Ends::Host => Box::new(PlaceSize::new(&sizer, number)?),
            Ends::Application { .. } => Box::new(GiveSize::new(&sizer, number)?),
        });
    }
    Ok(StageSizes {
        stages: sizes,
        rows: sizer.stages,
    })
}
