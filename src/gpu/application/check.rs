//! What cannot be run within the commands of an application, and what would do instead.

use crate::error::{Error, Result};
use crate::gpu::GpuModel;
use crate::model::plan::Operation;
use crate::settings::Strategy;

/// Whether the host need not look at anything while a model runs.
pub(super) fn supported(model: &GpuModel) -> Result<()> {
    for operation in &model.plan.operations {
        let (layer, option, instead) = match operation {
            Operation::Masking { .. } => (
                "Masking",
                "a mask of values that only the GPU has",
                "build the model without the layer, and say with `set_mask`, or `set_mask_from` on the GPU, which steps count",
            ),
            Operation::Embedding { mask_zero: true, .. } => (
                "Embedding",
                "`mask_zero` of tokens that only the GPU has",
                "build the model with `mask_zero(false)`, and say with `set_lengths` or `set_mask` (or on the GPU, `set_lengths_from` or `set_mask_from`) which tokens count",
            ),
            _ => continue,
        };
        return Err(unsupported(layer, option, instead));
    }
    match model.settings.wanted_strategy() {
        Some(Strategy::Team) => Err(unsupported(
            "a workspace for the application's encoder",
            "the strategy team, which the host has to watch,",
            "leave it out of the settings, and another is chosen",
        )),
        _ => Ok(()),
    }
}

/// An error for what is not done in the encoder of an application.
fn unsupported(layer: &str, option: &str, instead: &str) -> Error {
    Error::Unsupported {
        layer: layer.to_owned(),
        option: format!("{option} within the application's commands"),
        instead: instead.to_owned(),
    }
}
