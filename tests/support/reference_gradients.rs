//! The way back in f64: the gradients of a chain of layers, layer by layer; what has steps is in `reference_through_time.rs`.
//!
//! It also makes mistakes on request ([`BackwardMutant`]), so that the cases can show that they would notice.

use std::collections::BTreeMap;

use ndarray::{Array2, Array3, ArrayD, Axis, Ix3, Slice};

use super::{
    cells::{CellSpec, Rule},
    golden::Input,
    layers::{Chain, LayerSpec, Merge, RecurrentOptions},
    reference::{self, Cell, Flowing, Mutant, State},
    reference_through_time::{CHANGE, Weights, through_time},
};

pub(crate) use super::mutant::BackwardMutant;

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
        let back = through_time(specs, given, options, states, upstream, self.mutant);
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
