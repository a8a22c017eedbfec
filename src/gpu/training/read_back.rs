//! What a way back takes of states, and what the host reads of it.

use ndarray::{Array3, Dim};

use super::recorder::Recorder;
use super::tensors::{Counted, STAGED_WEIGHT, named_of, stage, stage_from, trained};
use super::way::Way;
use crate::error::Result;
use crate::flow::statistics::moved;
use crate::flow::{Flow, Input, Stage};
use crate::gpu::stage::interface::{at, defect};
use crate::gradients::PlanGradients;
use crate::memory::{OUTPUT, STATES};
use crate::model::plan::{Plan, PlannedCell};
use crate::random::Noise;
use crate::schedule::Schedule;
use crate::state::State;

/// Each cell of a flow with its schedule.
fn cells<'a>(flow: &'a Flow, plan: &'a Plan) -> impl Iterator<Item = (usize, &'a PlannedCell, &'a Schedule)> {
    flow.stages.iter().filter_map(|stage| match stage {
        Stage::Recurrent { cell, schedule, .. } => Some((*cell, plan.cells.get(*cell)?, &**schedule)),
        _ => None,
    })
}

/// Uploads for each cell, by position: the gradients of the final states, and the initial state that its rule reads.
pub(super) fn upload_carry(recorder: &mut Recorder<'_>, way: &Way<'_>, initial: Option<&[State]>) -> Result<()> {
    let (flow, plan, upstream) = (way.flow, way.plan, way.upstream);
    for (number, planned, schedule) in cells(flow, plan) {
        let (units, output, batch) = (planned.units(), planned.output(), schedule.batch());
        let mut carry = STATES.zeros::<f32>(3 * batch * units)?;
        let of = |states: Option<&[State]>| states.map(|states| at(states, number).cloned()).transpose();
        let (finals, initial) = (of(upstream.states.as_deref())?, of(initial)?);
        let finals = finals.iter().flat_map(State::arrays);
        let started = initial.iter().flat_map(|state| state.arrays().last());
        let finals = finals.zip([(0, output), (1, units)]);
        let started = started.map(|array| (array, (2, if planned.cell.has_cell_state() { units } else { output })));
        for (array, (part, width)) in finals.chain(started) {
            let part = carry.get_mut(part * batch * units..).ok_or_else(defect)?;
            for (row, &sequence) in part.chunks_exact_mut(width.max(1)).zip(schedule.order()) {
                let values = array.outer_iter().nth(sequence as usize).ok_or_else(defect)?;
                row.iter_mut().zip(values).for_each(|(to, &value)| *to = value);
            }
        }
        let place = at(way.places, number)?;
        let part = (place.direction, place.directions);
        recorder.upload_part(("carry", place.first_cell), part, &carry)?;
    }
    Ok(())
}

/// What the host reads: the gradients of the weights that are trained and of the initial states, unless they stay here; that of the input; what
/// BatchNormalizations have found.
pub(super) fn wanted(recorder: &mut Recorder<'_>, way: &Way<'_>, keeps: bool) -> Result<Vec<Counted>> {
    let (flow, plan) = (way.flow, way.plan);
    let mut staged = match keeps {
        true => Vec::new(),
        false => of_weights_and_states(recorder, way)?,
    };
    if way.wants_input {
        let count = flow.input_steps.len() * plan.features.unwrap_or(0);
        let gradient = recorder.buffer(("input gradient", 0), count)?;
        staged.push(stage(recorder, ("staged input", 0), (&gradient, count))?);
    }
    for of in &flow.batch_statistics {
        if let (Some((found, _)), Some(width)) = (way.statistics(of.stage), flow.widths.get(of.stage)) {
            let name = ("staged moments", of.stage);
            staged.push(stage(recorder, name, (&found.moments, 2 * width))?);
        }
    }
    Ok(staged)
}

/// The gradients of the weights that are trained, and of the initial states.
fn of_weights_and_states(recorder: &mut Recorder<'_>, way: &Way<'_>) -> Result<Vec<Counted>> {
    let (flow, plan) = (way.flow, way.plan);
    let mut staged = Vec::new();
    for (number, weight) in trained(plan) {
        let count = weight.shape.iter().product();
        let gradient = recorder.buffer(("gradient", number), count)?;
        staged.push(stage(recorder, (STAGED_WEIGHT, number), (&gradient, count))?);
    }
    for (number, planned, schedule) in cells(flow, plan) {
        let place = at(way.places, number)?;
        let of_state = schedule.batch() * planned.units();
        let carry = recorder.buffer(("carry", place.first_cell), 3 * place.directions * of_state)?;
        let first = 3 * place.direction * of_state;
        let count = planned.cell.state_widths().len() * of_state;
        staged.push(stage_from(recorder, ("staged state", number), (&carry, first, count))?);
    }
    Ok(staged)
}

/// What was read in the order of [`wanted`], in its shapes.
pub(super) fn collected(
    (flow, plan): (&Flow, &Plan),
    (noise, wants_input, keeps): (Option<Noise>, bool, bool),
    input: Input<'_>,
    read: Vec<Vec<f32>>,
) -> Result<PlanGradients> {
    let mut read = read.into_iter();
    let mut gradients = PlanGradients::default();
    if !keeps {
        collect_weights_and_states(&mut gradients, (flow, plan), &mut read)?;
    }
    if wants_input {
        let (batch, time_steps) = input.size();
        let features = plan.features.unwrap_or(0);
        let values = read.next().ok_or_else(defect)?;
        let mut gradient: Array3<f32> = OUTPUT.array(Dim([batch, time_steps, features]))?;
        let to = gradient.as_slice_mut().ok_or_else(defect)?;
        for (&step, row) in flow.input_steps.iter().zip(values.chunks_exact(features.max(1))) {
            let begin = step as usize * features;
            let to = to.get_mut(begin..begin + features).ok_or_else(defect)?;
            to.copy_from_slice(row);
        }
        gradients.input = Some(gradient);
    }
    if noise.is_some() {
        gradients.moved = moved(plan, &moments(flow, plan, read)?)?;
    }
    Ok(gradients)
}

fn collect_weights_and_states(
    gradients: &mut PlanGradients,
    (flow, plan): (&Flow, &Plan),
    read: &mut impl Iterator<Item = Vec<f32>>,
) -> Result<()> {
    for (number, _) in trained(plan) {
        let values = read.next().ok_or_else(defect)?;
        gradients.parameters.push(named_of(plan, number, values)?);
    }
    let zeros = plan
        .cells
        .iter()
        .map(|cell| State::zeros(flow.batch, cell.cell.state_widths()));
    gradients.states = zeros.collect::<Result<_>>()?;
    for (number, planned, schedule) in cells(flow, plan) {
        let values = read.next().ok_or_else(defect)?;
        let state = gradients.states.get_mut(number).ok_or_else(defect)?;
        for (part, array) in state.arrays_mut().enumerate() {
            let of_part = values
                .get(part * schedule.batch() * planned.units()..)
                .ok_or_else(defect)?;
            let rows = of_part.chunks_exact(array.ncols().max(1));
            for (&sequence, row) in schedule.order().iter().zip(rows) {
                let mut to = array.outer_iter_mut().nth(sequence as usize).ok_or_else(defect)?;
                to.iter_mut().zip(row).for_each(|(to, &value)| *to = value);
            }
        }
    }
    Ok(())
}

/// Mean and variance of the batch, for each BatchNormalization among the transforms.
fn moments(flow: &Flow, plan: &Plan, mut read: impl Iterator<Item = Vec<f32>>) -> Result<Vec<Option<[Vec<f64>; 2]>>> {
    let mut moments: Vec<Option<[Vec<f64>; 2]>> = plan.transforms.iter().map(|_| None).collect();
    for statistics in &flow.batch_statistics {
        let Stage::Transform { transform, .. } = flow.stage(statistics.stage)? else {
            return Err(defect());
        };
        let mut values = read.next().ok_or_else(defect)?;
        if statistics.counts.is_empty() {
            values.fill(0.0); // a batch without rows, in which nothing was found
        }
        let wide = |values: &[f32]| values.iter().map(|&value| f64::from(value)).collect();
        let (mean, variance) = values.split_at(values.len() / 2);
        let place = moments.get_mut(*transform).ok_or_else(defect)?;
        *place = Some([wide(mean), wide(variance)]);
    }
    Ok(moments)
}
