//! `rowwise_step`: steps of a cell whose units cannot be finished by themselves, by plain products of arrays. This does
//! everything: activations over all units (softmax, log_softmax), the reset state that is multiplied again, a projection.

use ndarray::linalg::general_mat_mul;
use ndarray::{Array2, ArrayView2, ArrayViewMut2, s};
use rayon::prelude::*;

use super::gather::Gathered;
use super::panelled::{Before, place};
use super::recurrence::Work;
use crate::cpu::cell::{AnyRule, Rule, Units, WithRule, parameters_of};
use crate::cpu::memory::buffer::{Lines, reserve};
use crate::cpu::memory::workspace::StageRows;
use crate::cpu::threads::hand::Hand;
use crate::cpu::threads::pool;
use crate::error::{Error, Result};
use crate::model::plan::PlannedCell;

/// One cell by arrays: its weights by lane.
#[derive(Debug)]
pub(super) struct Rowwise {
    features: usize,
    units: usize,
    output: usize,
    lanes: usize,
    has_cell_state: bool,
    /// (features, lanes·units)
    kernel: Array2<f32>,
    /// (output, lanes·units), without the lanes that multiply r * h
    recurrent_kernel: Array2<f32>,
    /// (1, lanes·units)
    bias: Array2<f32>,
    parameters: Lines,
    reset: Option<Reset>,
    /// (units, output)
    projection: Option<Array2<f32>>,
    rule: AnyRule,
}

/// The lane that multiplies r * h.
#[derive(Debug)]
struct Reset {
    lane: usize,
    /// (output, units)
    kernel: Array2<f32>,
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
    pub(super) fn new(planned: &PlannedCell) -> Self {
        let PlannedCell { cell, weights } = planned;
        let (units, lanes) = (cell.units, cell.lanes().len());
        let of_reset = cell.lanes().iter().position(|lane| lane.of_reset);
        let recurrent = |k, lane, unit| cell.recurrent_lane(weights, k, lane, unit);
        let shape = |rows| (rows, lanes * units);
        Self {
            features: cell.features,
            units,
            output: cell.output,
            lanes,
            has_cell_state: cell.has_cell_state(),
            kernel: Array2::from_shape_fn(shape(cell.features), |(k, column)| {
                cell.kernel_lane(weights, k, column / units, column % units)
            }),
            recurrent_kernel: Array2::from_shape_fn(shape(cell.output), |(k, column)| match column / units {
                lane if Some(lane) == of_reset => 0.0,
                lane => recurrent(k, lane, column % units),
            }),
            bias: Array2::from_shape_fn(shape(1), |(_, column)| {
                cell.bias_lane(weights, column / units, column % units)
            }),
            parameters: parameters_of(planned),
            reset: of_reset.map(|lane| Reset {
                lane,
                kernel: Array2::from_shape_fn((cell.output, units), |(k, unit)| recurrent(k, lane, unit)),
            }),
            projection: weights.projection.as_ref().map(|projection| projection.to_owned()),
            rule: AnyRule::new(cell),
        }
    }

    /// Runs all steps. Gives how many rows were run.
    pub(super) fn run(&self, work: Work<'_>, (hidden, cell_state): Before<'_>, rows: &mut StageRows) -> Result<usize> {
        let schedule = work.schedule;
        let hands = pool::count().clamp(1, schedule.active(0).max(1));
        place(schedule, hands, &mut rows.places)?;
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
            1 => runs.iter_mut().try_for_each(|run| self.run_hand(run))?,
            _ => runs
                .par_iter_mut()
                .with_max_len(1)
                .try_for_each(|run| self.run_hand(run))?,
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

    fn run_hand(&self, run: &mut HandRun<'_>) -> Result<()> {
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
            self.step(step)?;
            run.rows_run += active;
            (before, rest) = (next, after);
        }
        Ok(())
    }

    /// `lanes = bias + x·kernel + h·recurrent_kernel`, the lane of r * h by a product of its own; then the rule; then the
    /// projection.
    fn step(&self, step: OneStep<'_>) -> Result<()> {
        let OneStep {
            active,
            inputs,
            hidden,
            lanes,
            between,
            cell_state,
            next,
        } = step;
        let mut sums = view_mut(lanes, active, self.lanes * self.units)?;
        sums.assign(&self.bias);
        general_mat_mul(1.0, &view(inputs, active, self.features)?, &self.kernel, 1.0, &mut sums);
        let h = view(hidden, active, self.output)?;
        general_mat_mul(1.0, &h, &self.recurrent_kernel, 1.0, &mut sums);
        if let Some(reset) = &self.reset {
            let product = between.get_mut(..active * self.output).unwrap_or_default();
            self.rule.with(ResetRows {
                rowwise: self,
                lanes,
                hidden,
                product,
            });
            let mut sums = view_mut(lanes, active, self.lanes * self.units)?;
            let columns = reset.lane * self.units..(reset.lane + 1) * self.units;
            let mut lane = sums.slice_mut(s![.., columns]);
            general_mat_mul(1.0, &view(product, active, self.output)?, &reset.kernel, 1.0, &mut lane);
        }
        let mut finish = |next: &mut [f32]| {
            self.rule.with(FinishRows {
                rowwise: self,
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
                let mut h = view_mut(next, active, self.output)?;
                h.fill(0.0);
                general_mat_mul(1.0, &view(units, active, self.units)?, projection, 1.0, &mut h);
            }
        }
        Ok(())
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

/// `product = r * h`, row by row.
struct ResetRows<'a> {
    rowwise: &'a Rowwise,
    lanes: &'a [f32],
    hidden: &'a [f32],
    product: &'a mut [f32],
}

impl WithRule for ResetRows<'_> {
    fn run<R: Rule, const L: usize>(self, rule: &R) {
        let Rowwise {
            units, output, lanes, ..
        } = self.rowwise;
        let lanes = self.lanes.chunks_exact((lanes * units).max(1));
        let rows = lanes.zip(self.hidden.chunks_exact((*output).max(1)));
        for ((lanes, hidden), product) in rows.zip(self.product.chunks_exact_mut((*output).max(1))) {
            rule.reset(lanes, hidden, product);
        }
    }
}

/// The end of a step, row by row.
struct FinishRows<'a> {
    rowwise: &'a Rowwise,
    lanes: &'a mut [f32],
    hidden: &'a [f32],
    cell_state: &'a mut [f32],
    next: &'a mut [f32],
}

impl WithRule for FinishRows<'_> {
    fn run<R: Rule, const L: usize>(self, rule: &R) {
        let Rowwise {
            units, output, lanes, ..
        } = self.rowwise;
        let lanes = self.lanes.chunks_exact_mut((lanes * units).max(1));
        let mut hidden = self.hidden.chunks_exact((*output).max(1));
        let mut cell_state = self.cell_state.chunks_exact_mut((*units).max(1));
        for (lanes, next) in lanes.zip(self.next.chunks_exact_mut((*units).max(1))) {
            rule.finish_by_activation(Units {
                lanes,
                parameters: &self.rowwise.parameters,
                hidden: hidden.next().unwrap_or_default(),
                cell_state: cell_state.next().unwrap_or_default(),
                next,
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

/// Numbers as rows of an array.
fn view(values: &[f32], rows: usize, width: usize) -> Result<ArrayView2<'_, f32>> {
    ArrayView2::from_shape((rows, width), values).map_err(|_| Error::defect("the rows of a step"))
}

fn view_mut(values: &mut [f32], rows: usize, width: usize) -> Result<ArrayViewMut2<'_, f32>> {
    ArrayViewMut2::from_shape((rows, width), values).map_err(|_| Error::defect("the rows of a step"))
}
