//! `recurrent_step`: recurrent product, gates and state update, step by step.

use ndarray::linalg::general_mat_mul;
use ndarray::{Array2, ArrayView2, s};
use rayon::prelude::*;

use super::gather::gather_into;
use super::input_projection::input_projection;
use crate::layer::weights::GATES;
use crate::model::parts::Cell;
use crate::schedule::Schedule;
use crate::state::State;

/// The rows that are projected at once: enough for the product to be fast, few enough to stay in the cache.
const ROWS_PER_CHUNK: usize = 256;

/// One LSTM, ready to run.
#[derive(Debug)]
pub(crate) struct Recurrent {
    cell: Cell,
}

impl Recurrent {
    pub(crate) fn new(cell: &Cell) -> Self {
        Self { cell: cell.clone() }
    }

    /// Runs a schedule over rows of `source`, row r of the schedule reading row `index[r]`. Gives h of every row and how
    /// many rows were run, and leaves the final state in `state`.
    ///
    /// The positions of the schedule are dealt out to the threads like cards, so that long and short sequences are shared
    /// evenly; a thread runs its sequences from the first step to the last and waits for nobody.
    pub(crate) fn run(
        &self,
        schedule: &Schedule,
        source: ArrayView2<'_, f32>,
        index: &[u32],
        state: &mut State,
    ) -> (Array2<f32>, usize) {
        let threads = rayon::current_num_threads().clamp(1, schedule.batch().max(1));
        let hands: Vec<Hand> = (0..threads)
            .into_par_iter()
            .map(|first| Hand::new(schedule, first, threads, state, self.cell.units()).run(&self.cell, source, index))
            .collect();
        let mut hidden = Array2::zeros((schedule.rows(), self.cell.units()));
        let mut rows_run = 0;
        for hand in hands {
            rows_run += hand.rows_run;
            for (row, values) in hand.rows().zip(hand.outputs.outer_iter()) {
                hidden.row_mut(row).assign(&values);
            }
            for ((sequence, hidden), cell) in hand
                .sequences()
                .zip(hand.hidden.outer_iter())
                .zip(hand.cell.outer_iter())
            {
                state.hidden.row_mut(sequence).assign(&hidden);
                state.cell.row_mut(sequence).assign(&cell);
            }
        }
        (hidden, rows_run)
    }
}

/// The positions of a schedule that one thread runs: `first`, `first + threads`, `first + 2 · threads` and so on.
struct Hand<'a> {
    schedule: &'a Schedule,
    first: usize,
    threads: usize,
    /// (positions, units)
    hidden: Array2<f32>,
    cell: Array2<f32>,
    /// h of every row, (rows, units)
    outputs: Array2<f32>,
    rows_run: usize,
}

impl<'a> Hand<'a> {
    fn new(schedule: &'a Schedule, first: usize, threads: usize, state: &State, units: usize) -> Self {
        let positions = schedule
            .order()
            .iter()
            .skip(first)
            .step_by(threads)
            .map(|&sequence| sequence as usize);
        let sequences: Vec<usize> = positions.collect();
        let mut hand = Self {
            schedule,
            first,
            threads,
            hidden: rows_in_one_piece(&state.hidden, &sequences),
            cell: rows_in_one_piece(&state.cell, &sequences),
            outputs: Array2::zeros((0, units)),
            rows_run: 0,
        };
        hand.outputs = Array2::zeros((hand.rows().count(), units));
        hand
    }

    fn sequences(&self) -> impl Iterator<Item = usize> {
        self.schedule
            .order()
            .iter()
            .skip(self.first)
            .step_by(self.threads)
            .map(|&sequence| sequence as usize)
    }

    /// The rows of this hand, step by step.
    fn rows(&self) -> impl Iterator<Item = usize> {
        (0..self.schedule.steps()).flat_map(|step| self.rows_of(step))
    }

    fn rows_of(&self, step: usize) -> impl Iterator<Item = usize> + use<> {
        self.schedule.rows_of(step).skip(self.first).step_by(self.threads)
    }

    fn active(&self, step: usize) -> usize {
        self.schedule
            .active(step)
            .saturating_sub(self.first)
            .div_ceil(self.threads)
    }

    fn run(mut self, cell: &Cell, source: ArrayView2<'_, f32>, index: &[u32]) -> Self {
        let columns = GATES * cell.units();
        let mut gathered = Array2::zeros((0, cell.features()));
        let mut projected = Array2::zeros((0, columns));
        let mut done = 0;
        let mut step = 0;
        while self.active(step) > 0 {
            let mut end = step;
            let mut rows = 0;
            while self.active(end) > 0 && (end == step || rows + self.active(end) <= ROWS_PER_CHUNK) {
                rows += self.active(end);
                end += 1;
            }
            if gathered.nrows() < rows {
                gathered = Array2::zeros((rows, cell.features()));
                projected = Array2::zeros((rows, columns));
            }
            let entries = (step..end)
                .flat_map(|step| self.rows_of(step))
                .filter_map(|row| index.get(row).copied());
            gather_into(source, entries, &mut gathered);
            input_projection(
                gathered.slice(s![..rows, ..]),
                cell.weights.kernel.view(),
                cell.weights.bias.as_ref(),
                projected.slice_mut(s![..rows, ..]),
            );
            let mut row = 0;
            for step in step..end {
                let active = self.active(step);
                let gates = projected.slice_mut(s![row..row + active, ..]);
                recurrent_step(cell, gates, &mut self.hidden, &mut self.cell);
                self.outputs
                    .slice_mut(s![done..done + active, ..])
                    .assign(&self.hidden.slice(s![..active, ..]));
                row += active;
                done += active;
            }
            step = end;
        }
        self.rows_run = done;
        self
    }
}

/// The rows of the sequences, each in one piece whatever the layout of the caller's array.
fn rows_in_one_piece(state: &Array2<f32>, sequences: &[usize]) -> Array2<f32> {
    let mut rows = Array2::zeros((sequences.len(), state.ncols()));
    for (mut row, &sequence) in rows.outer_iter_mut().zip(sequences) {
        row.assign(&state.row(sequence));
    }
    rows
}

/// One step for the first rows of `hidden` and `cell`: as many as `gates` has, which holds `x·kernel + bias`.
///
/// ```text
/// i, f, o = recurrent_activation(gates + h·recurrent_kernel)
/// g       =           activation(gates + h·recurrent_kernel)
/// c = f * c + i * g
/// h = o * activation(c)
/// ```
fn recurrent_step(
    cell: &Cell,
    mut gates: ndarray::ArrayViewMut2<'_, f32>,
    hidden: &mut Array2<f32>,
    cell_state: &mut Array2<f32>,
) {
    let active = gates.nrows();
    let units = cell.units();
    general_mat_mul(
        1.0,
        &hidden.slice(s![..active, ..]),
        &cell.weights.recurrent_kernel,
        1.0,
        &mut gates,
    );
    let rows = gates
        .outer_iter_mut()
        .zip(hidden.outer_iter_mut())
        .zip(cell_state.outer_iter_mut());
    for ((mut gates, mut hidden), mut cell_state) in rows {
        let (Some(gates), Some(hidden), Some(cell_state)) =
            (gates.as_slice_mut(), hidden.as_slice_mut(), cell_state.as_slice_mut())
        else {
            continue; // rows of arrays made here lie in one piece
        };
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
}
