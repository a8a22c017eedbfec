//! The stages of a flow, but for the recurrence: one file a stage.

pub(crate) mod gather;
pub(crate) mod input_projection;
