//! The gradients of a GPU against those of the CPU, over batches that are cut into parts.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::sync::Arc;

use ndarray::Array2;

use crate::cpu::training::CpuTraining;
use crate::flow::{Flow, Input};
use crate::gpu::training::GpuTraining;
use crate::gpu::training::tests::{Random, gpus, with_own_weights};
use crate::gradients::Upstream;
use crate::layer::bidirectional::Bidirectional;
use crate::layer::dense::Dense;
use crate::layer::dropout::Dropout;
use crate::layer::embedding::Embedding;
use crate::layer::gru::Gru;
use crate::layer::lstm::Lstm;
use crate::model::Model;
use crate::output::Output;
use crate::random::Noise;
use crate::settings::{Settings, Strategy};

/// Outputs and gradients of both, of a batch of so many sequences and steps with a mask.
fn compare_with_cpu(mut model: Model, (batch, steps): (usize, usize), words: Option<i32>, noise: Option<Noise>) {
    let mut random = Random(11);
    with_own_weights(&mut model, &mut random);
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
    let flow = Arc::new(Flow::in_training(&plan, input, Some(mask.view())).unwrap());
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
    let (mut wanted, mut states) = (Output::default(), initial.clone());
    cpu.forward(&flow, input, Some(&mut states), noise, &mut wanted)
        .unwrap();
    let wanted_gradients = cpu.backward(&flow, input, &upstream, true).unwrap();
    let settings = Settings::new().strategy(Strategy::Step);
    for gpu in gpus() {
        let made = GpuTraining::new(gpu, Arc::clone(&plan), &settings, "GPU".into());
        let mut training = pollster::block_on(made).unwrap();
        let (mut given, mut states) = (Output::default(), initial.clone());
        pollster::block_on(training.forward(&flow, input, Some(&mut states), noise, &mut given)).unwrap();
        close("output", given.values.iter(), wanted.values.iter());
        let gradients = pollster::block_on(training.backward(&flow, input, &upstream, true)).unwrap();
        assert_eq!(gradients.parameters.len(), wanted_gradients.parameters.len());
        for ((path, given), (name, wanted)) in gradients.parameters.iter().zip(&wanted_gradients.parameters) {
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

#[test]
fn many_rows_are_summed_up_in_parts() {
    let builder = Model::builder()
        .add(Lstm::new(5, 33).return_sequences(true))
        .add(Dense::new(33, 3));
    compare_with_cpu(builder.build().unwrap(), (40, 30), None, None);
    let gru = Bidirectional::new(Gru::new(5, 18).return_sequences(true));
    let builder = Model::builder().add(gru).add(Lstm::new(36, 7));
    compare_with_cpu(builder.build().unwrap(), (21, 30), None, None);
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
        let noise = Noise {
            seed: 3 | 5 << 40,
            batch: 2 | 1 << 33,
        };
        compare_with_cpu(model.clone(), (6, 8), Some(9), Some(noise));
        compare_with_cpu(model, (6, 8), Some(9), None);
    }
}
