//! What happens to the others when a member of a crew fails.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::*;
use crate::schedule::{Direction, Schedule};

const STEPS: usize = 6;
const UNITS: usize = 2 * BLOCK;

/// A share that adds one to the mean of h of all units.
struct Adding {
    first_unit: usize,
    step: usize,
    next: [f32; BLOCK],
}

impl Share for Adding {
    fn step(&self) -> usize {
        self.step
    }

    fn first_unit(&self) -> usize {
        self.first_unit
    }

    fn run(&mut self, hidden: Rows<'_>) {
        self.next = [hidden.row(0, UNITS).iter().sum::<f32>() / UNITS as f32 + 1.0; BLOCK];
        self.step += 1;
    }

    fn next(&self) -> impl Iterator<Item = &[f32]> {
        std::iter::once(&self.next[..])
    }
}

/// Gives a crew of two members over one sequence of six steps to `test`.
fn with_crew(test: impl FnOnce(&Crew<'_, Adding>)) {
    let schedule = Schedule::new(None, 1, STEPS, Direction::Forward).unwrap();
    let hand = Hand {
        schedule: &schedule,
        first: 0,
        hands: 1,
    };
    let share = |first_unit| {
        Mutex::new(Adding {
            first_unit,
            step: 0,
            next: [0.0; BLOCK],
        })
    };
    let shares = vec![share(0), share(BLOCK)];
    test(&Crew::new(hand, UNITS, &[0.0; UNITS], shares).unwrap());
}

fn room() -> Vec<f32> {
    vec![0.0; Crew::<Adding>::room(1, UNITS)]
}

fn steps(crew: &Crew<'_, Adding>) -> Vec<usize> {
    crew.shares
        .iter()
        .map(|share| share.lock().unwrap_or_else(PoisonError::into_inner).step())
        .collect()
}

#[test]
fn one_member_alone_gets_to_the_end() {
    with_crew(|crew| {
        crew.run(1, &mut room());
        assert_eq!(steps(crew), [STEPS, STEPS]);
        assert_eq!(crew.shares[0].lock().unwrap().next, [STEPS as f32; BLOCK]);
    });
}

#[test]
fn a_member_that_panics_leaves_nobody_waiting() {
    with_crew(|crew| {
        let (held, done) = (AtomicBool::new(false), AtomicBool::new(false));
        std::thread::scope(|scope| {
            let failing = scope.spawn(|| {
                let _guard = Guard(&crew.failed);
                let _share = crew.shares[1].lock().unwrap();
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
            crew.run(0, &mut room());
            done.store(true, Ordering::Release);
            assert!(failing.join().is_err());
        });
        assert_eq!(steps(crew), [1, 0]);
    });
}
