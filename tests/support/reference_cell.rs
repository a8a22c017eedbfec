//! One cell in f64, step by step, and the mistakes that it makes on request.

use ndarray::{Array1, Array2, Axis, concatenate};

use super::{
    cells::{CellSpec, Rule},
    reference_activation::activate,
};

pub(crate) use super::mutant::Mutant;

/// A cell in f64. Gates i f g o, z r n, or one.
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    /// (features, gates * units)
    kernel: Array2<f64>,
    /// (output, gates * units)
    recurrent_kernel: Array2<f64>,
    /// (gates * units): beside the kernel
    bias: Array1<f64>,
    /// (gates * units): beside the recurrent kernel
    recurrent_bias: Array1<f64>,
    activation: String,
    recurrent_activation: String,
    output_activation: String,
    clip: Option<f64>,
    reset_after: bool,
    input_forget: bool,
    /// (3, units)
    peepholes: Array2<f64>,
    /// (units, output)
    projection: Option<Array2<f64>>,
    rule: Rule,
    mutant: Mutant,
}

/// (batch, output) and (batch, units); no columns in the second where there is no cell state.
#[derive(Clone, Debug)]
pub(crate) struct State {
    pub(crate) hidden: Array2<f64>,
    pub(crate) cell: Array2<f64>,
}

impl State {
    pub(crate) fn zero(batch: usize, cell: &CellSpec) -> Self {
        Self {
            hidden: Array2::zeros((batch, cell.output())),
            cell: Array2::zeros((batch, cell.cell_state())),
        }
    }

    /// The same in f64.
    pub(crate) fn wide((hidden, cell): &super::cells::StatePair) -> Self {
        Self {
            hidden: hidden.mapv(f64::from),
            cell: cell.mapv(f64::from),
        }
    }

    /// The same in f32.
    pub(crate) fn narrow(&self) -> super::cells::StatePair {
        let narrow = |values: &Array2<f64>| values.mapv(|value| value as f32);
        (narrow(&self.hidden), narrow(&self.cell))
    }
}

impl Cell {
    pub(crate) fn new(spec: &CellSpec, mutant: Mutant) -> Self {
        let units = spec.units();
        let columns = spec.kernel.ncols();
        let row = |row: usize| match (&spec.bias, mutant) {
            (Some(bias), mutant) if mutant != Mutant::DropBias && row < bias.nrows() => bias.row(row).mapv(f64::from),
            _ => Array1::zeros(columns),
        };
        let mut cell = Self {
            kernel: spec.kernel.mapv(f64::from),
            recurrent_kernel: spec.recurrent_kernel.mapv(f64::from),
            bias: row(0),
            recurrent_bias: row(1),
            activation: spec.activation.clone(),
            recurrent_activation: spec.recurrent_activation.clone(),
            output_activation: spec.activation.clone(),
            clip: spec.clip.map(f64::from).filter(|_| mutant != Mutant::ClipIgnored),
            reset_after: matches!(spec.rule, Rule::Gru { reset_after: true }),
            input_forget: false,
            peepholes: Array2::zeros((3, units)),
            projection: None,
            rule: spec.rule.clone(),
            mutant,
        };
        if let Rule::Lstm(options) = &spec.rule {
            cell.input_forget = options.input_forget && mutant != Mutant::InputForgetIgnored;
            if let Some(activation) = &options.output_activation
                && mutant != Mutant::OutputActivationIgnored
            {
                cell.output_activation = activation.clone();
            }
            if let Some(peepholes) = &options.peepholes {
                let order = if mutant == Mutant::PeepholesInOnnxOrder {
                    [0, 2, 1]
                } else {
                    [0, 1, 2]
                };
                cell.peepholes = peepholes.mapv(f64::from).select(Axis(0), &order);
            }
            cell.projection = options.projection.as_ref().map(|weights| weights.mapv(f64::from));
        }
        cell.make_mistakes(units, spec.gates());
        cell
    }

    /// Those that lie in the weights.
    fn make_mistakes(&mut self, units: usize, gates: usize) {
        match self.mutant {
            Mutant::SwapGatesInputForget => self.swap_gates(units, 0, 1),
            Mutant::SwapGatesForgetCandidate => self.swap_gates(units, 1, 2),
            Mutant::SwapGatesCandidateOutput => self.swap_gates(units, 2, 3),
            Mutant::ResetAfterSwapped => self.reset_after = !self.reset_after,
            Mutant::RecurrentBiasBesideKernel => {
                self.bias = &self.bias + &self.recurrent_bias;
                self.recurrent_bias.fill(0.0);
            }
            // a block that is not square cannot be read transposed
            Mutant::TransposeRecurrentKernel if self.projection.is_none() => {
                let blocks: Vec<Array2<f64>> = (0..gates)
                    .map(|gate| {
                        let columns: Vec<usize> = (gate * units..(gate + 1) * units).collect();
                        self.recurrent_kernel.select(Axis(1), &columns).reversed_axes()
                    })
                    .collect();
                let views: Vec<_> = blocks.iter().map(|block| block.view()).collect();
                self.recurrent_kernel = concatenate(Axis(1), &views).expect("square blocks");
            }
            _ => {}
        }
    }

    /// A mistake of a whole layer: the activations of another cell.
    pub(crate) fn take_activations(&mut self, other: &Self) {
        self.activation.clone_from(&other.activation);
        self.recurrent_activation.clone_from(&other.recurrent_activation);
        self.output_activation.clone_from(&other.output_activation);
    }

    /// The numbers of each weight, row by row.
    pub(crate) fn weights_mut(&mut self) -> Vec<(&'static str, &mut [f64])> {
        let projection = self.projection.as_mut().and_then(|weights| weights.as_slice_mut());
        let weights = [
            ("kernel", self.kernel.as_slice_mut()),
            ("recurrent_kernel", self.recurrent_kernel.as_slice_mut()),
            ("bias", self.bias.as_slice_mut()),
            ("recurrent_bias", self.recurrent_bias.as_slice_mut()),
            ("peepholes", self.peepholes.as_slice_mut()),
            ("projection", projection),
        ];
        let weights = weights.into_iter();
        weights.filter_map(|(name, numbers)| Some((name, numbers?))).collect()
    }

    /// Does nothing to a cell that does not have both.
    fn swap_gates(&mut self, units: usize, one: usize, other: usize) {
        if (other + 1) * units > self.kernel.ncols() {
            return;
        }
        for unit in 0..units {
            let (one, other) = (one * units + unit, other * units + unit);
            self.bias.swap(one, other);
            self.recurrent_bias.swap(one, other);
            for row in 0..self.kernel.nrows() {
                self.kernel.swap([row, one], [row, other]);
            }
            for row in 0..self.recurrent_kernel.nrows() {
                self.recurrent_kernel.swap([row, one], [row, other]);
            }
        }
    }

    /// One step of one sequence: h', c'. W is the kernel, U the recurrent kernel, b and d the biases beside them.
    pub(crate) fn step(&self, x: &[f64], hidden: &[f64], cell: &[f64]) -> (Vec<f64>, Vec<f64>) {
        match self.rule {
            Rule::Lstm(_) => self.lstm(x, hidden, cell),
            Rule::Gru { .. } => (self.gru(x, hidden), Vec::new()),
            Rule::SimpleRnn => (self.simple_rnn(x, hidden), Vec::new()),
        }
    }

    /// x W + b
    fn of_input(&self, x: &[f64]) -> Vec<f64> {
        product(x, &self.kernel, &self.bias)
    }

    /// h U + d
    fn of_hidden(&self, hidden: &[f64]) -> Vec<f64> {
        product(hidden, &self.recurrent_kernel, &self.recurrent_bias)
    }

    fn activated(&self, activation: &str, mut gate: Vec<f64>) -> Vec<f64> {
        if let Some(clip) = self.clip {
            gate.iter_mut().for_each(|z| *z = z.clamp(-clip, clip));
        }
        activate(activation, &mut gate);
        gate
    }

    /// ```text
    /// z  = x W + b + h U + d                   z = [z_i z_f z_g z_o]; s recurrent_activation, a activation
    /// i  = s(z_i + p_i c)   f = s(z_f + p_f c)   g = a(z_g)      p peepholes; with input_forget f = 1 - i
    /// c' = f c + i g
    /// o  = s(z_o + p_o c')                     what goes into s and a is clipped, c' is not
    /// h' = (o e(c')) P                         e output activation, P projection
    /// ```
    fn lstm(&self, x: &[f64], hidden: &[f64], cell: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let units = cell.len();
        let z = sum(self.of_input(x), &self.of_hidden(hidden));
        let gate = |gate: usize, activation: &str, cell: Option<(usize, &[f64])>| {
            let mut z = z[gate * units..(gate + 1) * units].to_vec();
            if let Some((peephole, cell)) = cell {
                let terms = self.peepholes.row(peephole);
                z.iter_mut().zip(terms).zip(cell).for_each(|((z, p), c)| *z += p * c);
            }
            self.activated(activation, z)
        };
        let input = gate(0, &self.recurrent_activation, Some((0, cell)));
        let mut forget = gate(1, &self.recurrent_activation, Some((1, cell)));
        if self.input_forget {
            forget = input.iter().map(|input| 1.0 - input).collect();
        }
        let candidate = gate(2, &self.activation, None);
        let mut new_cell = vec![0.0; units];
        for u in 0..units {
            new_cell[u] = forget[u] * cell[u] + input[u] * candidate[u];
        }
        let seen = if self.mutant == Mutant::OutputPeepholeOfOldCell {
            cell
        } else {
            &new_cell
        };
        let output = gate(3, &self.recurrent_activation, Some((2, seen)));
        let mut new_hidden = match self.mutant {
            Mutant::ClipOfCellState => self.activated(&self.output_activation, new_cell.clone()),
            _ => {
                let mut hidden = new_cell.clone();
                activate(&self.output_activation, &mut hidden);
                hidden
            }
        };
        new_hidden.iter_mut().zip(&output).for_each(|(h, o)| *h *= o);
        if let Some(projection) = &self.projection {
            new_hidden = product(&new_hidden, projection, &Array1::zeros(projection.ncols()));
        }
        (new_hidden, new_cell)
    }

    /// ```text
    /// z = s(x W_z + b_z + h U_z + d_z)        r = s(x W_r + b_r + h U_r + d_r)
    /// n = a(x W_n + b_n + r (h U_n + d_n))    with reset_after
    /// n = a(x W_n + b_n + (r h) U_n + d_n)    without
    /// h' = z h + (1 - z) n
    /// ```
    fn gru(&self, x: &[f64], hidden: &[f64]) -> Vec<f64> {
        let units = hidden.len();
        let of_input = self.of_input(x);
        let of_hidden = self.of_hidden(hidden);
        let part = |values: &[f64], gate: usize| values[gate * units..(gate + 1) * units].to_vec();
        let gate = |gate: usize| {
            let z = sum(part(&of_input, gate), &part(&of_hidden, gate));
            self.activated(&self.recurrent_activation, z)
        };
        let (update, reset) = (gate(0), gate(1));
        let times = |one: &[f64], other: &[f64]| {
            one.iter()
                .zip(other)
                .map(|(one, other)| one * other)
                .collect::<Vec<_>>()
        };
        let recurrent = match self.reset_after {
            true => times(&reset, &part(&of_hidden, 2)),
            false => part(&self.of_hidden(&times(&reset, hidden)), 2),
        };
        let candidate = self.activated(&self.activation, sum(part(&of_input, 2), &recurrent));
        let mut new_hidden = vec![0.0; units];
        for u in 0..units {
            let keep = match self.mutant {
                Mutant::UpdateGateInverted => 1.0 - update[u],
                _ => update[u],
            };
            new_hidden[u] = keep * hidden[u] + (1.0 - keep) * candidate[u];
        }
        new_hidden
    }

    /// h' = a(x W + b + h U + d)
    fn simple_rnn(&self, x: &[f64], hidden: &[f64]) -> Vec<f64> {
        self.activated(&self.activation, sum(self.of_input(x), &self.of_hidden(hidden)))
    }
}

/// row W + b
fn product(row: &[f64], weights: &Array2<f64>, bias: &Array1<f64>) -> Vec<f64> {
    let mut sums = bias.to_vec();
    for (x, weights) in row.iter().zip(weights.rows()) {
        for (sum, weight) in sums.iter_mut().zip(weights) {
            *sum += x * weight;
        }
    }
    sums
}

fn sum(mut one: Vec<f64>, other: &[f64]) -> Vec<f64> {
    one.iter_mut().zip(other).for_each(|(one, other)| *one += other);
    one
}
