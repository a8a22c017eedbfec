//! The threads that run one hand together.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError, TryLockError};

use super::exchange::{BLOCK, Exchange, Found};
use super::hand::Hand;
use crate::cpu::product::tile::Rows;
use crate::error::Result;

/// The most positions of a hand that a crew runs.
pub(crate) const MOST_TOGETHER: usize = 16;

/// How often a member looks for h of another one before it looks whether that one is there at all: a few microseconds.
/// Looking there takes a line of the cache away from the other, so it is not done in vain.
const PATIENCE: usize = 100;

/// After so many such looks it lets another thread have its core.
const LOOKS: usize = 10;

/// What one member of a crew computes, step by step: h of some units of all sequences of a hand.
pub(crate) trait Share: Send {
    /// The step that comes next.
    fn step(&self) -> usize;

    /// The first unit; a share has whole blocks of the exchange.
    fn first_unit(&self) -> usize;

    /// Runs the next step, from h of all units.
    fn run(&mut self, hidden: Rows<'_>);

    /// h of the step that was run last: a row for each sequence that ran in it, its own units alone.
    fn next(&self) -> impl Iterator<Item = &[f32]>;
}

/// The shares of one hand. Each member runs its own one, step by step, and gets h of the others from the exchange.
///
/// Nobody has to come: while a member waits, it runs the shares of those that are not there, and so one thread alone gets
/// to the end as well. What a share computes does not depend on who computes it, and a sum is made within one share, so the
/// bits do not depend on the threads. A member waits only for a share that another thread is running at that moment; it
/// spins for a while (a step is short), then gives its core away.
#[derive(Debug)]
pub(crate) struct Crew<'a, S> {
    hand: Hand<'a>,
    /// Whether the last step of the hand is the first to run.
    backwards: bool,
    shares: Vec<Mutex<S>>,
    exchange: Exchange,
    failed: AtomicBool,
}

/// What a member knows.
#[derive(Debug)]
struct Member<'m> {
    /// h before `step`, as far as it was read, and h before the step before, if `knows_previous`: (positions, stride) each.
    hidden: &'m mut [f32],
    previous: &'m mut [f32],
    step: usize,
    knows_previous: bool,
    patience: usize,
}

impl<'a, S: Share> Crew<'a, S> {
    /// From the first step of the hand on. `begin` has h of each sequence of the batch before the first step, (batch, units).
    pub(crate) fn new(hand: Hand<'a>, units: usize, begin: &[f32], shares: Vec<Mutex<S>>) -> Result<Self> {
        let exchange = Exchange::new(hand.active(0), units)?;
        for (position, sequence) in hand.sequences().take(hand.active(0)).enumerate() {
            let row = begin.get(sequence * units..(sequence + 1) * units);
            exchange.write(0, position, 0, row.unwrap_or_default());
        }
        Ok(Self {
            hand,
            backwards: false,
            shares,
            exchange,
            failed: AtomicBool::new(false),
        })
    }

    /// A crew that runs the last step of the hand first. What the others tell are gradients; there are none before a sequence begins.
    pub(crate) fn backwards(hand: Hand<'a>, units: usize, shares: Vec<Mutex<S>>) -> Result<Self> {
        Ok(Self {
            hand,
            backwards: true,
            shares,
            exchange: Exchange::new(hand.active(0), units)?,
            failed: AtomicBool::new(false),
        })
    }

    /// How many rows there are to read before a step: those that ran in the step before.
    fn rows_before(&self, step: usize) -> usize {
        match (self.backwards, step.checked_sub(1)) {
            (false, before) => self.hand.active(before.unwrap_or(0)),
            (true, None) => 0,
            (true, Some(_)) => self.hand.active(self.hand.steps().saturating_sub(step)),
        }
    }

    /// How many numbers a member needs room for, of a hand of `positions` sequences.
    pub(crate) fn room(positions: usize, units: usize) -> usize {
        2 * positions * Exchange::stride_of(units)
    }

    /// The shares, after all members have run.
    pub(crate) fn into_shares(self) -> impl Iterator<Item = S> {
        let shares = self.shares.into_iter();
        shares.map(|share| share.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    /// What member `number` of several does, in a room of its own.
    pub(crate) fn run(&self, number: usize, room: &mut [f32]) {
        let _guard = Guard(&self.failed);
        let (hidden, previous) = room.split_at_mut(room.len() / 2);
        let member = Member {
            hidden,
            previous,
            step: 0,
            knows_previous: false,
            patience: PATIENCE,
        };
        self.run_member(number, member);
    }

    fn run_member(&self, number: usize, mut member: Member<'_>) {
        let Some(own) = self.shares.get(number) else { return };
        // h after the last step is waited for too: then all shares are done
        while self.read(&mut member) && member.step < self.hand.steps() {
            match own.lock() {
                Ok(mut share) => self.run_share(&mut share, member.step, member.hidden),
                Err(_) => return, // its thread has panicked
            }
            std::mem::swap(&mut member.hidden, &mut member.previous);
            member.knows_previous = true;
            member.step += 1;
        }
    }

    /// Runs a share that is at this step, from h of all units, and tells the others. A share that is further is done.
    fn run_share(&self, share: &mut S, step: usize, hidden: &[f32]) {
        if share.step() != step {
            return;
        }
        share.run(Rows {
            values: hidden,
            stride: self.exchange.stride(),
        });
        for (position, row) in share.next().enumerate() {
            self.exchange.write(step + 1, position, share.first_unit(), row);
        }
    }

    /// Reads h before the member's step; a member that is late goes on to the step where the others are. `false` if h will
    /// not come.
    fn read(&self, member: &mut Member<'_>) -> bool {
        let mut waited = (0, 0);
        'step: loop {
            // all that run in the step before have written h
            let rows = self.rows_before(member.step);
            for row in 0..rows {
                for block in 0..self.exchange.blocks_of_row() {
                    loop {
                        let begin = row * self.exchange.stride() + block * BLOCK;
                        let values = member.hidden.get_mut(begin..begin + BLOCK).unwrap_or_default();
                        match self.exchange.read(member.step, row, block, values) {
                            Found::Ready => break,
                            Found::Later(step) => {
                                member.step = step;
                                member.knows_previous = false;
                                continue 'step;
                            }
                            Found::Missing => {
                                if !self.wait(member, &mut waited) {
                                    return false;
                                }
                            }
                        }
                    }
                }
            }
            return true;
        }
    }

    /// Waits a moment, and after some moments does what others have not begun.
    fn wait(&self, member: &mut Member<'_>, (spins, looks): &mut (usize, usize)) -> bool {
        *spins += 1;
        if *spins < member.patience {
            std::hint::spin_loop();
            return true;
        }
        *spins = 0;
        member.patience = PATIENCE;
        if let (true, Some(step)) = (member.knows_previous, member.step.checked_sub(1)) {
            for share in &self.shares {
                match share.try_lock() {
                    Ok(mut share) if share.step() == step => {
                        self.run_share(&mut share, step, member.previous);
                        // whoever should do it is not there: next time he is not waited for
                        member.patience = 0;
                    }
                    Ok(_) | Err(TryLockError::WouldBlock) => {}
                    Err(TryLockError::Poisoned(_)) => return false,
                }
            }
        }
        *looks += 1;
        if *looks > LOOKS && member.patience > 0 {
            std::thread::yield_now();
        }
        !self.failed.load(Ordering::Relaxed)
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

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]
#[path = "crew_tests.rs"]
mod tests;
