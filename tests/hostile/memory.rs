//! Batches whose lists and rows do not fit into memory: an error, where an allocation that fails would abort the process.
//!
//! Each case runs in a process of its own, this test binary again, under `ulimit -v`.
#![cfg(target_os = "linux")]

use std::process::Command;

use cellstate::{
    Activation, Bidirectional, Dense, Device, Embedding, Error, Layer, Lstm, Mask, Masking, MergeMode, Model, Sequences,
};
use ndarray::{Array2, Array3};

use super::devices::devices;
use super::refused;

/// Says to the process that is started which case it is, and how many time steps it has.
const CASE: &str = "CELLSTATE_MEMORY_CASE";

/// What the started process prints, so that nothing is taken for a refusal that never ran.
const REFUSED: &str = "refused: ";
const DONE: &str = "done: ";

const CASES: &[&str] = &[
    "lstm",
    "masked",
    "sequences",
    "bidirectional",
    "separate",
    "softmax",
    "masking",
    "dense",
    "embedding",
    "pad",
];

fn model(case: &str) -> Model {
    let lstm = || Lstm::new(1, 1);
    let layers: Vec<Layer> = match case {
        "sequences" => vec![
            lstm().return_sequences(true).into(),
            lstm().return_sequences(true).into(),
        ],
        "bidirectional" => vec![Bidirectional::new(lstm().return_sequences(true)).into()],
        "separate" => vec![Bidirectional::new(lstm()).merge_mode(MergeMode::Separate).into()],
        "softmax" => vec![lstm().activation(Activation::Softmax).into()],
        "masking" => vec![Masking::new(7.0).into(), lstm().into()],
        "dense" => vec![Dense::new(1, 1).into(), lstm().into()],
        "embedding" => vec![Embedding::new(3, 1).mask_zero(true).into(), lstm().into()],
        _ => vec![lstm().into()],
    };
    let builder = layers
        .into_iter()
        .fold(Model::builder(), |builder, layer| builder.add(layer));
    builder.build().unwrap()
}

/// Runs a case over 4 sequences. The input is one number that stands for all of them.
fn run(case: &str, time_steps: usize) -> cellstate::Result<usize> {
    let (one, token) = (Array3::<f32>::ones((1, 1, 1)), Array2::<i32>::ones((1, 1)));
    let numbers = Sequences::from(one.broadcast((4, time_steps, 1)).unwrap());
    let batch = match case {
        "pad" => {
            let long = one.broadcast((1, time_steps, 1)).unwrap();
            let long = long.index_axis(ndarray::Axis(0), 0);
            // more than others have: here no threads begin, whose memory the process itself is said to take
            return Ok(Sequences::pad(std::iter::repeat_n(long, 16))?.time_steps());
        }
        "embedding" => Sequences::from(token.broadcast((4, time_steps)).unwrap()),
        "masked" => numbers.with_mask(Mask::from_lengths(&[time_steps, 3, time_steps - 1, 0], time_steps)?)?,
        _ => numbers,
    };
    Ok(model(case).on(&Device::cpu())?.run(&batch)?.rows_run())
}

/// The process that the other test starts; without its variable there is nothing to do.
#[test]
fn a_process_with_little_memory() {
    let Ok(case) = std::env::var(CASE) else { return };
    let (case, time_steps) = case.split_once(' ').unwrap();
    // Room for what is small, which is not what is tested here: memory that the allocator has and does not give back.
    let mut small: Vec<Box<[u8; 1000]>> = (0..2000).map(|_| Box::new([1; 1000])).collect();
    let last = small.pop();
    drop(small);
    match run(case, time_steps.parse().unwrap()) {
        Err(error @ Error::Memory { .. }) => {
            let message = error.to_string();
            assert!(
                message.contains("bytes of memory") && message.contains("; "),
                "{message}"
            );
            println!("{REFUSED}{message}");
        }
        Err(error) => panic!("{error}"),
        Ok(number) => println!("{DONE}{number}"),
    }
    drop(last);
}

/// Runs a case with at most so many MiB of addresses; what it printed, and whether it ended well.
fn started(case: &str, time_steps: usize, mebibytes: usize) -> (bool, String) {
    let limited = format!("ulimit -v {} && exec \"$0\" \"$@\"", mebibytes << 10);
    let output = Command::new("sh")
        .args(["-c", &limited])
        .arg(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "memory::a_process_with_little_memory",
            "--nocapture",
            "--test-threads=1",
        ])
        .env(CASE, format!("{case} {time_steps}"))
        .env("RAYON_NUM_THREADS", "1")
        .output()
        .unwrap();
    let printed = [output.stdout, output.stderr].concat();
    (
        output.status.code() == Some(0),
        String::from_utf8_lossy(&printed).into_owned(),
    )
}

/// Whether a process ended for want of a few bytes, which any of its parts may ask for when the last of its memory has just been
/// given out. That does not grow with a batch, and is not what is tested here.
fn wanted_little(printed: &str) -> bool {
    let sizes = printed.split("memory allocation of ").skip(1);
    let mut sizes = sizes.map(|rest| rest.split(' ').next().and_then(|bytes| bytes.parse().ok()));
    sizes
        .next()
        .is_some_and(|first| first.is_some_and(|bytes: usize| bytes < 4096))
        && sizes.all(|size| size.is_some_and(|bytes| bytes < 4096))
}

#[test]
fn processes_that_want_little_are_told_from_others() {
    assert!(wanted_little(
        "test memory ... memory allocation of 8 bytes failed\nmemory allocation of 1 bytes failed"
    ));
    for printed in [
        "",
        "killed",
        "memory allocation of 8 bytes failed, memory allocation of 4194304 bytes failed",
    ] {
        assert!(!wanted_little(printed), "{printed}");
    }
}

#[test]
fn what_does_not_fit_into_memory_is_an_error() {
    const TIME_STEPS: usize = 1 << 20;
    // what the process takes besides: its own pages, and what allocators and threads reserve
    let enough = |mebibytes: &usize| started("softmax", 100, *mebibytes).1.contains(DONE);
    let besides = (8..1024).step_by(8).find(enough).unwrap();
    println!("the process itself takes {besides} MiB");
    for case in CASES {
        let (ended_well, printed) = started(case, 100, besides + 8);
        assert!(ended_well && printed.contains(DONE), "{case} of 400 steps: {printed}");
        // wherever the memory ends: at the first list, at the last one, at the rows or at the output; up to the least in which all
        // of it runs, since more memory is asked for the same
        let mut outcomes = Vec::new();
        for mebibytes in [8, 22, 38, 58, 80, 112, 160, 256, 600, 1200] {
            let (ended_well, printed) = started(case, TIME_STEPS, besides + mebibytes);
            if !ended_well && wanted_little(&printed) {
                outcomes.push("wanted little");
                continue;
            }
            assert!(ended_well, "{case} with {mebibytes} MiB: {printed}");
            if printed.contains(DONE) {
                outcomes.push("done");
                break;
            }
            assert!(printed.contains(REFUSED), "{case} did not run: {printed}");
            outcomes.push("refused");
        }
        println!("{case}: {outcomes:?}");
        assert!(
            outcomes[0] != "done",
            "{case} fits into little memory, so that nothing was tested"
        );
        assert_eq!(
            outcomes.last(),
            Some(&"done"),
            "{case}: the memory in which it runs was not reached"
        );
    }
}

/// 2³¹ steps, of which the first list alone takes 8 GiB.
#[test]
fn the_most_steps_that_a_batch_may_have() {
    for case in ["lstm", "embedding"] {
        let (ended_well, printed) = started(case, 1 << 29, 4 << 10);
        assert!(ended_well && printed.contains(REFUSED), "{case}: {printed}");
        for text in [
            "the lists of the steps of a batch",
            "8589934592 bytes",
            "Runner::run_from",
        ] {
            assert!(printed.contains(text), "{case}: {text:?} is not in {printed}");
        }
    }
}

/// What the GPU cannot hold is refused before lists are made of it: here they would take 8 GiB each.
#[test]
fn a_gpu_is_asked_before_lists_are_made() {
    let one = Array3::<f32>::ones((1, 1, 1));
    for device in devices() {
        if device.gpu().is_none() {
            continue;
        }
        let runner = Lstm::new(1, 64).on(&device).unwrap();
        let start = std::time::Instant::now();
        let run = runner.run(&Sequences::from(one.broadcast((1 << 29, 4, 1)).unwrap()));
        refused!(run, Error::TooLarge { .. }, "limit");
        assert!(start.elapsed().as_secs() < 2, "{:?}", start.elapsed());
    }
}
