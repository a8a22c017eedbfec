//! LSTM networks on any GPU.

pub mod error;
pub mod sequences;

pub use error::{Error, Result};
pub use sequences::{Mask, Padding, Sequences, Side, Windows, windows};
