//! A recurrent module: its sizes, and the names and shapes of its tensors.

/// `nn.LSTM`, `nn.GRU`, `nn.RNN`, or the cell of one.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RecurrentModule {
    /// 4 for an LSTM, 3 for a GRU, 1 for an RNN.
    pub(crate) gates: usize,
    pub(crate) features: usize,
    pub(crate) units: usize,
    /// The width of the hidden state: `proj_size`, else the units.
    pub(crate) output: usize,
    pub(crate) projected: bool,
    pub(crate) bias: bool,
    pub(crate) layers: usize,
    pub(crate) bidirectional: bool,
    /// Whether it is a cell, whose names have no `_l0`.
    pub(crate) is_cell: bool,
}

impl RecurrentModule {
    /// How many directions a layer has.
    pub(crate) fn directions(&self) -> usize {
        if self.bidirectional { 2 } else { 1 }
    }

    /// The features of one of its layers.
    pub(crate) fn features_of(&self, layer: usize) -> usize {
        match layer {
            0 => self.features,
            _ => self.directions().saturating_mul(self.output),
        }
    }

    /// What its tensors' names end with, of a layer and direction.
    pub(crate) fn suffix(&self, layer: usize, direction: usize) -> String {
        match (self.is_cell, direction) {
            (true, _) => String::new(),
            (false, 0) => format!("_l{layer}"),
            (false, _) => format!("_l{layer}_reverse"),
        }
    }

    /// All its tensors: the last parts of their names, and their shapes.
    pub(crate) fn tensors(&self) -> Vec<(String, Vec<usize>)> {
        let rows = self.gates.saturating_mul(self.units);
        let mut tensors = Vec::new();
        for layer in 0..self.layers {
            for direction in 0..self.directions() {
                let suffix = self.suffix(layer, direction);
                let mut push = |name: &str, shape: &[usize]| tensors.push((format!("{name}{suffix}"), shape.to_vec()));
                push("weight_ih", &[rows, self.features_of(layer)]);
                push("weight_hh", &[rows, self.output]);
                if self.bias {
                    push("bias_ih", &[rows]);
                    push("bias_hh", &[rows]);
                }
                if self.projected {
                    push("weight_hr", &[self.output, self.units]);
                }
            }
        }
        tensors
    }
}
