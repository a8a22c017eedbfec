//! The way back in f64: the gradients of a chain of layers, by a plain loop over the steps from the last to the first.
//!
//! No derivative of a cell is written down here: what a step makes of a small change is asked of the step itself, by a
//! difference in f64, so that a formula that is wrong in the library is not wrong here too. It also makes mistakes on
//! request ([`BackwardMutant`]), so that the cases can show that they would notice.

use std::collections::BTreeMap;

use ndarray::{Array2, Array3, ArrayD, ArrayView1, Axis, Ix3, Slice};

use super::{
    cells::{CellSpec, Rule},
    golden::Input,
    layers::{Chain, LayerSpec, Merge, RecurrentOptions},
    reference::{self, Cell, Flowing, Mutant, State},
};

/// By how much a number is changed to see what follows: the third derivative adds 1e-10 of itself, rounding 1e-11.
const CHANGE: f64 = 1e-5;

/// A mistake that a way back might make.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum BackwardMutant {
    None,
    /// The gradient of the cell state ends with each step.
    CarryDropped,
    /// The gradient of the hidden state ends with each step.
    HiddenDropped,
    /// Masked steps are gone back through as if they had been run.
    MaskIgnored,
    BiasTwice,
    /// What the loss says of an output that a masked step repeats is lost.
    RepeatedOutputDropped,
    FinalStatesIgnored,
    InitialStatesIgnored,
    /// Of a token that stands there several times, one place counts.
    TokensOnce,
}

impl BackwardMutant {
    pub(crate) const ALL: [Self; 8] = [
        Self::CarryDropped,
        Self::HiddenDropped,
        Self::MaskIgnored,
        Self::BiasTwice,
        Self::RepeatedOutputDropped,
        Self::FinalStatesIgnored,
        Self::InitialStatesIgnored,
        Self::TokensOnce,
    ];
}

/// The gradients of a loss with respect to what a chain gave.
#[derive(Clone, Debug)]
pub(crate) struct Upstream {
    pub(crate) values: ArrayD<f64>,
    pub(crate) backward: Option<ArrayD<f64>>,
    /// Of the final states of all cells.
    pub(crate) states: Vec<State>,
}

/// Gradients by the names of a case: `x`, `layer0.kernel`, `layer0.initial_h`, …
pub(crate) type Gradients = BTreeMap<String, ArrayD<f64>>;

/// The gradients of everything that a chain computes with, from the given states of all cells.
pub(crate) fn gradients(
    chain: &Chain,
    input: &Input,
    mask: Option<&Array2<bool>>,
    initial: &[State],
    upstream: &Upstream,
    mutant: BackwardMutant,
) -> Gradients {
    let mut way = Way {
        gradients: Gradients::new(),
        mutant,
    };
    let mut flowing = Flowing::new(input, mask);
    let mut given = Vec::new();
    let mut states = initial.to_vec();
    let mut rest = states.as_mut_slice();
    for (place, layer) in chain.layers.iter().enumerate() {
        let (own, behind) = rest.split_at_mut(layer.cells().len());
        rest = behind;
        given.push(flowing.clone());
        flowing = reference::through(layer, place, flowing, own, Mutant::None);
    }
    let mut outgoing = [Some(upstream.values.clone()), upstream.backward.clone()];
    let mut end = initial.len();
    for ((layer, prefix), given) in chain.layers.iter().zip(&chain.prefixes).zip(&given).rev() {
        let cells = end - layer.cells().len()..end;
        end = cells.start;
        let states = [&initial[cells.clone()], &upstream.states[cells]];
        let [values, backward] = outgoing;
        let values = values.expect("values");
        outgoing = [way.back(layer, prefix, given, states, values, backward), None];
        if outgoing[0].is_none() {
            break; // tokens have no gradient
        }
    }
    if let [Some(values), _] = outgoing {
        way.gradients.insert("x".to_owned(), values);
    }
    way.gradients
}

/// What one or more cells, one on top of the other, give back.
struct Back {
    inputs: Array3<f64>,
    /// Of each cell: of the initial state, and of each weight.
    states: Vec<State>,
    weights: Vec<Weights>,
}

/// The gradient of each weight of a cell, in the order of [`Cell::weights_mut`].
type Weights = Vec<(&'static str, Vec<f64>)>;

struct Way {
    gradients: Gradients,
    mutant: BackwardMutant,
}

impl Way {
    /// One layer, backwards: from the gradient of what the layer gave to that of what the layer was given.
    fn back(
        &mut self,
        layer: &LayerSpec,
        prefix: &str,
        given: &Flowing,
        states: [&[State]; 2],
        values: ArrayD<f64>,
        backward: Option<ArrayD<f64>>,
    ) -> Option<ArrayD<f64>> {
        match layer {
            LayerSpec::Recurrent { options, .. } | LayerSpec::StackedCells { options, .. } => {
                let specs = layer.cells();
                let names: Vec<String> = layer
                    .state_prefixes()
                    .iter()
                    .map(|own| format!("{prefix}{own}"))
                    .collect();
                Some(
                    self.recurrent(&specs, &names, given, *options, states, values)
                        .into_dyn(),
                )
            }
            LayerSpec::Bidirectional {
                forward,
                backward: other,
                options,
                merge,
            } => Some(self.bidirectional(
                [forward, other],
                prefix,
                given,
                (*options, *merge),
                states,
                [Some(values), backward],
            )),
            LayerSpec::Embedding { embeddings, .. } => {
                let tokens = given.tokens.as_ref().expect("tokens");
                self.embeddings(prefix, tokens, embeddings.raw_dim(), &values);
                None
            }
            LayerSpec::Dense {
                kernel,
                bias,
                activation,
            } => {
                let bias = bias.as_ref().map(|bias| bias.mapv(f64::from));
                let kernel = kernel.mapv(f64::from);
                let of_kernel = differences(kernel.clone().into_dyn(), &values, |kernel| {
                    let kernel = kernel.clone().into_dimensionality().expect("two axes");
                    reference::dense(&given.values, &kernel, bias.as_ref(), activation)
                });
                self.gradients.insert(format!("{prefix}kernel"), of_kernel);
                if let Some(bias) = &bias {
                    let mut of_bias = differences(bias.clone().into_dyn(), &values, |bias| {
                        let bias = bias.clone().into_dimensionality().expect("one axis");
                        reference::dense(&given.values, &kernel, Some(&bias), activation)
                    });
                    if self.mutant == BackwardMutant::BiasTwice {
                        of_bias *= 2.0;
                    }
                    self.gradients.insert(format!("{prefix}bias"), of_bias);
                }
                Some(self.of_values(layer, given, &values))
            }
            LayerSpec::BatchNormalization { .. } | LayerSpec::LayerNormalization { .. } => {
                self.normalization(layer, prefix, given, &values);
                Some(self.of_values(layer, given, &values))
            }
            _ => Some(self.of_values(layer, given, &values)),
        }
    }

    /// A layer without states, by what it makes of small changes of its values.
    fn of_values(&self, layer: &LayerSpec, given: &Flowing, upstream: &ArrayD<f64>) -> ArrayD<f64> {
        differences(given.values.clone(), upstream, |values| {
            let changed = Flowing {
                values: values.clone(),
                ..given.clone()
            };
            // (which place it has is a matter of one mistake of the way forward)
            reference::through(layer, 0, changed, &mut [], Mutant::None).values
        })
    }

    /// Gamma and beta: what the layer gives is linear in them, so that a difference of any size is the derivative.
    fn normalization(&mut self, layer: &LayerSpec, prefix: &str, given: &Flowing, upstream: &ArrayD<f64>) {
        for (place, name) in ["gamma", "beta"].into_iter().enumerate() {
            let at = |feature: usize, change: f32| -> Option<f64> {
                let mut changed = layer.clone();
                let (LayerSpec::BatchNormalization { gamma, beta, .. }
                | LayerSpec::LayerNormalization { gamma, beta, .. }) = &mut changed
                else {
                    return None;
                };
                let weights: &mut ndarray::Array1<f32> = [gamma, beta][place].as_mut()?;
                *weights.get_mut(feature)? += change;
                let made = reference::through(&changed, 0, given.clone(), &mut [], Mutant::None);
                Some((made.values * upstream).sum())
            };
            // (in float32 0.5 more and 0.5 less are off by 3e-8)
            let gradient: Vec<f64> = (0..)
                .map_while(|feature| Some(at(feature, 0.5)? - at(feature, -0.5)?))
                .collect();
            if !gradient.is_empty() {
                self.gradients
                    .insert(format!("{prefix}{name}"), ndarray::Array1::from(gradient).into_dyn());
            }
        }
    }

    /// Each place adds to the row of its token.
    fn embeddings(&mut self, prefix: &str, tokens: &Array2<i32>, shape: ndarray::Ix2, upstream: &ArrayD<f64>) {
        let upstream = upstream.view().into_dimensionality::<Ix3>().expect("three axes");
        let mut rows = Array2::zeros(shape);
        for ((sequence, step), token) in tokens.indexed_iter() {
            let mut row: ndarray::ArrayViewMut1<'_, f64> = rows.row_mut(*token as usize);
            if self.mutant == BackwardMutant::TokensOnce {
                row.fill(0.0);
            }
            row += &upstream.slice(ndarray::s![sequence, step, ..]);
        }
        self.gradients.insert(format!("{prefix}embeddings"), rows.into_dyn());
    }

    /// Cells one on top of the other; `names` stand before the names of their weights.
    fn recurrent(
        &mut self,
        specs: &[&CellSpec],
        names: &[String],
        given: &Flowing,
        options: RecurrentOptions,
        states: [&[State]; 2],
        upstream: ArrayD<f64>,
    ) -> Array3<f64> {
        let back = self.through_time(specs, given, options, states, upstream);
        for ((spec, name), (state, weights)) in specs.iter().zip(names).zip(back.states.into_iter().zip(back.weights)) {
            let state = match self.mutant {
                BackwardMutant::InitialStatesIgnored => State::zero(state.hidden.nrows(), spec),
                _ => state,
            };
            self.gradients
                .insert(format!("{name}initial_h"), state.hidden.into_dyn());
            self.gradients.insert(format!("{name}initial_c"), state.cell.into_dyn());
            self.name_weights(spec, name, weights);
        }
        back.inputs
    }

    fn name_weights(&mut self, spec: &CellSpec, name: &str, weights: Weights) {
        let recurrent_bias = weights.iter().find(|(weight, _)| *weight == "recurrent_bias");
        let recurrent_bias = recurrent_bias.map_or_else(Vec::new, |(_, numbers)| numbers.clone());
        let columns = spec.kernel.ncols();
        for (weight, mut numbers) in weights {
            let shape = match weight {
                "kernel" => vec![spec.features(), columns],
                "recurrent_kernel" => vec![spec.output(), columns],
                "recurrent_bias" => continue,
                "bias" if spec.bias.is_none() => continue,
                "bias" => {
                    if self.mutant == BackwardMutant::BiasTwice {
                        numbers.iter_mut().for_each(|number| *number *= 2.0);
                    }
                    match spec.rule {
                        Rule::Gru { reset_after: true } => {
                            numbers.extend(&recurrent_bias);
                            vec![2, columns]
                        }
                        _ => vec![columns],
                    }
                }
                "peepholes" => vec![3, spec.units()],
                _ => vec![spec.units(), spec.output()],
            };
            let gradient = ArrayD::from_shape_vec(shape, numbers).expect("as many numbers");
            self.gradients.insert(format!("{name}{weight}"), gradient);
        }
    }

    /// Both directions, each from its part of the merged gradient.
    fn bidirectional(
        &mut self,
        specs: [&CellSpec; 2],
        prefix: &str,
        given: &Flowing,
        (options, merge): (RecurrentOptions, Merge),
        [initial, finals]: [&[State]; 2],
        upstream: [Option<ArrayD<f64>>; 2],
    ) -> ArrayD<f64> {
        let forward_options = RecurrentOptions {
            zero_output_for_mask: options.return_sequences,
            ..options
        };
        let backward_options = RecurrentOptions {
            go_backwards: !options.go_backwards,
            ..forward_options
        };
        // what each direction gives, its own order turned into that of the input
        let outputs =
            [(specs[0], forward_options, 0), (specs[1], backward_options, 1)].map(|(spec, options, place)| {
                let cells = [Cell::new(spec, Mutant::None)];
                let mut state = [initial[place].clone()];
                let mask = given.mask.as_ref();
                let outputs = reference::recurrent(given.sequences(), mask, &cells, options, &mut state, Mutant::None);
                let mut outputs = reference::returned(outputs, options.return_sequences);
                if place == 1 && options.return_sequences {
                    outputs.invert_axis(Axis(1));
                }
                outputs
            });
        let [forward, mut backward] = parted(merge, &outputs, upstream);
        if options.return_sequences {
            backward.invert_axis(Axis(1));
        }
        let names = ["forward.", "backward."].map(|direction| [format!("{prefix}{direction}")]);
        let of = |place: usize| [&initial[place..=place], &finals[place..=place]];
        let one = self.recurrent(&specs[..1], &names[0], given, forward_options, of(0), forward);
        let other = self.recurrent(&specs[1..], &names[1], given, backward_options, of(1), backward);
        (one + other).into_dyn()
    }

    /// The steps from the last to the first.
    fn through_time(
        &self,
        specs: &[&CellSpec],
        given: &Flowing,
        options: RecurrentOptions,
        [initial, finals]: [&[State]; 2],
        upstream: ArrayD<f64>,
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
        if self.mutant == BackwardMutant::FinalStatesIgnored {
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
                if ran || self.mutant != BackwardMutant::RepeatedOutputDropped {
                    let mut waiting = waiting.row_mut(row);
                    waiting += &of_outputs.slice(ndarray::s![row, step, ..]);
                }
                if !ran && self.mutant != BackwardMutant::MaskIgnored {
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
                    let dropped = |mutant| if self.mutant == mutant { 0.0 } else { 1.0 };
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

/// The gradient of sum(made(values) * upstream) with respect to each of the values.
fn differences(values: ArrayD<f64>, upstream: &ArrayD<f64>, made: impl Fn(&ArrayD<f64>) -> ArrayD<f64>) -> ArrayD<f64> {
    let mut changed = values.clone();
    let mut gradient = ArrayD::zeros(values.raw_dim());
    for (index, value) in values.indexed_iter() {
        let mut at = |change: f64| {
            changed[&index] = value + change;
            (made(&changed) * upstream).sum()
        };
        gradient[&index] = (at(CHANGE) - at(-CHANGE)) / (2.0 * CHANGE);
        changed[&index] = *value;
    }
    gradient
}

/// The parts of both directions of the gradient of what was merged.
fn parted(merge: Merge, outputs: &[ArrayD<f64>; 2], upstream: [Option<ArrayD<f64>>; 2]) -> [ArrayD<f64>; 2] {
    let [values, backward] = upstream;
    let values = values.expect("values");
    match merge {
        Merge::Separate => [values, backward.expect("the gradient of both directions")],
        Merge::Sum => [values.clone(), values],
        Merge::Average => [&values / 2.0, values / 2.0],
        Merge::Multiply => [&values * &outputs[1], values * &outputs[0]],
        Merge::Concat => {
            let (last, units) = (Axis(values.ndim() - 1), outputs[0].shape()[values.ndim() - 1]);
            let part = |slice: Slice| values.slice_axis(last, slice).to_owned();
            [part((..units).into()), part((units..).into())]
        }
    }
}
