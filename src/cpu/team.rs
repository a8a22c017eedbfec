//! The threads that run one hand together.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError, TryLockError};

use crate::cpu::buffer::Buffers;
use crate::cpu::list::List;

use super::exchange::{BLOCK, Exchange, Found};
use super::hand::Hand;
use super::share::Share;
use crate::error::Result;

/// The most positions of a hand that a team of several threads runs.
pub(super) const MOST_TOGETHER: usize = 16;

/// How often a member looks for h of another one before it looks whether that one is there at all: a few microseconds.
/// Looking there takes a line of the cache away from the other, so it is not done in vain.
const PATIENCE: usize = 100;

/// After so many such looks it lets another thread have its core.
const LOOKS: usize = 10;

/// The shares of one hand. Each member runs its own one, step by step, and gets h of the others from the exchange.
///
/// Nobody has to come: while a member waits, it runs the shares of those that are not there, and so one thread alone gets
/// to the end as well. What a share computes does not depend on who computes it, and a sum is made within one share, so the
/// bits do not depend on the threads. A member waits only for a share that another thread is running at that moment; it
/// spins for a while (a step is short), then gives its core away.
#[derive(Debug)]
pub(super) struct Team<'a> {
    hand: Hand<'a>,
    units: usize,
    /// h before the first step, one row for each position.
    begin: List<'a, &'a [f32]>,
    shares: List<'a, Mutex<Share<'a>>>,
    exchange: Exchange<'a>,
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

impl<'a> Team<'a> {
    pub(super) fn new(
        hand: Hand<'a>,
        units: usize,
        begin: List<'a, &'a [f32]>,
        shares: List<'a, Mutex<Share<'a>>>,
        buffers: &'a Buffers,
    ) -> Result<Self> {
        let rows = if shares.len() > 1 { begin.len() } else { 0 };
        let exchange = Exchange::new(rows, units, buffers)?;
        for (position, row) in begin.iter().enumerate().take(rows) {
            exchange.write(0, position, 0, row);
        }
        Ok(Self {
            hand,
            units,
            begin,
            shares,
            exchange,
            failed: AtomicBool::new(false),
        })
    }

    /// How many numbers a member needs room for.
    pub(super) fn room(&self) -> usize {
        match self.shares.len() {
            1 => 0,
            _ => 2 * self.begin.len() * self.exchange.stride(),
        }
    }

    /// The shares, while no member runs.
    pub(super) fn shares(&mut self) -> impl Iterator<Item = &mut Share<'a>> {
        let shares = self.shares.iter_mut();
        shares.map(|share| share.get_mut().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes a row of h, which its shares will write.
    pub(super) fn deal(&mut self, row: &'a mut [f32]) {
        self.shares().fold(row, |row, share| share.deal(row));
    }

    /// What member `number` of several does, in a room of its own.
    pub(super) fn run(&self, number: usize, room: &mut [f32]) {
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

    /// One share is the whole hand: h of a step is read where the step before has put it.
    pub(super) fn run_alone(&mut self) {
        let Some(share) = self.shares.first_mut() else { return };
        let share = share.get_mut().unwrap_or_else(PoisonError::into_inner);
        for _ in 0..self.hand.steps() {
            share.run(&self.begin);
            self.begin.clear();
            self.begin.extend(share.take_next());
        }
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
    fn run_share(&self, share: &mut Share<'a>, step: usize, hidden: &[f32]) {
        if share.step() != step {
            return;
        }
        let mut rows: [&[f32]; MOST_TOGETHER] = [&[]; MOST_TOGETHER];
        for (row, hidden) in rows.iter_mut().zip(hidden.chunks_exact(self.exchange.stride().max(1))) {
            *row = hidden.get(..self.units).unwrap_or_default();
        }
        share.run(&rows);
        for (position, row) in share.next().iter().enumerate() {
            self.exchange.write(step + 1, position, share.first_unit(), row);
        }
    }

    /// Reads h before the member's step; a member that is late goes on to the step where the others are. `false` if h will
    /// not come.
    fn read(&self, member: &mut Member<'_>) -> bool {
        let mut waited = (0, 0);
        'step: loop {
            // all that run in the step before have written h
            let rows = self.hand.active(member.step.saturating_sub(1));
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
            for share in self.shares.iter() {
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
#[path = "team_tests.rs"]
mod tests;
