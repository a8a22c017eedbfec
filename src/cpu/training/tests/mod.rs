//! Gradients of random models against differences of the f64 reference, which judges both paths.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod differences;
mod judged;
pub(crate) mod keras_dropout;
mod masked;
#[allow(dead_code, reason = "each test binary uses a part of this")]
#[path = "../../../../tests/support/models.rs"]
mod models;
mod noise;
mod pieces;
#[path = "../../../../tests/support/mod.rs"]
mod support;
mod threads;
#[allow(dead_code, reason = "each test binary uses a part of this")]
#[path = "../../../../tests/support/zoo.rs"]
mod zoo;

use std::sync::Arc;

use ndarray::{Array2, ArrayD};

use super::*;
use crate::layer::Layer;
use crate::layer::bidirectional::Bidirectional;
use crate::layer::recurrent::{DropoutRates, Recurrent};
use crate::layer::stacked::StackedRnnCells;
use crate::model::{Model, ModelBuilder};
use support::golden;
use support::layers::{LayerSpec, StatePair};
use support::random::Random;

/// A model, a batch, and what a loss says of what comes out: `Σ weights · outputs`.
#[derive(Clone)]
struct Trial {
    layers: Vec<LayerSpec>,
    input: golden::Input,
    mask: Option<Array2<bool>>,
    initial: Vec<StatePair>,
    outputs: Vec<ArrayD<f32>>,
    states: Vec<StatePair>,
    /// What its recurrent layers leave out, if they do.
    left_out: Option<DropoutRates>,
}

/// All gradients of a trial as lists: weights, then the input, then states.
type Lists = Vec<(String, Vec<f32>)>;

impl Trial {
    /// With weights of a loss that are drawn.
    fn new(layers: Vec<LayerSpec>, (input, mask): (golden::Input, Option<Array2<bool>>), random: &mut Random) -> Self {
        let batch = input.batch();
        let mut states = || {
            let cells = layers.iter().flat_map(LayerSpec::cells);
            cells.map(|cell| random.state_of(batch, cell)).collect::<Vec<_>>()
        };
        let (initial, states) = (states(), states());
        let mut trial = Self {
            layers,
            input,
            mask,
            initial,
            outputs: Vec::new(),
            states,
            left_out: None,
        };
        let reference = trial.reference();
        let shapes = std::iter::once(&reference.0).chain(&reference.1);
        trial.outputs = shapes
            .map(|values| ArrayD::from_shape_simple_fn(values.shape(), || random.within(1.0)))
            .collect();
        trial
    }

    /// What the f64 reference gives: outputs, those of the other direction, final states.
    fn reference(&self) -> (ArrayD<f64>, Option<ArrayD<f64>>, Vec<support::reference::State>) {
        let mut states: Vec<_> = self.initial.iter().map(support::reference::State::wide).collect();
        let mutant = support::mutant::Mutant::None;
        let output = support::reference::run(&self.layers, &self.input, self.mask.as_ref(), &mut states, mutant);
        (output.values, output.backward, states)
    }

    fn loss(&self) -> f64 {
        if let Some(rates) = self.left_out {
            return self.loss_of_sequences(rates);
        }
        let (values, backward, states) = self.reference();
        let weighted = |values: &ArrayD<f64>, weights: &ArrayD<f32>| -> f64 {
            values
                .iter()
                .zip(weights)
                .map(|(value, &weight)| value * f64::from(weight))
                .sum()
        };
        let outputs = std::iter::once(&values).chain(&backward).zip(&self.outputs);
        let of_outputs: f64 = outputs.map(|(values, weights)| weighted(values, weights)).sum();
        let of_states = states.iter().zip(&self.states).map(|(state, (hidden, cell))| {
            let [one, other] = [(&state.hidden, hidden), (&state.cell, cell)].map(|(values, weights)| {
                let pairs = values.iter().zip(weights);
                pairs.map(|(value, &weight)| value * f64::from(weight)).sum::<f64>()
            });
            one + other
        });
        of_outputs + of_states.sum::<f64>()
    }

    fn model(&self) -> Model {
        let model = models::model(&self.layers).unwrap();
        let Some(rates) = self.left_out else { return model };
        let change = |layer: &mut Recurrent| layer.dropout = rates;
        let layers = model.layers().iter().cloned().map(|mut layer| {
            match &mut layer {
                Layer::Recurrent(layer) => change(layer),
                Layer::Bidirectional(layer) => {
                    let mut sides = [layer.forward().clone(), layer.backward().clone()];
                    sides.iter_mut().for_each(change);
                    let [forward, backward] = sides;
                    *layer = Bidirectional::new(forward)
                        .backward_layer(backward)
                        .merge_mode(layer.merge());
                }
                Layer::StackedRnnCells(stack) => {
                    let mut cells = stack.cells().to_vec();
                    cells.iter_mut().for_each(change);
                    *stack = StackedRnnCells::new(cells).with_options(stack.options());
                }
                _ => {}
            }
            layer
        });
        layers.fold(Model::builder(), ModelBuilder::add).build().unwrap()
    }

    fn flow(&self, model: &Model) -> Arc<Flow> {
        let mask = self.mask.as_ref().map(|mask| mask.view());
        Arc::new(Flow::in_training(model.plan(), self.input(), mask).unwrap())
    }

    fn input(&self) -> Input<'_> {
        match &self.input {
            golden::Input::Values(values) => Input::Values(values.view()),
            golden::Input::Tokens(tokens) => Input::Tokens(tokens.view()),
        }
    }

    fn upstream(&self) -> Upstream {
        Upstream {
            outputs: self.outputs.clone(),
            states: Some(states(&self.states)),
        }
    }

    /// What the CPU path gives, without noise.
    fn gradients(&self) -> PlanGradients {
        self.gradients_with(None)
    }

    fn gradients_with(&self, noise: Option<Noise>) -> PlanGradients {
        self.gradients_in(noise, false)
    }

    /// With little memory or not.
    fn gradients_in(&self, noise: Option<Noise>, is_low: bool) -> PlanGradients {
        let model = self.model();
        let mut training = CpuTraining::new(Arc::clone(model.plan()), &Settings::new(), "CPU".into()).unwrap();
        training.low_memory(is_low);
        let flow = self.flow(&model);
        let (mut output, mut before) = (Output::default(), states(&self.initial));
        training
            .forward(&flow, self.input(), Some(&mut before), noise, &mut output)
            .unwrap();
        training.backward(&flow, self.input(), &self.upstream(), true).unwrap()
    }
}

fn states(pairs: &[StatePair]) -> Vec<State> {
    let state = |(hidden, cell): &StatePair| match cell.ncols() {
        0 => State::new(hidden.clone()),
        _ => State::with_cell(hidden.clone(), cell.clone()).unwrap(),
    };
    pairs.iter().map(state).collect()
}

/// The gradients as lists, in the order of [`Trial::changes`].
fn lists(gradients: &PlanGradients) -> Lists {
    let mut lists: Lists = Vec::new();
    for (path, gradient) in &gradients.parameters {
        lists.push((path.clone(), gradient.iter().copied().collect()));
    }
    if let Some(input) = &gradients.input {
        lists.push(("input".to_owned(), input.iter().copied().collect()));
    }
    for (number, state) in gradients.states.iter().enumerate() {
        let arrays = state.arrays().map(|array| array.iter().copied().collect::<Vec<_>>());
        let names = ["hidden", "cell"].map(|name| format!("state {number}, {name}"));
        lists.extend(names.into_iter().zip(arrays));
    }
    lists
}
