//! What holds for every model and every batch, on every device.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

#[path = "../support/devices.rs"]
mod devices;
mod gradients;
mod made;
#[path = "../support/models.rs"]
#[allow(dead_code, reason = "each test binary uses a part of this")]
mod models;
#[path = "../support/mod.rs"]
mod support;

use cellstate::Device;
use made::{Cells, Layers, Made, make, select_states, sizes};
use models::{OnDevice, Ran, assert_ran_close, assert_ran_same_bits};
use ndarray::{Array2, Array3, Axis, concatenate};
use proptest::test_runner::{Config, TestRunner};
use support::{
    layers::LayerSpec,
    play::to_f32,
    reference::{self, Mutant, State},
};

/// How many cases of cells of a kind, and of how many of them one goes to the GPUs too: there each new kind of cell is a shader to
/// compile, which takes a software adapter a second.
const CASES: [(Cells, u32, u64); 2] = [(Cells::Lstm, 16, 1), (Cells::Every, 64, 16)];

/// Tries a property on many cases: LSTMs as Keras has them, then cells of every kind.
fn every_case(layers: Layers, property: impl Fn(&Made, &OnDevice, &Device)) {
    every_case_of(&CASES, layers, |made, device| {
        property(made, &OnDevice::new(&made.layers, device).unwrap(), device);
    });
}

/// Tries a property on so many cases of cells of each kind, and of how many of them one on the GPUs too.
fn every_case_of(kinds: &[(Cells, u32, u64)], layers: Layers, property: impl Fn(&Made, &Device)) {
    let devices = devices::devices();
    for &(cells, cases, one_in) in kinds {
        let config = Config {
            cases,
            failure_persistence: None,
            ..Config::default()
        };
        let result = TestRunner::new(config).run(&sizes(), |sizes| {
            let made = make(sizes, layers, cells);
            // the CPU is the first
            let asked = if sizes.is_one_in(one_in) { devices.len() } else { 1 };
            for device in devices.iter().take(asked) {
                property(&made, device);
            }
            Ok(())
        });
        if let Err(error) = result {
            panic!("{cells:?}: {error}");
        }
    }
}

#[test]
fn every_device_agrees_with_the_reference() {
    every_case(Layers::Any, |made, runner, device| {
        let mut states: Vec<State> = made.initial.iter().map(State::wide).collect();
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
            states: states.iter().map(State::narrow).collect(),
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
            assert_eq!(
                long.rows_run,
                short.rows_run,
                "{}: other rows were asked for",
                device.name()
            );
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
                states: states.iter().map(models::pair).collect(),
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
        let (LayerSpec::Recurrent { options, .. } | LayerSpec::StackedCells { options, .. }) = &mut forward.layers[0]
        else {
            panic!("the first layer is a recurrent one");
        };
        options.return_state = true;
        let forward_runner = OnDevice::new(&forward.layers, device).unwrap();
        let steps: Vec<usize> = (0..forward.input.len_of(Axis(1))).rev().collect();
        let mut reversed = forward.steps(&steps);
        let (LayerSpec::Recurrent { options, .. } | LayerSpec::StackedCells { options, .. }) = &mut reversed.layers[0]
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
