//! `rowwise_step`: steps with an activation that needs all units of a row at once (softmax, log_softmax), by plain products of
//! arrays.

use ndarray::linalg::general_mat_mul;
use ndarray::{ArrayView2, ArrayViewMut2};
use rayon::prelude::*;

use super::gather::Gathered;
use super::panelled::{Begin, place};
use super::recurrence::Work;
use crate::cpu::memory::buffer::{Lines, reserve};
use crate::cpu::memory::workspace::StageRows;
use crate::cpu::threads::hand::Hand;
use crate::cpu::threads::pool;
use crate::error::{Error, Result};
use crate::layer::weights::GATES;
use crate::model::parts::Cell;

/// One cell by arrays.
#[derive(Debug)]
pub(super) struct Rowwise {
    cell: Cell,
}

/// The sequences of a hand on their way from step to step.
#[derive(Debug)]
struct HandRun<'a> {
    hand: Hand<'a>,
    gathered: Gathered<'a>,
    /// h before the first step, a row for each position, then h of each row.
    outputs: &'a mut [f32],
    /// The state beside h, (positions, units).
    beside: Lines,
    /// The rows of the input of a step, (positions, features).
    inputs: Lines,
    /// (positions, 4·units)
    gates: Lines,
}

impl Rowwise {
    pub(super) fn new(cell: Cell) -> Self {
        Self { cell }
    }

    /// Runs all steps. Gives how many rows were run.
    pub(super) fn run(&self, work: Work<'_>, (hidden, beside): Begin<'_>, rows: &mut StageRows) -> Result<usize> {
        let schedule = work.schedule;
        let hands = pool::count().clamp(1, schedule.active(0).max(1));
        place(schedule, hands, &mut rows.places)?;
        let units = self.cell.units();
        let hand = |first| Hand { schedule, first, hands };
        let block = |first| (hand(first).active(0) + hand(first).rows()) * units;
        let mut blocks = rows.values.resize((0..hands).map(block).sum())?;
        let mut runs = Vec::new();
        reserve(&mut runs, hands)?;
        for first in 0..hands {
            let (outputs, rest) = blocks.split_at_mut(block(first).min(blocks.len()));
            blocks = rest;
            let mut run = self.begin(hand(first), work.gathered, outputs)?;
            copy_rows(hidden, units, &run.hand, run.outputs);
            copy_rows(beside, units, &run.hand, &mut run.beside);
            runs.push(run);
        }
        match hands {
            1 => runs.iter_mut().try_for_each(|run| self.run_hand(run))?,
            _ => runs
                .par_iter_mut()
                .with_max_len(1)
                .try_for_each(|run| self.run_hand(run))?,
        }
        for run in &runs {
            for (sequence, from) in run.hand.sequences().zip(run.beside.chunks_exact(units.max(1))) {
                if let Some(to) = beside.get_mut(sequence * units..(sequence + 1) * units) {
                    to.copy_from_slice(from);
                }
            }
        }
        Ok(runs.iter().map(|run| run.hand.rows()).sum())
    }

    fn begin<'a>(&self, hand: Hand<'a>, gathered: Gathered<'a>, outputs: &'a mut [f32]) -> Result<HandRun<'a>> {
        let positions = hand.active(0);
        let lines = |width: usize| {
            let mut lines = Lines::default();
            lines.resize(positions * width)?;
            Ok(lines)
        };
        Ok(HandRun {
            hand,
            gathered,
            outputs,
            beside: lines(self.cell.units())?,
            inputs: lines(self.cell.features())?,
            gates: lines(GATES * self.cell.units())?,
        })
    }

    fn run_hand(&self, run: &mut HandRun<'_>) -> Result<()> {
        let (units, features) = (self.cell.units(), self.cell.features());
        let mut before: &mut [f32] = &mut [];
        let mut rest = &mut *run.outputs;
        for step in 0..run.hand.steps() {
            let active = run.hand.active(step);
            if step == 0 {
                (before, rest) = rest.split_at_mut((active * units).min(rest.len()));
            }
            let (next, after) = rest.split_at_mut((active * units).min(rest.len()));
            let places = run.gathered.places(&run.hand, step);
            for (row, place) in run.inputs.chunks_exact_mut(features.max(1)).zip(places) {
                let from = run.gathered.source.at(place);
                row.iter_mut().zip(from).for_each(|(to, &from)| *to = from);
            }
            let gates = run.gates.get_mut(..active * GATES * units).unwrap_or_default();
            self.project(run.inputs.get(..active * features).unwrap_or_default(), gates, active)?;
            next.copy_from_slice(before.get(..active * units).unwrap_or_default());
            self.step(gates, next, &mut run.beside, active)?;
            (before, rest) = (next, after);
        }
        Ok(())
    }

    /// `gates = inputs · kernel + bias`
    fn project(&self, inputs: &[f32], gates: &mut [f32], active: usize) -> Result<()> {
        let mut gates = view_mut(gates, active)?;
        match &self.cell.weights.bias {
            Some(bias) => gates.outer_iter_mut().for_each(|mut row| row.assign(bias)),
            None => gates.fill(0.0),
        }
        general_mat_mul(1.0, &view(inputs, active)?, &self.cell.weights.kernel, 1.0, &mut gates);
        Ok(())
    }

    /// One step, from `gates`, which hold `x·kernel + bias`. `hidden` is h before the step and becomes h after it.
    ///
    /// ```text
    /// i, f, o = recurrent_activation(gates + h·recurrent_kernel)
    /// g       =           activation(gates + h·recurrent_kernel)
    /// c = f * c + i * g
    /// h = o * activation(c)
    /// ```
    fn step(&self, gates: &mut [f32], hidden: &mut [f32], cell_states: &mut [f32], active: usize) -> Result<()> {
        let cell = &self.cell;
        let units = cell.units();
        general_mat_mul(
            1.0,
            &view(hidden, active)?,
            &cell.weights.recurrent_kernel,
            1.0,
            &mut view_mut(gates, active)?,
        );
        let rows = gates
            .chunks_exact_mut((GATES * units).max(1))
            .zip(hidden.chunks_exact_mut(units.max(1)))
            .zip(cell_states.chunks_exact_mut(units.max(1)));
        for ((gates, hidden), cell_state) in rows {
            let (input_forget, rest) = gates.split_at_mut(2 * units);
            let (candidate, output) = rest.split_at_mut(units);
            cell.recurrent_activation.apply(input_forget, units);
            cell.activation.apply(candidate, units);
            cell.recurrent_activation.apply(output, units);
            let (input, forget) = input_forget.split_at(units);
            for ((cell_state, forget), (input, candidate)) in cell_state
                .iter_mut()
                .zip(forget)
                .zip(input.iter().zip(candidate.iter()))
            {
                *cell_state = forget * *cell_state + input * candidate;
            }
            hidden.copy_from_slice(cell_state);
            cell.activation.apply(hidden, units);
            hidden
                .iter_mut()
                .zip(output.iter())
                .for_each(|(hidden, output)| *hidden *= output);
        }
        Ok(())
    }
}

/// The rows of the sequences of a hand, from an array of the batch.
fn copy_rows(state: &[f32], units: usize, hand: &Hand<'_>, rows: &mut [f32]) {
    let rows = rows.chunks_exact_mut(units.max(1)).take(hand.active(0));
    for (row, sequence) in rows.zip(hand.sequences()) {
        let from = state.get(sequence * units..(sequence + 1) * units).unwrap_or_default();
        row.iter_mut().zip(from).for_each(|(to, &from)| *to = from);
    }
}

/// Numbers as an array of so many rows.
fn view(values: &[f32], rows: usize) -> Result<ArrayView2<'_, f32>> {
    let shape = (rows, values.len() / rows.max(1));
    ArrayView2::from_shape(shape, values).map_err(|_| Error::defect("the rows of a step"))
}

fn view_mut(values: &mut [f32], rows: usize) -> Result<ArrayViewMut2<'_, f32>> {
    let shape = (rows, values.len() / rows.max(1));
    ArrayViewMut2::from_shape(shape, values).map_err(|_| Error::defect("the rows of a step"))
}
