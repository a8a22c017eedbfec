//! The plain, slow, obviously right implementation, in f64 with loops: Keras 3.15's meaning of every layer.
//!
//! It also makes mistakes on request ([`Mutant`]), so that the cases can show that they would notice.

use ndarray::{Array1, Array2, Array3, ArrayD, ArrayView3, Axis, Ix2, Ix3, Zip, concatenate};

use super::{
    golden::Input,
    layers::{LayerSpec, Merge, RecurrentOptions},
    reference_activation::activate,
    reference_layers::without_cells,
};

pub(crate) use super::reference_cell::{Cell, Mutant, State};

/// What a chain of layers gives.
#[derive(Clone, Debug)]
pub(crate) struct Output {
    /// (batch, time_steps, units), or (batch, units) without return_sequences.
    pub(crate) values: ArrayD<f64>,
    /// The other direction, where both stay apart.
    pub(crate) backward: Option<ArrayD<f64>>,
}

/// Runs one or more cells, one on top of the other, over a batch; `states` (one for each cell) are the initial ones and
/// become the final ones. Returns the outputs of all steps in the order in which they were run.
///
/// - A masked step changes no state; its output is the output of the step run before it, and 0 if there was none,
///   whatever the initial state. With `zero_output_for_mask` it is 0.
/// - `go_backwards` runs from the last time step to the first, and leaves the outputs in that order.
pub(crate) fn recurrent(
    inputs: ArrayView3<'_, f64>,
    mask: Option<&Array2<bool>>,
    cells: &[Cell],
    options: RecurrentOptions,
    states: &mut [State],
    mutant: Mutant,
) -> Array3<f64> {
    let (batch, time_steps, features) = inputs.dim();
    let last = cells.len() - 1;
    let units = states[last].hidden.ncols();
    if mutant == Mutant::InitialStateIgnored {
        for state in states.iter_mut() {
            state.hidden.fill(0.0);
            state.cell.fill(0.0);
        }
    }
    let time_step = |step: usize| match options.go_backwards {
        false => step,
        true => time_steps - 1 - step,
    };
    let is_valid = |row: usize, step: usize| match mask {
        Some(mask) if mutant != Mutant::IgnoreMask => mask[[row, time_step(step)]],
        _ => true,
    };
    let last_valid = |row: usize| (0..time_steps).rev().find(|&step| is_valid(row, step));

    let mut previous_output = match mutant {
        Mutant::MaskedOutputStartsAtInitialHidden => states[last].hidden.clone(),
        _ => Array2::zeros((batch, units)),
    };
    let mut outputs = Array3::zeros((batch, time_steps, units));
    for step in 0..time_steps {
        let before = states.to_vec();
        for row in 0..batch {
            let skipped = mutant == Mutant::MissingLastStep && last_valid(row) == Some(step);
            if is_valid(row, step) && !skipped {
                let read = match mutant {
                    Mutant::NeighbourState => (row + 1) % batch,
                    _ => row,
                };
                let mut x = (0..features)
                    .map(|f| inputs[[row, time_step(step), f]])
                    .collect::<Vec<f64>>();
                for (k, cell) in cells.iter().enumerate() {
                    let (hidden, cell) = cell.step(
                        &x,
                        &before[k].hidden.row(read).to_vec(),
                        &before[k].cell.row(row).to_vec(),
                    );
                    states[k].cell.row_mut(row).assign(&Array1::from(cell));
                    states[k].hidden.row_mut(row).assign(&Array1::from(hidden.clone()));
                    x = hidden;
                }
                previous_output.row_mut(row).assign(&Array1::from(x));
            } else if options.zero_output_for_mask {
                previous_output.row_mut(row).fill(0.0);
            }
            for unit in 0..units {
                outputs[[row, step, unit]] = previous_output[[row, unit]];
            }
        }
    }
    outputs
}

/// With return_sequences all outputs, without the last one; 0 if there are no time steps.
pub(crate) fn returned(outputs: Array3<f64>, return_sequences: bool) -> ArrayD<f64> {
    let (batch, time_steps, units) = outputs.dim();
    match (return_sequences, time_steps) {
        (true, _) => outputs.into_dyn(),
        (false, 0) => Array2::zeros((batch, units)).into_dyn(),
        (false, _) => outputs.index_axis(Axis(1), time_steps - 1).to_owned().into_dyn(),
    }
}

/// Both directions. Keras sets `zero_output_for_mask` of both to `return_sequences`, runs the backward layer over the same
/// input and mask the other way round, and turns its outputs around before they are merged. `states`: forward, backward.
pub(crate) fn bidirectional(
    inputs: ArrayView3<'_, f64>,
    mask: Option<&Array2<bool>>,
    [forward, backward]: [&Cell; 2],
    options: RecurrentOptions,
    merge: Merge,
    states: &mut [State],
    mutant: Mutant,
) -> Output {
    let forward_options = RecurrentOptions {
        zero_output_for_mask: options.return_sequences,
        ..options
    };
    let backward_options = RecurrentOptions {
        go_backwards: !options.go_backwards,
        ..forward_options
    };
    let (forward_states, backward_states) = states.split_at_mut(1);
    let run = |cell: &Cell, options: RecurrentOptions, states: &mut [State]| {
        let cells = std::slice::from_ref(cell);
        let outputs = recurrent(inputs, mask, cells, options, states, mutant);
        returned(outputs, options.return_sequences)
    };
    let forward = run(forward, forward_options, forward_states);
    let mut backward = run(backward, backward_options, backward_states);
    if options.return_sequences {
        backward.invert_axis(Axis(1));
    }
    let values = match merge {
        Merge::Sum => &forward + &backward,
        Merge::Multiply => &forward * &backward,
        Merge::Average => (&forward + &backward) / 2.0,
        Merge::Concat => {
            let last = Axis(forward.ndim() - 1);
            concatenate(last, &[forward.view(), backward.view()]).expect("the same batch")
        }
        Merge::Separate => {
            return Output {
                values: forward,
                backward: Some(backward),
            };
        }
    };
    Output { values, backward: None }
}

/// A step counts unless all its features equal `mask_value` (NaN equals nothing); the others become 0.
pub(crate) fn masking(inputs: ArrayView3<'_, f64>, mask_value: f64, mutant: Mutant) -> (Array3<f64>, Array2<bool>) {
    let mask = inputs.map_axis(Axis(2), |step| match mutant {
        Mutant::MaskingOfAnyFeature => step.iter().all(|&x| x != mask_value),
        _ => step.iter().any(|&x| x != mask_value),
    });
    let mut outputs = inputs.to_owned();
    Zip::from(outputs.lanes_mut(Axis(2)))
        .and(&mask)
        .for_each(|mut step, &valid| {
            if !valid && mutant != Mutant::MaskingLeavesValues {
                step.fill(0.0);
            }
        });
    (outputs, mask)
}

/// Row `token` of the embeddings for each token; with `mask_zero`, token 0 does not count.
pub(crate) fn embedding(
    tokens: &Array2<i32>,
    embeddings: &Array2<f64>,
    mask_zero: bool,
) -> (Array3<f64>, Option<Array2<bool>>) {
    let (batch, time_steps) = tokens.dim();
    let outputs = Array3::from_shape_fn((batch, time_steps, embeddings.ncols()), |(b, t, d)| {
        embeddings[[tokens[[b, t]] as usize, d]]
    });
    (outputs, mask_zero.then(|| tokens.mapv(|token| token != 0)))
}

/// y = a(x W + b) over the last axis.
pub(crate) fn dense(
    inputs: &ArrayD<f64>,
    kernel: &Array2<f64>,
    bias: Option<&Array1<f64>>,
    activation: &str,
) -> ArrayD<f64> {
    let mut shape = inputs.shape().to_vec();
    let features = shape.pop().expect("at least one axis");
    shape.push(kernel.ncols());
    let mut values = Vec::new();
    if features > 0 {
        let inputs = inputs.as_standard_layout();
        for x in inputs.as_slice().expect("contiguous").chunks_exact(features) {
            let mut row = match bias {
                Some(bias) => bias.to_vec(),
                None => vec![0.0; kernel.ncols()],
            };
            for (x, weights) in x.iter().zip(kernel.rows()) {
                for (sum, weight) in row.iter_mut().zip(weights) {
                    *sum += x * weight;
                }
            }
            activate(activation, &mut row);
            values.extend(row);
        }
    }
    ArrayD::from_shape_vec(shape, values).expect("a row of units for each row of features")
}

/// What goes from layer to layer.
#[derive(Clone, Debug)]
pub(crate) struct Flowing {
    /// (batch, time_steps, features) or (batch, features)
    pub(crate) values: ArrayD<f64>,
    /// (batch, time_steps): what an Embedding takes
    pub(crate) tokens: Option<Array2<i32>>,
    pub(crate) mask: Option<Array2<bool>>,
    /// The other direction, where both stay apart.
    pub(crate) backward: Option<ArrayD<f64>>,
}

impl Flowing {
    pub(crate) fn new(input: &Input, mask: Option<&Array2<bool>>) -> Self {
        let (values, tokens) = match input {
            Input::Values(array) => (array.mapv(f64::from).into_dyn(), None),
            Input::Tokens(array) => (ArrayD::zeros(vec![0, 0, 0]), Some(array.clone())),
        };
        Self {
            values,
            tokens,
            mask: mask.cloned(),
            backward: None,
        }
    }

    pub(crate) fn sequences(&self) -> ArrayView3<'_, f64> {
        self.values.view().into_dimensionality::<Ix3>().expect("three axes")
    }
}

/// Runs a chain of layers. `states` holds the states of all layers in order; they are the initial ones and become the final
/// ones. A mask goes from layer to layer as in Keras: on after return_sequences (unreversed, even after go_backwards), gone
/// without it; Masking and Embedding make their own.
pub(crate) fn run(
    layers: &[LayerSpec],
    input: &Input,
    mask: Option<&Array2<bool>>,
    states: &mut [State],
    mutant: Mutant,
) -> Output {
    let mut flowing = Flowing::new(input, mask);
    let mut states = states;
    for (place, layer) in layers.iter().enumerate() {
        let (own, rest) = states.split_at_mut(layer.cells().len());
        states = rest;
        flowing = through(layer, place, flowing, own, mutant);
    }
    Output {
        values: flowing.values,
        backward: flowing.backward,
    }
}

/// Runs one layer, the one at `place`.
pub(crate) fn through(
    layer: &LayerSpec,
    place: usize,
    given: Flowing,
    states: &mut [State],
    mutant: Mutant,
) -> Flowing {
    let mut flowing = given;
    let mut cells: Vec<Cell> = layer.cells().iter().map(|spec| Cell::new(spec, mutant)).collect();
    match layer {
        LayerSpec::Recurrent { options, .. } | LayerSpec::StackedCells { options, .. } => {
            let outputs = recurrent(
                flowing.sequences(),
                flowing.mask.as_ref(),
                &cells,
                *options,
                states,
                mutant,
            );
            flowing.values = returned(outputs, options.return_sequences);
            flowing.mask = flowing.mask.filter(|_| options.return_sequences);
        }
        LayerSpec::Bidirectional { options, merge, .. } => {
            if mutant == Mutant::BackwardOptionsIgnored {
                let forward = cells[0].clone();
                cells[1].take_activations(&forward);
            }
            let both = [&cells[0], &cells[1]];
            let mask = flowing.mask.as_ref();
            let output = bidirectional(flowing.sequences(), mask, both, *options, *merge, states, mutant);
            flowing.values = output.values;
            flowing.backward = output.backward;
            flowing.mask = flowing.mask.filter(|_| options.return_sequences);
        }
        LayerSpec::Masking { .. } if place > 0 && mutant == Mutant::MaskingBehindIgnored => {}
        LayerSpec::Masking { mask_value } => masked(&mut flowing, f64::from(*mask_value), mutant),
        LayerSpec::RepeatVector { n } => {
            let vectors = flowing.values.view().into_dimensionality::<Ix2>().expect("two axes");
            let (batch, features) = vectors.dim();
            let repeated = Array3::from_shape_fn((batch, *n, features), |(row, _, feature)| vectors[[row, feature]]);
            flowing.values = repeated.into_dyn();
            flowing.mask = None;
        }
        LayerSpec::Embedding { embeddings, mask_zero } => {
            let tokens = flowing.tokens.take().expect("an embedding takes tokens");
            let (embedded, made) = embedding(&tokens, &embeddings.mapv(f64::from), *mask_zero);
            flowing.values = embedded.into_dyn();
            flowing.mask = made;
        }
        LayerSpec::Dense {
            kernel,
            bias,
            activation,
        } => {
            let bias = bias.as_ref().map(|bias| bias.mapv(f64::from));
            flowing.values = dense(&flowing.values, &kernel.mapv(f64::from), bias.as_ref(), activation);
        }
        other => (flowing.values, flowing.mask) = without_cells(other, flowing.values, flowing.mask, mutant),
    }
    flowing
}

/// A Masking layer, on sequences or on one value for each.
fn masked(flowing: &mut Flowing, mask_value: f64, mutant: Mutant) {
    let sequences = flowing.values.ndim() == 3;
    if !sequences {
        // one value for each sequence, of which no layer behind can take a mask
        flowing.values.insert_axis_inplace(Axis(1));
    }
    let (masked, made) = masking(flowing.sequences(), mask_value, mutant);
    let joined = match &flowing.mask {
        Some(before) if mutant == Mutant::MaskingJoinsMask => made & before,
        _ => made,
    };
    flowing.mask = sequences.then_some(joined);
    flowing.values = match sequences {
        true => masked.into_dyn(),
        false => masked.index_axis_move(Axis(1), 0).into_dyn(),
    };
}
