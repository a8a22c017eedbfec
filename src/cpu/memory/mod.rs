//! The memory of a run: numbers aligned to the vectors, and what a run keeps for the next one.

pub(crate) mod buffer;
pub(crate) mod saved;
pub(crate) mod workspace;
