//! What the tests share: the judge, the golden cases, and the plain reference.
//!
//! Nothing here knows the library, so the judge can be judged by itself. What runs the library is in `devices.rs`,
//! `models.rs` and `zoo.rs`, which the tests that need it include by path.
#![allow(dead_code, reason = "each test binary uses a part of this")]

pub(crate) mod cell_kinds;
pub(crate) mod cells;
pub(crate) mod golden;
pub(crate) mod gradient_case;
pub(crate) mod initial_weights;
pub(crate) mod judge;
pub(crate) mod keras;
pub(crate) mod layers;
pub(crate) mod masks;
pub(crate) mod mutant;
pub(crate) mod not_yet;
pub(crate) mod onnx;
pub(crate) mod play;
pub(crate) mod random;
pub(crate) mod reference;
pub(crate) mod reference_activation;
pub(crate) mod reference_cell;
pub(crate) mod reference_gradients;
pub(crate) mod reference_layers;
pub(crate) mod reference_through_time;
pub(crate) mod split_mix;
pub(crate) mod torch;
pub(crate) mod translation;
