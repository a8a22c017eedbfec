//! State dicts of PyTorch: tensors by name. They say what modules there are, and nothing of how they are joined.
//!
//! Both containers, `.safetensors` and `.pt`, are read into a [`StateDict`]; what its names mean is known here alone.

pub(crate) mod cell;
pub(crate) mod dict;
pub(crate) mod fill;
pub(crate) mod load;
mod matching;
pub(crate) mod module;
pub(crate) mod modules;
mod place;
mod recurrent_module;
pub(crate) mod suggestion;
pub(crate) mod tensor;
pub(crate) mod write;
