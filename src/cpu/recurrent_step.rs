//! `recurrent_step`: input projection, recurrent product, gates and state update of one LSTM, step by step.

use std::ops::Range;
use std::sync::Mutex;

use rayon::prelude::*;

use crate::cpu::list::List;

use super::buffer::Buffers;
use super::exchange::BLOCK;
use super::gates::Weights;
use super::hand::{Hand, Reading, dealt};
use super::kept::Kept;
use super::panels::Panels;
use super::path::Path;
use super::plan::{Plan, Sizes};
use super::rowwise_step;
use super::share::Share;
use super::team::Team;
use super::threads;
use crate::error::Result;
use crate::model::plan::PlannedCell as Cell;
use crate::settings::Precision;

/// One LSTM, ready to run.
#[derive(Debug)]
pub(super) struct Recurrent {
    path: Path,
    units: usize,
    features: usize,
    weights: Prepared,
    kept: Kept,
}

#[derive(Debug)]
enum Prepared {
    Panels(Box<Weights>),
    /// An activation that needs all units of a row at once.
    Rowwise(Box<Cell>),
}

impl Recurrent {
    pub(super) fn new(cell: &Cell, path: Path, precision: Precision) -> Self {
        let (cell, kept) = Kept::choose(cell, path, precision);
        let format = kept.format();
        let (lanes, _) = path.tile();
        let units = cell.units();
        let weights = if cell.activation().is_rowwise() || cell.recurrent_activation().is_rowwise() {
            Prepared::Rowwise(Box::new(cell.as_ref().clone()))
        } else {
            Prepared::Panels(Box::new(Weights {
                kernel: Panels::new(cell.weights.kernel.view(), lanes, format),
                recurrent_kernel: Panels::new(cell.weights.recurrent_kernel.view(), lanes, format),
                bias: Panels::of_bias(cell.bias().as_ref(), units, lanes),
                activation: cell.activation(),
                recurrent_activation: cell.recurrent_activation(),
            }))
        };
        Self {
            path,
            units,
            features: cell.features(),
            weights,
            kept,
        }
    }

    /// Runs a schedule from h and c of each sequence, (batch, units) each, and leaves the final ones there. h of every row
    /// goes to `rows`. Gives how many rows were run.
    pub(super) fn run(
        &self,
        reading: Reading<'_>,
        (hidden, cell): (&mut [f32], &mut [f32]),
        buffers: &Buffers,
        rows: &mut [f32],
    ) -> Result<usize> {
        let schedule = reading.schedule;
        if schedule.rows() == 0 {
            return Ok(0);
        }
        let rows_run = match &self.weights {
            Prepared::Panels(weights) => self.run_panels(weights, reading, (hidden, cell), buffers, rows)?,
            Prepared::Rowwise(part) => rowwise_step::run(part, reading, (hidden, cell), rows)?,
        };
        for (position, &sequence) in schedule.order().iter().enumerate() {
            let row = schedule
                .last_row(position)
                .and_then(|row| rows.get(row * self.units..(row + 1) * self.units));
            let sequence = sequence as usize;
            let to = hidden.get_mut(sequence * self.units..(sequence + 1) * self.units);
            if let (Some(row), Some(to)) = (row, to) {
                to.copy_from_slice(row);
            }
        }
        Ok(rows_run)
    }

    /// Gives how many rows were run.
    fn run_panels(
        &self,
        weights: &Weights,
        reading: Reading<'_>,
        (hidden, cell): (&[f32], &mut [f32]),
        buffers: &Buffers,
        rows: &mut [f32],
    ) -> Result<usize> {
        let schedule = reading.schedule;
        let plan = self.plan(schedule.active(0), schedule.rows());
        let mut teams: List<'_, Team<'_>> = buffers.list(plan.hands)?;
        for first in 0..plan.hands {
            let hand = Hand {
                reading,
                first,
                hands: plan.hands,
            };
            let mut begin = buffers.list(hand.active(0))?;
            let sequences = hand.sequences().take(hand.active(0));
            begin.extend(
                sequences.filter_map(|sequence| hidden.get(sequence * self.units..(sequence + 1) * self.units)),
            );
            let mut shares = buffers.list(plan.members)?;
            for panels in self.shares(plan.members) {
                let share = Share::new(self.path, weights, hand, panels, cell, buffers)?;
                shares.push(Mutex::new(share));
            }
            teams.push(Team::new(hand, self.units, begin, shares, buffers)?);
        }
        let rows = rows.chunks_exact_mut(self.units.max(1));
        for (row, hand) in rows.zip(dealt(schedule, plan.hands)) {
            if let Some(team) = teams.get_mut(hand) {
                team.deal(row);
            }
        }
        if plan.members > 1 {
            // the first hand has most positions
            let room = teams.first().map_or(0, Team::room).max(1);
            let mut rooms = buffers.take(plan.hands * plan.members * room)?;
            let rooms = rooms.par_chunks_exact_mut(room).enumerate();
            rooms.with_max_len(1).for_each(|(number, room)| {
                if let Some(team) = teams.get(number % plan.hands) {
                    team.run(number / plan.hands, room);
                }
            });
        } else if plan.hands > 1 {
            teams.par_iter_mut().with_max_len(1).for_each(Team::run_alone);
        } else {
            teams.iter_mut().for_each(Team::run_alone);
        }
        let mut rows_run = 0;
        for share in teams.iter_mut().flat_map(Team::shares) {
            // every member of a team runs the rows of the team
            if share.first_unit() == 0 {
                rows_run += share.rows_run();
            }
            share.finish(cell);
        }
        Ok(rows_run)
    }

    /// How a run of `rows` valid steps of `batch` sequences is split.
    fn plan(&self, batch: usize, rows: usize) -> Plan {
        let (_, tile_rows) = self.path.tile();
        Plan::new(
            threads::count,
            Sizes {
                batch,
                rows,
                features: self.features,
                units: self.units,
                tile_rows,
            },
        )
    }

    /// How a run of so many sequences, none of them padded, goes.
    pub(super) fn explain(&self, batch: usize, time_steps: usize) -> String {
        let (_, tile_rows) = self.path.tile();
        let work = match self.weights {
            Prepared::Rowwise(_) => "an activation over all units of a row: one product of arrays a step".to_owned(),
            Prepared::Panels(_) => self
                .plan(batch, batch.saturating_mul(time_steps))
                .explain(batch, tile_rows),
        };
        format!(
            "{} features, {} units: {work}; {}",
            self.features,
            self.units,
            self.kept.explain()
        )
    }

    /// The panels of each member of a team: as many as fill whole blocks of what the members exchange.
    fn shares(&self, members: usize) -> impl Iterator<Item = Range<usize>> + use<> {
        let (lanes, _) = self.path.tile();
        let (panels, block) = (self.units.div_ceil(lanes), (BLOCK / lanes).max(1));
        let blocks = panels.div_ceil(block);
        let first = move |member: usize| (member * blocks / members * block).min(panels);
        (0..members).map(move |member| first(member)..first(member + 1))
    }
}
