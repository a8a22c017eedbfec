//! `recurrent_step`: input projection, recurrent product, gates and state update of one LSTM, step by step.

use std::ops::Range;

use rayon::prelude::*;

use super::buffer::{Buffer, Buffers};
use super::exchange::BLOCK;
use super::gates::Weights;
use super::hand::{Hand, Reading, deal};
use super::kept::Kept;
use super::panels::Panels;
use super::path::Path;
use super::plan::{Plan, Sizes};
use super::rowwise_step;
use super::share::Share;
use super::team::Team;
use super::threads;
use crate::model::parts::Cell;
use crate::settings::Precision;
use crate::state::State;

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
        let weights = if cell.activation.is_rowwise() || cell.recurrent_activation.is_rowwise() {
            Prepared::Rowwise(Box::new(cell.as_ref().clone()))
        } else {
            Prepared::Panels(Box::new(Weights {
                kernel: Panels::new(cell.weights.kernel.view(), lanes, format),
                recurrent_kernel: Panels::new(cell.weights.recurrent_kernel.view(), lanes, format),
                bias: Panels::of_bias(cell.weights.bias.as_ref(), units, lanes),
                activation: cell.activation,
                recurrent_activation: cell.recurrent_activation,
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

    /// Runs a schedule. Gives h of every row and how many rows were run, and leaves the final state in `state`.
    pub(super) fn run<'b>(&self, reading: Reading<'_>, state: &mut State, buffers: &'b Buffers) -> (Buffer<'b>, usize) {
        let schedule = reading.schedule;
        let mut hidden = buffers.take(schedule.rows() * self.units);
        if schedule.rows() == 0 {
            return (hidden, 0);
        }
        in_one_piece(&mut state.hidden);
        in_one_piece(&mut state.cell);
        let rows_run = match &self.weights {
            Prepared::Panels(weights) => self.run_panels(weights, reading, state, buffers, &mut hidden),
            Prepared::Rowwise(cell) => rowwise_step::run(cell, reading, state, &mut hidden),
        };
        let rows = schedule.order().iter().enumerate();
        for (position, &sequence) in rows {
            let row = schedule
                .last_row(position)
                .and_then(|row| hidden.get(row * self.units..(row + 1) * self.units));
            let mut to = state.hidden.row_mut(sequence as usize);
            if let (Some(row), Some(to)) = (row, to.as_slice_mut()) {
                to.copy_from_slice(row);
            }
        }
        (hidden, rows_run)
    }

    /// Gives how many rows were run.
    fn run_panels(
        &self,
        weights: &Weights,
        reading: Reading<'_>,
        state: &mut State,
        buffers: &Buffers,
        hidden: &mut [f32],
    ) -> usize {
        let schedule = reading.schedule;
        let plan = self.plan(schedule.active(0), schedule.rows());
        let cells = state.cell.as_slice().unwrap_or_default();
        let outputs = deal(schedule, plan.hands, hidden.chunks_exact_mut(self.units.max(1)));
        let teams: Vec<Team<'_>> = outputs
            .into_iter()
            .enumerate()
            .map(|(first, outputs)| {
                let hand = Hand {
                    reading,
                    first,
                    hands: plan.hands,
                };
                let begin = hand.sequences().take(hand.active(0));
                let begin = begin
                    .filter_map(|sequence| state.hidden.row(sequence).to_slice())
                    .collect();
                let shares = self
                    .shares(plan.members)
                    .zip(self.columns(outputs, plan.members))
                    .map(|(panels, outputs)| Share::new(self.path, weights, hand, panels, cells, outputs, buffers))
                    .collect();
                Team::new(hand, self.units, begin, shares)
            })
            .collect();
        let room = |team: usize| teams.get(team).map_or(0, Team::room);
        let members: Vec<(usize, usize, Buffer<'_>)> = (0..plan.members)
            .flat_map(|member| (0..plan.hands).map(move |team| (team, member)))
            .map(|(team, member)| (team, member, buffers.take(room(team))))
            .collect();
        let run = |(team, member, mut room): (usize, usize, Buffer<'_>)| {
            if let Some(team) = teams.get(team) {
                team.run(member, &mut room);
            }
        };
        if members.len() == 1 {
            members.into_iter().for_each(run);
        } else {
            members.into_par_iter().with_max_len(1).for_each(run);
        }
        let shares: Vec<Share<'_>> = teams.into_iter().flat_map(Team::into_shares).collect();
        // every member of a team runs the rows of the team
        let rows_run = shares
            .iter()
            .filter(|share| share.first_unit() == 0)
            .map(Share::rows_run)
            .sum();
        if let Some(cells) = state.cell.as_slice_mut() {
            shares.into_iter().for_each(|share| share.finish(cells));
        }
        rows_run
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

    /// The rows cut into the columns of each member.
    fn columns<'a>(&self, rows: Vec<&'a mut [f32]>, members: usize) -> Vec<Vec<&'a mut [f32]>> {
        if members == 1 {
            return vec![rows];
        }
        let (lanes, _) = self.path.tile();
        let mut columns: Vec<Vec<&mut [f32]>> = (0..members).map(|_| Vec::with_capacity(rows.len())).collect();
        for mut rest in rows {
            for (columns, panels) in columns.iter_mut().zip(self.shares(members)) {
                let (row, after) = rest.split_at_mut((panels.len() * lanes).min(rest.len()));
                columns.push(row);
                rest = after;
            }
        }
        columns
    }
}

/// Rows that can be read as slices, whatever the layout of the caller's array.
fn in_one_piece(state: &mut ndarray::Array2<f32>) {
    if !state.is_standard_layout() {
        *state = state.as_standard_layout().into_owned();
    }
}
