//! The second run of a size allocates nothing on the CPU path but what it hands out, and lists for the batch as a whole:
//! the number of allocations does not depend on the number of time steps.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
#![allow(
    unsafe_code,
    reason = "an allocator is unsafe by definition; this one counts and passes everything on"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use cellstate::{Device, Lstm, Model, Sequences};
use ndarray::Array3;

struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: everything is passed on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Allocations of a run after two others of its size.
fn of_a_later_run(batch: usize, time_steps: usize, variable: bool) -> usize {
    let model = Model::builder()
        .add(Lstm::new(8, 96).return_sequences(true))
        .add(Lstm::new(96, 128).return_sequences(true))
        .build()
        .unwrap();
    let runner = model.on(&Device::cpu()).unwrap();
    let input = Array3::from_elem((batch, time_steps, 8), 0.5);
    let lengths: Vec<usize> = (0..batch).map(|sequence| time_steps - sequence % 3).collect();
    let sequences = || match variable {
        true => Sequences::from(&input).with_lengths(&lengths).unwrap(),
        false => Sequences::from(&input),
    };
    runner.run(&sequences()).unwrap();
    runner.run(&sequences()).unwrap();
    let sequences = sequences();
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    let output = runner.run(&sequences).unwrap();
    let after = ALLOCATIONS.load(Ordering::Relaxed);
    drop(output);
    after - before
}

// One test: others would be counted too.
#[test]
fn the_number_of_allocations_does_not_depend_on_the_time_steps() {
    for (batch, variable) in [(1, false), (3, false), (3, true), (32, false), (32, true)] {
        let [short, long] = [20, 400].map(|time_steps| of_a_later_run(batch, time_steps, variable));
        println!("batch {batch}, variable {variable}: {short}, {long}");
        // a list or two may grow by doubling
        assert!(
            long <= short + 30 && long < 300,
            "{short} with 20 time steps, {long} with 400"
        );
    }
}
