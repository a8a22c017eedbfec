//! LSTM networks on any GPU.

#[allow(dead_code, reason = "the shaders that take the codes come next")]
pub mod activation;
pub mod error;
#[allow(dead_code, reason = "the layers that draw weights come next")]
pub mod layer;

pub use activation::Activation;
pub use error::{Error, Result};
pub use layer::initializer::Initializer;
