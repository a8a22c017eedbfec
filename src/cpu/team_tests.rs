//! What happens to the others when a member of a team fails.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ndarray::Array2;

use super::*;
use crate::activation::Activation;
use crate::cpu::buffer::Buffers;
use crate::cpu::gates::Weights;
use crate::cpu::hand::Reading;
use crate::cpu::panels::{Format, Panels};
use crate::cpu::path::Path;
use crate::cpu::source::Source;
use crate::schedule::{Direction, Schedule};

const STEPS: usize = 6;
const UNITS: usize = 2 * BLOCK;

/// Gives a team of two members over one sequence of six steps to `test`.
fn with_team(test: impl FnOnce(&Team<'_>)) {
    let path = *Path::all().last().unwrap();
    let (lanes, _) = path.tile();
    let weights = Weights {
        kernel: Panels::new(Array2::from_elem((1, 4 * UNITS), 0.1).view(), lanes, Format::Full),
        recurrent_kernel: Panels::new(Array2::from_elem((UNITS, 4 * UNITS), 0.01).view(), lanes, Format::Full),
        bias: Panels::of_bias(None, UNITS, lanes),
        activation: Activation::Tanh,
        recurrent_activation: Activation::Sigmoid,
    };
    let schedule = Schedule::new(None, 1, STEPS, Direction::Forward).unwrap();
    let index: Vec<u32> = (0..STEPS as u32).collect();
    let (input, zeros, begin) = ([0.5; STEPS], [0.0; UNITS], [0.0; UNITS]);
    let reading = Reading {
        schedule: &schedule,
        index: &index,
        source: Source::new(&input, 1, &zeros),
    };
    let hand = Hand {
        reading,
        first: 0,
        hands: 1,
    };
    let buffers = Buffers::default();
    let mut hidden = vec![0.0; STEPS * UNITS];
    let half = BLOCK / lanes;
    let mut shares = buffers.list(2).unwrap();
    for panels in [0..half, half..2 * half] {
        let share = Share::new(path, &weights, hand, panels, &begin, &buffers).unwrap();
        shares.push(Mutex::new(share));
    }
    let mut beginning = buffers.list(1).unwrap();
    beginning.push(&begin[..]);
    let mut team = Team::new(hand, UNITS, beginning, shares, &buffers).unwrap();
    hidden.chunks_exact_mut(UNITS).for_each(|row| team.deal(row));
    test(&team);
}

fn steps(team: &Team<'_>) -> Vec<usize> {
    team.shares
        .iter()
        .map(|share| share.lock().unwrap_or_else(PoisonError::into_inner).step())
        .collect()
}

#[test]
fn one_member_alone_gets_to_the_end() {
    with_team(|team| {
        team.run(1, &mut vec![0.0; team.room()]);
        assert_eq!(steps(team), [STEPS, STEPS]);
    });
}

#[test]
fn a_member_that_panics_leaves_nobody_waiting() {
    with_team(|team| {
        let (held, done) = (AtomicBool::new(false), AtomicBool::new(false));
        std::thread::scope(|scope| {
            let failing = scope.spawn(|| {
                let _guard = Guard(&team.failed);
                let _share = team.shares[1].lock().unwrap();
                held.store(true, Ordering::Release);
                std::thread::sleep(Duration::from_millis(50));
                panic!("wanted by the test");
            });
            scope.spawn(|| {
                for _ in 0..600 {
                    if done.load(Ordering::Acquire) {
                        return;
                    }
                    std::thread::sleep(Duration::from_millis(100));
                }
                eprintln!("a member waits for ever for one that has panicked");
                std::process::abort();
            });
            while !held.load(Ordering::Acquire) {
                std::thread::yield_now();
            }
            team.run(0, &mut vec![0.0; team.room()]);
            done.store(true, Ordering::Release);
            assert!(failing.join().is_err());
        });
        assert_eq!(steps(team), [1, 0]);
    });
}
