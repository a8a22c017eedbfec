//! Back through time in f64: the steps of one or more cells from the last to the first.
//!
//! No derivative of a cell is written down here: what a step makes of a small change is asked of the step itself, by a
//! difference in f64, so that a formula that is wrong in the library is not wrong here too.

use ndarray::{Array2, Array3, ArrayD, ArrayView1, Axis};

use super::{
    cells::CellSpec,
    layers::RecurrentOptions,
    mutant::BackwardMutant,
    reference::{Cell, Flowing, Mutant, State},
};

/// By how much a number is changed to see what follows: the third derivative adds 1e-10 of itself, rounding 1e-11.
pub(crate) const CHANGE: f64 = 1e-5;

/// What one or more cells, one on top of the other, give back.
pub(crate) struct Back {
    pub(crate) inputs: Array3<f64>,
    /// Of each cell: of the initial state, and of each weight.
    pub(crate) states: Vec<State>,
    pub(crate) weights: Vec<Weights>,
}

/// The gradient of each weight of a cell, in the order of [`Cell::weights_mut`].
pub(crate) type Weights = Vec<(&'static str, Vec<f64>)>;

/// The steps from the last to the first.
pub(crate) fn through_time(
    specs: &[&CellSpec],
    given: &Flowing,
    options: RecurrentOptions,
    [initial, finals]: [&[State]; 2],
    upstream: ArrayD<f64>,
    mutant: BackwardMutant,
) -> Back {
    let inputs = given.sequences();
    let (batch, time_steps, _) = inputs.dim();
    let mut cells: Vec<Cell> = specs.iter().map(|spec| Cell::new(spec, Mutant::None)).collect();
    let time_step = |step: usize| match options.go_backwards {
        false => step,
        true => time_steps - 1 - step,
    };
    let is_valid = |row: usize, step: usize| given.mask.as_ref().is_none_or(|mask| mask[[row, time_step(step)]]);
    let of_outputs = in_steps(upstream, time_steps, options.return_sequences);
    let history = history(&cells, inputs, initial, time_step, is_valid);

    let mut waiting = Array2::zeros((batch, of_outputs.dim().2)); // of the output that is the previous one
    let mut states = finals.to_vec();
    if mutant == BackwardMutant::FinalStatesIgnored {
        states = specs.iter().map(|spec| State::zero(batch, spec)).collect();
    }
    let mut back = Back {
        inputs: Array3::zeros(inputs.raw_dim()),
        states: Vec::new(),
        weights: cells.iter_mut().map(zeros).collect(),
    };
    for (step, before) in history.iter().enumerate().rev() {
        for row in 0..batch {
            let ran = is_valid(row, step);
            if ran || mutant != BackwardMutant::RepeatedOutputDropped {
                let mut waiting = waiting.row_mut(row);
                waiting += &of_outputs.slice(ndarray::s![row, step, ..]);
            }
            if !ran && mutant != BackwardMutant::MaskIgnored {
                if options.zero_output_for_mask {
                    waiting.row_mut(row).fill(0.0);
                }
                continue;
            }
            let x = inputs.slice(ndarray::s![row, time_step(step), ..]);
            let mut above = waiting.row(row).to_vec();
            waiting.row_mut(row).fill(0.0);
            for (place, x) in steps_up(&cells, x, before, row).into_iter().enumerate().rev() {
                let state = &mut states[place];
                above
                    .iter_mut()
                    .zip(state.hidden.row(row))
                    .for_each(|(sum, hidden)| *sum += hidden);
                let given = [x, row_of(&before[place].hidden, row), row_of(&before[place].cell, row)];
                let upstream = [above, row_of(&state.cell, row)];
                let [of_x, hidden, cell] = step_back(&mut cells[place], given, &upstream, &mut back.weights[place]);
                let dropped = |mistake| if mutant == mistake { 0.0 } else { 1.0 };
                let hidden = ArrayView1::from(&hidden).mapv(|h| h * dropped(BackwardMutant::HiddenDropped));
                let cell = ArrayView1::from(&cell).mapv(|c| c * dropped(BackwardMutant::CarryDropped));
                state.hidden.row_mut(row).assign(&hidden);
                state.cell.row_mut(row).assign(&cell);
                above = of_x;
            }
            let mut of_input = back.inputs.slice_mut(ndarray::s![row, time_step(step), ..]);
            of_input += &ArrayView1::from(&above);
        }
    }
    back.states = states;
    back
}

/// The gradient of the outputs of all steps, in the order in which they ran.
fn in_steps(upstream: ArrayD<f64>, time_steps: usize, return_sequences: bool) -> Array3<f64> {
    if return_sequences {
        return upstream.into_dimensionality().expect("three axes");
    }
    let (batch, units) = (upstream.shape()[0], upstream.shape()[1]);
    let mut steps = Array3::zeros((batch, time_steps, units));
    if time_steps > 0 {
        let last: Array2<f64> = upstream.into_dimensionality().expect("two axes");
        steps.index_axis_mut(Axis(1), time_steps - 1).assign(&last);
    }
    steps
}

/// The states before each step.
fn history(
    cells: &[Cell],
    inputs: ndarray::ArrayView3<'_, f64>,
    initial: &[State],
    time_step: impl Fn(usize) -> usize,
    is_valid: impl Fn(usize, usize) -> bool,
) -> Vec<Vec<State>> {
    let (batch, time_steps, _) = inputs.dim();
    let mut states = initial.to_vec();
    let mut history = Vec::new();
    for step in 0..time_steps {
        let before = states.clone();
        for row in (0..batch).filter(|row| is_valid(*row, step)) {
            let mut x = inputs.slice(ndarray::s![row, time_step(step), ..]).to_vec();
            for ((cell, before), state) in cells.iter().zip(&before).zip(&mut states) {
                let (hidden, own) = cell.step(&x, &row_of(&before.hidden, row), &row_of(&before.cell, row));
                state.hidden.row_mut(row).assign(&ArrayView1::from(&hidden));
                state.cell.row_mut(row).assign(&ArrayView1::from(&own));
                x = hidden;
            }
        }
        history.push(before);
    }
    history
}

/// What each of the cells, one on top of the other, is given at a step.
fn steps_up(cells: &[Cell], x: ArrayView1<'_, f64>, before: &[State], row: usize) -> Vec<Vec<f64>> {
    let mut given = vec![x.to_vec()];
    for (cell, before) in cells.iter().zip(before) {
        let x = given.last().expect("the input of the first");
        let (hidden, _) = cell.step(x, &row_of(&before.hidden, row), &row_of(&before.cell, row));
        given.push(hidden);
    }
    given.pop();
    given
}

fn row_of(values: &Array2<f64>, row: usize) -> Vec<f64> {
    values.row(row).to_vec()
}

fn zeros(cell: &mut Cell) -> Weights {
    let weights = cell.weights_mut().into_iter();
    weights
        .map(|(name, numbers)| (name, vec![0.0; numbers.len()]))
        .collect()
}

/// One step of one sequence: the gradients of x, hidden and cell from those of the new hidden and cell; those of the weights
/// are added to the sums.
fn step_back(
    cell: &mut Cell,
    given: [Vec<f64>; 3],
    [of_hidden, of_cell]: &[Vec<f64>; 2],
    weights: &mut Weights,
) -> [Vec<f64>; 3] {
    let loss = |cell: &Cell, [x, hidden, state]: &[Vec<f64>; 3]| -> f64 {
        let (hidden, state) = cell.step(x, hidden, state);
        let one: f64 = hidden.iter().zip(of_hidden).map(|(value, weight)| value * weight).sum();
        let other: f64 = state.iter().zip(of_cell).map(|(value, weight)| value * weight).sum();
        one + other
    };
    let mut gradients = given.clone();
    for (part, gradient) in gradients.iter_mut().enumerate() {
        for (place, gradient) in gradient.iter_mut().enumerate() {
            let at = |change: f64| {
                let mut changed = given.clone();
                changed[part][place] += change;
                loss(cell, &changed)
            };
            *gradient = (at(CHANGE) - at(-CHANGE)) / (2.0 * CHANGE);
        }
    }
    for (part, (_, sums)) in weights.iter_mut().enumerate() {
        for (place, sum) in sums.iter_mut().enumerate() {
            let mut at = |change: f64| {
                let number = |cell: &mut Cell| -> f64 { cell.weights_mut()[part].1[place] };
                let kept = number(cell);
                cell.weights_mut()[part].1[place] = kept + change;
                let loss = loss(cell, &given);
                cell.weights_mut()[part].1[place] = kept;
                loss
            };
            *sum += (at(CHANGE) - at(-CHANGE)) / (2.0 * CHANGE);
        }
    }
    gradients
}
