//! Long short-term memory.

use super::lane::Lane;
use crate::activation::Activation;
use crate::error::{Error, Result};

/// The number of gates: `i` (input), `f` (forget), `g` (cell candidate, Keras's `c`), `o` (output), in this order, which is
/// Keras's and PyTorch's.
pub(crate) const GATES: usize = 4;

/// The gate whose bias begins at one (`unit_forget_bias`).
pub(crate) const FORGET_GATE: usize = 1;

pub(super) const LANES: &[Lane] = &[Lane::of(0), Lane::of(1), Lane::of(2), Lane::of(3)];

/// The options of an [`Lstm`](crate::Lstm) that say what a step computes.
///
/// ```
/// # use cellstate::{Activation, Lstm};
/// let options = Lstm::new(2, 8).clip(3.0).cell_options();
/// assert_eq!((options.activation, options.recurrent_activation), (Activation::Tanh, Activation::Sigmoid));
/// assert_eq!((options.clip, options.projection), (Some(3.0), None));
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct LstmOptions {
    /// The activation of the cell candidate (ONNX's g).
    pub activation: Activation,
    /// The activation of the gates (ONNX's f).
    pub recurrent_activation: Activation,
    /// The activation of the cell state on its way out (ONNX's h).
    pub output_activation: Activation,
    /// Whether the gates see the cell state (Gers and Schmidhuber 2000; ONNX's `P`).
    pub peepholes: bool,
    /// Beyond what the arguments of the activations are cut off (ONNX's `clip`).
    pub clip: Option<f32>,
    /// Whether the forget gate is 1 − input gate (ONNX's `input_forget`).
    pub input_forget: bool,
    /// The width of the hidden state, where it is a projection of the units (PyTorch's `proj_size`).
    pub projection: Option<usize>,
}

impl LstmOptions {
    pub(crate) fn new() -> Self {
        Self {
            activation: Activation::Tanh,
            recurrent_activation: Activation::Sigmoid,
            output_activation: Activation::Tanh,
            peepholes: false,
            clip: None,
            input_forget: false,
            projection: None,
        }
    }

    /// Of the cell candidate, of the gates, of the cell state on its way out.
    pub(crate) fn activations(&self) -> [Activation; 3] {
        [self.activation, self.recurrent_activation, self.output_activation]
    }

    pub(super) fn check(&self, units: usize) -> Result<()> {
        match self.projection {
            Some(projection) if projection == 0 || projection > units => Err(Error::Value {
                argument: "projection of the LSTM".to_owned(),
                expected: format!("a width from 1 to the {units} units"),
                found: projection.to_string(),
                repair: "leave it out, and the hidden state has a value for each unit".to_owned(),
            }),
            _ => Ok(()),
        }
    }
}
