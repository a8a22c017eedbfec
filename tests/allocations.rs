//! The second run of a batch on the CPU path allocates what the caller gets, and a few short lists for each recurrent layer;
//! and the questions what a batch would take on a GPU are answered without its lists.
//!
//! An allocator counts. What the caller gets is named for each model, with its bytes. Each recurrent layer makes one list of
//! what its threads run; where threads share the units of a sequence, it makes three more, and the words by which the threads
//! exchange h. None of them grows with the time steps. Every other allocation is a failure.
//! One thing besides is rayon's: a layer that is split over threads is handed to them through a queue, which takes a
//! block of memory for every 63 of them. A caller who is in a thread of the pool already hands nothing over.
//!
//! On systems where a lock is an allocation of its own (macOS) a run makes some more.
#![cfg(not(target_vendor = "apple"))]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]
#![allow(
    unsafe_code,
    reason = "an allocator is unsafe by definition; this one counts and passes everything on"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use cellstate::{Bidirectional, Dense, Device, Embedding, Lstm, Model, Sequences, StackedRnnCells};
use ndarray::{Array2, Array3};
use rayon::ThreadPoolBuilder;

#[path = "support/devices.rs"]
mod devices;
#[path = "allocations/training.rs"]
mod training;

struct Counting;

/// The bytes that are taken and not given back.
static LIVE: AtomicUsize = AtomicUsize::new(0);
/// The most of these at once, since it was set.
static PEAK: AtomicUsize = AtomicUsize::new(0);
/// The allocations, and the bytes of each.
static COUNT: AtomicUsize = AtomicUsize::new(0);
static BYTES: [AtomicUsize; 4096] = [const { AtomicUsize::new(0) }; 4096];

fn count(bytes: usize) {
    let live = LIVE.fetch_add(bytes, Ordering::Relaxed) + bytes;
    PEAK.fetch_max(live, Ordering::Relaxed);
    if let Some(entry) = BYTES.get(COUNT.fetch_add(1, Ordering::Relaxed)) {
        entry.store(bytes, Ordering::Relaxed);
    }
}

// SAFETY: everything is passed on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        unsafe { System.alloc(layout) }
    }
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        unsafe { System.alloc_zeroed(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        unsafe { System.dealloc(pointer, layout) }
    }
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // what is aligned to more than the system does by itself is copied, and there twice
        let is_copied = layout.align() > 16;
        if !is_copied {
            LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        }
        count(size);
        if is_copied {
            LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        }
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The bytes of each allocation that `work` makes, the largest first.
fn allocated<T>(work: impl FnOnce() -> T) -> (Vec<usize>, T) {
    COUNT.store(0, Ordering::Relaxed);
    let result = work();
    let count = COUNT.load(Ordering::Relaxed);
    let mut bytes: Vec<usize> = BYTES
        .iter()
        .take(count)
        .map(|bytes| bytes.load(Ordering::Relaxed))
        .collect();
    assert_eq!(bytes.len(), count, "more allocations than are written down");
    bytes.sort_by_key(|&bytes| std::cmp::Reverse(bytes));
    (bytes, result)
}

/// One model and one batch.
struct Case {
    name: &'static str,
    model: Model,
    batch: Sequences<'static>,
    /// What the caller gets of a run: what it is, and its bytes.
    gets: Vec<(&'static str, usize)>,
    /// The recurrent layers, or cells, or directions.
    recurrences: usize,
}

const BATCH: usize = 33;
const TIME_STEPS: usize = 40;
const FEATURES: usize = 8;
/// So many that the CPU path splits the units of a single stream over threads.
const UNITS: usize = 128;
const VALUE: usize = size_of::<f32>();

fn numbers(batch: usize) -> Sequences<'static> {
    Sequences::from(Array3::from_shape_fn((batch, TIME_STEPS, FEATURES), |(b, t, f)| {
        (b + 2 * t + 3 * f) as f32 * 0.01
    }))
}

fn with_lengths(sequences: Sequences<'static>) -> Sequences<'static> {
    let lengths: Vec<usize> = (0..sequences.batch())
        .map(|sequence| TIME_STEPS - sequence % TIME_STEPS)
        .collect();
    sequences.with_lengths(&lengths).unwrap()
}

fn model(layers: impl FnOnce(cellstate::ModelBuilder) -> cellstate::ModelBuilder) -> Model {
    layers(Model::builder()).build().unwrap()
}

fn cases() -> Vec<Case> {
    let every_step = |features| Lstm::new(features, UNITS).return_sequences(true);
    let tokens = Array2::from_shape_fn((BATCH, TIME_STEPS), |(b, t)| (b + t) as i32 % 50);
    let state = |what, batch| (what, batch * UNITS * VALUE);
    vec![
        Case {
            name: "one LSTM, batch 1",
            model: model(|builder| builder.add(Lstm::new(FEATURES, UNITS))),
            batch: numbers(1),
            recurrences: 1,
            gets: vec![("values", UNITS * VALUE)],
        },
        Case {
            name: "one LSTM, lengths",
            model: model(|builder| builder.add(every_step(FEATURES))),
            batch: with_lengths(numbers(BATCH)),
            recurrences: 1,
            gets: vec![("values", BATCH * TIME_STEPS * UNITS * VALUE)],
        },
        Case {
            name: "two LSTMs, lengths",
            model: model(|builder| builder.add(every_step(FEATURES)).add(every_step(UNITS))),
            batch: with_lengths(numbers(BATCH)),
            recurrences: 2,
            gets: vec![("values", BATCH * TIME_STEPS * UNITS * VALUE)],
        },
        Case {
            name: "stacked cells with their states",
            model: model(|builder| {
                let cells = [Lstm::new(FEATURES, UNITS), Lstm::new(UNITS, UNITS)];
                builder.add(StackedRnnCells::new(cells).return_state(true))
            }),
            batch: numbers(BATCH),
            recurrences: 2,
            gets: vec![
                state("values", BATCH),
                state("hidden 0", BATCH),
                state("cell 0", BATCH),
                state("hidden 1", BATCH),
                state("cell 1", BATCH),
                ("list of two states", 2 * size_of::<cellstate::State>()),
            ],
        },
        Case {
            name: "bidirectional, both directions side by side",
            model: model(|builder| builder.add(Bidirectional::new(every_step(FEATURES)))),
            batch: with_lengths(numbers(BATCH)),
            recurrences: 2,
            gets: vec![("values", BATCH * TIME_STEPS * 2 * UNITS * VALUE)],
        },
        Case {
            name: "embedding, LSTM, dense at every step",
            model: model(|builder| {
                builder
                    .add(Embedding::new(50, FEATURES).mask_zero(true))
                    .add(every_step(FEATURES))
                    .add(Dense::new(UNITS, 5))
            }),
            batch: Sequences::from(tokens),
            recurrences: 1,
            gets: vec![("values", BATCH * TIME_STEPS * 5 * VALUE)],
        },
    ]
}

// One test: another one's allocations would be counted too.
#[test]
fn the_second_run_allocates_what_the_caller_gets() {
    questions_about_memory_take_none();
    training::training_takes_what_is_told();
    for threads in [1, 2, 5] {
        let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        for case in cases() {
            pool.install(|| second_run(&case, threads));
        }
    }
    ThreadPoolBuilder::new().num_threads(2).build_global().unwrap();
    rayon_takes_a_block_for_63_layers();
    masks_are_remembered();
    memory_is_given_back();
}

/// The lists of one recurrent layer: of what its threads run, and where they share the units of a sequence, of the crews, of
/// the shares of a crew, of the rooms of its members, and of the words of the exchange.
const LISTS: usize = 4;
/// The bytes of the longest of these lists: what a thread runs takes less than 300.
const LIST: usize = 300 * 5;

/// The bytes of the words by which the threads exchange h of one sequence.
const EXCHANGE: usize = 2 * UNITS * size_of::<u64>();

/// What was allocated besides what the caller gets.
fn besides(case: &Case, mut bytes: Vec<usize>) -> Vec<usize> {
    for (what, wanted) in &case.gets {
        let found = bytes.iter().position(|bytes| bytes == wanted);
        bytes.remove(found.unwrap_or_else(|| panic!("{}: {what} of {wanted} bytes among {bytes:?}", case.name)));
    }
    bytes
}

fn is_list(bytes: &usize) -> bool {
    *bytes <= LIST || *bytes == EXCHANGE
}

fn second_run(case: &Case, threads: usize) {
    let assert_gets = |call: &str, bytes: Vec<usize>| {
        println!("{threads} threads, {}, {call}: {bytes:?}", case.name);
        let rest = besides(case, bytes);
        let most = case.recurrences * if threads == 1 { 1 } else { LISTS };
        assert!(
            rest.len() <= most && rest.iter().all(is_list),
            "{}, {threads} threads, {call}: {rest:?} besides what the caller gets: {:?}",
            case.name,
            case.gets
        );
    };
    let runner = case.model.on(&Device::cpu()).unwrap();
    let first = runner.run(&case.batch).unwrap();
    let (bytes, second) = allocated(|| runner.run(&case.batch).unwrap());
    assert_gets("run", bytes);
    assert_eq!(first, second);
    if let [("values", _)] = case.gets.as_slice() {
        // what the caller has is taken again
        let mut output = second;
        let (bytes, ()) = allocated(|| runner.run_into(&case.batch, &mut output).unwrap());
        let most = case.recurrences * if threads == 1 { 1 } else { LISTS };
        assert!(
            bytes.len() <= most && bytes.iter().all(is_list),
            "{}: {bytes:?}",
            case.name
        );
        assert_eq!(output, first);
    }
    let mut states = runner.zero_state(case.batch.batch());
    for call in ["run_from", "run_from again"] {
        // it is the second run of the batch, and the states are written where they are
        let (bytes, output) = allocated(|| runner.run_from(&case.batch, &mut states).unwrap());
        assert_gets(call, bytes);
        assert_eq!(output == first, call == "run_from", "the states of {call}");
    }
}

fn rayon_takes_a_block_for_63_layers() {
    const RUNS: usize = 4 * 63;
    let case = cases().swap_remove(2);
    let runner = case.model.on(&Device::cpu()).unwrap();
    runner.run(&case.batch).unwrap();
    let (bytes, ()) = allocated(|| {
        for _ in 0..RUNS {
            runner.run(&case.batch).unwrap();
        }
    });
    let (outputs, rest): (Vec<usize>, Vec<usize>) = bytes.iter().partition(|&&bytes| bytes == case.gets[0].1);
    let blocks: Vec<usize> = rest.into_iter().filter(|bytes| !is_list(bytes)).collect();
    println!(
        "{RUNS} runs of two layers: {} blocks of rayon's, {:?} bytes",
        blocks.len(),
        blocks.first()
    );
    assert_eq!(outputs.len(), RUNS);
    assert!(
        blocks.len() <= 2 * RUNS / 63 + 1 && blocks.iter().all(|&bytes| bytes < 2048),
        "{blocks:?}"
    );
}

/// Four masks in turn are worked out once, five every time.
fn masks_are_remembered() {
    let case = cases().swap_remove(1);
    let runner = case.model.on(&Device::cpu()).unwrap();
    let batches: Vec<_> = (1..=5)
        .map(|shorter| numbers(BATCH).with_lengths(&[TIME_STEPS - shorter; BATCH]).unwrap())
        .collect();
    for (masks, remembered) in [(4, true), (5, false)] {
        batches[..masks]
            .iter()
            .for_each(|batch| drop(runner.run(batch).unwrap()));
        for round in 1..3 {
            for batch in &batches[..masks] {
                let (bytes, _) = allocated(|| runner.run(batch).unwrap());
                assert_eq!(
                    besides(&case, bytes.clone()).iter().all(is_list),
                    remembered,
                    "{masks} masks, round {round}: {bytes:?}"
                );
            }
        }
    }
}

fn memory_is_given_back() {
    let case = cases().swap_remove(1);
    let runner = case.model.on(&Device::cpu()).unwrap();
    let live = || LIVE.load(Ordering::Relaxed);
    let before = live();
    runner.run(&case.batch).unwrap();
    let rows = case.batch.mask().unwrap().valid_steps() * UNITS * VALUE;
    assert!(live() > before + rows, "the rows are kept");
    runner.release_memory();
    assert!(
        live() <= before + 2048,
        "all but perhaps a block of rayon's is given back: {}",
        live() - before
    );
    let (bytes, _) = allocated(|| runner.run(&case.batch).unwrap());
    assert!(!besides(&case, bytes).iter().all(is_list));
    // of a large batch the memory goes when many small ones have run
    runner.release_memory();
    runner.run(&case.batch).unwrap();
    (0..20).for_each(|_| drop(runner.run(&numbers(1)).unwrap()));
    assert!(
        live() < before + rows / 2,
        "{} of {rows} bytes are still there",
        live() - before
    );
}

/// The calls of which the fastest is looked at.
const CALLS: usize = 10;

/// How much memory a batch would take is a formula: no lists of its steps are made to answer that.
fn questions_about_memory_take_none() {
    for device in devices::devices().iter().filter(|device| device.gpu().is_some()) {
        for case in cases() {
            let runner = case.model.on(device).unwrap();
            for (batch, time_steps) in [(1000, 30_000), (1, 1), (30_000, 1000)] {
                let ask = || {
                    (
                        runner.gpu_memory(batch, time_steps),
                        runner.explain(batch, time_steps).map(drop),
                    )
                };
                let _ = ask(); // what the first call of anything makes
                let (bytes, answers) = allocated(ask);
                assert!(bytes.iter().sum::<usize>() < 1 << 20, "{}: {bytes:?}", case.name);
                // of several calls the fastest, for an unlucky thread may lose its processor
                let took = || {
                    let start = Instant::now();
                    let _ = runner.gpu_memory(batch, time_steps);
                    start.elapsed()
                };
                let took = (0..CALLS).map(|_| took()).min().unwrap();
                assert!(took < Duration::from_millis(1), "{}: {took:?}", case.name);
                println!("{}, {batch}, {time_steps}: {took:?}, {answers:?}", case.name);
            }
        }
    }
}
