//! The plain recurrent cell.

use super::lane::Lane;
use crate::activation::Activation;

pub(crate) const GATES: usize = 1;

pub(super) const LANES: &[Lane] = &[Lane::of(0)];

/// The options of a [`SimpleRnn`](crate::SimpleRnn) that say what a step computes.
///
/// ```
/// # use cellstate::{Activation, SimpleRnn};
/// assert_eq!(SimpleRnn::new(2, 8).cell_options().activation, Activation::Tanh);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct SimpleRnnOptions {
    /// The activation of the sum.
    pub activation: Activation,
    /// Beyond what the arguments of the activation are cut off (ONNX's `clip`).
    pub clip: Option<f32>,
}

impl SimpleRnnOptions {
    pub(crate) fn new() -> Self {
        Self {
            activation: Activation::Tanh,
            clip: None,
        }
    }
}
