//! One LSTM cell in f64, step by step, and the mistakes that it makes on request.

use ndarray::{Array1, Array2};

use super::{layers::CellSpec, reference_activation::activate};

/// A mistake that an implementation might make.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Mutant {
    None,
    SwapGatesInputForget,
    SwapGatesForgetCandidate,
    SwapGatesCandidateOutput,
    DropBias,
    /// Every gate's block of the recurrent kernel is read transposed.
    TransposeRecurrentKernel,
    IgnoreMask,
    /// The last valid step of every sequence is not run.
    MissingLastStep,
    /// A row reads the hidden state of the next row of the batch.
    NeighbourState,
    InitialStateIgnored,
    /// Before the first valid step the output is the initial hidden state, not 0.
    MaskedOutputStartsAtInitialHidden,
}

impl Mutant {
    /// Every mistake.
    pub(crate) const ALL: [Self; 10] = [
        Self::SwapGatesInputForget,
        Self::SwapGatesForgetCandidate,
        Self::SwapGatesCandidateOutput,
        Self::DropBias,
        Self::TransposeRecurrentKernel,
        Self::IgnoreMask,
        Self::MissingLastStep,
        Self::NeighbourState,
        Self::InitialStateIgnored,
        Self::MaskedOutputStartsAtInitialHidden,
    ];
}

/// The weights of an LSTM, gate order i f g o.
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    /// (features, 4 * units)
    pub(crate) kernel: Array2<f64>,
    /// (units, 4 * units)
    pub(crate) recurrent_kernel: Array2<f64>,
    /// (4 * units)
    pub(crate) bias: Array1<f64>,
    pub(crate) activation: String,
    pub(crate) recurrent_activation: String,
}

/// (batch, units) each.
#[derive(Clone, Debug)]
pub(crate) struct State {
    pub(crate) hidden: Array2<f64>,
    pub(crate) cell: Array2<f64>,
}

impl State {
    pub(crate) fn zero(batch: usize, units: usize) -> Self {
        Self {
            hidden: Array2::zeros((batch, units)),
            cell: Array2::zeros((batch, units)),
        }
    }
}

impl Cell {
    pub(crate) fn new(spec: &CellSpec, mutant: Mutant) -> Self {
        let units = spec.units();
        let bias = match (&spec.bias, mutant) {
            (None, _) | (_, Mutant::DropBias) => Array1::zeros(4 * units),
            (Some(bias), _) => bias.mapv(f64::from),
        };
        let mut cell = Self {
            kernel: spec.kernel.mapv(f64::from),
            recurrent_kernel: spec.recurrent_kernel.mapv(f64::from),
            bias,
            activation: spec.activation.clone(),
            recurrent_activation: spec.recurrent_activation.clone(),
        };
        match mutant {
            Mutant::SwapGatesInputForget => cell.swap_gates(0, 1),
            Mutant::SwapGatesForgetCandidate => cell.swap_gates(1, 2),
            Mutant::SwapGatesCandidateOutput => cell.swap_gates(2, 3),
            Mutant::TransposeRecurrentKernel => {
                let right = cell.recurrent_kernel.clone();
                for ((from, column), weight) in cell.recurrent_kernel.indexed_iter_mut() {
                    let (gate, to) = (column / units, column % units);
                    *weight = right[[to, gate * units + from]];
                }
            }
            _ => {}
        }
        cell
    }

    pub(crate) fn units(&self) -> usize {
        self.recurrent_kernel.nrows()
    }

    fn swap_gates(&mut self, one: usize, other: usize) {
        let units = self.units();
        for unit in 0..units {
            let (one, other) = (one * units + unit, other * units + unit);
            self.bias.swap(one, other);
            for row in 0..self.kernel.nrows() {
                self.kernel.swap([row, one], [row, other]);
            }
            for row in 0..units {
                self.recurrent_kernel.swap([row, one], [row, other]);
            }
        }
    }

    /// One step of one sequence:
    ///
    /// ```text
    /// z  = x W + h U + b             W kernel, U recurrent_kernel, b bias; z = [z_i z_f z_g z_o]
    /// i  = s(z_i)   f = s(z_f)   g = a(z_g)   o = s(z_o)      s recurrent_activation, a activation
    /// c' = f c + i g
    /// h' = o a(c')
    /// ```
    ///
    /// Returns h', c'.
    pub(crate) fn step(&self, x: &[f64], hidden: &[f64], cell: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let units = self.units();
        let mut z = self.bias.to_vec();
        for (x, weights) in x.iter().zip(self.kernel.rows()) {
            for (sum, weight) in z.iter_mut().zip(weights) {
                *sum += x * weight;
            }
        }
        for (h, weights) in hidden.iter().zip(self.recurrent_kernel.rows()) {
            for (sum, weight) in z.iter_mut().zip(weights) {
                *sum += h * weight;
            }
        }
        let mut gates = z.chunks_exact_mut(units);
        let mut gate = |activation: &str| {
            let gate = gates.next().expect("four gates");
            activate(activation, gate);
            gate.to_vec()
        };
        let input = gate(&self.recurrent_activation);
        let forget = gate(&self.recurrent_activation);
        let candidate = gate(&self.activation);
        let output = gate(&self.recurrent_activation);

        let mut new_cell = vec![0.0; units];
        for u in 0..units {
            new_cell[u] = forget[u] * cell[u] + input[u] * candidate[u];
        }
        let mut new_hidden = new_cell.clone();
        activate(&self.activation, &mut new_hidden);
        for u in 0..units {
            new_hidden[u] *= output[u];
        }
        (new_hidden, new_cell)
    }
}
