//! Model files: what the readers make of files of each format, of the unusual ones and of damaged ones.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

#[path = "../support/devices.rs"]
#[allow(dead_code, reason = "each test binary uses a part of this")]
mod devices;
mod onnx;
mod onnx_hostile;
mod onnx_written;
#[path = "../support/mod.rs"]
mod support;
