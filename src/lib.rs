//! LSTM networks on any GPU.

pub mod error;

pub use error::{Error, Result};
