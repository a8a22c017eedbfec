//! The gated recurrent unit.

use super::lane::Lane;
use crate::activation::Activation;

/// The number of gates: `z` (update), `r` (reset), `n` (candidate, Keras's `h`), in this order, which is Keras's and ONNX's.
pub(crate) const GATES: usize = 3;

/// z and r; what the input gives to n; what the hidden state gives to n, which r multiplies afterwards.
const RESET_AFTER: &[Lane] = &[
    Lane::of(0),
    Lane::of(1),
    Lane {
        kernel: Some(2),
        recurrent: None,
        of_reset: false,
    },
    Lane {
        kernel: None,
        recurrent: Some(2),
        of_reset: false,
    },
];

/// z and r; n, whose recurrent part multiplies r * h.
const RESET_BEFORE: &[Lane] = &[
    Lane::of(0),
    Lane::of(1),
    Lane {
        kernel: Some(2),
        recurrent: Some(2),
        of_reset: true,
    },
    Lane::NOTHING,
];

pub(super) fn lanes(options: &GruOptions) -> &'static [Lane] {
    match options.reset_after {
        true => RESET_AFTER,
        false => RESET_BEFORE,
    }
}

/// The options of a [`Gru`](crate::Gru) that say what a step computes.
///
/// ```
/// # use cellstate::{Activation, Gru};
/// let options = Gru::new(2, 8).reset_after(false).cell_options();
/// assert!(!options.reset_after);
/// assert_eq!((options.activation, options.recurrent_activation), (Activation::Tanh, Activation::Sigmoid));
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct GruOptions {
    /// The activation of the candidate.
    pub activation: Activation,
    /// The activation of both gates.
    pub recurrent_activation: Activation,
    /// Whether the reset gate multiplies the recurrent product (PyTorch, cuDNN, ONNX's `linear_before_reset`) or the hidden
    /// state before it.
    pub reset_after: bool,
    /// Beyond what the arguments of the activations are cut off (ONNX's `clip`).
    pub clip: Option<f32>,
}

impl GruOptions {
    pub(crate) fn new() -> Self {
        Self {
            activation: Activation::Tanh,
            recurrent_activation: Activation::Sigmoid,
            reset_after: true,
            clip: None,
        }
    }
}
