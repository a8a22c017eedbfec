//! The device: adapters, the opened GPU, its buffers, its time stamps. It knows no shader and no model.

pub(crate) mod adapter;
pub(crate) mod buffer;
mod gpu;
pub(crate) mod mapped;
mod module;
pub(crate) mod timer;

pub use gpu::Gpu;
