//! The stages: one file a stage, which has its size, its buffers and bind groups, what it uploads and what it records.
//!
//! A stage is first a [`StageSize`](interface::StageSize), worked out by formulas; that makes the [`Stage`](interface::Stage) of
//! a workspace; and the stage records any number of runs. The recurrence is one stage for both directions of a layer, where one
//! shader can run both. What stages there are stands in `list`.

pub(crate) mod batch_normalization;
pub(crate) mod carry;
pub(crate) mod dense;
pub(crate) mod direction;
pub(crate) mod dropout;
pub(crate) mod earlier_rows;
pub(crate) mod gather;
pub(crate) mod give;
pub(crate) mod home;
pub(crate) mod input_projection;
pub(crate) mod interface;
pub(crate) mod left_out;
pub(crate) mod list;
pub(crate) mod lists;
pub(crate) mod lookup;
pub(crate) mod masked;
pub(crate) mod matrix_projection;
pub(crate) mod matrix_trial;
pub(crate) mod merge;
pub(crate) mod moments;
pub(crate) mod pieces;
pub(crate) mod place;
pub(crate) mod prepared;
pub(crate) mod projected_input;
pub(crate) mod projection_block;
pub(crate) mod recurrence;
pub(crate) mod recurrence_size;
pub(crate) mod reshape;
pub(crate) mod row_transform;
pub(crate) mod softmax;
pub(crate) mod tables;
pub(crate) mod take;
pub(crate) mod transform;
