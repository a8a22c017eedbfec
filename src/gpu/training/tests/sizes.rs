//! How much a way back is said to take against the buffers that it has made.

use std::collections::BTreeMap;

use ndarray::Array3;

use super::super::buffers::{Name, bytes_of};
use super::super::recorder::{PARAMETERS, Software};
use super::super::sizes::{Wanted, WaySizes};
use super::*;
use crate::activation::Activation;
use crate::drawn::is_drawn;
use crate::flow::size::FlowSize;
use crate::gpu::device::buffer::Use;
use crate::layer::batch_normalization::BatchNormalization;
use crate::layer::bidirectional::{Bidirectional, MergeMode};
use crate::layer::dense::Dense;
use crate::layer::dropout::Dropout;
use crate::layer::embedding::Embedding;
use crate::layer::gru::Gru;
use crate::layer::layer_normalization::LayerNormalization;
use crate::layer::lstm::Lstm;
use crate::optimizer::{OptimizerState, Sgd};

const SIZE: (usize, usize) = (12, 30);
const WORDS: usize = 7;

fn lstm(features: usize, units: usize) -> Lstm {
    Lstm::new(features, units).return_sequences(true)
}

fn models() -> Vec<Model> {
    let builders = [
        Model::builder().add(Lstm::new(3, 20)),
        Model::builder()
            .add(lstm(3, 20))
            .add(lstm(20, 9).peepholes(true))
            .add(Dense::new(9, 2)),
        Model::builder()
            .add(Bidirectional::new(lstm(3, 8)))
            .add(Bidirectional::new(lstm(16, 5)).merge_mode(MergeMode::Multiply))
            .add(Dense::new(5, 4).activation(Activation::Softmax)),
        Model::builder()
            .add(Embedding::new(WORDS, 6))
            .add(lstm(6, 8))
            .add(Dense::new(8, 3).activation(Activation::Tanh)),
        Model::builder()
            .add(lstm(3, 8))
            .add(BatchNormalization::new(8))
            .add(Dropout::new(0.3))
            .add(LayerNormalization::new(8))
            .add(Dense::new(8, 1)),
        Model::builder()
            .add(Gru::new(3, 9).reset_after(false).return_sequences(true))
            .add(Gru::new(9, 4))
            .add(Dense::new(4, 1)),
        Model::builder().add(lstm(3, 8).projection(4)).add(Lstm::new(4, 6)),
        Model::builder()
            .add(lstm(3, 12).dropout(0.2).recurrent_dropout(0.3))
            .add(Gru::new(12, 7).reset_after(false).recurrent_dropout(0.4)),
        Model::builder().add(Bidirectional::new(lstm(3, 9).recurrent_dropout(0.25))),
    ];
    builders.into_iter().map(|builder| builder.build().unwrap()).collect()
}

/// Buffers with their bytes as they are said to be.
fn told(gpu: &Gpu, plan: &Arc<Plan>, strategy: Strategy, wants_input: bool) -> BTreeMap<Name, u64> {
    let (room, steps) = SIZE;
    let settings = Settings::new().strategy(strategy);
    let made = GpuTraining::new(gpu, Arc::clone(plan), &settings, Arc::from("GPU"));
    let training = pollster::block_on(made).unwrap();
    let wanted = Wanted {
        plan,
        solos: &training.solos,
        places: &training.places,
        room,
        wants_input,
        software: Software::of(gpu),
        judges_by: None,
    };
    let sizes = WaySizes::new(&FlowSize::in_training(plan, room, steps), wanted);
    let bytes = |(&name, &(count, _)): (&Name, &(u64, Use))| (name, bytes_of(gpu, name, count).unwrap());
    sizes.buffers.iter().map(bytes).collect()
}

/// Batches of rising lengths, then a full one: no buffer is larger than is said, and the full one has all of them as they are said.
#[test]
fn they_are_the_buffers_of_a_way_back() {
    for gpu in gpus() {
        for (number, model) in models().into_iter().enumerate() {
            if !is_drawn(number, 2) {
                continue;
            }
            let mut cases = vec![(false, Strategy::Step), (true, Strategy::Step)];
            // once, for each text of it takes long to compile
            cases.extend((number == 0).then_some((true, Strategy::Solo)));
            for (wants_input, strategy) in cases {
                let full = held(gpu, (&model, strategy), &[SIZE.1], wants_input);
                let wanted = told(gpu, model.plan(), strategy, wants_input);
                assert_eq!(full, wanted, "model {number}, {strategy:?}, {wants_input}");
                let grown = held(gpu, (&model, strategy), &[5, 11, 27, SIZE.1], wants_input);
                for (name, bytes) in &grown {
                    assert!(
                        *bytes <= wanted[name],
                        "model {number}: {name:?} has {bytes} of {}",
                        wanted[name]
                    );
                }
            }
        }
    }
}

/// What is there after batches whose first sequence has so many steps each, and the others fewer.
fn held(gpu: &Gpu, (model, strategy): (&Model, Strategy), longest: &[usize], wants_input: bool) -> BTreeMap<Name, u64> {
    let plan = model.plan();
    let mut random = Random(3);
    let (batch, steps) = SIZE;
    let settings = Settings::new().strategy(strategy);
    let made = GpuTraining::new(gpu, Arc::clone(plan), &settings, Arc::from("GPU"));
    let mut training = pollster::block_on(made).unwrap();
    let values = random.array(&[batch, steps, plan.features.unwrap_or(1)], 1.0);
    let values: Array3<f32> = values.into_dimensionality().unwrap();
    // all words, so that all rows of the table are read
    let tokens = Array2::from_shape_fn((batch, steps), |(row, step)| ((row + step) % WORDS) as i32);
    let input = match plan.takes_tokens {
        true => Input::Tokens(tokens.view()),
        false => Input::Values(values.view()),
    };
    // what leaves nothing out has other buffers, where gates leave values out at all
    let noises = [Some(Noise { seed: 1, batch: 0 }), None];
    let noises = match plan.cell_dropouts.iter().any(|of| of.by_gate.is_some()) {
        true => &noises[..],
        false => &noises[..1],
    };
    let wants = Wants {
        input: wants_input,
        ..Wants::default()
    };
    for (&longest, &noise) in longest
        .iter()
        .flat_map(|longest| noises.iter().map(move |noise| (longest, noise)))
    {
        let mask = Array2::from_shape_fn(SIZE, |(row, step)| {
            step < longest && (longest == steps || step + row < longest)
        });
        let flow = Arc::new(Flow::in_training(plan, input, Some(mask.view())).unwrap());
        let mut output = Output::default();
        pollster::block_on(training.forward(&flow, input, None, noise, &mut output)).unwrap();
        let outputs = flow.outputs.iter().map(|placed| random.array(&placed.shape, 1.0));
        let upstream = Upstream {
            outputs: outputs.collect(),
            states: None,
        };
        pollster::block_on(training.backward(&flow, input, &upstream, wants)).unwrap();
    }
    training
        .buffers
        .held()
        .filter(|(name, _)| *name != PARAMETERS)
        .collect()
}

/// Of any size, however large: an error or a number, and none of its memory.
#[test]
fn what_cannot_be_trained_is_an_error() {
    for gpu in gpus() {
        for model in models() {
            let settings = Settings::new();
            let made = GpuTraining::new(gpu, Arc::clone(model.plan()), &settings, Arc::from("GPU"));
            let training = pollster::block_on(made).unwrap();
            let optimizer = OptimizerState::new(Sgd::new(0.1).into(), model.parameters(), &[]).unwrap();
            for size in [
                (usize::MAX, 1),
                (1, usize::MAX),
                (usize::MAX, usize::MAX),
                (1 << 27, 16),
                (1 << 20, 1 << 11),
            ] {
                let error = training.memory(size, true, Some(&optimizer)).unwrap_err();
                assert!(matches!(error, Error::TooLarge { .. }), "{error}");
            }
            assert!(
                training.memory((0, 0), true, Some(&optimizer)).is_ok() && training.memory((1, 0), false, None).is_ok()
            );
        }
    }
}
