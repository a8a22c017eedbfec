//! A random cell of every kind: each class, and each option that an LSTM may have on top of Keras's.

use super::{
    cells::{CellSpec, LstmOptions, Rule},
    random::Random,
};

/// What is special about a cell.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum CellKind {
    Lstm,
    Peepholes,
    /// From more units to the width that is asked for.
    Projection,
    Clip,
    InputForget,
    OutputActivation,
    /// Activations of ONNX with numbers of their own.
    Parametrised,
    /// All of that in one LSTM.
    AllOptions,
    Gru,
    GruResetBefore,
    SimpleRnn,
}

impl CellKind {
    pub(crate) const ALL: [Self; 11] = [
        Self::Lstm,
        Self::Peepholes,
        Self::Projection,
        Self::Clip,
        Self::InputForget,
        Self::OutputActivation,
        Self::Parametrised,
        Self::AllOptions,
        Self::Gru,
        Self::GruResetBefore,
        Self::SimpleRnn,
    ];

    /// How many units a cell of this kind has whose output is so wide.
    fn units(self, output: usize) -> usize {
        match self {
            Self::Projection | Self::AllOptions => output + 2,
            _ => output,
        }
    }

    /// A cell with this output, all of whose weights matter.
    pub(crate) fn cell(self, random: &mut Random, features: usize, output: usize) -> CellSpec {
        match self {
            Self::Gru => random.gru(features, output, true),
            Self::GruResetBefore => random.gru(features, output, false),
            Self::SimpleRnn => random.simple_rnn(features, output),
            _ => self.lstm(random, features, self.units(output), output),
        }
    }

    /// An LSTM of this kind; `output` is less than `units` where it has a projection.
    pub(crate) fn lstm(self, random: &mut Random, features: usize, units: usize, output: usize) -> CellSpec {
        let has = |kind| self == kind || self == Self::AllOptions;
        let mut cell = random.cell(features, units);
        let limit = |fan_in: usize| (3.0 / fan_in as f32).sqrt().min(1.0);
        let mut options = LstmOptions::default();
        if has(Self::Peepholes) {
            options.peepholes = Some(random.array2((3, units), 0.7));
        }
        if has(Self::Projection) {
            options.projection = Some(random.array2((units, output), limit(units)));
            cell.recurrent_kernel = random.array2((output, 4 * units), limit(output));
        }
        if has(Self::Clip) {
            // some of what goes into the gates is beyond, some is not
            cell.clip = Some(0.8);
        }
        options.input_forget = has(Self::InputForget);
        if has(Self::OutputActivation) {
            options.output_activation = Some("softsign".to_owned());
        }
        if has(Self::Parametrised) {
            cell.activation = "ScaledTanh(1.25, 0.75)".to_owned();
            cell.recurrent_activation = "HardSigmoid(0.25, 0.4)".to_owned();
        }
        cell.rule = Rule::Lstm(options);
        cell
    }
}
