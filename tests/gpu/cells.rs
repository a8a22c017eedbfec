//! Every cell with its options by every strategy, against the f64 reference: at the edges of the tiles, under masks, from
//! states, in both directions, in relaxed precision, and with tensors that are cut.

use cellstate::{Bidirectional, Device, Error, Gru, Lstm, Precision, Settings, SimpleRnn, Strategy};
use half::f16;
use ndarray::Array2;

use super::adapters::{adapters, floor, open};
use super::devices;
use super::drawn::is_drawn;
use super::every_cell::cells;
use super::models::{OnDevice, Ran, assert_ran_same_bits};
use super::support::{
    cells::CellSpec,
    golden::Input,
    judge::{Closeness, compare},
    layers::{LayerSpec, Merge, RecurrentOptions, StatePair},
    masks::Pattern,
    play::to_f32,
    random::Random,
    reference::{self, Mutant, State},
};

/// Features go with units, so that their own edges are met too.
const UNITS_AND_FEATURES: [(usize, usize); 6] = [(1, 5), (3, 1), (63, 64), (64, 3), (65, 65), (257, 7)];
const SIZES: [(usize, usize, Pattern); 3] = [(1, 1, Pattern::None), (3, 17, Pattern::Holes), (33, 2, Pattern::Mixed)];

const SEQUENCES: RecurrentOptions = RecurrentOptions {
    return_sequences: true,
    return_state: true,
    go_backwards: false,
    zero_output_for_mask: false,
};

/// What is run, and what comes of it.
struct Case {
    name: String,
    input: Input,
    mask: Option<Array2<bool>>,
    initial: Vec<StatePair>,
    want: Ran,
}

impl Case {
    fn new(layers: &[LayerSpec], (batch, time_steps, pattern): (usize, usize, Pattern), random: &mut Random) -> Self {
        let cells: Vec<&CellSpec> = layers.iter().flat_map(LayerSpec::cells).collect();
        let input = Input::Values(random.array3((batch, time_steps, cells[0].features()), 1.0));
        let mask = pattern.mask(batch, time_steps, random);
        let initial: Vec<StatePair> = cells.iter().map(|cell| random.state_of(batch, cell)).collect();
        let mut states: Vec<State> = initial.iter().map(State::wide).collect();
        let output = reference::run(layers, &input, mask.as_ref(), &mut states, Mutant::None);
        Self {
            name: format!("batch {batch}, {time_steps} steps, {pattern:?}"),
            want: Ran {
                values: to_f32(&output.values),
                backward: output.backward.as_ref().map(to_f32),
                states: states.iter().map(State::narrow).collect(),
                rows_run: 0,
            },
            input,
            mask,
            initial,
        }
    }

    fn ran(&self, runner: &OnDevice) -> Ran {
        runner.ran(&self.input, self.mask.as_ref(), &self.initial)
    }

    /// How close a run comes, or what is wrong with it.
    fn check(&self, runner: &OnDevice) -> Result<Closeness, String> {
        let got = self.ran(runner);
        let mut pairs = vec![(got.values.view(), self.want.values.view())];
        pairs.extend(
            got.backward
                .iter()
                .zip(&self.want.backward)
                .map(|(got, want)| (got.view(), want.view())),
        );
        for (got, want) in got.states.iter().zip(&self.want.states) {
            pairs.push((got.0.view().into_dyn(), want.0.view().into_dyn()));
            pairs.push((got.1.view().into_dyn(), want.1.view().into_dyn()));
        }
        pairs
            .into_iter()
            .try_fold(Closeness::default(), |closeness, (got, want)| {
                let this = compare(got, want, 2e-5, 1e-5).map_err(|error| format!("{}: {error}", self.name));
                Ok(closeness.and(this?))
            })
    }
}

fn gpus() -> Vec<Device> {
    let mut gpus = devices::devices();
    gpus.retain(|device| device.gpu().is_some());
    gpus
}

fn recurrent(cell: &CellSpec) -> Vec<LayerSpec> {
    vec![LayerSpec::Recurrent {
        cell: cell.clone(),
        options: SEQUENCES,
    }]
}

/// The chain on a device by a strategy, unless it is refused for a reason of its own.
fn by(layers: &[LayerSpec], device: &Device, settings: &Settings, obstacle: Option<&str>) -> Option<OnDevice> {
    match OnDevice::with(layers, device, settings) {
        Ok(runner) => {
            let alone = settings.wanted_strategy() == Some(Strategy::Step);
            assert!(obstacle.is_none() || alone, "expected to be refused: {obstacle:?}");
            Some(runner)
        }
        Err(Error::Unsupported { option, .. }) => {
            let why = obstacle.unwrap_or("");
            assert!(option.contains(why), "{option}: expected {why}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn every_cell_by_every_strategy_is_the_reference() {
    for device in gpus() {
        let mut wrong = Vec::new();
        for (size, (units, features)) in UNITS_AND_FEATURES.into_iter().enumerate() {
            let mut random = Random::new((units * 1000 + features) as u64);
            for (number, (name, cell, obstacle)) in cells(&mut random, features, units).into_iter().enumerate() {
                // every cell at one size or two
                if !is_drawn(number + size, 4) {
                    continue;
                }
                let layers = recurrent(&cell);
                let cases = SIZES.map(|size| Case::new(&layers, size, &mut random));
                let (mut ran, mut closeness) = (Vec::new(), Closeness::default());
                for &strategy in Strategy::ALL {
                    let settings = Settings::new().strategy(strategy);
                    let Some(runner) = by(&layers, &device, &settings, obstacle) else {
                        continue;
                    };
                    ran.push(strategy.name());
                    for case in &cases {
                        match case.check(&runner) {
                            Ok(this) => closeness = closeness.and(this),
                            Err(error) => wrong.push(format!("{name}, {units} units, {strategy}, {error}")),
                        }
                    }
                }
                println!("{name}, {units} units by {}: {closeness}", ran.join(", "));
                assert!(ran.contains(&"step"));
                assert!(
                    obstacle.is_some() || units > 64 || ran.contains(&"solo"),
                    "{name}: {ran:?}"
                );
            }
        }
        assert!(wrong.is_empty(), "{}: {}", device.name(), wrong.join("\n"));
    }
}

/// Both directions in the same dispatches, and two that differ.
#[test]
fn both_directions_of_every_cell_are_the_reference() {
    let (features, units) = (3, 65);
    let mut random = Random::new(5);
    let mut pairs: Vec<(&str, CellSpec, CellSpec)> = Vec::new();
    let all = cells(&mut random, features, units);
    for ((name, forward, _), (_, backward, _)) in all.iter().zip(cells(&mut random, features, units)) {
        pairs.push((name, forward.clone(), backward));
    }
    let other = |random: &mut Random| random.gru(features, units, true);
    pairs.push(("LSTM and GRU", random.cell(features, units), other(&mut random)));
    pairs.push((
        "SimpleRNN and GRU",
        random.simple_rnn(features, units),
        other(&mut random),
    ));
    for device in gpus() {
        let drawn = pairs.iter().enumerate().filter(|(number, _)| is_drawn(*number, 2));
        for (_, (name, forward, backward)) in drawn {
            let layers = [LayerSpec::Bidirectional {
                forward: forward.clone(),
                backward: backward.clone(),
                options: SEQUENCES,
                merge: Merge::Concat,
            }];
            let cases = SIZES.map(|size| Case::new(&layers, size, &mut random));
            for &strategy in Strategy::ALL {
                let Ok(runner) = OnDevice::with(&layers, &device, &Settings::new().strategy(strategy)) else {
                    assert!(strategy != Strategy::Step, "{name}");
                    continue;
                };
                for case in &cases {
                    if let Err(error) = case.check(&runner) {
                        panic!("{}, {name}, {strategy}, {error}", device.name());
                    }
                }
            }
        }
    }
}

/// Small bindings cut the rows of a layer over time, so that states go from one buffer to the next.
#[test]
fn cells_whose_tensors_are_cut_are_the_reference() {
    let small = wgpu::Limits {
        max_storage_buffer_binding_size: 4 << 10,
        max_buffer_size: 1 << 20,
        ..floor()
    };
    for adapter in adapters() {
        let opened = open(&adapter, small.clone());
        let mut random = Random::new(9);
        let all = cells(&mut random, 3, 10).into_iter().enumerate();
        for (_, (name, cell, obstacle)) in all.filter(|(number, _)| is_drawn(*number, 2)) {
            let layers = recurrent(&cell);
            let case = Case::new(&layers, (5, 60, Pattern::Mixed), &mut random);
            for &strategy in Strategy::ALL {
                let settings = Settings::new().strategy(strategy);
                let Some(runner) = by(&layers, &opened.device, &settings, obstacle) else {
                    continue;
                };
                let explained = runner.runner().explain(5, 60).unwrap().to_string();
                assert!(!explained.contains("in 1 segment"), "{name}: {explained}");
                case.check(&runner)
                    .unwrap_or_else(|error| panic!("{name}, {strategy}, {error}"));
            }
        }
        opened.assert_quiet();
    }
}

/// Relaxed precision is full precision with rounded kernels, bit by bit, and keeps peepholes and biases as they are.
#[test]
fn relaxed_cells_are_full_ones_with_rounded_weights() {
    let round = |weights: &Array2<f32>| weights.mapv(|weight| f16::from_f32(weight).to_f32());
    let mut random = Random::new(11);
    for device in gpus() {
        let all = cells(&mut random, 5, 33).into_iter().enumerate();
        for (_, (name, cell, obstacle)) in all.filter(|(number, _)| is_drawn(*number, 2)) {
            let mut rounded = cell.clone();
            rounded.kernel = round(&cell.kernel);
            rounded.recurrent_kernel = round(&cell.recurrent_kernel);
            if let Some(options) = rounded.lstm_options() {
                options.projection = options.projection.as_ref().map(round);
            }
            let (cell, rounded) = (recurrent(&cell), recurrent(&rounded));
            let case = Case::new(&cell, (9, 7, Pattern::Mixed), &mut random);
            for &strategy in Strategy::ALL {
                let full = Settings::new().strategy(strategy);
                let relaxed = full.clone().precision(Precision::Relaxed);
                if let Some(full) = by(&rounded, &device, &full, obstacle) {
                    let relaxed = by(&cell, &device, &relaxed, obstacle).unwrap();
                    assert_ran_same_bits(&format!("{name}, {strategy}"), &case.ran(&relaxed), &case.ran(&full));
                }
            }
        }
    }
}

/// Each reason by itself, not a list of what it may be.
#[test]
fn a_refused_strategy_says_which_of_its_reasons_holds() {
    for device in gpus() {
        let refused = |layer: cellstate::Layer, wanted: &str| {
            let model = cellstate::Model::builder().add(layer).build().unwrap();
            let error = model
                .on_with(&device, &Settings::new().strategy(Strategy::Solo))
                .unwrap_err();
            let text = error.to_string();
            assert!(text.contains(wanted), "{wanted}: {text}");
            let reasons = [
                "all units at once",
                "multiplied again",
                "a projection",
                "invocations",
                "registers",
            ];
            let told = reasons.iter().filter(|reason| text.contains(**reason)).count();
            assert_eq!(told, 1, "{text}");
        };
        refused(Gru::new(2, 4).reset_after(false).into(), "GRU with 4 units");
        refused(Gru::new(2, 4).reset_after(false).into(), "multiplied again");
        refused(Lstm::new(2, 4).projection(2).into(), "a projection of all units");
        let softmax = SimpleRnn::new(2, 4).activation(cellstate::Activation::Softmax);
        refused(softmax.into(), "all units at once");
        // the texts for a GPU, which these numbers bring to a software adapter, have another limit
        let has_numbers = std::env::var_os("CELLSTATE_GPU_NUMBERS").is_some_and(|name| !name.is_empty());
        if device.gpu().unwrap().info().device_type == wgpu::DeviceType::Cpu && !has_numbers {
            refused(
                SimpleRnn::new(2, 1500).into(),
                "more invocations than a workgroup may have",
            );
        }
    }
}

#[test]
fn directions_of_different_cells_say_why_they_run_apart() {
    for device in gpus() {
        for (forward, backward, says) in [
            (Gru::new(3, 5), Lstm::new(3, 5).into(), "they are different cells"),
            (
                Gru::new(3, 5),
                Gru::new(3, 5).clip(1.0).into(),
                "they differ in options",
            ),
            (
                Gru::new(3, 5),
                Gru::new(3, 5).into(),
                "both directions in the same dispatches",
            ),
        ] as [(Gru, cellstate::Recurrent, &str); 3]
        {
            let layer = Bidirectional::new(forward).backward_layer(backward);
            let model = cellstate::Model::builder().add(layer).build().unwrap();
            let explained = model.on(&device).unwrap().explain(4, 9).unwrap().to_string();
            assert!(explained.contains(says), "{says}: {explained}");
        }
    }
}
