//! The stages of a flow on the CPU, by the same names as on the GPU.

pub(crate) mod dense;
pub(crate) mod gather;
mod input_projection;
pub(crate) mod merge;
mod panelled;
pub(crate) mod place;
pub(crate) mod recurrence;
mod recurrent_step;
mod rowwise_step;
mod share;
pub(crate) mod work;
