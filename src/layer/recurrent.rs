//! What all recurrent layers have in common: the options of the sequence, and how weights are drawn.

use ndarray::{ArcArray2, Axis, s};

use super::initializer::Initializer;
use super::size::check_size;
use crate::cell::{Cell, CellWeights, Rule, ValueRange};
use crate::error::{Error, Result};
use crate::parameters::{Parameters, Role};

/// What a recurrent layer does with a sequence, whatever its cell computes: the options that `keras.layers.LSTM`, `GRU`,
/// `SimpleRNN` and `RNN` (Keras 3.15) share.
///
/// ```
/// # use cellstate::Lstm;
/// let options = Lstm::new(2, 8).go_backwards(true).options();
/// assert!(options.go_backwards && !options.return_sequences);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecurrentOptions {
    /// Whether every output is returned.
    pub return_sequences: bool,
    /// Whether the final state is returned.
    pub return_state: bool,
    /// Whether time runs backwards.
    pub go_backwards: bool,
    /// Whether masked steps give zero.
    pub zero_output_for_mask: bool,
    /// Whether the outputs of a layer that goes backwards stand in the order of the input.
    pub input_order: bool,
}

impl RecurrentOptions {
    /// The options that are set, by name.
    pub(crate) fn set(&self) -> impl Iterator<Item = &'static str> + use<> {
        let named = [
            ("return_sequences", self.return_sequences),
            ("return_state", self.return_state),
            ("go_backwards", self.go_backwards),
            ("zero_output_for_mask", self.zero_output_for_mask),
            ("input_order", self.input_order),
        ];
        named.into_iter().filter(|(_, set)| *set).map(|(name, _)| name)
    }
}

/// The shares that a recurrent layer leaves out in training.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct DropoutRates {
    /// Of the input.
    pub(crate) input: f32,
    /// Of the hidden state, where the recurrent kernel multiplies it.
    pub(crate) recurrent: f32,
}

impl DropoutRates {
    /// Both by their names in Keras.
    pub(crate) fn named(self) -> [(&'static str, f32); 2] {
        [("dropout", self.input), ("recurrent_dropout", self.recurrent)]
    }

    fn check(self, class: &str) -> Result<()> {
        match self.named().into_iter().find(|(_, rate)| !(0.0..1.0).contains(rate)) {
            None => Ok(()),
            Some((option, rate)) => Err(Error::Value {
                argument: format!("{option} of the {class}"),
                expected: "a share from 0 to less than 1".to_owned(),
                found: rate.to_string(),
                repair: "give the rate as a share: 0.2 for 20 %".to_owned(),
            }),
        }
    }
}

/// How the weights of a recurrent layer are drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Drawing {
    pub(crate) kernel: Initializer,
    pub(crate) recurrent_kernel: Initializer,
    pub(crate) bias: Initializer,
    /// The gate whose bias begins at one, whatever the initialiser says (`unit_forget_bias`).
    pub(crate) gate_of_ones: Option<usize>,
    pub(crate) seed: u64,
}

/// Any recurrent layer: what a [`Bidirectional`](crate::Bidirectional), [`StackedRnnCells`](crate::StackedRnnCells) or a
/// [`Model`](crate::Model) holds. [`Lstm`](crate::Lstm), [`Gru`](crate::Gru) and [`SimpleRnn`](crate::SimpleRnn) become one by
/// [`From`]; they are how one is made.
///
/// ```
/// use cellstate::{Gru, Lstm, Recurrent};
///
/// let layers: [Recurrent; 2] = [Lstm::new(2, 8).into(), Gru::new(8, 4).into()];
/// assert_eq!(layers.map(|layer| (layer.class(), layer.features(), layer.units())), [("LSTM", 2, 8), ("GRU", 8, 4)]);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Recurrent {
    pub(crate) cell: Cell,
    pub(crate) options: RecurrentOptions,
    pub(crate) use_bias: bool,
    pub(crate) dropout: DropoutRates,
    pub(crate) drawing: Drawing,
    pub(crate) weights: Option<CellWeights>,
}

impl Recurrent {
    /// A layer with Keras's defaults but for the rule.
    pub(crate) fn new(rule: Rule, features: usize, units: usize) -> Self {
        Self {
            cell: Cell {
                rule,
                features,
                units,
                output: units,
            },
            options: RecurrentOptions::default(),
            use_bias: true,
            dropout: DropoutRates::default(),
            drawing: Drawing {
                kernel: Initializer::GlorotUniform,
                recurrent_kernel: Initializer::Orthogonal { gain: 1.0 },
                bias: Initializer::Zeros,
                gate_of_ones: None,
                seed: 0,
            },
            weights: None,
        }
    }

    /// The layer's class, by its name in Keras 3.15.
    ///
    /// ```
    /// # use cellstate::{Lstm, Recurrent};
    /// assert_eq!(Recurrent::from(Lstm::new(2, 8)).class(), "LSTM");
    /// ```
    #[must_use]
    pub fn class(&self) -> &'static str {
        self.cell.class()
    }

    /// The number of features of the input.
    ///
    /// ```
    /// # use cellstate::{Lstm, Recurrent};
    /// assert_eq!(Recurrent::from(Lstm::new(2, 8)).features(), 2);
    /// ```
    #[must_use]
    pub fn features(&self) -> usize {
        self.cell.features
    }

    /// The number of units.
    ///
    /// ```
    /// # use cellstate::{Lstm, Recurrent};
    /// assert_eq!(Recurrent::from(Lstm::new(2, 8)).units(), 8);
    /// ```
    #[must_use]
    pub fn units(&self) -> usize {
        self.cell.units
    }

    /// The width of the hidden state, which is the output: the units, or an LSTM's projection.
    ///
    /// ```
    /// # use cellstate::{Lstm, Recurrent};
    /// assert_eq!(Recurrent::from(Lstm::new(2, 8).projection(5)).output_width(), 5);
    /// ```
    #[must_use]
    pub fn output_width(&self) -> usize {
        self.cell.output
    }

    /// What the layer does with a sequence.
    ///
    /// ```
    /// # use cellstate::{Lstm, Recurrent};
    /// assert!(Recurrent::from(Lstm::new(2, 8).return_state(true)).options().return_state);
    /// ```
    #[must_use]
    pub fn options(&self) -> RecurrentOptions {
        self.options
    }

    /// The share of the input that training leaves out, Keras's `dropout`.
    ///
    /// ```
    /// # use cellstate::{Lstm, Recurrent};
    /// assert_eq!(Recurrent::from(Lstm::new(2, 8).dropout(0.2)).dropout_rate(), 0.2);
    /// ```
    #[must_use]
    pub fn dropout_rate(&self) -> f32 {
        self.dropout.input
    }

    /// The share of the hidden state that training leaves out of the recurrent products, Keras's `recurrent_dropout`.
    ///
    /// ```
    /// # use cellstate::{Lstm, Recurrent};
    /// assert_eq!(Recurrent::from(Lstm::new(2, 8).recurrent_dropout(0.1)).recurrent_dropout_rate(), 0.1);
    /// ```
    #[must_use]
    pub fn recurrent_dropout_rate(&self) -> f32 {
        self.dropout.recurrent
    }

    /// The number of trained values, Keras's `count_params()`.
    ///
    /// ```
    /// # use cellstate::{Lstm, Recurrent};
    /// assert_eq!(Recurrent::from(Lstm::new(2, 8)).parameter_count(), 4 * 8 * (2 + 8 + 1));
    /// ```
    #[must_use]
    pub fn parameter_count(&self) -> usize {
        self.cell.parameter_count(self.use_bias)
    }

    pub(crate) fn check(&self) -> Result<()> {
        let class = self.class();
        check_size(&format!("features of the {class}"), self.cell.features)?;
        check_size(&format!("units of the {class}"), self.cell.units)?;
        self.dropout.check(class)?;
        self.cell.check()
    }

    /// Takes trained weights that have been checked against nothing yet.
    pub(crate) fn take_weights(&mut self, weights: CellWeights, range: ValueRange) -> Result<()> {
        self.check()?;
        weights.check(&self.cell, range)?;
        self.use_bias = weights.bias.is_some();
        self.weights = Some(weights);
        Ok(())
    }

    /// The weights of the layer at `place` in its model: those given, else drawn. Each place draws numbers of its own from the
    /// seed.
    pub(crate) fn weights_at(&self, place: usize) -> Result<CellWeights> {
        self.check()?;
        let mut weights = match &self.weights {
            Some(weights) => weights.clone(),
            None => self.draw(place)?,
        };
        // options may have been changed after the weights were given
        weights.check_shapes(&self.cell)?;
        if !self.use_bias {
            weights.bias = None;
        } else if weights.bias.is_none() {
            return Err(super::weights::no_bias());
        }
        Ok(weights)
    }

    /// Draws kernel, recurrent kernel and bias, each from a stream of its own; peepholes begin at zero, so that the gates see no
    /// cell state until they are trained, and a projection is drawn as a kernel.
    fn draw(&self, place: usize) -> Result<CellWeights> {
        let (cell, drawing) = (&self.cell, &self.drawing);
        let stream = (place as u64) << 2;
        let columns = cell.gates() * cell.units;
        let draw = |initializer: &Initializer, shape, stream| -> Result<ArcArray2<f32>> {
            Ok(initializer.draw(shape, drawing.seed, stream)?.into_shared())
        };
        let bias = self.use_bias.then(|| self.draw_bias(stream + 2)).transpose()?;
        let projection = match cell.has_projection() {
            true => Some(draw(&drawing.kernel, (cell.units, cell.output), stream + 3)?),
            false => None,
        };
        let peepholes = cell.has_unit_parameters();
        Ok(CellWeights {
            kernel: draw(&drawing.kernel, (cell.features, columns), stream)?,
            recurrent_kernel: draw(&drawing.recurrent_kernel, (cell.output, columns), stream + 1)?,
            bias,
            peepholes: peepholes.then(|| ArcArray2::zeros((3, cell.units))),
            projection,
        })
    }

    /// A bias of one axis is drawn as such. One of two rows, as that of a GRU with `reset_after`, is a matrix to its initialiser, in
    /// Keras too.
    fn draw_bias(&self, stream: u64) -> Result<ArcArray2<f32>> {
        let (cell, drawing) = (&self.cell, &self.drawing);
        let columns = cell.gates() * cell.units;
        let ones = drawing
            .gate_of_ones
            .map(|gate| gate * cell.units..(gate + 1) * cell.units);
        // around a gate of ones Keras draws the others apart, and their fans with them
        let (whole, apart);
        let parts: &[usize] = if let Some(ones) = &ones {
            apart = [ones.start, cell.units, columns.saturating_sub(ones.end)];
            &apart
        } else {
            whole = [columns];
            &whole
        };
        let mut drawn = match cell.bias_rows() {
            1 => {
                let bias = drawing.bias.draw_bias(self.class(), parts, drawing.seed, stream)?;
                bias.insert_axis(Axis(0))
            }
            rows => drawing.bias.draw((rows, columns), drawing.seed, stream)?,
        };
        if let Some(ones) = ones {
            drawn.slice_mut(s![0, ones]).fill(1.0);
        }
        Ok(drawn.into_shared())
    }

    /// Names the weights: `path/kernel` and so on.
    pub(crate) fn push_parameters(&self, path: &str, weights: &CellWeights, parameters: &mut Parameters) {
        let mut push = |role: Role, values: &ArcArray2<f32>| {
            let values = match role {
                Role::Bias if values.nrows() == 1 => values.row(0).to_owned().into_shared().into_dyn(),
                _ => values.clone().into_dyn(),
            };
            parameters.push(format!("{path}/{role}"), role, values);
        };
        push(Role::Kernel, &weights.kernel);
        push(Role::RecurrentKernel, &weights.recurrent_kernel);
        let optional = [
            (Role::Bias, &weights.bias),
            (Role::Peepholes, &weights.peepholes),
            (Role::Projection, &weights.projection),
        ];
        for (role, values) in optional {
            if let Some(values) = values {
                push(role, values);
            }
        }
    }

    /// An error if somebody has set an option of the sequence on a cell of a wrapper that decides it itself.
    pub(crate) fn check_says_nothing(&self, wrapper: &str, number: usize) -> Result<()> {
        match self.options.set().next() {
            None => Ok(()),
            Some(option) => Err(Error::Unsupported {
                layer: format!("cell {number} of {wrapper}"),
                option: format!("{option}(true) on a cell"),
                instead: format!("call `{option}(true)` on the {wrapper} itself"),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::gru::Gru;
    use crate::layer::lstm::Lstm;

    #[test]
    fn a_rate_is_a_share_below_one() {
        for rate in [-0.1, 1.0, 1.5, f32::NAN, f32::INFINITY, 20.0] {
            let errors = [
                (
                    "dropout of the LSTM",
                    Recurrent::from(Lstm::new(2, 3).dropout(rate)).check(),
                ),
                (
                    "recurrent_dropout of the GRU",
                    Recurrent::from(Gru::new(2, 3).recurrent_dropout(rate)).check(),
                ),
            ];
            for (argument, error) in errors {
                let error = error.err().map(|error| error.to_string()).unwrap_or_default();
                assert!(
                    error.contains(argument) && error.contains("0.2 for 20 %"),
                    "{rate}: {error}"
                );
            }
        }
        for rate in [0.0, -0.0, 1e-9, 0.999] {
            let layer = Lstm::new(2, 3).dropout(rate).recurrent_dropout(rate);
            assert!(Recurrent::from(layer).check().is_ok(), "{rate}");
        }
    }
}
