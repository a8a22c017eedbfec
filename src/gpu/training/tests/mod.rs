//! The gradients of a GPU against central differences of a loop in f64.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod bound;
mod cells;
mod directions;
mod layers;
mod memory;
mod reference;
mod sizes;
mod solo;
mod steps;

use std::sync::OnceLock;

use ndarray::{Array2, ArrayD, IxDyn};

use super::*;
use crate::gpu::device::adapter::Adapter;
use crate::model::Model;
use crate::settings::Strategy;
use reference::{Numbers, Reference};

/// Numbers that are the same in every run.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn within(&mut self, limit: f32) -> f32 {
        self.0 = self
            .0
            .wrapping_mul(0x5851_f42d_4c95_7f2d)
            .wrapping_add(0x1405_7b7e_f767_814f);
        let unit = (self.0 >> 40) as f32 / (1_u64 << 24) as f32;
        (2.0 * unit - 1.0) * limit
    }

    pub(crate) fn array(&mut self, shape: &[usize], limit: f32) -> ArrayD<f32> {
        ArrayD::from_shape_simple_fn(IxDyn(shape), || self.within(limit))
    }

    pub(crate) fn states(&mut self, plan: &Plan, batch: usize, limit: f32) -> Vec<State> {
        let cells = plan.cells.iter().map(|planned| {
            let mut state = State::zeros(batch, planned.cell.state_widths()).unwrap();
            for array in state.arrays_mut() {
                array.iter_mut().for_each(|value| *value = self.within(limit));
            }
            state
        });
        cells.collect()
    }
}

/// A batch of five sequences of seven steps, of which one has none and one has a hole.
pub(super) const BATCH: usize = 5;
pub(super) const STEPS: usize = 7;

pub(super) fn mask() -> Array2<bool> {
    let lengths = [7, 3, 0, 5, 7];
    Array2::from_shape_fn((BATCH, STEPS), |(sequence, step)| {
        step < lengths[sequence] && (sequence, step) != (3, 2)
    })
}

/// What a case is run with.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Case {
    pub(super) is_masked: bool,
    pub(super) from_states: bool,
    /// How many words there are, where the model takes tokens.
    pub(super) words: Option<i32>,
}

pub(super) const PLAIN: Case = Case {
    is_masked: false,
    from_states: false,
    words: None,
};
pub(super) const MASKED: Case = Case {
    is_masked: true,
    from_states: true,
    words: None,
};

/// Gives every weight a value of its own, biases too.
pub(crate) fn with_own_weights(model: &mut Model, random: &mut Random) {
    with_weights_within(model, random, 0.8);
}

/// The same up to a limit.
pub(crate) fn with_weights_within(model: &mut Model, random: &mut Random, limit: f32) {
    let parameters: Vec<(String, Vec<usize>)> = model
        .parameters()
        .iter()
        .map(|parameter| (parameter.path().to_owned(), parameter.values().shape().to_vec()))
        .collect();
    for (path, shape) in parameters {
        let values = match path.ends_with("moving_variance") {
            true => random.array(&shape, limit).mapv(|value| value.abs() + 0.1),
            false => random.array(&shape, limit),
        };
        model.replace_parameter(&path, values).unwrap();
    }
}

fn wide(array: &Array2<f32>) -> Vec<Vec<f64>> {
    let rows = array.outer_iter();
    rows.map(|row| row.iter().map(|&x| f64::from(x)).collect()).collect()
}

/// The GPUs of this machine, opened once: what one test has compiled the others need not.
pub(crate) fn gpus() -> &'static [Gpu] {
    static GPUS: OnceLock<Vec<Gpu>> = OnceLock::new();
    GPUS.get_or_init(own_gpus)
}

/// The same for the caller alone, who counts what is made, disturbs it or destroys it.
pub(crate) fn own_gpus() -> Vec<Gpu> {
    let adapters = pollster::block_on(Adapter::all());
    let opened = adapters.iter();
    let opened = opened.map(|adapter| pollster::block_on(adapter.open_another()).unwrap());
    let gpus: Vec<Gpu> = opened.collect();
    let is_required = std::env::var_os("CELLSTATE_REQUIRE_GPU").is_some();
    assert!(!gpus.is_empty() || !is_required, "there is no GPU");
    gpus
}

/// Compares all gradients of a model on every GPU with central differences.
pub(super) fn check(model: Model, case: Case) {
    check_by(&Settings::new().strategy(Strategy::Step), model, case);
}

/// The same with settings for the forward pass.
pub(super) fn check_by(settings: &Settings, mut model: Model, case: Case) {
    let mut random = Random(7);
    with_own_weights(&mut model, &mut random);
    let plan = model.plan().clone();
    let time_steps = plan.wanted_steps.as_ref().map_or(STEPS, |(steps, _)| *steps);
    let features = plan.features.unwrap_or(1);
    let values = random.array(&[BATCH, time_steps, features], 1.0);
    let values: ndarray::Array3<f32> = values.into_dimensionality().unwrap();
    let words = case.words.unwrap_or(1);
    let tokens = Array2::from_shape_simple_fn((BATCH, time_steps), || {
        ((random.within(1.0).abs() * words as f32) as i32).min(words - 1)
    });
    let input = match case.words {
        Some(_) => Input::Tokens(tokens.view()),
        None => Input::Values(values.view()),
    };
    let mask = mask();
    let flow = Arc::new(Flow::in_training(&plan, input, case.is_masked.then(|| mask.view())).unwrap());
    let limit = if case.from_states { 1.0 } else { 0.0 };
    let initial = random.states(&plan, BATCH, limit);
    let outputs = flow
        .outputs
        .iter()
        .map(|placed| random.array(&placed.shape, 1.0))
        .collect();
    let upstream = Upstream {
        outputs,
        states: case.from_states.then(|| random.states(&plan, BATCH, 1.0)),
    };
    let of_state = |state: &State| {
        let mut arrays = state.arrays();
        let mut next = || arrays.next().map_or(vec![Vec::new(); BATCH], wide);
        [next(), next()]
    };
    let rows = values
        .clone()
        .into_shape_with_order((BATCH * time_steps, features))
        .unwrap();
    let numbers = Numbers::of(&model, wide(&rows), initial.iter().map(of_state).collect());
    let mut all = Vec::new();
    for gpu in gpus() {
        let name = Arc::from("GPU");
        let mut training = pollster::block_on(GpuTraining::new(gpu, Arc::clone(&plan), settings, name)).unwrap();
        let mut given = Vec::new();
        for _ in 0..2 {
            let mut states = initial.clone();
            let from = case.from_states.then_some(&mut states[..]);
            let mut output = Output::default();
            pollster::block_on(training.forward(&flow, input, from, None, &mut output)).unwrap();
            let gradients = training.backward(&flow, input, &upstream, Wants::ALL);
            given.push(pollster::block_on(gradients).unwrap());
        }
        let bits = |gradients: &PlanGradients| {
            let all = gradients.parameters.iter().flat_map(|(_, array)| array.iter());
            all.map(|value| value.to_bits()).collect::<Vec<_>>()
        };
        assert_eq!(bits(&given[0]), bits(&given[1]), "the same twice");
        all.extend(given.pop());
    }
    for given in &all {
        compare(given, (&plan, &flow), &numbers, &upstream, case);
    }
}

fn compare(given: &PlanGradients, (plan, flow): (&Plan, &Flow), numbers: &Numbers, upstream: &Upstream, case: Case) {
    const SHIFT: f64 = 1e-5;
    let loss = |numbers: &Numbers| Reference { plan, flow, numbers }.loss(upstream);
    let slope = |change: &dyn Fn(&mut Numbers, f64)| {
        let at = |shift| {
            let mut moved = numbers.clone();
            change(&mut moved, shift);
            loss(&moved)
        };
        (at(SHIFT) - at(-SHIFT)) / (2.0 * SHIFT)
    };
    let judge = |what: &str, given: Vec<f32>, wanted: Vec<f64>| {
        let largest = wanted.iter().fold(1e-3_f64, |most, value| most.max(value.abs()));
        assert_eq!(given.len(), wanted.len(), "{what}");
        for (number, (&given, &wanted)) in given.iter().zip(&wanted).enumerate() {
            let error = (f64::from(given) - wanted).abs();
            assert!(
                error <= 3e-5 * largest,
                "{what}, value {number}: {given} for {wanted} of {largest} in {case:?}"
            );
        }
    };
    let trained = plan.weights.iter().filter(|weight| weight.role.is_trained());
    assert_eq!(given.parameters.len(), trained.count());
    for (path, gradient) in &given.parameters {
        let wanted = (0..gradient.len())
            .map(|place| slope(&|moved, shift| moved.parameters.get_mut(path).unwrap()[place] += shift));
        judge(path, gradient.iter().copied().collect(), wanted.collect());
    }
    if let Some(gradient) = &given.input {
        let features = gradient.dim().2;
        let wanted = (0..gradient.len())
            .map(|place| slope(&|moved, shift| moved.input[place / features][place % features] += shift));
        judge("input", gradient.iter().copied().collect(), wanted.collect());
    }
    if case.from_states {
        for (cell, state) in given.states.iter().enumerate() {
            for (part, array) in state.arrays().enumerate() {
                let width = array.ncols();
                let wanted = (0..array.len()).map(|place| {
                    slope(&|moved, shift| moved.states[cell][part][place / width][place % width] += shift)
                });
                judge(
                    &format!("state {part} of cell {cell}"),
                    array.iter().copied().collect(),
                    wanted.collect(),
                );
            }
        }
    }
}
