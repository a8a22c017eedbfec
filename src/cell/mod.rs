//! What a step of a recurrent layer computes. Data alone: nothing here knows a schedule or a device.
//!
//! A unit of a cell sums up a few numbers in a step, its *lanes*:
//!
//! ```text
//! lane = bias + x·kernel + h·recurrent_kernel
//! ```
//!
//! and the cell's *rule* makes its new state of them. A lane takes its columns of `kernel` and of `recurrent_kernel` from one
//! gate each, or from none. So a strategy on the GPU or a panel on the CPU multiplies lanes, whatever the cell is, and only
//! the rule itself (`cpu/cell`, `shaders/cell`) knows what they mean.

pub(crate) mod gates;
pub(crate) mod gru;
mod lane;
pub(crate) mod lstm;
pub(crate) mod simple_rnn;
mod weights;

use crate::activation::Activation;
use crate::error::{Error, Result};
use gru::GruOptions;
pub(crate) use lane::Lane;
use lstm::LstmOptions;
use simple_rnn::SimpleRnnOptions;

#[cfg(any(feature = "keras", feature = "safetensors", feature = "onnx"))]
pub(crate) use weights::unflatten;
pub(crate) use weights::{CellWeights, ValueRange, check_finite};

/// What kind of cell it is, with the options of its own.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Rule {
    Lstm(LstmOptions),
    Gru(GruOptions),
    SimpleRnn(SimpleRnnOptions),
}

/// What a step computes: a rule and its sizes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Cell {
    pub(crate) rule: Rule,
    pub(crate) features: usize,
    pub(crate) units: usize,
    /// The width of the hidden state, which is what the layer puts out: the units, unless a projection makes it another.
    pub(crate) output: usize,
}

impl Cell {
    /// An LSTM without activations, of which a GPU's sums can be read: c = f·c + i·g, h = o·c.
    pub(crate) fn without_activations(units: usize) -> Self {
        let options = LstmOptions {
            activation: Activation::Linear,
            recurrent_activation: Activation::Linear,
            output_activation: Activation::Linear,
            ..LstmOptions::new()
        };
        Self {
            rule: Rule::Lstm(options),
            features: 1,
            units,
            output: units,
        }
    }

    /// The name of the layer class with this cell in Keras 3.15.
    pub(crate) fn class(&self) -> &'static str {
        match self.rule {
            Rule::Lstm(_) => "LSTM",
            Rule::Gru(_) => "GRU",
            Rule::SimpleRnn(_) => "SimpleRNN",
        }
    }

    /// The name of the layer that makes one, for messages.
    pub(crate) fn layer(&self) -> &'static str {
        match self.rule {
            Rule::Lstm(_) => "Lstm",
            Rule::Gru(_) => "Gru",
            Rule::SimpleRnn(_) => "SimpleRnn",
        }
    }

    /// What a unit sums up: one number, or four.
    pub(crate) fn lanes(&self) -> &'static [Lane] {
        match &self.rule {
            Rule::Lstm(_) => lstm::LANES,
            Rule::Gru(options) => gru::lanes(options),
            Rule::SimpleRnn(_) => simple_rnn::LANES,
        }
    }

    /// The blocks of `units` columns of both kernels.
    pub(crate) fn gates(&self) -> usize {
        match self.rule {
            Rule::Lstm(_) => lstm::GATES,
            Rule::Gru(_) => gru::GATES,
            Rule::SimpleRnn(_) => simple_rnn::GATES,
        }
    }

    /// The rows of the bias: two where the recurrent product has a bias of its own.
    pub(crate) fn bias_rows(&self) -> usize {
        match self.rule {
            Rule::Gru(options) if options.reset_after => 2,
            _ => 1,
        }
    }

    /// The widths of what a state consists of: hidden, and the cell state where there is one.
    pub(crate) fn state_widths(&self) -> impl ExactSizeIterator<Item = usize> + Clone + use<> {
        let count = match self.rule {
            Rule::Lstm(_) => 2,
            Rule::Gru(_) | Rule::SimpleRnn(_) => 1,
        };
        [self.output, self.units].into_iter().take(count)
    }

    /// Whether a state has a cell state besides the hidden one.
    pub(crate) fn has_cell_state(&self) -> bool {
        self.state_widths().len() > 1
    }

    /// Whether the rule reads a few weights of each unit, [`CellWeights::unit_parameters`].
    pub(crate) fn has_unit_parameters(&self) -> bool {
        matches!(self.rule, Rule::Lstm(options) if options.peepholes)
    }

    /// Whether the hidden state is a product of its own.
    pub(crate) fn has_projection(&self) -> bool {
        matches!(self.rule, Rule::Lstm(options) if options.projection.is_some())
    }

    /// Whether some lane multiplies r * h.
    pub(crate) fn multiplies_reset(&self) -> bool {
        self.lanes().iter().any(|lane| lane.of_reset)
    }

    /// The activations, in the order that the rule says.
    pub(crate) fn activations(&self) -> Vec<Activation> {
        match &self.rule {
            Rule::Lstm(options) => options.activations().to_vec(),
            Rule::Gru(options) => vec![options.activation, options.recurrent_activation],
            Rule::SimpleRnn(options) => vec![options.activation],
        }
    }

    /// Whether no hidden state is beyond 1 or below -1, or beyond where it began: it is a product of activations, or between one and the
    /// state before.
    pub(crate) fn is_within_one(&self) -> bool {
        let activations = match self.rule {
            Rule::Lstm(options) => vec![options.recurrent_activation, options.output_activation],
            Rule::Gru(options) if !options.recurrent_activation.is_share() => return false,
            Rule::Gru(_) | Rule::SimpleRnn(_) => self.activations(),
        };
        !self.has_projection() && activations.into_iter().all(Activation::is_within_one)
    }

    /// Beyond what the arguments of the activations are cut off, if they are.
    pub(crate) fn clip(&self) -> Option<f32> {
        match self.rule {
            Rule::Lstm(options) => options.clip,
            Rule::Gru(options) => options.clip,
            Rule::SimpleRnn(options) => options.clip,
        }
    }

    /// Why the new state of a unit is not made of its own lanes and its own state alone; `None` where it is.
    pub(crate) fn obstacle(&self) -> Option<&'static str> {
        if self.activations().iter().any(|activation| activation.is_rowwise()) {
            return Some("an activation needs all units at once");
        }
        if self.multiplies_reset() {
            return Some("the reset state of all units is multiplied again within a step (`reset_after(false)`)");
        }
        self.has_projection()
            .then_some("the hidden state is a projection of all units")
    }

    /// The number of trained values, with or without a bias.
    pub(crate) fn parameter_count(&self, use_bias: bool) -> usize {
        let bias = if use_bias { self.bias_rows() } else { 0 };
        let rows = self.features.saturating_add(self.output).saturating_add(bias);
        let gates = self.units.saturating_mul(self.gates()).saturating_mul(rows);
        let peepholes = if self.has_unit_parameters() { 3 } else { 0 };
        let projection = if self.has_projection() { self.output } else { 0 };
        let each_unit = projection.saturating_add(peepholes);
        gates.saturating_add(self.units.saturating_mul(each_unit))
    }

    /// Whether the options make sense together.
    pub(crate) fn check(&self) -> Result<()> {
        if let Some(clip) = self.clip().filter(|clip| !(clip.is_finite() && *clip > 0.0)) {
            return Err(Error::Value {
                argument: format!("clip of the {}", self.class()),
                expected: "a finite number above 0".to_owned(),
                found: clip.to_string(),
                repair: "leave it out, and nothing is cut off".to_owned(),
            });
        }
        for activation in self.activations() {
            activation.checked()?;
        }
        match &self.rule {
            Rule::Lstm(options) => options.check(self.units),
            Rule::Gru(_) | Rule::SimpleRnn(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
