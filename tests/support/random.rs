//! Numbers for tests that make their own cases: small, seeded, the same everywhere.

use ndarray::{Array1, Array2, Array3, Axis};

use super::cells::{CellSpec, LstmOptions, Rule, StatePair};
use super::layers::LayerSpec;
pub(crate) use super::split_mix::Random;

impl Random {
    /// A number in (-limit, limit).
    pub(crate) fn within(&mut self, limit: f32) -> f32 {
        let unit = (self.next() >> 40) as f32 / (1u64 << 24) as f32;
        (2.0 * unit - 1.0) * limit
    }

    pub(crate) fn array1(&mut self, length: usize, limit: f32) -> Array1<f32> {
        Array1::from_shape_simple_fn(length, || self.within(limit))
    }

    pub(crate) fn array2(&mut self, shape: (usize, usize), limit: f32) -> Array2<f32> {
        Array2::from_shape_simple_fn(shape, || self.within(limit))
    }

    pub(crate) fn array3(&mut self, shape: (usize, usize, usize), limit: f32) -> Array3<f32> {
        Array3::from_shape_simple_fn(shape, || self.within(limit))
    }

    /// An LSTM's cell whose four gates all matter: pre-activations of a size of about 1, a bias of its own for every gate.
    pub(crate) fn cell(&mut self, features: usize, units: usize) -> CellSpec {
        let limit = |fan_in: usize| (3.0 / fan_in as f32).sqrt().min(1.0);
        CellSpec {
            rule: Rule::Lstm(LstmOptions::default()),
            kernel: self.array2((features, 4 * units), limit(features)),
            recurrent_kernel: self.array2((units, 4 * units), limit(units)),
            bias: Some(self.array1(4 * units, 0.5).insert_axis(Axis(0))),
            activation: "tanh".to_owned(),
            recurrent_activation: "sigmoid".to_owned(),
            clip: None,
        }
    }

    /// A GRU's cell, with both biases if it resets after.
    pub(crate) fn gru(&mut self, features: usize, units: usize, reset_after: bool) -> CellSpec {
        let limit = |fan_in: usize| (3.0 / fan_in as f32).sqrt().min(1.0);
        CellSpec {
            rule: Rule::Gru { reset_after },
            kernel: self.array2((features, 3 * units), limit(features)),
            recurrent_kernel: self.array2((units, 3 * units), limit(units)),
            bias: Some(self.array2((1 + usize::from(reset_after), 3 * units), 0.5)),
            activation: "tanh".to_owned(),
            recurrent_activation: "sigmoid".to_owned(),
            clip: None,
        }
    }

    pub(crate) fn simple_rnn(&mut self, features: usize, units: usize) -> CellSpec {
        let limit = |fan_in: usize| (3.0 / fan_in as f32).sqrt().min(1.0);
        CellSpec {
            rule: Rule::SimpleRnn,
            kernel: self.array2((features, units), limit(features)),
            recurrent_kernel: self.array2((units, units), limit(units)),
            bias: Some(self.array2((1, units), 0.5)),
            activation: "tanh".to_owned(),
            recurrent_activation: "linear".to_owned(),
            clip: None,
        }
    }

    /// An LSTM's cell with everything that one may have: peepholes, coupled gates, a clip that is felt, an output activation
    /// of its own, and a projection to `output`.
    pub(crate) fn with_options(&mut self, features: usize, units: usize, output: usize) -> CellSpec {
        let mut cell = self.cell(features, units);
        cell.recurrent_kernel = self.array2((output, 4 * units), 0.9);
        cell.clip = Some(0.8);
        cell.rule = Rule::Lstm(LstmOptions {
            peepholes: Some(self.array2((3, units), 0.9)),
            projection: Some(self.array2((units, output), 0.9)),
            input_forget: true,
            output_activation: Some("softsign".to_owned()),
        });
        cell
    }

    /// A state of a cell of any kind.
    pub(crate) fn state_of(&mut self, batch: usize, cell: &CellSpec) -> StatePair {
        (
            self.array2((batch, cell.output()), 0.9),
            self.array2((batch, cell.cell_state()), 1.5),
        )
    }

    /// One state of an LSTM: hidden and cell.
    pub(crate) fn state(&mut self, batch: usize, units: usize) -> StatePair {
        (self.array2((batch, units), 0.9), self.array2((batch, units), 1.5))
    }

    /// A BatchNormalization whose weights all matter.
    pub(crate) fn batch_normalization(&mut self, features: usize) -> LayerSpec {
        LayerSpec::BatchNormalization {
            gamma: Some(self.array1(features, 1.0)),
            beta: Some(self.array1(features, 0.5)),
            mean: self.array1(features, 0.5),
            variance: self.array1(features, 1.0).mapv(|value| value.abs() + 0.25),
            epsilon: 0.01,
            momentum: 0.99,
        }
    }

    /// A LayerNormalization whose weights all matter.
    pub(crate) fn layer_normalization(&mut self, features: usize) -> LayerSpec {
        LayerSpec::LayerNormalization {
            features,
            gamma: Some(self.array1(features, 1.0)),
            beta: Some(self.array1(features, 0.5)),
            epsilon: 0.01,
        }
    }
}
