//! Many threads open, prepare, run and drop at the same time, and all get the numbers of the CPU.

use std::sync::Barrier;
use std::thread;

use cellstate::{Device, Lstm, Output, Sequences};
use ndarray::Array3;

use super::devices::devices;
use super::support::judge::{assert_close, assert_same_bits};
use super::support::random::Random;

const THREADS: usize = 16;

/// How often each thread does it.
const ROUNDS: usize = if cfg!(debug_assertions) { 6 } else { 50 };

/// How often a thread opens a device of its own, which makes all its pipelines anew.
const OWN_ROUNDS: usize = if cfg!(debug_assertions) { 2 } else { 5 };

const FEATURES: usize = 3;

/// Layers that differ in what a pipeline is made for: the activation is in the pipeline, and so is the height of a tile.
fn layer(number: usize) -> Lstm {
    use cellstate::Activation::{HardSigmoid, Relu, Softsign, Tanh};
    let units = [4, 9, 17][number % 3];
    let activation = [Tanh, Relu, Softsign, HardSigmoid][number % 4];
    Lstm::new(FEATURES, units)
        .activation(activation)
        .return_sequences(number.is_multiple_of(2))
}

fn input(number: usize) -> Array3<f32> {
    let (batch, time_steps) = [(1, 6), (3, 4), (2, 9)][number % 3];
    Random::new(number as u64).array3((batch, time_steps, FEATURES), 1.0)
}

/// How many pairs of a layer and an input there are.
const PAIRS: usize = 12;

fn run(number: usize, device: &Device) -> Output {
    let runner = layer(number).on(device).unwrap();
    runner.run(&Sequences::from(&input(number))).unwrap()
}

fn assert_is(what: &str, number: usize, got: &Output, want: &[Output]) {
    assert_close(
        &format!("{what}, pair {number}"),
        got.values(),
        want[number].values(),
        1e-5,
        1e-5,
    );
}

/// All threads begin at once: the first round is the one in which pipelines are made.
#[test]
fn threads_open_prepare_run_and_drop() {
    let cpu: Vec<Output> = (0..PAIRS).map(|number| run(number, &Device::cpu())).collect();
    for device in devices().iter().skip(1) {
        let name = device.name();
        let start = Barrier::new(THREADS);
        thread::scope(|scope| {
            for thread in 0..THREADS {
                let (name, start, cpu) = (&name, &start, &cpu);
                scope.spawn(move || {
                    start.wait();
                    for round in 0..ROUNDS {
                        let number = (thread + 5 * round) % PAIRS;
                        let device = Device::named(name).unwrap();
                        let got = run(number, &device);
                        assert_is(name, number, &got, cpu);
                        if round % 8 == 0 {
                            assert!(Device::adapters().contains(name));
                            drop(Device::auto());
                            assert!(Device::named("Voodoo 2").is_err()); // looks again
                        }
                    }
                });
            }
        });
    }
}

/// A thread that has run something ends, with whatever the driver keeps for it, while others prepare and run. None of the
/// devices is held from outside of the threads.
#[test]
fn threads_end_while_others_prepare() {
    let cpu: Vec<Output> = (0..PAIRS).map(|number| run(number, &Device::cpu())).collect();
    let names: Vec<String> = devices().iter().skip(1).map(Device::name).collect();
    for name in &names {
        thread::scope(|scope| {
            for first in 0..4 {
                let cpu = &cpu;
                scope.spawn(move || {
                    for round in 0..ROUNDS {
                        let number = (first + round) % PAIRS;
                        let ended = thread::spawn({
                            let name = name.clone();
                            move || run(number, &Device::named(&name).unwrap())
                        });
                        let next = (number + 1) % PAIRS;
                        assert_is(name, next, &run(next, &Device::named(name).unwrap()), cpu);
                        assert_is(name, number, &ended.join().unwrap(), cpu);
                    }
                });
            }
        });
    }
}

/// Applications' own devices are opened and closed in turn while others run on the shared one.
#[test]
fn own_devices_come_and_go_meanwhile() {
    use super::adapters::{adapters, floor, open};
    let cpu: Vec<Output> = (0..PAIRS).map(|number| run(number, &Device::cpu())).collect();
    for adapter in adapters() {
        let info = adapter.get_info();
        let name = format!("{} ({:?})", info.name, info.backend);
        thread::scope(|scope| {
            for thread in 0..4 {
                let (adapter, name, cpu) = (&adapter, &name, &cpu);
                scope.spawn(move || {
                    for round in 0..OWN_ROUNDS {
                        let number = (3 * thread + round) % PAIRS;
                        let opened = open(adapter, floor());
                        let alone = run(number, &opened.device);
                        assert_is("own device", number, &alone, cpu);
                        let shared = run(number, &Device::named(name).unwrap());
                        assert_is("shared device", number, &shared, cpu);
                        opened.assert_quiet();
                    }
                });
            }
        });
    }
}

/// One runner, several threads: each gets the bits that it gets alone.
#[test]
fn threads_share_a_runner_on_the_shared_device() {
    for device in devices().iter().skip(1) {
        let runner = layer(0).on(device).unwrap();
        let inputs: Vec<_> = (0..3).map(input).collect();
        let alone: Vec<_> = inputs
            .iter()
            .map(|input| runner.run(&Sequences::from(input)).unwrap())
            .collect();
        thread::scope(|scope| {
            for thread in 0..THREADS {
                let (runner, inputs, alone) = (&runner, &inputs, &alone);
                scope.spawn(move || {
                    for round in 0..ROUNDS {
                        let number = (thread + round) % inputs.len();
                        let got = runner.run(&Sequences::from(&inputs[number])).unwrap();
                        assert_same_bits("by a thread", got.values(), alone[number].values());
                    }
                });
            }
        });
    }
}
