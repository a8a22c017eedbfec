//! What the host tells the shaders: the fields of its structs, by their names in the texts.

use crate::gpu::stage::{batch_normalization, carry, dropout, gather, lookup, masked, reshape, row_transform, softmax};
use crate::gpu::strategy::{launch, step_params};
use crate::gpu::training::{
    gradient_sizes, loss, penalties, product, repack, row_gradients, rule, scatter, solo_back, step_back, sums, update,
};

/// The fields of the host's struct of a name, in order, as `Debug` prints them.
pub(super) fn host_fields(name: &str) -> Vec<String> {
    let printed = match name {
        "Carry" => format!("{:?}", carry::Params::default()),
        "Gather" => format!("{:?}", gather::Params::default()),
        "Lookup" => format!("{:?}", lookup::Params::default()),
        "Dropout" => format!("{:?}", dropout::Params::default()),
        "BatchSums" => format!("{:?}", batch_normalization::SumsParams::default()),
        "BatchMoments" => format!("{:?}", batch_normalization::MomentsParams::default()),
        "Transform" => format!("{:?}", row_transform::Params::default()),
        "Reshape" => format!("{:?}", reshape::Params::default()),
        "Projection" => format!("{:?}", softmax::Params::default()),
        "Measure" => format!("{:?}", crate::gpu::measure::Params::default()),
        "Launch" => format!("{:?}", launch::Params::default()),
        "Step" => format!("{:?}", step_params::Params::default()),
        "MaskedProjection" => format!("{:?}", masked::Params::default()),
        "Product" => format!("{:?}", product::Params::default()),
        "Parts" => format!("{:?}", sums::PartsParams::default()),
        "ColumnSums" => format!("{:?}", sums::ColumnParams::default()),
        "Scatter" => format!("{:?}", scatter::Params::default()),
        "RowsBack" => format!("{:?}", row_gradients::Params::default()),
        "Scan" => format!("{:?}", rule::ScanParams::default()),
        "GradientSizes" => format!("{:?}", gradient_sizes::Params::default()),
        "Loss" => format!("{:?}", loss::Params::default()),
        "Penalty" => format!("{:?}", penalties::Params::default()),
        "Update" => format!("{:?}", update::Params::default()),
        "Repack" => format!("{:?}", repack::Params::default()),
        "PositionsBack" => format!("{:?}", rule::PositionsParams::default()),
        "Reset" => format!("{:?}", rule::ResetParams::default()),
        "SoloBack" => format!("{:?}", solo_back::SoloParams::default()),
        "TurnKernel" => format!("{:?}", solo_back::TurnParams::default()),
        "TurnFours" => format!("{:?}", step_back::TurnFoursParams::default()),
        "StepBack" => format!("{:?}", step_back::StepParams::default()),
        other => panic!("the struct {other} of the host is to be named here"),
    };
    let (_, inner) = printed.split_once('{').unwrap();
    let fields = inner.trim_end_matches('}').split(',');
    fields
        .map(|field| field.split(':').next().unwrap().trim().to_owned())
        .collect()
}
