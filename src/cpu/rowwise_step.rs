//! `recurrent_step` with an activation that needs all units of a row at once (softmax, log_softmax): plain products of
//! arrays, one step at a time.

use ndarray::linalg::general_mat_mul;
use ndarray::{Array2, Dim, s};
use rayon::prelude::*;

use super::hand::{Hand, Reading, dealt};
use super::input_projection::input_projection;
use super::threads;
use crate::cell::lstm::GATES;
use crate::error::Result;
use crate::memory::{self, RUN};
use crate::model::plan::PlannedCell as Cell;

/// A hand whose steps have run, with c of its sequences and how many rows were run.
type Finished<'a> = (Hand<'a>, (Array2<f32>, usize));

/// Runs a schedule from h and c of each sequence, (batch, units) each, and leaves c there; h of every row goes to `outputs`.
/// Gives how many rows were run.
pub(super) fn run(
    cell: &Cell,
    reading: Reading<'_>,
    (hidden, cells): (&[f32], &mut [f32]),
    outputs: &mut [f32],
) -> Result<usize> {
    let schedule = reading.schedule;
    let hands = threads::count().clamp(1, schedule.active(0).max(1));
    let room = |first| RUN.list(Hand { reading, first, hands }.rows());
    let mut dealt_outputs: Vec<Vec<&mut [f32]>> = (0..hands).map(room).collect::<Result<_>>()?;
    let rows = outputs.chunks_exact_mut(cell.units().max(1));
    for (row, hand) in rows.zip(dealt(schedule, hands)) {
        if let Some(hand) = dealt_outputs.get_mut(hand) {
            hand.push(row);
        }
    }
    let begin = [hidden, &*cells];
    let run = |(first, outputs)| {
        let hand = Hand { reading, first, hands };
        Ok((hand, run_hand(cell, hand, begin, outputs)?))
    };
    let finals: Result<Vec<Finished<'_>>> = match hands {
        1 => dealt_outputs.into_iter().enumerate().map(run).collect(),
        _ => dealt_outputs.into_par_iter().enumerate().map(run).collect(),
    };
    let mut rows_run = 0;
    for (hand, (cell_state, rows)) in finals? {
        rows_run += rows;
        for (sequence, cell_state) in hand.sequences().zip(cell_state.outer_iter()) {
            let to = cells
                .chunks_exact_mut(cell.units().max(1))
                .nth(sequence)
                .unwrap_or_default();
            to.iter_mut().zip(cell_state).for_each(|(to, &from)| *to = from);
        }
    }
    Ok(rows_run)
}

/// Gives c of the sequences of the hand, and how many rows were run.
fn run_hand(
    cell: &Cell,
    hand: Hand<'_>,
    [hidden, cells]: [&[f32]; 2],
    outputs: Vec<&mut [f32]>,
) -> Result<(Array2<f32>, usize)> {
    let mut rows_run = 0;
    let positions = hand.active(0);
    let mut hidden = rows_of(hidden, cell.units(), &hand)?;
    let mut cell_state = rows_of(cells, cell.units(), &hand)?;
    let mut inputs = memory::zeros(RUN.what, Dim([positions, cell.features()]), RUN.repair)?;
    let mut gates = memory::zeros(RUN.what, Dim([positions, GATES * cell.units()]), RUN.repair)?;
    let mut outputs = outputs.into_iter();
    let bias = cell.bias();
    for step in 0..hand.steps() {
        let active = hand.active(step);
        for (mut row, input) in inputs.outer_iter_mut().zip(hand.inputs(step)) {
            row.iter_mut().zip(input).for_each(|(to, &from)| *to = from);
        }
        let mut gates = gates.slice_mut(s![..active, ..]);
        let (kernel, bias) = (cell.weights.kernel.view(), bias.as_ref());
        input_projection(inputs.slice(s![..active, ..]), kernel, bias, gates.view_mut());
        recurrent_step(cell, gates, &mut hidden, &mut cell_state);
        rows_run += active;
        for (output, row) in outputs.by_ref().take(active).zip(hidden.outer_iter()) {
            output.iter_mut().zip(row).for_each(|(to, &from)| *to = from);
        }
    }
    Ok((cell_state, rows_run))
}

/// The rows of the sequences of a hand.
fn rows_of(state: &[f32], units: usize, hand: &Hand<'_>) -> Result<Array2<f32>> {
    let mut rows: Array2<f32> = memory::zeros(RUN.what, Dim([hand.active(0), units]), RUN.repair)?;
    for (mut row, sequence) in rows.outer_iter_mut().zip(hand.sequences()) {
        let from = state.iter().skip(sequence * units);
        row.iter_mut().zip(from).for_each(|(to, &from)| *to = from);
    }
    Ok(rows)
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
        cell.recurrent_activation().apply(input_forget, units);
        cell.activation().apply(candidate, units);
        cell.recurrent_activation().apply(output, units);
        let (input, forget) = input_forget.split_at(units);
        for ((cell_state, forget), (input, candidate)) in cell_state
            .iter_mut()
            .zip(forget)
            .zip(input.iter().zip(candidate.iter()))
        {
            *cell_state = forget * *cell_state + input * candidate;
        }
        hidden.copy_from_slice(cell_state);
        cell.activation().apply(hidden, units);
        hidden
            .iter_mut()
            .zip(output.iter())
            .for_each(|(hidden, output)| *hidden *= output);
    }
}
