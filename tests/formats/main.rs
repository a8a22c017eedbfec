//! Model files: what the readers make of files of each format, of the unusual ones and of damaged ones.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod bad;
#[path = "../support/devices.rs"]
#[allow(dead_code, reason = "each test binary uses a part of this")]
mod devices;
#[path = "../support/drawn.rs"]
mod drawn;
mod files;
mod keras;
mod keras_edited;
mod keras_hostile;
mod keras_nested;
mod keras_rates;
mod keras_rules;
mod keras_suggested;
mod keras_written;
mod not_finite;
mod onnx;
mod onnx_hostile;
mod onnx_kept;
mod onnx_lengths;
mod onnx_made;
mod onnx_written;
mod opened;
mod pytorch;
mod pytorch_hostile;
mod pytorch_refused;
mod saved;
#[path = "../support/mod.rs"]
mod support;
