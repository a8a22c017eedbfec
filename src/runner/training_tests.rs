//! The gradients of a GPU against those of the CPU, over batches that are cut into parts.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

#[path = "left_out_tests.rs"]
mod left_out;

use std::sync::Arc;

use ndarray::Array2;

use crate::activation::Activation;
use crate::cpu::training::CpuTraining;
use crate::flow::{Flow, Input};
use crate::gpu::training::GpuTraining;
use crate::gpu::training::tests::{Random, gpus, with_weights_within};
use crate::gradients::{Upstream, Wants};
use crate::layer::Layer;
use crate::layer::batch_normalization::BatchNormalization;
use crate::layer::bidirectional::Bidirectional;
use crate::layer::dense::Dense;
use crate::layer::dropout::Dropout;
use crate::layer::embedding::Embedding;
use crate::layer::gru::Gru;
use crate::layer::lstm::Lstm;
use crate::layer::simple_rnn::SimpleRnn;
use crate::layer::stacked::StackedRnnCells;
use crate::model::Model;
use crate::output::Output;
use crate::random::Noise;
use crate::settings::{Settings, Strategy};

/// A batch of so many sequences and steps.
#[derive(Clone, Copy)]
struct Case {
    size: (usize, usize),
    words: Option<i32>,
    noise: Option<Noise>,
    is_masked: bool,
    /// The largest weight.
    largest: f32,
}

impl Case {
    fn of(size: (usize, usize)) -> Self {
        Self {
            size,
            words: None,
            noise: None,
            is_masked: true,
            largest: 0.8,
        }
    }
}

/// Outputs and gradients of both.
fn compare_with_cpu(mut model: Model, case: Case) {
    let Case {
        size: (batch, steps),
        words,
        noise,
        ..
    } = case;
    let mut random = Random(11);
    with_weights_within(&mut model, &mut random, case.largest);
    let plan = model.plan().clone();
    let features = plan.features.unwrap_or(1);
    let values = ndarray::Array3::from_shape_simple_fn((batch, steps, features), || random.within(1.0));
    let most = words.unwrap_or(1) - 1;
    let tokens = Array2::from_shape_simple_fn((batch, steps), || {
        ((random.within(1.0).abs() * most as f32 + 0.5) as i32).min(most)
    });
    let input = match words {
        Some(_) => Input::Tokens(tokens.view()),
        None => Input::Values(values.view()),
    };
    let mask = Array2::from_shape_fn((batch, steps), |(row, step)| {
        step < steps - row % (steps / 2) || step == steps - 1
    });
    let flow = Flow::in_training(&plan, input, case.is_masked.then(|| mask.view()));
    let flow = Arc::new(flow.unwrap());
    let outputs = flow
        .outputs
        .iter()
        .map(|placed| random.array(&placed.shape, 1.0))
        .collect();
    let upstream = Upstream {
        outputs,
        states: Some(random.states(&plan, batch, 1.0)),
    };
    let initial = random.states(&plan, batch, 1.0);
    let mut cpu = CpuTraining::new(Arc::clone(&plan), &Settings::new(), "CPU".into()).unwrap();
    let (mut wanted, mut wanted_states) = (Output::default(), initial.clone());
    cpu.forward(&flow, input, Some(&mut wanted_states), noise, &mut wanted)
        .unwrap();
    let wanted_gradients = cpu.backward(&flow, input, &upstream, true).unwrap();
    let settings = Settings::new().strategy(Strategy::Step);
    for gpu in gpus() {
        let made = GpuTraining::new(gpu, Arc::clone(&plan), &settings, "GPU".into());
        let mut training = pollster::block_on(made).unwrap();
        let (mut given, mut states) = (Output::default(), initial.clone());
        pollster::block_on(training.forward(&flow, input, Some(&mut states), noise, &mut given)).unwrap();
        close("output", given.values.iter(), wanted.values.iter());
        for (given, wanted) in states.iter().zip(&wanted_states) {
            close("final state", given.arrays().flatten(), wanted.arrays().flatten());
        }
        let gradients = pollster::block_on(training.backward(&flow, input, &upstream, Wants::ALL)).unwrap();
        assert_eq!(gradients.parameters.len(), wanted_gradients.parameters.len());
        for ((path, given), (name, wanted)) in gradients.parameters.iter().zip(&wanted_gradients.parameters) {
            assert_eq!((path, given.shape()), (name, wanted.shape()));
            close(path, given.iter(), wanted.iter());
        }
        assert_eq!(gradients.moved.len(), wanted_gradients.moved.len());
        for ((path, given), (name, wanted)) in gradients.moved.iter().zip(&wanted_gradients.moved) {
            assert_eq!((path, given.shape()), (name, wanted.shape()));
            close(path, given.iter(), wanted.iter());
        }
        match (&gradients.input, &wanted_gradients.input) {
            (Some(given), Some(wanted)) => close("input", given.iter(), wanted.iter()),
            (given, wanted) => assert!(given.is_none() && wanted.is_none()),
        }
        for (given, wanted) in gradients.states.iter().zip(&wanted_gradients.states) {
            close("state", given.arrays().flatten(), wanted.arrays().flatten());
        }
    }
}

fn close<'a>(what: &str, given: impl Iterator<Item = &'a f32>, wanted: impl Iterator<Item = &'a f32>) {
    let (given, wanted): (Vec<f32>, Vec<f32>) = (given.copied().collect(), wanted.copied().collect());
    assert_eq!(given.len(), wanted.len(), "{what}");
    let largest = wanted.iter().fold(1e-3_f32, |most, value| most.max(value.abs()));
    for (number, (given, wanted)) in given.iter().zip(&wanted).enumerate() {
        let error = (given - wanted).abs();
        assert!(
            error <= 5e-5 * largest,
            "{what}, value {number}: {given} for {wanted} of {largest}"
        );
    }
}

/// Words through a model that leaves out what the noise says, and nothing without it.
fn compare_with_noise_and_without(model: Model) {
    let noise = Noise {
        seed: 3 | 5 << 40,
        batch: 2 | 1 << 33,
    };
    let case = Case {
        words: Some(9),
        ..Case::of((6, 8))
    };
    compare_with_cpu(model.clone(), case);
    let noise = Some(noise);
    compare_with_cpu(model, Case { noise, ..case });
}

#[test]
fn many_rows_are_summed_up_in_parts() {
    let builder = Model::builder()
        .add(Lstm::new(5, 33).return_sequences(true))
        .add(Dense::new(33, 3));
    compare_with_cpu(builder.build().unwrap(), Case::of((40, 30)));
    let gru = Bidirectional::new(Gru::new(5, 18).return_sequences(true));
    let builder = Model::builder().add(gru).add(Lstm::new(36, 7));
    compare_with_cpu(builder.build().unwrap(), Case::of((21, 30)));
}

#[test]
fn dropout_leaves_out_what_it_does_on_the_cpu() {
    for spatial in [false, true] {
        let builder = Model::builder()
            .add(Embedding::new(9, 6))
            .add(Dropout::new(0.4).spatial(spatial))
            .add(Lstm::new(6, 5).return_sequences(true))
            .add(Dropout::new(0.25))
            .add(Dense::new(5, 2));
        let model = builder.build().unwrap();
        compare_with_noise_and_without(model);
    }
}

/// More units than a workgroup has invocations, in cells whose units need each other.
#[test]
fn wide_cells_with_an_obstacle() {
    let softmax = Activation::Softmax;
    let layers: [Layer; 4] = [
        Lstm::new(3, 70).projection(67).into(),
        Lstm::new(3, 70)
            .recurrent_activation(softmax)
            .output_activation(softmax)
            .into(),
        Gru::new(3, 70).reset_after(false).recurrent_activation(softmax).into(),
        SimpleRnn::new(3, 70).activation(Activation::LogSoftmax).into(),
    ];
    // with larger weights the gradients of so many units grow without end
    let case = Case {
        largest: 0.15,
        ..Case::of((40, 16))
    };
    for layer in layers {
        compare_with_cpu(Model::builder().add(layer).build().unwrap(), case);
    }
}

/// In training mean and variance are those of the batch, by the steps that count.
#[test]
fn a_batch_normalization_by_the_batch() {
    let model = |has_weights, activation| {
        let normal = BatchNormalization::new(4).center(has_weights).scale(has_weights);
        let builder = Model::builder()
            .add(Lstm::new(3, 4).return_sequences(true))
            .add(normal)
            .add(activation)
            .add(Dense::new(4, 2));
        builder.build().unwrap()
    };
    for is_masked in [false, true] {
        let case = Case {
            noise: Some(Noise { seed: 3, batch: 1 }),
            is_masked,
            ..Case::of((40, 15))
        };
        for activation in [Activation::Linear, Activation::Silu, Activation::Softmax] {
            compare_with_cpu(model(true, activation), case);
        }
        compare_with_cpu(model(false, Activation::Linear), case);
    }
}

#[test]
fn recurrent_layers_leave_out_of_their_input_what_they_do_on_the_cpu() {
    let sides = Bidirectional::new(Gru::new(6, 4).return_sequences(true).dropout(0.5));
    let cells = [Lstm::new(8, 5).dropout(0.3), Lstm::new(5, 7).dropout(0.2)];
    let builder = Model::builder()
        .add(Embedding::new(9, 6))
        .add(sides)
        .add(StackedRnnCells::new(cells).return_sequences(true))
        .add(SimpleRnn::new(7, 3).dropout(0.4));
    let model = builder.build().unwrap();
    compare_with_noise_and_without(model);
}
