//! What holds on a GPU beyond the right numbers: what a run makes, how much memory it takes, the portable floor, tensors
//! that are cut, the caller's own device, and failures.
//!
//! On every adapter of `support/devices.rs`; a missing one fails under `CELLSTATE_REQUIRE_GPU=1`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod adapters;
mod cells;
mod counters;
mod cut;
#[path = "../support/devices.rs"]
mod devices;
mod directions;
#[path = "../support/drawn.rs"]
mod drawn;
mod encode;
mod encode_buffers;
mod encode_masks;
mod every_cell;
mod failures;
mod floor;
mod into;
mod lookup;
mod loss;
#[path = "../properties/made.rs"]
#[allow(dead_code, reason = "each test binary uses a part of this")]
mod made;
mod memory;
#[path = "../support/models.rs"]
#[allow(dead_code, reason = "each test binary uses a part of this")]
mod models;
mod own_device;
mod pipeline_cache;
mod relaxed;
mod repeated;
mod rows;
mod states;
mod states_golden;
mod states_random;
mod states_refused;
mod states_shared;
mod strategies;
#[path = "../support/mod.rs"]
mod support;
mod team;
mod threads;
mod training_memory;
mod tuning;
#[path = "../support/zoo.rs"]
mod zoo;
