//! The GPU path: the stages of a flow as dispatches of WGSL shaders.
//!
//! Arrows point only this way: `device` < `weights`, `shader`, `groups`, `workgroups` < `commands` < `ahead`, `rows` < `strategy` < `stage` < `states`, `sizes`, `required`, `workspace` <
//! `model` < `recording` < `run`, `application`, `explain`, `measure` < `tune`, `training`. Within `stage`: `home`, `lists`, `pieces`, `matrix_projection` < `input_projection`, `row_transform` < `prepared` <
//! `interface` < the stages < `list`.
//!
//! Words that are used inside, each for one thing:
//!
//! - *Rows*: values of one width, one below the other, in one or several buffers. *Held*: which rows a buffer holds in a run.
//! - *Segment*: the steps of a recurrence whose rows lie in one buffer. *Chunk*: the steps that are projected at once.
//!   *Launch*: the steps of one dispatch.
//! - *Position*: where a sequence stands in its schedule. *Pitch*: the rows from one direction to the next in a shared buffer.
//! - *Place*: the last stage, which puts rows to their (batch, time step). *Span*: rows to project, from where to where.
//! - *Scratch*: buffers that all stages use, one after the other. *Shared*: buffers of rows that several stages take in turn.
//! - *Home*: the buffers in which the state of a cell is by sequence, before a run and behind it.
//! - *Staging*, a buffer that the host reads. *To stage* a recording, to upload what it needs.

mod ahead;
#[cfg(test)]
mod ahead_tests;
mod application;
mod commands;
pub(crate) mod device;
mod explain;
pub(crate) mod groups;
mod measure;
mod model;
pub(crate) mod recording;
mod required;
mod rows;
pub(crate) mod run;
mod shader;
pub(crate) mod sizes;
pub(crate) mod stage;
mod states;
mod strategy;
mod tensor;
pub(crate) mod training;
mod tune;
mod upload;
mod weights;
pub(crate) mod workgroups;
pub(crate) mod workspace;

pub use application::GpuWorkspace;
pub(crate) use model::GpuModel;
pub use states::GpuStates;
