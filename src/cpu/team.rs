//! The threads that run one hand together.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError, TryLockError};

use super::hand::Hand;
use super::share::Share;

/// The most positions of a hand that a team of several threads runs.
pub(super) const MOST_TOGETHER: usize = 16;

/// How often a thread looks before it lets another one have its core.
const SPINS: usize = 2000;

/// The shares of one hand, and what their threads exchange: h, after every step.
///
/// Nobody has to come: a thread runs its own share first, then every other one of the step that nobody has begun, and so
/// one thread alone gets to the end as well. What a share computes does not depend on who computes it, and a sum is made
/// within one share, so the bits do not depend on the threads. A thread waits only for a share that another thread is
/// running at that moment; it spins a while (a step is short), then gives its core away.
#[derive(Debug)]
pub(super) struct Team<'a> {
    hand: Hand<'a>,
    units: usize,
    /// h before the first step, one row for each position.
    begin: Vec<&'a [f32]>,
    shares: Vec<Mutex<Share<'a>>>,
    /// h before even steps and before odd steps, (2, positions, units), as bits.
    exchange: Vec<AtomicU32>,
    /// How many shares are done, of all steps together.
    done: Apart<AtomicUsize>,
    failed: AtomicBool,
}

/// On a line of the cache of its own, so that the spinning slows down nobody.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Apart<T>(T);

impl<'a> Team<'a> {
    pub(super) fn new(hand: Hand<'a>, units: usize, begin: Vec<&'a [f32]>, shares: Vec<Share<'a>>) -> Self {
        let exchanged = if shares.len() > 1 { hand.active(0) * units } else { 0 };
        let mut exchange = Vec::with_capacity(2 * exchanged);
        exchange.extend(
            begin
                .iter()
                .flat_map(|row| row.iter())
                .map(|h| AtomicU32::new(h.to_bits())),
        );
        exchange.truncate(exchanged);
        exchange.resize_with(2 * exchanged, AtomicU32::default);
        Self {
            hand,
            units,
            begin,
            shares: shares.into_iter().map(Mutex::new).collect(),
            exchange,
            done: Apart::default(),
            failed: AtomicBool::new(false),
        }
    }

    /// How many numbers a member needs room for.
    pub(super) fn exchanged(&self) -> usize {
        self.exchange.len() / 2
    }

    pub(super) fn into_shares(self) -> impl Iterator<Item = Share<'a>> {
        self.shares
            .into_iter()
            .map(|share| share.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    /// What member `member` does. `hidden` is its own room for h, (positions, units).
    pub(super) fn run(&self, member: usize, hidden: &mut [f32]) {
        match self.shares.as_slice() {
            [share] => self.run_alone(share),
            shares => {
                let _guard = Guard(&self.failed);
                self.run_member(shares, member, hidden);
            }
        }
    }

    /// One share is the whole hand: h of a step is read where the step before has put it.
    fn run_alone(&self, share: &Mutex<Share<'a>>) {
        let mut share = share.lock().unwrap_or_else(PoisonError::into_inner);
        let mut hidden = self.begin.clone();
        for _ in 0..self.hand.steps() {
            share.run(&hidden);
            hidden.clear();
            hidden.extend(share.take_next());
        }
    }

    fn run_member(&self, shares: &[Mutex<Share<'a>>], member: usize, hidden: &mut [f32]) {
        let half = self.exchange.len() / 2;
        let own_first = shares.iter().cycle().skip(member).take(shares.len());
        for step in 0..self.hand.steps() {
            if !self.wait(step * shares.len()) {
                return;
            }
            let values = self.hand.active(step) * self.units;
            let now = self.exchange.get(step % 2 * half..).unwrap_or_default();
            let hidden = hidden.get_mut(..values).unwrap_or_default();
            for (h, bits) in hidden.iter_mut().zip(now) {
                *h = f32::from_bits(bits.load(Ordering::Relaxed));
            }
            let mut rows: [&[f32]; MOST_TOGETHER] = [&[]; MOST_TOGETHER];
            for (row, hidden) in rows.iter_mut().zip(hidden.chunks_exact(self.units.max(1))) {
                *row = hidden;
            }
            for share in own_first.clone() {
                let mut share = match share.try_lock() {
                    Ok(share) => share,
                    Err(TryLockError::WouldBlock) => continue, // somebody runs it
                    Err(TryLockError::Poisoned(_)) => return,
                };
                // If the share is still at this step, the step was not over when h was copied: the copy is whole.
                if share.step() == step {
                    share.run(&rows);
                    self.publish(step + 1, half, &share);
                    drop(share);
                    self.done.0.fetch_add(1, Ordering::Release);
                }
            }
        }
    }

    fn publish(&self, step: usize, half: usize, share: &Share<'a>) {
        let begin = step % 2 * half + share.first_unit();
        for (position, row) in share.next().iter().enumerate() {
            let to = self.exchange.get(begin + position * self.units..).unwrap_or_default();
            for (bits, h) in to.iter().zip(row.iter()) {
                bits.store(h.to_bits(), Ordering::Relaxed);
            }
        }
    }

    /// Waits until so many shares are done; `false` if that will not come to pass.
    fn wait(&self, shares: usize) -> bool {
        let mut spins = 0;
        while self.done.0.load(Ordering::Acquire) < shares {
            if spins < SPINS {
                spins += 1;
                std::hint::spin_loop();
            } else if self.failed.load(Ordering::Relaxed) {
                return false;
            } else {
                std::thread::yield_now();
            }
        }
        true
    }
}

/// Tells the others when its thread panics, which would leave them waiting.
struct Guard<'a>(&'a AtomicBool);

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.store(true, Ordering::Relaxed);
        }
    }
}
