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
use crate::cpu::threads::crew::Crew;
use crate::cpu::threads::exchange::BLOCK;
use crate::cpu::threads::hand::Hand;
use crate::cpu::threads::split::Split;
use crate::error::Result;

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
            kept.lanes.resize(all * weights.lanes * weights.units)?;
            kept.cell_states.resize(states * weights.units)?;
        }
        let rows_run = match self.split.members {
            1 => self.by_hands(states, (scratch, kept.as_deref_mut()), rows),
            _ => self.by_crews(states, (scratch, kept.as_deref_mut()), rows),
        }?;
        if let Some(kept) = kept {
            (kept.hands, kept.members) = (self.split.hands, self.split.members);
        }
        Ok(rows_run)
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
            self.collect_kept(scratch, kept);
        }
        Ok(rows_run)
    }

    /// Puts what the members have kept of their units together.
    fn collect_kept(&self, scratch: &[Scratch], kept: &mut Kept) {
        let mut all = KeptRows::all(kept);
        let units = self.weights.units;
        for (hand, scratch) in scratch.chunks(self.split.members).enumerate() {
            let parts: Vec<_> = (0..scratch.len())
                .map(|member| self.part(hand, member).units())
                .collect();
            let own: Vec<_> = scratch.iter().zip(&parts).collect();
            let mut whole = self.part(hand, 0);
            whole.panels = 0..units.div_ceil(self.path.tile().0);
            let KeptRows { lanes, cell_states } = all.taken(whole.kept());
            // a row has its lanes, as a cell state is one of them
            let each = |from: fn(&Scratch) -> &[f32], to: &mut [f32], first: usize| {
                for (row, to) in (first..).zip(to.chunks_exact_mut(units.max(1))) {
                    for (scratch, units) in &own {
                        let from = from(scratch).chunks_exact(units.len().max(1)).nth(row);
                        if let (Some(from), Some(to)) = (from, to.get_mut((*units).clone())) {
                            to.copy_from_slice(from);
                        }
                    }
                }
            };
            let chunk = ROWS_PER_TASK * units.max(1);
            let lanes = lanes.par_chunks_mut(chunk).enumerate();
            lanes.for_each(|(task, to)| each(|scratch| &scratch.kept_lanes, to, task * ROWS_PER_TASK));
            each(|scratch| &scratch.kept_cell_states, cell_states, 0);
        }
    }

    /// Copies the units of a share into the rows of the schedule.
    fn collect(&self, hand: usize, share: &PanelShare<'_>, rows: &mut [f32]) {
        let (hand, units) = (self.hand(hand), share.units());
        let numbers = (0..hand.steps()).flat_map(|step| hand.rows_of(step));
        for (number, from) in numbers.zip(share.outputs()) {
            let begin = number * self.weights.units;
            if let Some(to) = rows.get_mut(begin + units.start..begin + units.end) {
                to.copy_from_slice(from);
            }
        }
    }
}
