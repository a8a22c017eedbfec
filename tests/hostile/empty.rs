//! No sequence, or no time step: every kind of model on every device.

use cellstate::Device;
use ndarray::Axis;

use super::devices::devices;
use super::models::{Ran, assert_ran_close};
use super::support::layers::StatePair;
use super::zoo::{Kind, kinds};

/// Behind a RepeatVector the steps are real ones, whatever the input has; so there only the layer before it does not run.
fn assert_nothing_ran(kind: &Kind, name: &str, ran: &Ran, initial: &[StatePair]) {
    if kind.name == "other shapes" {
        assert_eq!(ran.states[0], initial[0], "{name}");
        return;
    }
    assert_eq!(ran.states, initial, "{name}");
    assert_eq!(ran.rows_run, 0, "{name}");
}

#[test]
fn nothing_to_run_leaves_states_alone_and_has_a_shape() {
    for device in devices() {
        for kind in kinds(3, 5) {
            let (runner, cpu) = (kind.on(&device), kind.on(&Device::cpu()));
            let full = runner.run(&kind.batch(1, 2, 0).input, None).unwrap();
            for (batch, time_steps) in [(0, 4), (2, 0), (0, 0), (0, 1), (1, 0)] {
                for seed in [0, 1] {
                    let name = format!("{}: {}, ({batch}, {time_steps})", device.name(), kind.name);
                    let input = kind.batch(batch, time_steps, seed);
                    let ran = runner.ran(&input.input, input.mask.as_ref(), &input.initial);
                    assert_eq!(ran.values.len_of(Axis(0)), batch, "{name}");
                    assert_eq!(ran.values.ndim(), full.values().ndim(), "{name}");
                    let width = Axis(ran.values.ndim() - 1);
                    assert_eq!(ran.values.len_of(width), full.values().len_of(width), "{name}");
                    if ran.values.ndim() == 3 {
                        assert_eq!(ran.values.len_of(Axis(1)), time_steps, "{name}");
                    }
                    assert_eq!(ran.backward.is_some(), full.backward().is_some(), "{name}");
                    assert_nothing_ran(&kind, &name, &ran, &input.initial);
                    let want = cpu.ran(&input.input, input.mask.as_ref(), &input.initial);
                    assert_ran_close(&name, &ran, &want);
                    let alone = runner.run(&input.input, input.mask.as_ref()).unwrap();
                    assert_eq!(alone.last().nrows(), batch, "{name}");
                }
            }
            // and the next batch is as if nothing had been
            let batch = kind.batch(3, 4, 1);
            super::zoo::check(&kind.name, &runner, &cpu, &batch);
        }
    }
}

/// A batch whose every step is masked is as good as none.
#[test]
fn everything_masked() {
    for device in devices() {
        for kind in kinds(3, 5) {
            if kind.name.starts_with("Masking") || kind.name.contains("mask_zero true") {
                continue; // these make masks of their own
            }
            let (runner, cpu) = (kind.on(&device), kind.on(&Device::cpu()));
            let mut batch = kind.batch(3, 4, 1);
            batch.mask = batch.mask.map(|mask| mask.mapv(|_| false));
            let ran = super::zoo::check(&kind.name, &runner, &cpu, &batch);
            let name = format!("{}: {}", device.name(), kind.name);
            assert_nothing_ran(&kind, &name, &ran, &batch.initial);
        }
    }
}
