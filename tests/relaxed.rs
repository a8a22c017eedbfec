//! Relaxed precision on the CPU: exactly the run of a model whose weights were rounded beforehand.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

#[path = "../benches/peers/rule.rs"]
mod rule;
mod support;

use cellstate::{
    Activation, Device, Error, Instructions, Lstm, LstmWeights, Model, Precision, Runner, Sequences, Settings,
};
use half::f16;
use ndarray::{Array1, Array2, Array3};
use rayon::ThreadPoolBuilder;
use rule::{Problem, SHAPES, Shape};
use support::{judge::assert_same_bits, masks::Pattern, random::Random};

const TIME_STEPS: usize = 11;

/// Weights that are kept in full numbers and in halves, around the edges of the vectors; features go with them.
const UNITS_AND_FEATURES: [(usize, usize); 6] = [(1, 5), (17, 3), (64, 64), (111, 7), (130, 9), (257, 20)];

fn weights(random: &mut Random, features: usize, units: usize) -> LstmWeights {
    let spec = random.cell(features, units);
    let bias = spec.bias.map(|bias| bias.row(0).to_owned());
    LstmWeights::new(spec.kernel, spec.recurrent_kernel, bias)
}

fn rounded(weights: &LstmWeights) -> LstmWeights {
    let round = |weights: &Array2<f32>| weights.mapv(|weight| f16::from_f32(weight).to_f32());
    LstmWeights::new(
        round(&weights.kernel),
        round(&weights.recurrent_kernel),
        weights.bias.clone(),
    )
}

fn layer(weights: &LstmWeights) -> Lstm {
    Lstm::new(weights.kernel.nrows(), weights.recurrent_kernel.nrows())
        .return_sequences(true)
        .with(weights.clone())
        .unwrap()
}

fn on(layer: Lstm, settings: &Settings) -> cellstate::Result<Runner> {
    Model::builder().add(layer).build()?.on_with(&Device::cpu(), settings)
}

/// What is run, from which state.
struct Case {
    sequences: Sequences<'static>,
    hidden: Array2<f32>,
    cell: Array2<f32>,
}

impl Case {
    fn new(random: &mut Random, batch: usize, pattern: Pattern, weights: &LstmWeights) -> Self {
        let (features, units) = (weights.kernel.nrows(), weights.recurrent_kernel.nrows());
        let sequences = Sequences::from(random.array3((batch, TIME_STEPS, features), 1.0));
        let (hidden, cell) = random.state(batch, units);
        Self {
            sequences: match pattern.mask(batch, TIME_STEPS, random) {
                Some(mask) => sequences.with_mask(mask).unwrap(),
                None => sequences,
            },
            hidden,
            cell,
        }
    }

    fn assert_same(&self, name: &str, runners: [&Runner; 2]) {
        let [got, want] = runners.map(|runner| {
            let mut states = runner.zero_state(self.sequences.batch());
            states[0].hidden_mut().assign(&self.hidden);
            states[0].cell_mut().unwrap().assign(&self.cell);
            let output = runner.run_from(&self.sequences, &mut states).unwrap();
            (output.values().to_owned(), states)
        });
        assert_same_bits(name, got.0.view(), want.0.view());
        let (got, want) = (&got.1[0], &want.1[0]);
        assert_same_bits(name, got.hidden().into_dyn(), want.hidden().into_dyn());
        assert_same_bits(name, got.cell().unwrap().into_dyn(), want.cell().unwrap().into_dyn());
    }
}

#[test]
fn relaxed_is_full_with_rounded_weights() {
    let pools = [1, 2, 16].map(|threads| ThreadPoolBuilder::new().num_threads(threads).build().unwrap());
    let mut paths = Vec::new();
    for &instructions in Instructions::ALL {
        let full = Settings::new().instructions(instructions);
        let relaxed = full.clone().precision(Precision::Relaxed);
        for (units, features) in UNITS_AND_FEATURES {
            let mut random = Random::new((units * 1000 + features) as u64);
            let weights = weights(&mut random, features, units);
            let runners = [(layer(&weights), &relaxed), (layer(&rounded(&weights)), &full)];
            let runners = match runners.map(|(layer, settings)| on(layer, settings)) {
                [Ok(relaxed), Ok(rounded)] => [relaxed, rounded],
                [error, _] => {
                    assert!(matches!(error, Err(Error::Value { .. })), "{instructions}");
                    println!("skipped: this machine has no {instructions}");
                    break;
                }
            };
            paths.push(instructions);
            for batch in [1, 3, 33] {
                for pattern in [Pattern::None, Pattern::Mixed] {
                    let case = Case::new(&mut random, batch, pattern, &weights);
                    let name = format!("{instructions}, {units} units, batch {batch}, mask {pattern:?}");
                    for pool in &pools {
                        pool.install(|| case.assert_same(&name, [&runners[0], &runners[1]]));
                    }
                }
            }
        }
    }
    assert!(paths.contains(&Instructions::Plain));
}

#[test]
fn relaxed_changes_something() {
    let mut random = Random::new(7);
    let weights = weights(&mut random, 9, 130);
    let sequences = Sequences::from(random.array3((1, TIME_STEPS, 9), 1.0));
    let [full, relaxed] = [Precision::Full, Precision::Relaxed].map(|precision| {
        let runner = on(layer(&weights), &Settings::new().precision(precision)).unwrap();
        runner.run(&sequences).unwrap().values().to_owned()
    });
    let difference = largest((&full - &relaxed).iter());
    assert!(0.0 < difference && difference < 2e-3, "{difference}");
}

/// Softmax needs all units of a row at once and goes another way.
#[test]
fn other_activations_see_the_rounded_weights_too() {
    let mut random = Random::new(8);
    let weights = weights(&mut random, 5, 130);
    for activation in [Activation::Softmax, Activation::Relu] {
        let of = |weights: &LstmWeights| layer(weights).activation(activation);
        let relaxed = Settings::new().precision(Precision::Relaxed);
        let runners = [
            on(of(&weights), &relaxed).unwrap(),
            on(of(&rounded(&weights)), &Settings::new()).unwrap(),
        ];
        let case = Case::new(&mut random, 3, Pattern::Mixed, &weights);
        case.assert_same(&format!("{activation}"), [&runners[0], &runners[1]]);
    }
}

#[test]
fn a_cell_with_a_weight_beyond_the_range_is_kept_in_full() {
    let mut random = Random::new(9);
    for beyond in [65_520.0, -1e30] {
        let mut weights = weights(&mut random, 5, 130);
        weights.kernel[(4, 519)] = beyond;
        let relaxed = Settings::new().precision(Precision::Relaxed);
        let runners = [
            on(layer(&weights), &relaxed).unwrap(),
            on(layer(&weights), &Settings::new()).unwrap(),
        ];
        let case = Case::new(&mut random, 1, Pattern::None, &weights);
        case.assert_same("beyond", [&runners[0], &runners[1]]);
    }
}

fn largest<'a>(values: impl Iterator<Item = &'a f32>) -> f32 {
    values.fold(0.0, |largest, value| largest.max(value.abs()))
}

/// How far relaxed precision is from full precision on the shapes of the benches:
/// `cargo test --release --test relaxed -- --ignored --nocapture`.
#[test]
#[ignore = "prints the table of docs/benchmarks.md"]
fn errors_on_the_shapes_of_the_benches() {
    println!("| shape | largest | root of the mean square | largest value |\n|---|---:|---:|---:|");
    for shape in SHAPES {
        let problem = Problem::new(shape, false);
        let Shape {
            batch,
            time_steps,
            features,
            units,
        } = shape;
        let weights = LstmWeights::new(
            Array2::from_shape_vec((features, 4 * units), problem.kernel).unwrap(),
            Array2::from_shape_vec((units, 4 * units), problem.recurrent_kernel).unwrap(),
            Some(Array1::from(problem.bias)),
        );
        let sequences = Sequences::from(Array3::from_shape_vec((batch, time_steps, features), problem.input).unwrap());
        let [full, relaxed] = [Precision::Full, Precision::Relaxed].map(|precision| {
            let runner = on(layer(&weights), &Settings::new().precision(precision)).unwrap();
            runner.run(&sequences).unwrap().values().to_owned()
        });
        let difference = &full - &relaxed;
        let squares: f64 = difference.iter().map(|value| f64::from(*value).powi(2)).sum();
        let (error, root) = (largest(difference.iter()), (squares / difference.len() as f64).sqrt());
        println!("| {shape} | {error:.1e} | {root:.1e} | {:.2} |", largest(full.iter()));
        assert!(error < 1e-3, "{shape}: {error}");
    }
}
