//! Every cell with every option, around the edges of the tiles, against plain loops in f64.

use ndarray::{ArcArray2, Array2};
use rayon::ThreadPoolBuilder;

use super::*;
use crate::activation::Activation;
use crate::cell::gru::GruOptions;
use crate::cell::lstm::LstmOptions;
use crate::cell::simple_rnn::SimpleRnnOptions;
use crate::cell::{Cell, CellWeights, Rule};
use crate::cpu::stage::gather::Gathered;
use crate::schedule::{Direction, Schedule};

const FEATURES: usize = 5;
const TIME_STEPS: usize = 4;

/// Numbers between -1 and 1 that look random.
fn number(seed: usize) -> f32 {
    let mixed = (seed as u64 + 1)
        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
        .rotate_left(31)
        .wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (mixed >> 40) as f32 / (1 << 23) as f32 - 1.0
}

fn tensor(rows: usize, columns: usize, size: f32, seed: usize) -> ArcArray2<f32> {
    Array2::from_shape_fn((rows, columns), |(row, column)| {
        size * number(seed * 1_000_003 + row * 1009 + column)
    })
    .into_shared()
}

fn planned(rule: Rule, units: usize) -> PlannedCell {
    let output = match rule {
        Rule::Lstm(options) => options.projection.unwrap_or(units),
        _ => units,
    };
    let cell = Cell {
        rule,
        features: FEATURES,
        units,
        output,
    };
    let columns = cell.gates() * units;
    let weights = CellWeights {
        kernel: tensor(FEATURES, columns, 0.7, 1),
        recurrent_kernel: tensor(output, columns, 1.5 / (output as f32).sqrt(), 2),
        bias: Some(tensor(cell.bias_rows(), columns, 0.5, 3)),
        peepholes: cell.has_unit_parameters().then(|| tensor(3, units, 0.8, 4)),
        projection: cell
            .has_projection()
            .then(|| tensor(units, output, 2.0 / (units as f32).sqrt(), 5)),
    };
    weights.check_shapes(&cell).unwrap();
    PlannedCell { cell, weights }
}

/// Each cell with each option.
fn rules(units: usize) -> Vec<(&'static str, Rule)> {
    let lstm = |change: &dyn Fn(&mut LstmOptions)| {
        let mut options = LstmOptions::new();
        change(&mut options);
        Rule::Lstm(options)
    };
    let gru = |change: &dyn Fn(&mut GruOptions)| {
        let mut options = GruOptions::new();
        change(&mut options);
        Rule::Gru(options)
    };
    let simple = |activation, clip| {
        let mut options = SimpleRnnOptions::new();
        (options.activation, options.clip) = (activation, clip);
        Rule::SimpleRnn(options)
    };
    vec![
        ("lstm", lstm(&|_| {})),
        (
            "lstm, an output activation of its own",
            lstm(&|options| options.output_activation = Activation::Softsign),
        ),
        ("lstm, peepholes", lstm(&|options| options.peepholes = true)),
        (
            "lstm, clip",
            lstm(&|options| (options.peepholes, options.clip) = (true, Some(0.3))),
        ),
        ("lstm, f = 1 - i", lstm(&|options| options.input_forget = true)),
        (
            "lstm, projection",
            lstm(&|options| options.projection = Some(units.div_ceil(2))),
        ),
        (
            "lstm, softmax",
            lstm(&|options| options.activation = Activation::Softmax),
        ),
        ("gru", gru(&|_| {})),
        (
            "gru, other activations",
            gru(&|options| {
                (options.activation, options.recurrent_activation) = (Activation::Softsign, Activation::HardSigmoid);
            }),
        ),
        ("gru, clip", gru(&|options| options.clip = Some(0.3))),
        ("gru, reset before", gru(&|options| options.reset_after = false)),
        (
            "gru, reset before, clip",
            gru(&|options| (options.reset_after, options.clip) = (false, Some(0.3))),
        ),
        ("gru, softmax", gru(&|options| options.activation = Activation::Softmax)),
        ("simple rnn", simple(Activation::Tanh, None)),
        ("simple rnn, relu and clip", simple(Activation::Relu, Some(0.5))),
        ("simple rnn, softmax", simple(Activation::Softmax, None)),
    ]
}

fn activate(activation: Activation, clip: Option<f32>, values: Vec<f64>) -> Vec<f64> {
    let clip = clip.map_or(f64::INFINITY, f64::from);
    let values: Vec<f64> = values.into_iter().map(|value| value.clamp(-clip, clip)).collect();
    let sum: f64 = values.iter().map(|value| value.exp()).sum();
    let one = |x: f64| match activation {
        Activation::Tanh => x.tanh(),
        Activation::Sigmoid => 1.0 / (1.0 + (-x).exp()),
        Activation::Softsign => x / (1.0 + x.abs()),
        Activation::HardSigmoid => (x / 6.0 + 0.5).clamp(0.0, 1.0),
        Activation::Relu => x.max(0.0),
        Activation::Softmax => x.exp() / sum,
        _ => f64::NAN,
    };
    values.into_iter().map(one).collect()
}

/// `row · columns of a gate`
fn times(row: &[f64], tensor: &ArcArray2<f32>, gate: usize, units: usize) -> Vec<f64> {
    let sum = |unit| {
        let terms = row.iter().enumerate();
        terms
            .map(|(k, value)| value * f64::from(tensor[(k, gate * units + unit)]))
            .sum()
    };
    (0..units).map(sum).collect()
}

fn each(count: usize, value: impl Fn(usize) -> f64) -> Vec<f64> {
    (0..count).map(value).collect()
}

/// One step of one sequence by the equations of the layers' documentation: h and c after it.
fn step(planned: &PlannedCell, x: &[f64], h: &[f64], c: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let PlannedCell { cell, weights } = planned;
    let units = cell.units;
    let bias = |row: usize, gate: usize, unit: usize| {
        let bias = weights
            .bias
            .as_ref()
            .and_then(|bias| bias.get((row, gate * units + unit)));
        bias.map_or(0.0, |&bias| f64::from(bias))
    };
    let of_x = |gate| {
        let product = times(x, &weights.kernel, gate, units);
        each(units, |unit| product[unit] + bias(0, gate, unit))
    };
    let of_h = |h: &[f64], gate| {
        let product = times(h, &weights.recurrent_kernel, gate, units);
        each(units, |unit| product[unit] + bias(1, gate, unit))
    };
    let sum = |a: Vec<f64>, b: Vec<f64>| each(units, |unit| a[unit] + b[unit]);
    match cell.rule {
        Rule::SimpleRnn(options) => (
            activate(options.activation, options.clip, sum(of_x(0), of_h(h, 0))),
            Vec::new(),
        ),
        Rule::Gru(options) => {
            let gate = |gate| {
                activate(
                    options.recurrent_activation,
                    options.clip,
                    sum(of_x(gate), of_h(h, gate)),
                )
            };
            let (z, r) = (gate(0), gate(1));
            let recurrent = match options.reset_after {
                true => {
                    let product = of_h(h, 2);
                    each(units, |unit| r[unit] * product[unit])
                }
                false => of_h(&each(units, |unit| r[unit] * h[unit]), 2),
            };
            let n = activate(options.activation, options.clip, sum(of_x(2), recurrent));
            (
                each(units, |unit| z[unit] * h[unit] + (1.0 - z[unit]) * n[unit]),
                Vec::new(),
            )
        }
        Rule::Lstm(options) => {
            let peep = |number: usize, c: &[f64]| {
                let peepholes = weights.peepholes.as_ref();
                each(units, |unit| {
                    peepholes.map_or(0.0, |peepholes| f64::from(peepholes[(number, unit)]) * c[unit])
                })
            };
            let gate = |gate, peephole| {
                let lane = sum(sum(of_x(gate), of_h(h, gate)), peephole);
                activate(options.recurrent_activation, options.clip, lane)
            };
            let i = gate(0, peep(0, c));
            let f = match options.input_forget {
                true => each(units, |unit| 1.0 - i[unit]),
                false => gate(1, peep(1, c)),
            };
            let g = activate(options.activation, options.clip, sum(of_x(2), of_h(h, 2)));
            let c = each(units, |unit| f[unit] * c[unit] + i[unit] * g[unit]);
            let o = gate(3, peep(2, &c));
            let activated = activate(options.output_activation, None, c.clone());
            let h = each(units, |unit| o[unit] * activated[unit]);
            let h = match &weights.projection {
                Some(projection) => times(&h, projection, 0, cell.output),
                None => h,
            };
            (h, c)
        }
    }
}

/// A batch with sequences of different length.
struct Batch {
    schedule: Schedule,
    input: Vec<f32>,
    hidden: Vec<f32>,
    cell_state: Vec<f32>,
}

impl Batch {
    fn new(planned: &PlannedCell, batch: usize) -> Self {
        let mask = Array2::from_shape_fn((batch, TIME_STEPS), |(sequence, step)| step < TIME_STEPS - sequence % 3);
        let numbers = |count: usize, seed: usize| (0..count).map(|place| number(seed + place)).collect();
        let units = if planned.cell.has_cell_state() {
            planned.cell.units
        } else {
            0
        };
        Self {
            schedule: Schedule::new(Some(mask.view()), batch, TIME_STEPS, Direction::Forward).unwrap(),
            input: numbers(batch * TIME_STEPS * FEATURES, 7777),
            hidden: numbers(batch * planned.cell.output, 8888),
            cell_state: numbers(batch * units, 9999),
        }
    }

    /// h of every row in the order of the schedule, and the final h and c.
    fn run(&self, recurrence: &Recurrence) -> [Vec<f32>; 3] {
        let (mut hidden, mut cell_state) = (self.hidden.clone(), self.cell_state.clone());
        let zeros = [0.0; FEATURES];
        let work = Work {
            schedule: &self.schedule,
            gathered: Gathered {
                source: Source::new(&self.input, FEATURES, &zeros),
                index: self.schedule.sources(),
            },
        };
        let states = States {
            hidden: &mut hidden,
            cell_state: &mut cell_state,
        };
        let mut rows = StageRows::default();
        let count = recurrence.run(work, states, &mut Vec::new(), &mut rows).unwrap();
        assert_eq!(count, self.schedule.rows());
        let source = Source::of_stage(&rows, recurrence.output, &[]);
        let index: Vec<u32> = (0..count as u32).collect();
        [source.gather(&index).unwrap(), hidden, cell_state]
    }

    /// The same by plain loops.
    fn expected(&self, planned: &PlannedCell) -> [Vec<f64>; 3] {
        let wide = |values: &[f32]| values.iter().map(|&value| f64::from(value)).collect::<Vec<_>>();
        let (output, units) = (planned.cell.output, planned.cell.units);
        let mut hidden: Vec<_> = self.hidden.chunks(output).map(wide).collect();
        let mut cell_state: Vec<_> = self.cell_state.chunks(units).map(wide).collect();
        cell_state.resize(hidden.len(), Vec::new());
        let mut rows = Vec::new();
        for &source in self.schedule.sources() {
            let (place, sequence) = (source as usize, source as usize / TIME_STEPS);
            let x = wide(&self.input[place * FEATURES..(place + 1) * FEATURES]);
            let (h, c) = step(planned, &x, &hidden[sequence], &cell_state[sequence]);
            rows.extend_from_slice(&h);
            (hidden[sequence], cell_state[sequence]) = (h, c);
        }
        [rows, hidden.concat(), cell_state.concat()]
    }
}

fn largest_error(got: &[f32], want: &[f64]) -> f64 {
    assert_eq!(got.len(), want.len());
    let errors = got.iter().zip(want).map(|(&got, want)| (f64::from(got) - want).abs());
    errors.fold(0.0, |largest, error| if error <= largest { largest } else { error })
}

#[test]
fn every_cell_is_its_equations() {
    for path in Path::all() {
        for units in [1, 3, 15, 16, 17, 33, 65] {
            for (name, rule) in rules(units) {
                let planned = planned(rule, units);
                let recurrence = Recurrence::new(&planned, path, Precision::Full).unwrap();
                for batch in [1, 2, 7, 13] {
                    let batch = Batch::new(&planned, batch);
                    for (got, want) in batch.run(&recurrence).iter().zip(&batch.expected(&planned)) {
                        let error = largest_error(got, want);
                        assert!(error < 5e-6, "{}: {name}, {units} units: off by {error}", path.name());
                    }
                }
            }
        }
    }
}

#[test]
fn relaxed_precision_rounds_the_kernels_alone() {
    for (name, rule) in rules(33) {
        let planned = planned(rule, 33);
        let rounded = PlannedCell {
            cell: planned.cell.clone(),
            weights: planned.weights.rounded().unwrap(),
        };
        for path in Path::all() {
            let relaxed = Recurrence::new(&planned, path, Precision::Relaxed).unwrap();
            let full = Recurrence::new(&rounded, path, Precision::Full).unwrap();
            let batch = Batch::new(&planned, 7);
            assert_eq!(batch.run(&relaxed), batch.run(&full), "{}: {name}", path.name());
            assert_ne!(
                batch.run(&relaxed),
                batch.run(&Recurrence::new(&planned, path, Precision::Full).unwrap())
            );
        }
    }
}

/// One sequence alone, and in batches that are split over threads, or whose units are split.
#[test]
fn the_bits_of_a_sequence_depend_on_nothing_else() {
    let pools = [1, 2, 5].map(|threads| ThreadPoolBuilder::new().num_threads(threads).build().unwrap());
    for path in Path::all() {
        for units in [3, 300] {
            for (name, rule) in rules(units) {
                let planned = planned(rule, units);
                let recurrence = Recurrence::new(&planned, path, Precision::Full).unwrap();
                let alone = Batch::new(&planned, 1).run(&recurrence);
                for batch in [1, 6, 40] {
                    let batch = Batch::new(&planned, batch);
                    for pool in &pools {
                        let [_, hidden, cell_state] = pool.install(|| batch.run(&recurrence));
                        // the first sequence of a larger batch has the same input, and the same states
                        assert_eq!(hidden[..planned.cell.output], alone[1], "{}: {name}", path.name());
                        assert_eq!(cell_state[..alone[2].len()], alone[2], "{}: {name}", path.name());
                    }
                }
            }
        }
    }
}
