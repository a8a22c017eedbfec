//! Sizes around the edges of every tile and workgroup, under every pattern of mask, against the f64 reference.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

#[path = "support/devices.rs"]
mod devices;
#[path = "support/drawn.rs"]
mod drawn;
#[path = "support/models.rs"]
#[allow(dead_code, reason = "each test binary uses a part of this")]
mod models;
mod support;

use drawn::is_drawn;
use models::{OnDevice, Ran};
use ndarray::{Array2, Array3};
use support::{
    cell_kinds::CellKind,
    golden::Input,
    judge::{Closeness, compare},
    layers::{CellSpec, LayerSpec, Merge, RecurrentOptions, StatePair},
    masks::Pattern,
    play::to_f32,
    random::Random,
    reference::{self, Mutant, State},
};

const RTOL: f64 = 1e-5;

/// Features go with units, so that their own edges are met too. (All of them for an LSTM; for each of the others half of them, drawn.)
const UNITS_AND_FEATURES: [(usize, usize); 6] = [(1, 5), (3, 1), (63, 64), (64, 3), (65, 65), (257, 7)];
const BATCH: [usize; 3] = [1, 3, 33];
const TIME_STEPS: [usize; 3] = [1, 2, 17];

/// A batch with its mask and the states it begins from.
struct Batch {
    name: String,
    input: Input,
    mask: Option<Array2<bool>>,
    initial: Vec<StatePair>,
}

#[test]
fn an_lstm_at_every_edge() {
    let layers = |random: &mut Random, features, units| {
        let options = RecurrentOptions {
            return_sequences: true,
            return_state: true,
            ..Default::default()
        };
        vec![LayerSpec::Recurrent {
            cell: random.cell(features, units),
            options,
        }]
    };
    check(&layers, &Pattern::ALL, |_| true, |_| 1e-5);
}

#[test]
fn a_bidirectional_lstm_at_every_edge() {
    let layers = |random: &mut Random, features, units| {
        let options = RecurrentOptions {
            return_sequences: true,
            return_state: true,
            ..Default::default()
        };
        let (forward, backward) = (random.cell(features, units), random.cell(features, units));
        vec![LayerSpec::Bidirectional {
            forward,
            backward,
            options,
            merge: Merge::Concat,
        }]
    };
    check(&layers, &[Pattern::None, Pattern::Mixed], half, |_| 1e-5);
}

/// Where a whole row of units is needed at once. The values are small, so the tolerance is; but not for a single unit:
/// softmax over one is exactly 1, so that nothing is ever forgotten and each step enlarges the roundings of those before. The
/// f64 reference itself moves by 6e-6 there if the input moves by one rounding of f32 (by 3e-8 with three units).
#[test]
fn an_lstm_with_softmax_at_every_edge() {
    for (activation, recurrent_activation) in [("softmax", "sigmoid"), ("tanh", "softmax"), ("softmax", "softmax")] {
        let layers = |random: &mut Random, features, units| {
            let options = RecurrentOptions {
                return_sequences: true,
                return_state: true,
                ..Default::default()
            };
            let mut cell = random.cell(features, units);
            cell.activation = activation.to_owned();
            cell.recurrent_activation = recurrent_activation.to_owned();
            vec![LayerSpec::Recurrent { cell, options }]
        };
        check(
            &layers,
            &[Pattern::Mixed],
            half,
            |units| if units == 1 { 1e-5 } else { 1e-6 },
        );
    }
}

/// Normalisations and activations behind each other, over rows of every width; a row of one value has no variance.
#[test]
fn what_works_on_rows_at_every_edge() {
    let layers = |random: &mut Random, features, units| {
        let activation = |name: &str| LayerSpec::Activation {
            activation: name.to_owned(),
        };
        let options = RecurrentOptions {
            return_sequences: true,
            ..Default::default()
        };
        vec![
            random.batch_normalization(features),
            activation("gelu"),
            LayerSpec::Recurrent {
                cell: random.cell(features, units),
                options,
            },
            random.layer_normalization(units),
            activation("softmax"),
            random.batch_normalization(units),
        ]
    };
    check(&layers, &[Pattern::None, Pattern::Mixed], half, |_| 2e-5);
}

const STATEFUL: RecurrentOptions = RecurrentOptions {
    return_sequences: true,
    return_state: true,
    go_backwards: false,
    zero_output_for_mask: false,
};

#[test]
fn a_gru_at_every_edge() {
    for kind in [CellKind::Gru, CellKind::GruResetBefore] {
        check_cell(&|random, features, units| kind.cell(random, features, units));
    }
}

#[test]
fn a_simple_rnn_at_every_edge() {
    check_cell(&|random, features, units| CellKind::SimpleRnn.cell(random, features, units));
}

/// With the projection the hidden state is half as wide as the cell state, and so between the edges of one and the other.
#[test]
fn an_lstm_with_options_at_every_edge() {
    for kind in [CellKind::Peepholes, CellKind::Projection, CellKind::AllOptions] {
        check_cell(&|random, features, units| kind.lstm(random, features, units, units.div_ceil(2)));
    }
}

/// Forward and, with another cell, in both directions.
fn check_cell(cell: &dyn Fn(&mut Random, usize, usize) -> CellSpec) {
    let alone = |random: &mut Random, features, units| {
        vec![LayerSpec::Recurrent {
            cell: cell(random, features, units),
            options: STATEFUL,
        }]
    };
    check(&alone, &[Pattern::Mixed], half, |_| 1e-5);
    let both = |random: &mut Random, features, units| {
        vec![LayerSpec::Bidirectional {
            forward: cell(random, features, units),
            backward: cell(random, features, units),
            options: STATEFUL,
            merge: Merge::Concat,
        }]
    };
    check(&both, &[Pattern::None], |size| half(size + 1), |_| 1e-5);
}

/// Which sizes are tried, by their number: half of them, for each has texts to compile.
fn half(size: usize) -> bool {
    is_drawn(size, 2)
}

/// Runs all batches of the sizes that are tried through the layers, on every device, and fails with the list of all that is wrong.
fn check(
    layers: &dyn Fn(&mut Random, usize, usize) -> Vec<LayerSpec>,
    patterns: &[Pattern],
    is_tried: fn(usize) -> bool,
    atol: fn(usize) -> f64,
) {
    let devices = devices::devices();
    let mut closeness = vec![Closeness::default(); devices.len()];
    let mut wrong = Vec::new();
    let sizes = UNITS_AND_FEATURES.into_iter().enumerate();
    for (_, (units, features)) in sizes.filter(|(size, _)| is_tried(*size)) {
        let mut random = Random::new((units * 1000 + features) as u64);
        let layers = layers(&mut random, features, units);
        let runners: Vec<OnDevice> = devices
            .iter()
            .map(|device| OnDevice::new(&layers, device).unwrap())
            .collect();
        for batch in batches(&layers, features, patterns, &mut random) {
            let want = by_reference(&layers, &batch);
            for ((device, runner), closeness) in devices.iter().zip(&runners).zip(&mut closeness) {
                let got = runner.ran(&batch.input, batch.mask.as_ref(), &batch.initial);
                match difference(&got, &want, atol(units)) {
                    Ok(this) => *closeness = closeness.and(this),
                    Err(error) => {
                        let name = format!("{units} units, {features} features, {}", batch.name);
                        wrong.push(format!("{}: {name}: {error}", device.name()));
                    }
                }
            }
        }
    }
    for (device, closeness) in devices.iter().zip(closeness) {
        println!("{:<40} {closeness}", device.name());
    }
    models::assert_not_replayed();
    assert!(
        wrong.is_empty(),
        "{} runs are wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

fn batches(layers: &[LayerSpec], features: usize, patterns: &[Pattern], random: &mut Random) -> Vec<Batch> {
    let mut batches = Vec::new();
    for batch in BATCH {
        for time_steps in TIME_STEPS {
            for &pattern in patterns {
                let cells = layers.iter().flat_map(LayerSpec::cells);
                let initial = cells.map(|cell| random.state_of(batch, cell)).collect();
                batches.push(Batch {
                    name: format!("batch {batch}, {time_steps} steps, mask {pattern:?}"),
                    input: Input::Values(random.array3((batch, time_steps, features), 1.0)),
                    mask: pattern.mask(batch, time_steps, random),
                    initial,
                });
            }
        }
    }
    batches
}

fn by_reference(layers: &[LayerSpec], batch: &Batch) -> Ran {
    let mut states: Vec<State> = batch.initial.iter().map(State::wide).collect();
    let output = reference::run(layers, &batch.input, batch.mask.as_ref(), &mut states, Mutant::None);
    Ran {
        values: to_f32(&output.values),
        backward: output.backward.as_ref().map(to_f32),
        states: states.iter().map(State::narrow).collect(),
        rows_run: 0,
    }
}

/// Outputs and all states.
fn difference(got: &Ran, want: &Ran, atol: f64) -> Result<Closeness, String> {
    let mut closeness =
        compare(got.values.view(), want.values.view(), atol, RTOL).map_err(|e| format!("output: {e}"))?;
    if got.states.len() != want.states.len() {
        return Err(format!(
            "expected {} states, got {}",
            want.states.len(),
            got.states.len()
        ));
    }
    for (place, (got, want)) in got.states.iter().zip(&want.states).enumerate() {
        for (name, got, want) in [("hidden", &got.0, &want.0), ("cell", &got.1, &want.1)] {
            let this = compare(got.view().into_dyn(), want.view().into_dyn(), atol, RTOL);
            closeness = closeness.and(this.map_err(|error| format!("{name} of state {place}: {error}"))?);
        }
    }
    Ok(closeness)
}

/// Nothing to run is not an error: no row, or the state unchanged and no output but zeros.
#[test]
fn empty_batches_and_zero_time_steps() {
    let mut random = Random::new(0);
    let cell = random.cell(3, 5);
    for device in devices::devices() {
        for return_sequences in [true, false] {
            let options = RecurrentOptions {
                return_sequences,
                return_state: true,
                ..Default::default()
            };
            let layers = [LayerSpec::Recurrent {
                cell: cell.clone(),
                options,
            }];
            let runner = OnDevice::new(&layers, &device).unwrap();
            for (batch, time_steps) in [(0, 4), (2, 0), (0, 0)] {
                let initial = [random.state(batch, 5)];
                let input = Input::Values(Array3::zeros((batch, time_steps, 3)));
                let ran = runner.ran(&input, None, &initial);
                let shape = if return_sequences {
                    vec![batch, time_steps, 5]
                } else {
                    vec![batch, 5]
                };
                let name = format!("{}, batch {batch}, {time_steps} steps", device.name());
                assert_eq!(ran.values.shape(), shape, "{name}");
                assert!(ran.values.iter().all(|&value| value == 0.0), "{name}");
                assert_eq!(ran.states, initial, "{name}");
                assert_eq!(ran.rows_run, 0, "{name}");
            }
        }
    }
}
