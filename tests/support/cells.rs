//! The cells of a case as plain data: the weights of a step, and the rule by which they are applied.

use ndarray::Array2;

/// Hidden and cell of one state, (batch, output) and (batch, units). Where the cell has no cell state, the second has no
/// columns.
pub(crate) type StatePair = (Array2<f32>, Array2<f32>);

/// What a step computes from its weights.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Rule {
    /// Gates i f g o.
    Lstm(LstmOptions),
    /// Gates z r n. With `reset_after` h is multiplied by the recurrent kernel before the reset gate is applied.
    Gru { reset_after: bool },
    /// One gate, its `activation`.
    SimpleRnn,
}

/// What an LSTM may have on top of Keras's.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct LstmOptions {
    /// (3, units): the cell state's part in i, f and o.
    pub(crate) peepholes: Option<Array2<f32>>,
    /// (units, output): from the cell's units to its hidden state.
    pub(crate) projection: Option<Array2<f32>>,
    /// f = 1 - i.
    pub(crate) input_forget: bool,
    /// What the new cell state goes through, if not `activation`.
    pub(crate) output_activation: Option<String>,
}

/// One cell with its weights.
#[derive(Clone, Debug)]
pub(crate) struct CellSpec {
    pub(crate) rule: Rule,
    /// (features, gates * units)
    pub(crate) kernel: Array2<f32>,
    /// (output, gates * units); output is units, or what an LSTM is projected to.
    pub(crate) recurrent_kernel: Array2<f32>,
    /// (1, gates * units), or (2, gates * units): the one beside the kernel, and that beside the recurrent kernel.
    pub(crate) bias: Option<Array2<f32>>,
    /// A name of Keras, or one of ONNX with its alpha and beta: `HardSigmoid(0.25, 0.4)`.
    pub(crate) activation: String,
    pub(crate) recurrent_activation: String,
    /// What goes into the activations of the gates is cut to -clip ..= clip.
    pub(crate) clip: Option<f32>,
}

impl CellSpec {
    pub(crate) fn features(&self) -> usize {
        self.kernel.nrows()
    }

    /// The width of one gate.
    pub(crate) fn units(&self) -> usize {
        self.kernel.ncols() / self.gates()
    }

    /// The width of the hidden state, which is what comes out.
    pub(crate) fn output(&self) -> usize {
        self.recurrent_kernel.nrows()
    }

    /// The width of the cell state: 0 where there is none.
    pub(crate) fn cell_state(&self) -> usize {
        match self.rule {
            Rule::Lstm(_) => self.units(),
            Rule::Gru { .. } | Rule::SimpleRnn => 0,
        }
    }

    pub(crate) fn gates(&self) -> usize {
        self.rule.gates()
    }

    pub(crate) fn lstm_options(&mut self) -> Option<&mut LstmOptions> {
        match &mut self.rule {
            Rule::Lstm(options) => Some(options),
            Rule::Gru { .. } | Rule::SimpleRnn => None,
        }
    }
}

impl Rule {
    pub(crate) fn gates(&self) -> usize {
        match self {
            Self::Lstm(_) => 4,
            Self::Gru { .. } => 3,
            Self::SimpleRnn => 1,
        }
    }
}
