//! What holds for every model and every batch, on every device.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

#[path = "support/devices.rs"]
mod devices;
#[path = "support/models.rs"]
#[allow(dead_code, reason = "each test binary uses a part of this")]
mod models;
mod support;

use cellstate::Device;
use models::{OnDevice, Ran};
use ndarray::{Array2, Array3, ArrayD, Axis, concatenate};
use proptest::{
    prelude::{Just, Strategy, any, prop_oneof},
    test_runner::{Config, TestRunner},
};
use support::{
    golden::Input,
    judge::{assert_close, assert_same_bits},
    layers::{LayerSpec, Merge, RecurrentOptions, StatePair},
    masks::Pattern,
    play::to_f32,
    random::Random,
    reference::{self, Mutant, State},
};

const CASES: u32 = 24;
const ATOL: f64 = 1e-5;
const RTOL: f64 = 1e-5;

/// Everything about a case: from the seed come the layers, the values and the mask.
#[derive(Clone, Copy, Debug)]
struct Sizes {
    batch: usize,
    time_steps: usize,
    features: usize,
    units: usize,
    pattern: Pattern,
    seed: u64,
}

/// A case made from its sizes.
#[derive(Clone, Debug)]
struct Made {
    layers: Vec<LayerSpec>,
    input: Array3<f32>,
    mask: Option<Array2<bool>>,
    initial: Vec<StatePair>,
}

/// Which layers a property holds for.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Layers {
    /// Whatever there is.
    Any,
    /// Those whose outputs stay where they are when padding is added: none that turns time round and gives its outputs in
    /// that order, none that gives 0 where the last step is masked.
    Padded,
    /// Those that run forward in time and give every output.
    Causal,
}

fn sizes() -> impl Strategy<Value = Sizes> {
    let pattern = prop_oneof![
        Just(Pattern::None),
        Just(Pattern::Right),
        Just(Pattern::Left),
        Just(Pattern::Holes),
        Just(Pattern::WholeRow),
        Just(Pattern::Mixed),
    ];
    let numbers = (1..=4usize, 1..=7usize, 1..=4usize, 1..=6usize);
    (numbers, pattern, any::<u64>()).prop_map(|((batch, time_steps, features, units), pattern, seed)| Sizes {
        batch,
        time_steps,
        features,
        units,
        pattern,
        seed,
    })
}

/// Tries a property on many cases, each on every device.
fn every_case(layers: Layers, property: impl Fn(&Made, &OnDevice, &Device)) {
    let devices = devices::devices();
    let config = Config {
        cases: CASES,
        failure_persistence: None,
        ..Config::default()
    };
    let result = TestRunner::new(config).run(&sizes(), |sizes| {
        let made = make(sizes, layers);
        for device in &devices {
            property(&made, &OnDevice::new(&made.layers, device).unwrap(), device);
        }
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}

fn make(sizes: Sizes, kind: Layers) -> Made {
    let Sizes {
        batch,
        time_steps,
        features,
        units,
        pattern,
        seed,
    } = sizes;
    let mut random = Random::new(seed);
    let layers = random_layers(&mut random, features, units, kind);
    let cells = layers.iter().flat_map(LayerSpec::cells);
    let initial = cells.map(|cell| random.state(batch, cell.units())).collect();
    let input = random.array3((batch, time_steps, features), 1.0);
    let mask = pattern.mask(batch, time_steps, &mut random);
    Made {
        layers,
        input,
        mask,
        initial,
    }
}

/// One or two recurrent layers and perhaps a Dense.
fn random_layers(random: &mut Random, features: usize, units: usize, kind: Layers) -> Vec<LayerSpec> {
    let activations = ["tanh", "softsign", "hard_tanh", "sigmoid", "softmax"];
    let recurrent_activations = ["sigmoid", "hard_sigmoid", "sparse_sigmoid", "softmax"];
    let cell = |random: &mut Random, features, units| {
        let mut cell = random.cell(features, units);
        // Half of the cells as nearly all are, the others with anything.
        if random.below(2) == 0 {
            cell.activation = activations[random.below(activations.len())].to_owned();
            cell.recurrent_activation = recurrent_activations[random.below(recurrent_activations.len())].to_owned();
        }
        if random.below(4) == 0 {
            cell.bias = None;
        }
        cell
    };
    let mut layers = Vec::new();
    let mut width = features;
    let count = 1 + random.below(2);
    for place in 0..count {
        let last = place + 1 == count;
        let anything = kind == Layers::Any;
        let mut options = RecurrentOptions {
            return_sequences: !last || kind == Layers::Causal || random.below(2) == 0,
            return_state: last,
            go_backwards: anything && random.below(3) == 0,
            zero_output_for_mask: anything && random.below(3) == 0,
        };
        let units = units + place;
        let bidirectional = kind != Layers::Causal;
        layers.push(match random.below(4) {
            0 if bidirectional => {
                options.go_backwards = false;
                let merge = match Merge::ALL[random.below(5)] {
                    Merge::Separate if !last => Merge::Concat,
                    merge => merge,
                };
                let (forward, backward) = (cell(random, width, units), cell(random, width, units));
                width = if merge == Merge::Concat { 2 * units } else { units };
                LayerSpec::Bidirectional {
                    forward,
                    backward,
                    options,
                    merge,
                }
            }
            1 => {
                let cells = vec![cell(random, width, units + 1), cell(random, units + 1, units)];
                width = units;
                LayerSpec::StackedCells { cells, options }
            }
            _ => {
                let cell = cell(random, width, units);
                width = units;
                LayerSpec::Lstm { cell, options }
            }
        });
    }
    // A Dense behind it hides the states of the last layer from the output, and two outputs cannot go into it.
    let separate = matches!(
        layers.last(),
        Some(LayerSpec::Bidirectional {
            merge: Merge::Separate,
            ..
        })
    );
    if !separate && kind != Layers::Padded && random.below(3) == 0 {
        match layers.last_mut() {
            Some(
                LayerSpec::Lstm { options, .. }
                | LayerSpec::StackedCells { options, .. }
                | LayerSpec::Bidirectional { options, .. },
            ) => options.return_state = false,
            _ => panic!("the last layer is a recurrent one"),
        }
        layers.push(LayerSpec::Dense {
            kernel: random.array2((width, 3), 0.7),
            bias: Some(random.array1(3, 0.5)),
            activation: ["linear", "tanh", "softmax"][random.below(3)].to_owned(),
        });
    }
    layers
}

impl Made {
    fn input(&self) -> Input {
        Input::Values(self.input.clone())
    }

    fn ran(&self, runner: &OnDevice) -> Ran {
        runner.ran(&self.input(), self.mask.as_ref(), &self.initial)
    }

    /// The mask as it is, or one that says that every step counts.
    fn full_mask(&self) -> Array2<bool> {
        let (batch, time_steps, _) = self.input.dim();
        self.mask
            .clone()
            .unwrap_or_else(|| Array2::from_elem((batch, time_steps), true))
    }

    /// The same case with the rows of the batch picked.
    fn rows(&self, rows: &[usize]) -> Self {
        Self {
            layers: self.layers.clone(),
            input: self.input.select(Axis(0), rows),
            mask: self.mask.as_ref().map(|mask| mask.select(Axis(0), rows)),
            initial: select_states(&self.initial, rows),
        }
    }

    /// The same case with the time steps picked.
    fn steps(&self, steps: &[usize]) -> Self {
        Self {
            layers: self.layers.clone(),
            input: self.input.select(Axis(1), steps),
            mask: self.mask.as_ref().map(|mask| mask.select(Axis(1), steps)),
            initial: self.initial.clone(),
        }
    }
}

fn select_states(states: &[StatePair], rows: &[usize]) -> Vec<StatePair> {
    states
        .iter()
        .map(|(hidden, cell)| (hidden.select(Axis(0), rows), cell.select(Axis(0), rows)))
        .collect()
}

/// Outputs, the other direction's outputs, and all states.
#[track_caller]
fn assert_ran_close(name: &str, got: &Ran, want: &Ran) {
    let arrays = |ran: &Ran| {
        let mut arrays: Vec<ArrayD<f32>> = vec![ran.values.clone()];
        arrays.extend(ran.backward.clone());
        for (hidden, cell) in &ran.states {
            arrays.extend([hidden.clone().into_dyn(), cell.clone().into_dyn()]);
        }
        arrays
    };
    let (got, want) = (arrays(got), arrays(want));
    assert_eq!(got.len(), want.len(), "{name}: number of outputs and states");
    for (place, (got, want)) in got.iter().zip(&want).enumerate() {
        assert_close(&format!("{name}, array {place}"), got.view(), want.view(), ATOL, RTOL);
    }
}

#[track_caller]
fn assert_ran_same_bits(name: &str, got: &Ran, want: &Ran) {
    assert_same_bits(name, got.values.view(), want.values.view());
    assert_eq!(got.backward.is_some(), want.backward.is_some(), "{name}");
    if let (Some(got), Some(want)) = (&got.backward, &want.backward) {
        assert_same_bits(name, got.view(), want.view());
    }
    assert_eq!(got.states.len(), want.states.len(), "{name}");
    for (got, want) in got.states.iter().zip(&want.states) {
        assert_same_bits(name, got.0.view().into_dyn(), want.0.view().into_dyn());
        assert_same_bits(name, got.1.view().into_dyn(), want.1.view().into_dyn());
    }
}

#[test]
fn every_device_agrees_with_the_reference() {
    every_case(Layers::Any, |made, runner, device| {
        let wide = |(hidden, cell): &StatePair| State {
            hidden: hidden.mapv(f64::from),
            cell: cell.mapv(f64::from),
        };
        let mut states: Vec<State> = made.initial.iter().map(wide).collect();
        let output = reference::run(
            &made.layers,
            &made.input(),
            made.mask.as_ref(),
            &mut states,
            Mutant::None,
        );
        let want = Ran {
            values: to_f32(&output.values),
            backward: output.backward.as_ref().map(to_f32),
            states: states
                .iter()
                .map(|state| (to_f32(&state.hidden), to_f32(&state.cell)))
                .collect(),
            rows_run: 0,
        };
        assert_ran_close(&device.name(), &made.ran(runner), &want);
    });
}

#[test]
fn a_batch_is_its_sequences_one_by_one() {
    every_case(Layers::Any, |made, runner, device| {
        let whole = made.ran(runner);
        for row in 0..made.input.len_of(Axis(0)) {
            let alone = made.rows(&[row]).ran(runner);
            let of_whole = Ran {
                values: whole.values.select(Axis(0), &[row]),
                backward: whole.backward.as_ref().map(|values| values.select(Axis(0), &[row])),
                states: select_states(&whole.states, &[row]),
                rows_run: 0,
            };
            assert_ran_close(&format!("{}, row {row}", device.name()), &alone, &of_whole);
        }
    });
}

#[test]
fn the_order_of_the_batch_changes_nothing() {
    every_case(Layers::Any, |made, runner, device| {
        let batch = made.input.len_of(Axis(0));
        let order: Vec<usize> = (0..batch).rev().map(|row| (row + 1) % batch).collect();
        let (ordered, reordered) = (made.ran(runner), made.rows(&order).ran(runner));
        let expected = Ran {
            values: ordered.values.select(Axis(0), &order),
            backward: ordered.backward.as_ref().map(|values| values.select(Axis(0), &order)),
            states: select_states(&ordered.states, &order),
            rows_run: 0,
        };
        assert_ran_close(&device.name(), &reordered, &expected);
        assert_eq!(reordered.rows_run, ordered.rows_run);
    });
}

#[test]
fn padding_can_hold_anything() {
    every_case(Layers::Any, |made, runner, device| {
        let mask = made.full_mask();
        let clean = made.ran(runner);
        let contents = [
            f32::NAN,
            f32::INFINITY,
            f32::NEG_INFINITY,
            f32::MAX,
            f32::MIN_POSITIVE / 2.0,
            0.0,
        ];
        for content in contents {
            let mut dirty = made.clone();
            for ((row, step, _), value) in dirty.input.indexed_iter_mut() {
                if !mask[[row, step]] {
                    *value = content;
                }
            }
            assert_ran_same_bits(&format!("{}, {content}", device.name()), &dirty.ran(runner), &clean);
        }
    });
}

#[test]
fn the_length_of_the_padding_changes_nothing() {
    every_case(Layers::Padded, |made, runner, device| {
        let (batch, time_steps, features) = made.input.dim();
        let short = made.ran(runner);
        for more in [1, 5] {
            let padding = Array3::from_elem((batch, more, features), f32::NAN);
            let mask = [made.full_mask(), Array2::from_elem((batch, more), false)];
            let padded = Made {
                layers: made.layers.clone(),
                input: concatenate(Axis(1), &[made.input.view(), padding.view()]).unwrap(),
                mask: Some(concatenate(Axis(1), &[mask[0].view(), mask[1].view()]).unwrap()),
                initial: made.initial.clone(),
            };
            let mut long = padded.ran(runner);
            if long.values.ndim() == 3 {
                let steps: Vec<usize> = (0..time_steps).collect();
                long.values = long.values.select(Axis(1), &steps);
                long.backward = long.backward.map(|values| values.select(Axis(1), &steps));
            }
            assert_ran_close(&format!("{}, {more} more", device.name()), &long, &short);
            assert_eq!(long.rows_run, short.rows_run, "{}: padding was run", device.name());
        }
    });
}

#[test]
fn chunks_are_the_whole() {
    every_case(Layers::Causal, |made, runner, device| {
        let (batch, time_steps, _) = made.input.dim();
        let whole = made.ran(runner);
        for cut in 1..time_steps {
            let first = made.steps(&(0..cut).collect::<Vec<_>>());
            let second = made.steps(&(cut..time_steps).collect::<Vec<_>>());
            let mut states = runner.states(batch, &made.initial);
            let one = runner
                .run_from(&first.input(), first.mask.as_ref(), &mut states)
                .unwrap();
            let two = runner
                .run_from(&second.input(), second.mask.as_ref(), &mut states)
                .unwrap();
            let mut values = concatenate(Axis(1), &[one.values(), two.values()]).unwrap();
            // A masked step repeats the output before it, but a chunk does not know the one before its first step.
            let mask = made.full_mask();
            for (index, value) in values.indexed_iter_mut() {
                if !mask[[index[0], index[1]]] {
                    *value = whole.values[index];
                }
            }
            let chunked = Ran {
                values,
                backward: None,
                states: states
                    .iter()
                    .map(|state| (state.hidden.clone(), state.cell.clone()))
                    .collect(),
                rows_run: 0,
            };
            assert_ran_close(&format!("{}, cut at {cut}", device.name()), &chunked, &whole);
        }
    });
}

#[test]
fn reversed_twice_is_forward() {
    every_case(Layers::Causal, |made, _, device| {
        // One layer alone: the next one would see the outputs in the other order.
        let mut forward = Made {
            layers: made.layers[..1].to_vec(),
            ..made.clone()
        };
        let (LayerSpec::Lstm { options, .. } | LayerSpec::StackedCells { options, .. }) = &mut forward.layers[0] else {
            panic!("the first layer is a recurrent one");
        };
        options.return_state = true;
        let forward_runner = OnDevice::new(&forward.layers, device).unwrap();
        let steps: Vec<usize> = (0..forward.input.len_of(Axis(1))).rev().collect();
        let mut reversed = forward.steps(&steps);
        let (LayerSpec::Lstm { options, .. } | LayerSpec::StackedCells { options, .. }) = &mut reversed.layers[0]
        else {
            panic!("the first layer is a recurrent one");
        };
        options.go_backwards = true;
        let backward_runner = OnDevice::new(&reversed.layers, device).unwrap();
        let (want, got) = (forward.ran(&forward_runner), reversed.ran(&backward_runner));
        assert_ran_close(&device.name(), &got, &want);
    });
}

#[test]
fn two_runs_give_the_same_bits() {
    every_case(Layers::Any, |made, runner, device| {
        let first = made.ran(runner);
        assert_ran_same_bits(&format!("{}, again", device.name()), &made.ran(runner), &first);
        let another = OnDevice::new(&made.layers, device).unwrap();
        assert_ran_same_bits(
            &format!("{}, another runner", device.name()),
            &made.ran(&another),
            &first,
        );
    });
}
