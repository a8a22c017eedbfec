//! The stages of a flow on the CPU, by the same names as on the GPU.

pub(crate) mod batch_normalization;
pub(crate) mod dense;
pub(crate) mod dropout;
pub(crate) mod gather;
mod input_projection;
pub(crate) mod masked;
pub(crate) mod merge;
mod panelled;
pub(crate) mod pieces;
pub(crate) mod place;
pub(crate) mod recurrence;
mod recurrent_step;
pub(crate) mod reshape;
mod rowwise_step;
pub(crate) mod share;
mod tasks;
pub(crate) mod transform;
pub(crate) mod work;
