//! A flow in f64, number by number, whose loss is a weighted sum of outputs and final states: its central differences are the gradients.

use std::collections::HashMap;

use crate::activation::Activation;
use crate::cell::{Cell, Rule};
use crate::flow::{Flow, Gather, NONE, Source, Stage};
use crate::gradients::Upstream;
use crate::layer::bidirectional::MergeMode;
use crate::model::Model;
use crate::model::plan::Plan;
use crate::model::planned_weight::Owner;
use crate::model::transform::Transform;
use crate::parameters::Role;
use crate::schedule::Schedule;

type Row = Vec<f64>;

/// All numbers that a loss depends on.
#[derive(Clone, Debug)]
pub(super) struct Numbers {
    /// By path.
    pub(super) parameters: HashMap<String, Row>,
    /// Every step of every sequence.
    pub(super) input: Vec<Row>,
    /// For each cell h and c, by sequence.
    pub(super) states: Vec<[Vec<Row>; 2]>,
}

impl Numbers {
    pub(super) fn of(model: &Model, input: Vec<Row>, states: Vec<[Vec<Row>; 2]>) -> Self {
        let parameters = model.parameters().iter();
        let wide = |values: &ndarray::ArrayViewD<'_, f32>| values.iter().map(|&value| f64::from(value)).collect();
        Self {
            parameters: parameters
                .map(|parameter| (parameter.path().to_owned(), wide(&parameter.values())))
                .collect(),
            input,
            states,
        }
    }
}

pub(super) struct Reference<'a> {
    pub(super) plan: &'a Plan,
    pub(super) flow: &'a Flow,
    pub(super) numbers: &'a Numbers,
}

impl Reference<'_> {
    /// The sum of all outputs and final states, each times its upstream gradient.
    pub(super) fn loss(&self, upstream: &Upstream) -> f64 {
        let mut rows: Vec<Vec<Row>> = Vec::new();
        let mut loss = 0.0;
        for (number, stage) in self.flow.stages.iter().enumerate() {
            let width = self.flow.widths[number];
            let made = match stage {
                Stage::Recurrent { cell, schedule, input } => {
                    let read = self.gathered(&rows, input);
                    let (made, finals) = self.recurrent(*cell, schedule, &read);
                    if let Some(states) = &upstream.states {
                        for (array, part) in states[*cell].arrays().zip(&finals) {
                            loss += weighted(part.iter().flatten(), array.iter());
                        }
                    }
                    made
                }
                Stage::Dense { dense, input } => {
                    let owner = Owner::Dense(*dense);
                    let planned = &self.plan.denses[*dense];
                    let kernel = self.weight(owner, Role::Kernel).unwrap();
                    let read = self.gathered(&rows, input);
                    let each = read.iter().map(|row| {
                        let mut sums = self.weight(owner, Role::Bias).cloned().unwrap_or(vec![0.0; width]);
                        multiply(row, kernel, width, 0..width, &mut sums);
                        activated(planned.activation, &sums)
                    });
                    each.collect()
                }
                Stage::Transform { transform, input } => {
                    let read = self.gathered(&rows, input);
                    read.iter().map(|row| self.transformed(*transform, row)).collect()
                }
                Stage::Reshape { input, .. } => {
                    let values: Row = self.gathered(&rows, input).concat();
                    values.chunks(width).map(<[f64]>::to_vec).collect()
                }
                Stage::Merge {
                    merge,
                    forward,
                    backward,
                } => {
                    let sides = self.gathered(&rows, forward).into_iter();
                    let sides = sides.zip(self.gathered(&rows, backward));
                    sides.map(|(one, other)| merged(*merge, &one, &other)).collect()
                }
                Stage::Dropout { .. } => panic!("no dropout"),
            };
            rows.push(made);
        }
        for (placed, upstream) in self.flow.outputs.iter().zip(&upstream.outputs) {
            loss += weighted(self.gathered(&rows, &placed.gather).iter().flatten(), upstream.iter());
        }
        loss
    }

    fn weight(&self, owner: Owner, role: Role) -> Option<&Row> {
        let mut weights = self.plan.weights.iter();
        let found = weights.find(|weight| (weight.owner, weight.role) == (owner, role))?;
        self.numbers.parameters.get(&found.path)
    }

    fn gathered(&self, rows: &[Vec<Row>], gather: &Gather) -> Vec<Row> {
        let row = |row: usize| match gather.source {
            Source::Input => self.numbers.input[self.flow.input_steps[row] as usize].clone(),
            Source::Stage(stage) => rows[stage][row].clone(),
            Source::Table(table) => {
                let width = self.plan.tables[table].ncols();
                let table = self.weight(Owner::Table(table), Role::Embeddings).unwrap();
                table[row * width..(row + 1) * width].to_vec()
            }
        };
        let width = match gather.source {
            Source::Input => self.plan.features.unwrap(),
            Source::Stage(stage) => self.flow.widths[stage],
            Source::Table(table) => self.plan.tables[table].ncols(),
        };
        let entries = gather.index.iter();
        let each = entries.map(|&entry| {
            if entry == NONE {
                vec![0.0; width]
            } else {
                row(entry as usize)
            }
        });
        each.collect()
    }

    /// The rows of h, and h and c at the end by sequence.
    fn recurrent(&self, number: usize, schedule: &Schedule, input: &[Row]) -> (Vec<Row>, [Vec<Row>; 2]) {
        let cell = &self.plan.cells[number].cell;
        let mut states = self.numbers.states[number].clone();
        let mut rows = vec![Row::new(); schedule.rows()];
        for step in 0..schedule.steps() {
            for (position, row) in schedule.rows_of(step).enumerate() {
                let sequence = schedule.order()[position] as usize;
                let [h, c] = &mut states;
                self.step(
                    Owner::Cell(number),
                    cell,
                    &input[row],
                    (&mut h[sequence], &mut c[sequence]),
                );
                rows[row] = h[sequence].clone();
            }
        }
        (rows, states)
    }

    fn step(&self, owner: Owner, cell: &Cell, x: &Row, (h, c): (&mut Row, &mut Row)) {
        let (units, gates) = (cell.units, cell.gates());
        let columns = gates * units;
        let bias = self.weight(owner, Role::Bias);
        let bias = |row: usize| {
            bias.map_or(vec![0.0; columns], |bias| {
                bias[row * columns..(row + 1) * columns].to_vec()
            })
        };
        let kernel = self.weight(owner, Role::Kernel).unwrap();
        let recurrent_kernel = self.weight(owner, Role::RecurrentKernel).unwrap();
        let mut of_input = bias(0);
        multiply(x, kernel, columns, 0..columns, &mut of_input);
        let mut of_state = match cell.bias_rows() {
            2 => bias(1),
            _ => vec![0.0; columns],
        };
        multiply(h, recurrent_kernel, columns, 0..columns, &mut of_state);
        let clipped = |x: f64| cell.clip().map_or(x, |most| x.clamp(-f64::from(most), f64::from(most)));
        let over = |activation, of: &dyn Fn(usize) -> f64| activated(activation, &(0..units).map(of).collect::<Row>());
        let lane = |gate: usize, unit: usize| of_input[gate * units + unit] + of_state[gate * units + unit];
        match &cell.rule {
            Rule::SimpleRnn(options) => *h = over(options.activation, &|unit| clipped(lane(0, unit))),
            Rule::Gru(options) => {
                let gate = |gate: usize| over(options.recurrent_activation, &|unit| clipped(lane(gate, unit)));
                let (update, reset) = (gate(0), gate(1));
                let mut again = vec![0.0; columns];
                let reset_state: Row = reset.iter().zip(&*h).map(|(reset, h)| reset * h).collect();
                multiply(&reset_state, recurrent_kernel, columns, 2 * units..columns, &mut again);
                let of_candidate = |unit: usize| match options.reset_after {
                    true => reset[unit] * of_state[2 * units + unit],
                    false => again[2 * units + unit],
                };
                let candidate = over(options.activation, &|unit| {
                    clipped(of_input[2 * units + unit] + of_candidate(unit))
                });
                for (unit, h) in h.iter_mut().enumerate() {
                    *h = update[unit] * *h + (1.0 - update[unit]) * candidate[unit];
                }
            }
            Rule::Lstm(options) => {
                let peepholes = self.weight(owner, Role::Peepholes);
                let seen = |gate: usize, unit: usize| peepholes.map_or(0.0, |weights| weights[gate * units + unit]);
                let gate = |of: &dyn Fn(usize) -> f64| over(options.recurrent_activation, &|unit| clipped(of(unit)));
                let input = gate(&|unit| lane(0, unit) + seen(0, unit) * c[unit]);
                let forget = match options.input_forget {
                    true => input.iter().map(|input| 1.0 - input).collect(),
                    false => gate(&|unit| lane(1, unit) + seen(1, unit) * c[unit]),
                };
                let candidate = over(options.activation, &|unit| clipped(lane(2, unit)));
                for (unit, c) in c.iter_mut().enumerate() {
                    *c = forget[unit] * *c + input[unit] * candidate[unit];
                }
                let output = gate(&|unit| lane(3, unit) + seen(2, unit) * c[unit]);
                let given = over(options.output_activation, &|unit| c[unit]);
                let given: Row = given
                    .iter()
                    .zip(&output)
                    .map(|(given, output)| given * output)
                    .collect();
                *h = match self.weight(owner, Role::Projection) {
                    None => given,
                    Some(projection) => {
                        let mut projected = vec![0.0; cell.output];
                        multiply(&given, projection, cell.output, 0..cell.output, &mut projected);
                        projected
                    }
                };
            }
        }
    }

    fn transformed(&self, number: usize, row: &Row) -> Row {
        let transform = &self.plan.transforms[number];
        if let Some(weights) = transform.batch_weights() {
            let of = |role, column: usize, absent| {
                self.weight(Owner::Transform(number), role)
                    .map_or(absent, |of| of[column])
            };
            let normal = row.iter().enumerate().map(|(column, x)| {
                let distance = x - f64::from(weights.mean[column]);
                let deviation = (f64::from(weights.variance[column]) + f64::from(weights.epsilon)).sqrt();
                distance / deviation * of(Role::Gamma, column, 1.0) + of(Role::Beta, column, 0.0)
            });
            return activated(transform.activation(), &normal.collect::<Row>());
        }
        let Transform::Normalize { epsilon, .. } = transform else {
            return activated(transform.activation(), row);
        };
        let width = row.len() as f64;
        let mean = row.iter().sum::<f64>() / width;
        let variance = row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / width;
        let deviation = (variance + f64::from(*epsilon)).sqrt();
        let of = |role, column: usize, absent| {
            self.weight(Owner::Transform(number), role)
                .map_or(absent, |of| of[column])
        };
        let normal = row
            .iter()
            .enumerate()
            .map(|(column, x)| (x - mean) / deviation * of(Role::Gamma, column, 1.0) + of(Role::Beta, column, 0.0));
        activated(transform.activation(), &normal.collect::<Row>())
    }
}

fn weighted<'a>(values: impl Iterator<Item = &'a f64>, by: impl Iterator<Item = &'a f32>) -> f64 {
    values.zip(by).map(|(value, &by)| value * f64::from(by)).sum()
}

fn multiply(row: &Row, kernel: &Row, columns: usize, wanted: std::ops::Range<usize>, sums: &mut Row) {
    for (k, x) in row.iter().enumerate() {
        for column in wanted.clone() {
            sums[column] += x * kernel[k * columns + column];
        }
    }
}

fn merged(merge: MergeMode, one: &Row, other: &Row) -> Row {
    let pairs = one.iter().zip(other);
    match merge {
        MergeMode::Sum => pairs.map(|(a, b)| a + b).collect(),
        MergeMode::Multiply => pairs.map(|(a, b)| a * b).collect(),
        MergeMode::Average => pairs.map(|(a, b)| 0.5 * (a + b)).collect(),
        _ => [one.as_slice(), other].concat(),
    }
}

fn activated(activation: Activation, row: &Row) -> Row {
    let sum: f64 = row.iter().map(|x| x.exp()).sum();
    let one = |&x: &f64| match activation {
        Activation::Softmax => x.exp() / sum,
        Activation::LogSoftmax => x - sum.ln(),
        _ => scalar(activation, x),
    };
    row.iter().map(one).collect()
}

fn elu(x: f64) -> f64 {
    if x > 0.0 { x } else { x.exp_m1() }
}

/// The formulas as Keras writes them down.
pub(super) fn scalar(activation: Activation, x: f64) -> f64 {
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    let softplus = |x: f64| x.max(0.0) + (-x.abs()).exp().ln_1p();
    let hard_sigmoid = |x: f64| (x + 3.0).clamp(0.0, 6.0) / 6.0;
    match activation {
        Activation::Linear => x,
        Activation::Tanh => x.tanh(),
        Activation::Sigmoid => sigmoid(x),
        Activation::Elu | Activation::Celu => elu(x),
        Activation::Selu if x > 0.0 => 1.050_701 * x,
        Activation::Selu => 1.050_701 * 1.673_263_2 * elu(x),
        Activation::Gelu => x * 0.5 * libm::erfc(-x * std::f64::consts::FRAC_1_SQRT_2),
        Activation::Silu => x * sigmoid(x),
        Activation::Mish => x * softplus(x).tanh(),
        Activation::Softplus => softplus(x),
        Activation::Softsign => x / (1.0 + x.abs()),
        Activation::Squareplus => 0.5 * (x + (x * x + 4.0).sqrt()),
        Activation::Exponential => x.exp(),
        Activation::LogSigmoid => -softplus(-x),
        Activation::TanhShrink => x - x.tanh(),
        Activation::Relu => x.max(0.0),
        Activation::Relu6 => x.clamp(0.0, 6.0),
        Activation::LeakyRelu => x.max(0.2 * x),
        Activation::HardShrink if x.abs() > 0.5 => x,
        Activation::SoftShrink => x - x.clamp(-0.5, 0.5),
        Activation::HardSigmoid => hard_sigmoid(x),
        Activation::HardSilu => x * hard_sigmoid(x),
        Activation::HardTanh => x.clamp(-1.0, 1.0),
        Activation::SparsePlus if x >= 1.0 => x,
        Activation::SparsePlus => 0.25 * (x.max(-1.0) + 1.0).powi(2),
        Activation::SparseSigmoid => 0.5 * (x.clamp(-1.0, 1.0) + 1.0),
        Activation::HardSigmoidKeras2 => (0.2 * x + 0.5).clamp(0.0, 1.0),
        Activation::Affine { alpha, beta } => f64::from(alpha) * x + f64::from(beta),
        Activation::ScaledTanh { alpha, beta } => f64::from(alpha) * (f64::from(beta) * x).tanh(),
        Activation::HardSigmoidWith { alpha, beta } => (f64::from(alpha) * x + f64::from(beta)).clamp(0.0, 1.0),
        Activation::LeakyReluWith { alpha } if x < 0.0 => f64::from(alpha) * x,
        Activation::EluWith { alpha } if x < 0.0 => f64::from(alpha) * x.exp_m1(),
        Activation::LeakyReluWith { .. } | Activation::EluWith { .. } => x,
        Activation::ThresholdedRelu { alpha } if x > f64::from(alpha) => x,
        _ => 0.0,
    }
}
