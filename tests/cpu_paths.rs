//! Every code path of the CPU against the f64 reference, with few threads and with more than there are cores.
//!
//! A path is chosen by the environment (`CELLSTATE_CPU`), and the number of threads too (`RAYON_NUM_THREADS`), so each
//! combination runs in a process of its own: this test binary again, asked for the ignored test below.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

#[path = "support/models.rs"]
#[allow(dead_code, reason = "each test binary uses a part of this")]
mod models;
mod support;

use std::process::Command;

use cellstate::{Device, Error, Lstm, Sequences};
use models::{OnDevice, Ran};
use rayon::prelude::*;
use support::{
    golden::Input,
    judge::{assert_close, assert_same_bits},
    layers::{LayerSpec, RecurrentOptions},
    masks::Pattern,
    play::to_f32,
    random::Random,
    reference::{self, Mutant, State},
};

const PATHS: [&str; 4] = ["plain", "avx2", "avx512", "neon"];
/// The first is compared with the reference and runs twice; the others have to give its bits.
const THREADS: [&str; 3] = ["16", "1", "2"];

/// Around the edges of the tiles and vectors; features go with them.
const UNITS_AND_FEATURES: [(usize, usize); 10] = [
    (1, 5),
    (3, 1),
    (15, 7),
    (16, 16),
    (17, 3),
    (63, 64),
    (64, 3),
    (65, 65),
    (130, 9),
    (257, 7),
];
const BATCH: [usize; 8] = [1, 2, 3, 5, 6, 7, 13, 33];
const TIME_STEPS: usize = 11;

/// Whether this machine has the path. It is asked of the processor here, and of the library in the processes, so that none
/// is passed over by mistake.
fn has(path: &str) -> bool {
    match path {
        "plain" => true,
        #[cfg(target_arch = "x86_64")]
        "avx2" => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
        #[cfg(target_arch = "x86_64")]
        "avx512" => has("avx2") && is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vl"),
        "neon" => cfg!(target_arch = "aarch64"),
        _ => false,
    }
}

/// Says to the process of `every_size` that another one with the same path has been compared with the reference: this one prints what
/// came out, to the bit, which is compared with that of the other.
const COMPARED: &str = "CELLSTATE_TEST_COMPARED";

/// Runs an ignored test of this binary on a path; what it printed.
fn in_a_process_of_its_own(test: &str, path: &str, threads: &str) -> String {
    in_a_process_with(test, path, threads, &[])
}

fn in_a_process_with(test: &str, path: &str, threads: &str, environment: &[(&str, &str)]) -> String {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--ignored", "--nocapture"])
        .envs(environment.iter().copied())
        .env("CELLSTATE_CPU", path)
        .env("RAYON_NUM_THREADS", threads)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{path}, {threads} threads: {text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    text
}

#[test]
fn every_path_agrees_with_the_reference_whatever_the_threads() {
    for path in PATHS {
        if !has(path) {
            println!("skipped: this machine has no {path}");
            continue;
        }
        let prints = THREADS.map(|threads| {
            let compared = [(COMPARED, "1")];
            let environment = &compared[..usize::from(threads != THREADS[0])];
            let text = in_a_process_with("every_size", path, threads, environment);
            let prints = text.lines().filter_map(|line| line.split_once("fingerprint of "));
            prints.map(|(_, print)| print.to_owned()).collect::<Vec<_>>()
        });
        println!("{path}: {}", prints[0].join("; "));
        assert!(
            prints[0].len() > UNITS_AND_FEATURES.len(),
            "{path}: a fingerprint a model"
        );
        for (threads, of_threads) in THREADS.iter().zip(&prints) {
            assert_eq!(
                *of_threads, prints[0],
                "{path}: with {threads} threads other bits than with {}",
                THREADS[0]
            );
        }
    }
}

/// More callers than threads, some of them inside the threads' own tasks: nobody may wait for a thread that never comes.
#[test]
fn many_runs_at_once_wait_for_nobody() {
    for threads in THREADS {
        in_a_process_of_its_own("many_at_once", "", threads);
    }
}

#[test]
#[ignore = "run by many_runs_at_once_wait_for_nobody"]
fn many_at_once() {
    let runner = Lstm::new(8, 128).return_sequences(true).on(&Device::cpu()).unwrap();
    let input = Random::new(1).array3((1, 200, 8), 1.0);
    let run = || runner.run(&Sequences::from(&input)).unwrap().values().to_owned();
    let alone = run();
    let again = |from: &str| assert_same_bits(from, run().view(), alone.view());
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| (0..10).for_each(|_| again("a thread")));
        }
        (0..60).into_par_iter().for_each(|_| again("a task"));
    });
}

#[test]
fn a_path_that_is_not_there_is_an_error() {
    in_a_process_of_its_own("on_is_an_error", "sse9", "1");
}

#[test]
#[ignore = "run by a_path_that_is_not_there_is_an_error"]
fn on_is_an_error() {
    if std::env::var_os("CELLSTATE_CPU").is_none() {
        return; // all ignored tests were asked for
    }
    let error = Lstm::new(1, 1).on(&Device::cpu()).unwrap_err();
    assert!(matches!(error, Error::Value { .. }), "{error:?}");
    let text = error.to_string();
    assert!(
        text.contains("sse9") && text.contains("plain") && text.contains("CELLSTATE_CPU"),
        "{text}"
    );
}

/// Against the reference, and twice, or neither; of each model a number of all bits that came out is printed.
#[test]
#[ignore = "run by every_path_agrees_with_the_reference_whatever_the_threads"]
fn every_size() {
    for (units, features) in UNITS_AND_FEATURES {
        // the usual activations, which are vectors, and others, whose rests are met by fewer units
        let all = [("tanh", "sigmoid"), ("softsign", "hard_sigmoid")];
        for &(activation, recurrent_activation) in &all[..if units > 200 { 1 } else { 2 }] {
            let mut random = Random::new((units * 1000 + features) as u64);
            let mut cell = random.cell(features, units);
            cell.activation = activation.to_owned();
            cell.recurrent_activation = recurrent_activation.to_owned();
            let options = RecurrentOptions {
                return_sequences: true,
                return_state: true,
                ..Default::default()
            };
            let layers = [LayerSpec::Recurrent { cell, options }];
            let print = every_batch(&format!("{units} units, {activation}"), &layers, &mut random);
            println!("\nfingerprint of {units} units, {activation}: {print:016x}");
        }
    }
}

/// A number of all bits that came out of a model.
fn every_batch(name: &str, layers: &[LayerSpec], random: &mut Random) -> u64 {
    let is_compared = std::env::var_os(COMPARED).is_some();
    let runner = OnDevice::new(layers, &Device::cpu()).unwrap();
    let cell = layers[0].cells()[0];
    let mut fingerprint = 0xcbf2_9ce4_8422_2325_u64;
    for batch in BATCH {
        for pattern in [Pattern::None, Pattern::Mixed] {
            let name = format!("{name}, batch {batch}, mask {pattern:?}");
            let input = Input::Values(random.array3((batch, TIME_STEPS, cell.features()), 1.0));
            let mask = pattern.mask(batch, TIME_STEPS, random);
            let initial = random.state(batch, cell.units());
            let run = || arrays(&runner.ran(&input, mask.as_ref(), std::slice::from_ref(&initial)));
            let got = run();
            for value in got.iter().flatten() {
                fingerprint = (fingerprint ^ u64::from(value.to_bits())).wrapping_mul(0x100_0000_01b3);
            }
            if is_compared {
                continue;
            }
            for (got, again) in got.iter().zip(&run()) {
                assert_same_bits(&name, again.view(), got.view());
            }
            let mut states = [State::wide(&initial)];
            let want = reference::run(layers, &input, mask.as_ref(), &mut states, Mutant::None);
            let want = [
                to_f32(&want.values),
                to_f32(&states[0].hidden).into_dyn(),
                to_f32(&states[0].cell).into_dyn(),
            ];
            for (got, want) in got.iter().zip(&want) {
                assert_close(&name, got.view(), want.view(), 1e-5, 1e-5);
            }
        }
    }
    fingerprint
}

/// Output, final hidden and final cell.
fn arrays(ran: &Ran) -> [ndarray::ArrayD<f32>; 3] {
    let (hidden, cell) = &ran.states[0];
    [ran.values.clone(), hidden.clone().into_dyn(), cell.clone().into_dyn()]
}
