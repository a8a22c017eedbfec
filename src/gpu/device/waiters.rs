//! The threads that wait for one device: one of them, the leader, asks `wgpu`, and all get what it hears.
//!
//! wgpu-core 30 panics where another thread polls between two lines of a wait ("If the queue is empty, the current submission
//! index …": gfx-rs/wgpu pull request 9958, which no release of 30 has). An application that polls its own device meanwhile can
//! still cause that; [`super::waits`] then asks again.
#![cfg_attr(target_arch = "wasm32", allow(dead_code, reason = "a browser cannot wait"))]

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The threads that wait for one device.
#[derive(Debug, Default)]
pub(super) struct Waiters {
    line: Mutex<Line>,
    /// A leader has finished.
    heard: Condvar,
}

#[derive(Debug, Default)]
struct Line {
    is_led: bool,
    /// How many leaders have finished.
    rounds: u64,
    next: u64,
    /// What is waited for (`None`: all of it), by place. A GPU finishes what came first before what came later, so the leader
    /// waits for the first.
    waiting: BTreeMap<u64, Option<wgpu::SubmissionIndex>>,
}

/// A thread's place among those that wait.
#[derive(Debug)]
pub(super) struct Place<'waiters> {
    waiters: &'waiters Waiters,
    number: u64,
}

/// Another thread leads; the number of its round.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Led(u64);

impl Waiters {
    /// A place behind all that wait.
    pub(super) fn place(&self, submission: Option<wgpu::SubmissionIndex>) -> Place<'_> {
        let mut line = self.line();
        let number = line.next;
        line.next += 1;
        line.waiting.insert(number, submission);
        Place { waiters: self, number }
    }

    /// Does `ask` as the leader, unless another thread leads.
    pub(super) fn lead<T>(&self, ask: impl FnOnce() -> T) -> Result<T, Led> {
        let mut line = self.line();
        if line.is_led {
            return Err(Led(line.rounds));
        }
        line.is_led = true;
        drop(line);
        let _end = End(self);
        Ok(ask())
    }

    /// Waits until the leader has finished, at most for so long.
    pub(super) fn follow(&self, led: Led, longest: Duration) {
        let line = self.line();
        let goes_on = |line: &mut Line| line.rounds == led.0;
        drop(self.heard.wait_timeout_while(line, longest, goes_on));
    }

    /// Waits as the leader for what the first waits for, unless another thread leads. `wait` says whether that is over; then the
    /// first need not wait any more.
    pub(super) fn lead_for_first<E>(
        &self,
        wait: impl FnOnce(Option<wgpu::SubmissionIndex>) -> Result<bool, E>,
    ) -> Result<Result<(), E>, Led> {
        self.lead(|| {
            let first = self
                .line()
                .waiting
                .first_key_value()
                .map(|(&place, of)| (place, of.clone()));
            let Some((place, submission)) = first else {
                return Ok(());
            };
            if wait(submission)? {
                self.line().waiting.remove(&place);
            }
            Ok(())
        })
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place<'_> {
    /// Whether a leader has heard that what is waited for is over.
    pub(super) fn is_over(&self) -> bool {
        !self.waiters.line().waiting.contains_key(&self.number)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.waiters.line().waiting.remove(&self.number);
    }
}

/// Ends a leader's round, after a panic too.
struct End<'waiters>(&'waiters Waiters);

impl Drop for End<'_> {
    fn drop(&mut self) {
        let mut line = self.0.line();
        line.is_led = false;
        line.rounds += 1;
        drop(line);
        self.0.heard.notify_all();
    }
}

#[cfg(test)]
#[allow(clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::thread;
    use std::time::Instant;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn one_leads_and_the_others_get_what_it_hears() {
        let waiters = Waiters::default();
        let inside = AtomicU32::new(0);
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let place = waiters.place(None);
                    while !place.is_over() {
                        let led = waiters.lead_for_first(|_| {
                            assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                            thread::yield_now();
                            assert_eq!(inside.fetch_sub(1, Ordering::SeqCst), 1);
                            Ok::<bool, ()>(true)
                        });
                        if let Err(led) = led {
                            waiters.follow(led, LONG);
                        }
                    }
                });
            }
        });
        assert!(waiters.line().waiting.is_empty());
    }

    #[test]
    fn who_has_heard_nothing_keeps_the_first_place() {
        let waiters = Waiters::default();
        let (first, second) = (waiters.place(None), waiters.place(None));
        assert_eq!(waiters.lead_for_first(|_| Ok::<bool, ()>(false)), Ok(Ok(())));
        assert!(!first.is_over() && !second.is_over());
        assert_eq!(waiters.lead_for_first(|_| Err(3)), Ok(Err(3)));
        assert!(!first.is_over());
        assert_eq!(waiters.lead_for_first(|_| Ok::<bool, ()>(true)), Ok(Ok(())));
        assert!(first.is_over() && !second.is_over());
        drop(second);
        assert_eq!(waiters.lead_for_first(|_| Err(4)), Ok(Ok(())), "nobody waits");
    }

    #[test]
    fn a_leader_that_panics_ends_its_round() {
        let waiters = Waiters::default();
        let led = waiters.lead(|| waiters.lead(|| ()).unwrap_err()).unwrap();
        waiters.follow(led, LONG); // has ended
        let panics = || waiters.lead(|| panic!("on purpose"));
        assert!(catch_unwind(AssertUnwindSafe(panics)).is_err());
        assert_eq!(waiters.lead(|| 5), Ok(5));
    }

    #[test]
    fn nobody_follows_for_longer_than_told() {
        let waiters = Waiters::default();
        let start = Instant::now();
        let follow = || waiters.follow(waiters.lead(|| ()).unwrap_err(), Duration::from_millis(5));
        waiters.lead(follow).unwrap();
        assert!(start.elapsed() >= Duration::from_millis(5));
    }
}
