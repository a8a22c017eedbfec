//! A recurrence by panels: hands over threads, or the panels of each hand over a crew.

use std::ops::Range;
use std::sync::Mutex;

use rayon::prelude::*;

use super::recurrent_step::KeptRows;
use super::share::{Memory, PanelShare, Part};
use super::work::{Before, Work, place_rows};
use crate::cpu::cell::Weights;
use crate::cpu::memory::buffer::reserve;
use crate::cpu::memory::workspace::{Kept, Scratch, StageRows};
use crate::cpu::product::matrix::ROWS_PER_TASK;
use crate::cpu::product::path::Path;
use crate::cpu::product::rows::row_of;
use crate::cpu::threads::crew::Crew;
use crate::cpu::threads::exchange::BLOCK;
use crate::cpu::threads::hand::Hand;
use crate::cpu::threads::pool;
use crate::cpu::threads::split::Split;
use crate::error::Result;
use crate::memory::RUN;

/// A recurrence over its schedule, and how it is split.
#[derive(Clone, Copy, Debug)]
pub(super) struct Panelled<'a> {
    pub(super) path: Path,
    pub(super) weights: &'a Weights,
    pub(super) work: Work<'a>,
    pub(super) split: Split,
}

impl Panelled<'_> {
    /// Runs all steps, with one `scratch` for each member of each hand. Gives how many rows were run.
    pub(super) fn run(
        self,
        states: Before<'_>,
        (scratch, mut kept): (&mut [Scratch], Option<&mut Kept>),
        rows: &mut StageRows,
    ) -> Result<usize> {
        if let Some(kept) = &mut kept {
            let (all, weights) = (self.work.schedule.rows(), self.weights);
            let initial = self.work.schedule.active(0);
            let states = if weights.has_cell_state { initial + all } else { 0 };
            kept.hands = 0;
            kept.members = 0;
            kept.lanes.resize(all * weights.lanes * weights.units)?;
            kept.cell_states.resize(states * weights.units)?;
        }
        let rows_run = match self.split.members {
            1 => self.by_hands(states, (scratch, kept.as_deref_mut()), rows),
            _ => self.by_crews(states, (scratch, kept.as_deref_mut()), rows),
        }?;
        if let Some(kept) = kept {
            (kept.hands, kept.members) = self.kept_for();
        }
        Ok(rows_run)
    }

    /// Over how many hands what is kept lies dealt out, and over how many members the way back may split the units of each: where they are not
    /// finished by panels there, every thread gets sequences of its own instead.
    fn kept_for(&self) -> (usize, usize) {
        match (self.split.members, self.weights.leaves()) {
            (1, _) | (_, true) => (self.split.hands, self.split.members),
            _ => (pool::count().clamp(1, self.work.schedule.active(0).max(1)), 1),
        }
    }

    fn hand(&self, first: usize) -> Hand<'_> {
        Hand {
            schedule: self.work.schedule,
            first,
            hands: self.split.hands,
        }
    }

    /// What member `member` of a hand computes.
    fn part(&self, hand: usize, member: usize) -> Part<'_> {
        Part {
            path: self.path,
            weights: self.weights,
            gathered: self.work.gathered,
            hand: self.hand(hand),
            panels: self.panels(member),
        }
    }

    /// The panels of a member of a crew: as many as fill whole blocks of what the members exchange.
    fn panels(&self, member: usize) -> Range<usize> {
        let (width, members) = (self.path.tile().0, self.split.members);
        let (panels, block) = (self.weights.units.div_ceil(width), (BLOCK / width).max(1));
        let blocks = panels.div_ceil(block);
        let first = |member: usize| (member * blocks / members * block).min(panels);
        first(member)..first(member + 1)
    }

    /// Each thread runs the sequences of a hand.
    fn by_hands(
        self,
        (hidden, cell_state): Before<'_>,
        (scratch, kept): (&mut [Scratch], Option<&mut Kept>),
        rows: &mut StageRows,
    ) -> Result<usize> {
        let mut all_kept = kept.map_or_else(KeptRows::default, KeptRows::all);
        place_rows(self.work.schedule, self.split.hands, &mut rows.places)?;
        let block = |hand| self.part(hand, 0).outputs();
        let mut blocks = rows.values.resize((0..self.split.hands).map(block).sum())?;
        let mut shares = Vec::new();
        reserve(&mut shares, self.split.hands)?;
        for (hand, scratch) in scratch.iter_mut().enumerate() {
            let part = self.part(hand, 0);
            part.prepare(scratch)?;
            let (outputs, rest) = blocks.split_at_mut(part.outputs().min(blocks.len()));
            blocks = rest;
            let memory = Memory {
                cell_state: &mut scratch.cell_state,
                projected: &mut scratch.projected,
                sums: &mut scratch.sums,
                inputs: &mut scratch.inputs,
                outputs,
                kept: all_kept.taken(part.kept()),
            };
            shares.push(PanelShare::new(part, memory, (hidden, cell_state)));
        }
        let rows_run = match self.split.hands {
            1 => shares.into_iter().map(PanelShare::run_alone).sum(),
            _ => shares.into_par_iter().with_max_len(1).map(PanelShare::run_alone).sum(),
        };
        for (hand, scratch) in scratch.iter().enumerate() {
            self.part(hand, 0).finish(&scratch.cell_state, cell_state);
        }
        Ok(rows_run)
    }

    /// A crew of threads runs the sequences of each hand.
    fn by_crews(
        self,
        (hidden, cell_state): Before<'_>,
        (scratch, kept): (&mut [Scratch], Option<&mut Kept>),
        rows: &mut StageRows,
    ) -> Result<usize> {
        let Split { hands, members } = self.split;
        rows.values.resize(self.work.schedule.rows() * self.weights.units)?;
        let (mut crews, mut rooms) = (Vec::new(), Vec::new());
        reserve(&mut crews, hands)?;
        reserve(&mut rooms, hands * members)?;
        for (hand, scratch) in scratch.chunks_mut(members).enumerate() {
            let mut shares = Vec::new();
            reserve(&mut shares, members)?;
            for (member, scratch) in scratch.iter_mut().enumerate() {
                let part = self.part(hand, member);
                part.prepare(scratch)?;
                scratch.outputs.resize(part.outputs())?;
                let [lanes, cell_states] = if kept.is_some() { part.kept() } else { [0; 2] };
                let kept = KeptRows {
                    lanes: scratch.kept_lanes.resize(lanes)?,
                    cell_states: scratch.kept_cell_states.resize(cell_states)?,
                };
                let room = Crew::<PanelShare<'_>>::room(part.hand.active(0), self.weights.units);
                rooms.push((hand, member, scratch.hidden.resize(room)?));
                let memory = Memory {
                    cell_state: &mut scratch.cell_state,
                    projected: &mut scratch.projected,
                    sums: &mut scratch.sums,
                    inputs: &mut scratch.inputs,
                    outputs: &mut scratch.outputs,
                    kept,
                };
                shares.push(Mutex::new(PanelShare::new(part, memory, (hidden, cell_state))));
            }
            crews.push(Crew::new(self.hand(hand), self.weights.units, hidden, shares)?);
        }
        rooms.into_par_iter().with_max_len(1).for_each(|(hand, member, room)| {
            if let Some(crew) = crews.get(hand) {
                crew.run(member, room);
            }
        });
        let mut rows_run = 0;
        for (hand, crew) in crews.into_iter().enumerate() {
            for (member, share) in crew.into_shares().enumerate() {
                // every member of a crew runs the rows of the hand
                rows_run += if member == 0 { share.rows_run() } else { 0 };
                self.collect(hand, &share, &mut rows.values);
            }
        }
        for (hand, scratch) in scratch.chunks(members).enumerate() {
            for (member, scratch) in scratch.iter().enumerate() {
                self.part(hand, member).finish(&scratch.cell_state, cell_state);
            }
        }
        if let Some(kept) = kept {
            self.collect_kept(scratch, kept)?;
        }
        Ok(rows_run)
    }

    /// Puts what the members have kept of their units together.
    fn collect_kept(&self, scratch: &[Scratch], kept: &mut Kept) -> Result<()> {
        let (units, all) = (self.weights.units, self.work.schedule.rows());
        let (own, members) = (&self.own_units()[..], self.split.members.max(1));
        // for each row which hand has run it, and which row of that hand it was
        let mut run_by = RUN.filled(all, (0, 0))?;
        for hand in 0..self.split.hands {
            let rows = rows_of(self.hand(hand)).enumerate();
            rows.for_each(|(number, row)| run_by.get_mut(row).into_iter().for_each(|to| *to = (hand, number)));
        }
        let hands = self.kept_for().0;
        let mut order = RUN.list(all)?;
        for first in 0..hands {
            let schedule = self.work.schedule;
            let hand = Hand { schedule, first, hands };
            order.extend(rows_of(hand).filter_map(|row| run_by.get(row).copied()));
        }
        let width = self.weights.lanes * units;
        let lanes = kept.lanes.par_chunks_mut((ROWS_PER_TASK * width).max(1));
        lanes.zip(order.par_chunks(ROWS_PER_TASK)).for_each(|(lanes, order)| {
            for (to, &(hand, row)) in lanes.chunks_exact_mut(width.max(1)).zip(order) {
                let scratch = scratch.chunks(members).nth(hand).unwrap_or_default();
                for (lane, to) in to.chunks_exact_mut(units.max(1)).enumerate() {
                    let lane = row * self.weights.lanes + lane;
                    put(scratch.iter().map(|scratch| &*scratch.kept_lanes), own, lane, to);
                }
            }
        });
        if self.weights.leaves() {
            let mut states = kept.cell_states.chunks_exact_mut(units.max(1));
            for (hand, scratch) in scratch.chunks(members).enumerate() {
                let count = self.hand(hand).active(0) + self.hand(hand).rows();
                for (row, to) in states.by_ref().take(count).enumerate() {
                    put(scratch.iter().map(|scratch| &*scratch.kept_cell_states), own, row, to);
                }
            }
        } // else the way back makes them of the lanes
        Ok(())
    }

    /// The units of each member of a hand.
    fn own_units(&self) -> Vec<Range<usize>> {
        (0..self.split.members)
            .map(|member| self.part(0, member).units())
            .collect()
    }

    /// Copies the units of a share into the rows of the schedule.
    fn collect(&self, hand: usize, share: &PanelShare<'_>, rows: &mut [f32]) {
        let (hand, units) = (self.hand(hand), share.units());
        for (number, from) in rows_of(hand).zip(share.outputs()) {
            let begin = number * self.weights.units;
            if let Some(to) = rows.get_mut(begin + units.start..begin + units.end) {
                to.copy_from_slice(from);
            }
        }
    }
}

/// The rows of a hand, step by step.
fn rows_of(hand: Hand<'_>) -> impl Iterator<Item = usize> {
    (0..hand.steps()).flat_map(move |step| hand.rows_of(step))
}

/// Puts row `number` of the units of each member into a row of all units.
fn put<'a>(members: impl Iterator<Item = &'a [f32]>, own: &[Range<usize>], number: usize, to: &mut [f32]) {
    for (from, units) in members.zip(own) {
        let from = row_of(from, units.len(), number);
        if let Some(to) = to.get_mut(units.clone()).filter(|to| to.len() == from.len()) {
            to.copy_from_slice(from);
        }
    }
}
