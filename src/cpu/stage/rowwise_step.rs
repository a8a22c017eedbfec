//! `rowwise_step`: steps of a cell whose units cannot be finished by themselves, by products with all units of a row. This does
//! everything: activations over all units (softmax, log_softmax), the reset state that is multiplied again, a projection.

use rayon::prelude::*;

use super::gather::Gathered;
use super::work::{Before, Work, place_rows};
use crate::cell::Cell;
use crate::cpu::cell::by_lane::{Columns, LaneMatrices};
use crate::cpu::cell::rule::{Rule, Units, WithRule};
use crate::cpu::cell::{AnyRule, parameters_of};
use crate::cpu::memory::buffer::{Lines, reserve};
use crate::cpu::memory::workspace::StageRows;
use crate::cpu::product::matrix::Matrix;
use crate::cpu::product::path::Path;
use crate::cpu::product::rows::{multiply, row_of};
use crate::cpu::threads::hand::Hand;
use crate::cpu::threads::pool;
use crate::error::Result;
use crate::model::plan::PlannedCell;

/// One cell by rows: its weights by lane.
#[derive(Debug)]
pub(super) struct Rowwise {
    path: Path,
    features: usize,
    units: usize,
    output: usize,
    lanes: usize,
    has_cell_state: bool,
    matrices: LaneMatrices,
    parameters: Lines,
    /// (units, output)
    projection: Option<Matrix>,
    rule: AnyRule,
}

/// The sequences of a hand on their way from step to step.
#[derive(Debug)]
struct HandRun<'a> {
    hand: Hand<'a>,
    gathered: Gathered<'a>,
    /// h before the first step, a row for each position, then h of each row.
    outputs: &'a mut [f32],
    /// (positions, units); empty for a cell without one
    cell_state: Lines,
    /// The rows of the input of a step, (positions, features).
    inputs: Lines,
    /// (positions, lanes·units)
    lanes: Lines,
    /// r * h, (positions, output), or the units before a projection, (positions, units).
    between: Lines,
    rows_run: usize,
}

impl Rowwise {
    pub(super) fn new(planned: &PlannedCell, path: Path) -> Result<Self> {
        let PlannedCell { cell, weights } = planned;
        let (features, units, output) = (cell.features, cell.units, cell.output);
        let projection = weights.projection.as_ref();
        let projection = projection.map(|projection| Columns::of_matrix(projection).forward(path));
        Ok(Self {
            path,
            features,
            units,
            output,
            lanes: cell.lanes().len(),
            has_cell_state: cell.has_cell_state(),
            matrices: LaneMatrices::new(planned, path)?,
            parameters: parameters_of(planned),
            projection: projection.transpose()?,
            rule: AnyRule::new(cell),
        })
    }

    fn sizes(&self) -> RowSizes {
        RowSizes {
            units: self.units,
            output: self.output,
            lanes: self.lanes,
        }
    }

    pub(super) fn matrices(&self) -> &LaneMatrices {
        &self.matrices
    }

    /// Runs all steps. Gives how many rows were run.
    pub(super) fn run(&self, work: Work<'_>, (hidden, cell_state): Before<'_>, rows: &mut StageRows) -> Result<usize> {
        let schedule = work.schedule;
        let hands = pool::count().clamp(1, schedule.active(0).max(1));
        place_rows(schedule, hands, &mut rows.places)?;
        let hand = |first| Hand { schedule, first, hands };
        let block = |first| (hand(first).active(0) + hand(first).rows()) * self.output;
        let mut blocks = rows.values.resize((0..hands).map(block).sum())?;
        let mut runs = Vec::new();
        reserve(&mut runs, hands)?;
        for first in 0..hands {
            let (outputs, rest) = blocks.split_at_mut(block(first).min(blocks.len()));
            blocks = rest;
            runs.push(self.begin(hand(first), work.gathered, outputs, (hidden, cell_state))?);
        }
        match hands {
            1 => runs.iter_mut().for_each(|run| self.run_hand(run)),
            _ => runs.par_iter_mut().with_max_len(1).for_each(|run| self.run_hand(run)),
        }
        for run in &runs {
            let rows = run.cell_state.chunks_exact(self.units.max(1));
            for (from, sequence) in rows.zip(run.hand.sequences()) {
                if let Some(to) = cell_state.get_mut(sequence * self.units..(sequence + 1) * self.units) {
                    to.copy_from_slice(from);
                }
            }
        }
        Ok(runs.iter().map(|run| run.rows_run).sum())
    }

    fn begin<'a>(
        &self,
        hand: Hand<'a>,
        gathered: Gathered<'a>,
        outputs: &'a mut [f32],
        (hidden, cell_state): (&[f32], &[f32]),
    ) -> Result<HandRun<'a>> {
        let positions = hand.active(0);
        let lines = |width: usize| {
            let mut lines = Lines::default();
            lines.resize(positions * width)?;
            Ok(lines)
        };
        let mut run = HandRun {
            hand,
            gathered,
            outputs,
            cell_state: lines(if self.has_cell_state { self.units } else { 0 })?,
            inputs: lines(self.features)?,
            lanes: lines(self.lanes * self.units)?,
            between: lines(self.units.max(self.output))?,
            rows_run: 0,
        };
        copy_rows(hidden, self.output, &hand, run.outputs);
        copy_rows(cell_state, self.units, &hand, &mut run.cell_state);
        Ok(run)
    }

    fn run_hand(&self, run: &mut HandRun<'_>) {
        let (mut before, mut rest) = run.outputs.split_at_mut(run.hand.active(0) * self.output);
        for step in 0..run.hand.steps() {
            let active = run.hand.active(step);
            let (next, after) = rest.split_at_mut((active * self.output).min(rest.len()));
            let places = run.gathered.places(&run.hand, step);
            for (row, place) in run.inputs.chunks_exact_mut(self.features.max(1)).zip(places) {
                let from = run.gathered.source.at(place);
                row.iter_mut().zip(from).for_each(|(to, &from)| *to = from);
            }
            let step = OneStep {
                active,
                inputs: run.inputs.get(..active * self.features).unwrap_or_default(),
                hidden: before.get(..active * self.output).unwrap_or_default(),
                lanes: run
                    .lanes
                    .get_mut(..active * self.lanes * self.units)
                    .unwrap_or_default(),
                between: &mut run.between,
                cell_state: &mut run.cell_state,
                next: &mut *next,
            };
            self.step(step);
            run.rows_run += active;
            (before, rest) = (next, after);
        }
    }

    /// `lanes = bias + x·kernel + h·recurrent_kernel`, the lane of r * h by a product of its own; then the rule; then the
    /// projection.
    fn step(&self, step: OneStep<'_>) {
        let OneStep {
            active,
            inputs,
            hidden,
            lanes,
            between,
            cell_state,
            next,
        } = step;
        let stride = self.lanes * self.units;
        let matrices = &self.matrices;
        self.add(
            &matrices.kernel,
            (inputs, self.features),
            Some(&matrices.bias),
            lanes,
            stride,
        );
        self.add(&matrices.recurrent_kernel, (hidden, self.output), None, lanes, stride);
        if let Some(reset) = &matrices.reset {
            let product = between.get_mut(..active * self.output).unwrap_or_default();
            self.rule.with(ResetRows {
                sizes: self.sizes(),
                lanes,
                hidden,
                product,
            });
            let lane = lanes.get_mut(reset.lane * self.units..).unwrap_or_default();
            self.add(&reset.kernel, (product, self.output), None, lane, stride);
        }
        let mut finish = |next: &mut [f32]| {
            self.rule.with(FinishRows {
                sizes: self.sizes(),
                parameters: &self.parameters,
                lanes,
                hidden,
                cell_state,
                next,
            });
        };
        match &self.projection {
            None => finish(next),
            Some(projection) => {
                let units = between.get_mut(..active * self.units).unwrap_or_default();
                finish(&mut *units);
                next.fill(0.0);
                self.add(projection, (units, self.units), None, next, self.output);
            }
        }
    }

    /// `sums = bias + rows · matrix`, and without a bias `sums += rows · matrix`, for rows of a width.
    fn add(
        &self,
        matrix: &Matrix,
        (rows, width): (&[f32], usize),
        bias: Option<&[f32]>,
        sums: &mut [f32],
        stride: usize,
    ) {
        let row = |number| row_of(rows, width, number);
        multiply(self.path, (matrix, bias), row, (sums, stride));
    }
}

/// What one step reads and writes: some rows, `active` of each.
struct OneStep<'a> {
    active: usize,
    inputs: &'a [f32],
    hidden: &'a [f32],
    lanes: &'a mut [f32],
    between: &'a mut [f32],
    cell_state: &'a mut [f32],
    next: &'a mut [f32],
}

/// The numbers of a row.
#[derive(Clone, Copy, Debug)]
pub(super) struct RowSizes {
    pub(super) units: usize,
    pub(super) output: usize,
    pub(super) lanes: usize,
}

impl RowSizes {
    pub(super) fn of(cell: &Cell) -> Self {
        Self {
            units: cell.units,
            output: cell.output,
            lanes: cell.lanes().len(),
        }
    }
}

/// `product = r * h`, row by row.
pub(super) struct ResetRows<'a> {
    pub(super) sizes: RowSizes,
    pub(super) lanes: &'a [f32],
    pub(super) hidden: &'a [f32],
    pub(super) product: &'a mut [f32],
}

impl WithRule for ResetRows<'_> {
    fn run<R: Rule, const L: usize>(self, rule: &R) {
        let RowSizes { units, output, lanes } = self.sizes;
        let lanes = self.lanes.chunks_exact((lanes * units).max(1));
        let rows = lanes.zip(self.hidden.chunks_exact(output.max(1)));
        for ((lanes, hidden), product) in rows.zip(self.product.chunks_exact_mut(output.max(1))) {
            rule.reset(lanes, hidden, product);
        }
    }
}

/// The end of a step, row by row.
pub(super) struct FinishRows<'a> {
    pub(super) sizes: RowSizes,
    pub(super) parameters: &'a [f32],
    pub(super) lanes: &'a mut [f32],
    pub(super) hidden: &'a [f32],
    pub(super) cell_state: &'a mut [f32],
    pub(super) next: &'a mut [f32],
}

impl WithRule for FinishRows<'_> {
    fn run<R: Rule, const L: usize>(self, rule: &R) {
        let RowSizes { units, output, lanes } = self.sizes;
        let lanes = self.lanes.chunks_exact_mut((lanes * units).max(1));
        let mut hidden = self.hidden.chunks_exact(output.max(1));
        let mut cell_state = self.cell_state.chunks_exact_mut(units.max(1));
        for (lanes, next) in lanes.zip(self.next.chunks_exact_mut(units.max(1))) {
            rule.finish_by_activation(Units {
                lanes,
                parameters: self.parameters,
                hidden: hidden.next().unwrap_or_default(),
                cell_state: cell_state.next().unwrap_or_default(),
                next,
                keeps: false,
            });
        }
    }
}

/// The rows of the sequences of a hand, from an array of the batch.
fn copy_rows(state: &[f32], width: usize, hand: &Hand<'_>, rows: &mut [f32]) {
    let rows = rows.chunks_exact_mut(width.max(1)).take(hand.active(0));
    for (row, sequence) in rows.zip(hand.sequences()) {
        let from = state.get(sequence * width..(sequence + 1) * width).unwrap_or_default();
        row.iter_mut().zip(from).for_each(|(to, &from)| *to = from);
    }
}
