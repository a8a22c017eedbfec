//! The device: adapters, the opened GPU, its buffers, its time stamps. It knows no shader and no model.

pub(crate) mod adapter;
mod attached;
pub(crate) mod buffer;
mod counters;
mod gpu;
mod guarded;
pub(crate) mod label;
mod life;
pub(crate) mod mapped;
mod matrices;
mod module;
mod pipeline_cache;
pub(crate) mod timer;
pub(crate) mod turn;
mod waiters;
pub(crate) mod waits;
mod wanted;
pub(crate) mod writes;

pub use counters::Counters;
pub use gpu::Gpu;
pub(crate) use gpu::{LARGEST_BINDING, MOST_PARAMS};
