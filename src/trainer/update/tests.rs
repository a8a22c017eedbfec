//! The steps that a GPU makes against those that the host makes of the same gradients.

mod errors;
mod failures;
mod home;
mod judged_values;
mod judging;
mod penalties;
mod sizes;

use std::collections::BTreeMap;

use ndarray::{Array2, Array3, ArrayD};

use super::*;
use crate::device::Device;
use crate::gpu::training::tests::{gpus, own_gpus};
use crate::layer::batch_normalization::BatchNormalization;
use crate::layer::dense::Dense;
use crate::layer::embedding::Embedding;
use crate::layer::layer_normalization::LayerNormalization;
use crate::layer::lstm::Lstm;
use crate::layer::masking::Masking;
use crate::learning_rate::ExponentialDecay;
use crate::loss::Loss;
use crate::model::Model;
use crate::optimizer::{Adagrad, Adam, Lion, Nadam, Optimizer, RmsProp, Sgd};
use crate::parameters::Role;
use crate::regularizer::Regularizer;
use crate::sequences::Sequences;
use crate::trainer::learn::Learning;
use crate::trainer::{Examples, Fit};

const BATCH: usize = 6;
const STEPS: usize = 7;
const WORDS: usize = 9;

/// Embeddings whose rows have gaps on the GPU, two sections, a normalisation.
fn model() -> Model {
    let builder = Model::builder()
        .add(Embedding::new(WORDS, 3))
        .add(Lstm::new(3, 5).return_sequences(true))
        .add(LayerNormalization::new(5))
        .add(Masking::new(9.5))
        .add(Lstm::new(5, 4))
        .add(Dense::new(4, 2));
    builder.build().unwrap()
}

fn examples(scale: f32) -> Examples<'static, 'static> {
    let tokens = Array2::from_shape_fn((BATCH, STEPS), |(row, step)| ((row * 5 + step * 3) % WORDS) as i32);
    let lengths: Vec<usize> = (0..BATCH).map(|row| 1 + (row * 3 + 4) % STEPS).collect();
    let sequences = Sequences::from(tokens).with_lengths(&lengths).unwrap();
    let targets = Array2::from_shape_fn((BATCH, 2), |(row, column)| (row as f32 - 2.0 * column as f32) * scale);
    Examples::new(sequences, targets).unwrap()
}

/// For networks that read three features of each step.
fn examples_of_numbers() -> Examples<'static, 'static> {
    let number = |(row, step, feature)| ((row * 7 + step * 3 + feature) % 11) as f32 / 11.0;
    let sequences = Sequences::from(Array3::from_shape_fn((BATCH, STEPS, 3), number));
    Examples::new(sequences, Array2::<f32>::ones((BATCH, 2))).unwrap()
}

fn devices() -> impl Iterator<Item = Device> {
    gpus().iter().map(|gpu| Device::Gpu(gpu.clone()))
}

fn trainer(device: &Device, optimizer: impl Into<Optimizer>) -> Trainer {
    Trainer::new(model(), device, Loss::MeanSquaredError, optimizer).unwrap()
}

/// The same, whose steps the host makes.
fn on_host(device: &Device, optimizer: impl Into<Optimizer>) -> Trainer {
    trainer(device, optimizer).offload_optimizer(true)
}

fn weights_of(model: &Model) -> Vec<(String, ArrayD<f32>)> {
    let parameters = model.parameters().iter();
    parameters
        .map(|parameter| (parameter.path().to_owned(), parameter.values().to_owned()))
        .collect()
}

/// Weights, and what the optimiser remembers.
fn all(trainer: &Trainer) -> Vec<(String, ArrayD<f32>)> {
    let weights = weights_of(trainer.model());
    let optimizer = trainer.whole_optimizer().unwrap();
    let slots = optimizer.tensors().unwrap().into_iter();
    let slots = slots.map(|(name, slot)| (name, slot.to_owned()));
    weights.into_iter().chain(slots).collect()
}

fn bits(trainer: &Trainer) -> Vec<u32> {
    let all = all(trainer);
    all.iter()
        .flat_map(|(_, values)| values.iter().map(|value| value.to_bits()))
        .collect()
}

/// Learns from a batch, and leaves the new weights where they are.
fn learn_away(trainer: &mut Trainer, batch: &Examples<'_, '_>) {
    let learning = Learning {
        class_weights: &BTreeMap::new(),
        states: None,
        metrics: &mut [],
        comes_home: false,
        place: Place(None),
    };
    pollster::block_on(trainer.learn(batch, learning)).unwrap();
}

fn assert_alike(found: &Trainer, expected: &Trainer, what: &str) {
    assert_near(found, expected, 3e-6, what);
}

fn assert_near(found: &Trainer, expected: &Trainer, tolerance: f32, what: &str) {
    let (found, expected) = (all(found), all(expected));
    assert_eq!(found.len(), expected.len(), "{what}");
    for ((name, found), (other, expected)) in found.iter().zip(&expected) {
        assert_eq!((name, found.shape()), (other, expected.shape()), "{what}");
        let largest = expected.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
        for (found, expected) in found.iter().zip(expected) {
            let far = (found - expected).abs();
            assert!(
                far <= tolerance * (largest + expected.abs()),
                "{what}: {name} is {found}, not {expected}"
            );
        }
    }
}

fn optimizers() -> Vec<(&'static str, Optimizer)> {
    let rate = 0.01;
    vec![
        ("sgd", Sgd::new(rate).into()),
        ("momentum", Sgd::new(rate).momentum(0.9).into()),
        ("nesterov", Sgd::new(rate).momentum(0.9).nesterov(true).into()),
        (
            "sgd of PyTorch",
            Sgd::pytorch(rate).momentum(0.9).weight_decay(0.1).into(),
        ),
        ("rms_prop", RmsProp::new(rate).into()),
        ("centered", RmsProp::new(rate).centered(true).momentum(0.8).into()),
        ("rms_prop of PyTorch", RmsProp::pytorch(rate).momentum(0.5).into()),
        ("rms_prop centered alone", RmsProp::pytorch(rate).centered(true).into()),
        ("adam", Adam::new(rate).into()),
        ("amsgrad", Adam::new(rate).amsgrad(true).into()),
        ("adam of PyTorch", Adam::pytorch(rate).weight_decay(0.05).into()),
        (
            "adam with decay",
            Adam::new(rate)
                .weight_decay(0.1)
                .exclude_from_weight_decay(Role::Bias)
                .into(),
        ),
        ("nadam", Nadam::new(rate).into()),
        ("nadam of PyTorch", Nadam::pytorch(rate).into()),
        ("adagrad", Adagrad::new(rate).into()),
        ("adagrad of PyTorch", Adagrad::pytorch(rate).into()),
        ("lion", Lion::new(rate).weight_decay(0.1).into()),
        ("clipnorm", Adam::new(rate).clipnorm(0.05).into()),
        (
            "global_clipnorm",
            Sgd::new(rate).momentum(0.9).global_clipnorm(0.1).into(),
        ),
        ("clip_grad_norm", Adam::pytorch(rate).clip_grad_norm(0.1).into()),
        ("clipvalue", Sgd::new(rate).momentum(0.5).clipvalue(0.01).into()),
        ("tiny clipnorm", Sgd::new(1e20).clipnorm(1e-22).into()),
        ("schedule", Sgd::new(ExponentialDecay::new(0.02, 2, 0.5)).into()),
    ]
}

#[test]
fn every_optimizer_makes_the_steps_of_the_host() {
    for device in devices() {
        for (name, optimizer) in optimizers() {
            let (mut there, mut here) = (trainer(&device, optimizer.clone()), on_host(&device, optimizer.clone()));
            let mut again = trainer(&device, optimizer);
            for step in 0..4 {
                let batch = examples(1.0 + step as f32);
                let expected = here.train_on_batch(&batch).unwrap();
                let loss = there.train_on_batch(&batch).unwrap();
                assert!((loss - expected).abs() <= 1e-5 * expected, "{name}: {loss} {expected}");
                again.train_on_batch(&batch).unwrap();
                assert!(
                    there.away.slots && !there.away.weights,
                    "{name}: the GPU makes the steps"
                );
                assert!(!here.away.slots, "{name}: the host makes the steps");
            }
            assert_alike(&there, &here, name);
            assert_eq!(bits(&there), bits(&again), "{name}");
            assert_eq!(there.optimizer.progress(), here.optimizer.progress(), "{name}");
        }
    }
}

#[test]
fn what_is_frozen_stays_and_a_change_of_mind_loses_nothing() {
    for device in devices() {
        let run = |mut trainer: Trainer| {
            trainer.train_on_batch(&examples(1.0)).unwrap();
            trainer.freeze("lstm").unwrap();
            trainer.freeze(Role::Embeddings).unwrap();
            let frozen = trainer
                .model()
                .parameters()
                .find("lstm/kernel")
                .unwrap()
                .values()
                .to_owned();
            trainer.train_on_batch(&examples(2.0)).unwrap();
            trainer.train_on_batch(&examples(2.0)).unwrap();
            let now = trainer
                .model()
                .parameters()
                .find("lstm/kernel")
                .unwrap()
                .values()
                .to_owned();
            assert_eq!(frozen, now);
            trainer.unfreeze().unwrap();
            trainer.train_on_batch(&examples(3.0)).unwrap();
            trainer
        };
        let optimizer = || Adam::new(0.01);
        let mut there = run(trainer(&device, optimizer()));
        let mut here = run(on_host(&device, optimizer()));
        assert_alike(&there, &here, "frozen");
        // now the host goes on with what the GPU remembers
        there = there.offload_optimizer(true);
        for trainer in [&mut there, &mut here] {
            trainer.train_on_batch(&examples(1.0)).unwrap();
        }
        assert!(!there.away.slots);
        assert_alike(&there, &here, "the host goes on");
        // and the GPU with what the host does
        there = there.offload_optimizer(false);
        for trainer in [&mut there, &mut here] {
            trainer.train_on_batch(&examples(2.0)).unwrap();
        }
        assert!(there.away.slots);
        assert_alike(&there, &here, "the GPU goes on");
    }
}

#[test]
fn means_that_are_followed_stay_with_the_host() {
    let builder = Model::builder()
        .add(Lstm::new(3, 4))
        .add(BatchNormalization::new(4))
        .add(Dense::new(4, 2));
    let model = builder.build().unwrap();
    for device in devices() {
        let [mut there, mut here] = [false, true].map(|offloads| {
            let trainer = Trainer::new(model.clone(), &device, Loss::MeanSquaredError, Adam::new(0.01)).unwrap();
            trainer.offload_optimizer(offloads)
        });
        // where they stay as they are the GPU has nothing to follow
        for (freezes, goes_there) in [(false, false), (true, true), (false, false)] {
            for trainer in [&mut there, &mut here] {
                match freezes {
                    true => trainer.freeze("batch_normalization").unwrap(),
                    false => trainer.unfreeze().unwrap(),
                }
                for _ in 0..2 {
                    trainer.train_on_batch(&examples_of_numbers()).unwrap();
                }
            }
            assert_eq!([there.away.slots, here.away.slots], [goes_there, false]);
            assert_near(&there, &here, 1e-5, "a BatchNormalization");
        }
    }
}

/// A batch without time steps has a mean and a variance of 0 on every device, and not those of the batch before.
#[test]
fn means_that_are_followed_are_those_of_the_batch() {
    let builder = Model::builder().add(BatchNormalization::new(2)).add(Dense::new(2, 1));
    let model = builder.build().unwrap();
    let batch = |steps| {
        let ones = |width| Array3::<f32>::ones((1, steps, width));
        Examples::new(Sequences::from(ones(2)), ones(1)).unwrap()
    };
    let moved = |device: Device| {
        let mut trainer = Trainer::new(model.clone(), &device, Loss::MeanSquaredError, Sgd::new(0.01)).unwrap();
        for steps in [5, 0, 3, 0] {
            trainer.train_on_batch(&batch(steps)).unwrap();
        }
        let parameters = trainer.model().parameters();
        let paths = ["batch_normalization/moving_mean", "batch_normalization/moving_variance"];
        paths.map(|path| parameters.find(path).unwrap().values().to_owned())
    };
    let expected = moved(Device::cpu());
    for device in devices() {
        assert_eq!(moved(device), expected);
    }
}

#[test]
fn many_batches_are_learned_as_one_after_the_other() {
    for device in devices().chain([Device::cpu()]) {
        let batches = [1.0, 2.0, 3.0].map(examples);
        let [mut one_by_one, mut many] =
            [Adam::new(0.01), Adam::new(0.01)].map(|optimizer| trainer(&device, optimizer));
        let losses: Vec<f64> = batches
            .iter()
            .map(|batch| one_by_one.train_on_batch(batch).unwrap())
            .collect();
        assert_eq!(many.train_on_batches(&batches).unwrap(), losses);
        assert_eq!(bits(&many), bits(&one_by_one));
        // an error leaves the weights of the batch before
        many.train_on_batches([&batches[0], &examples(f32::MAX), &batches[1]])
            .unwrap_err();
        one_by_one.train_on_batch(&batches[0]).unwrap();
        assert_eq!(bits(&many), bits(&one_by_one));
    }
}

/// Where one section cannot, the host makes the steps of all, and no buffer is made for it again and again.
#[test]
fn sections_make_their_steps_together() {
    let builder = Model::builder()
        .add(Lstm::new(3, 4).return_sequences(true))
        .add(Masking::new(0.5))
        .add(BatchNormalization::new(4))
        .add(Lstm::new(4, 2));
    let model = builder.build().unwrap();
    for gpu in own_gpus() {
        let device = Device::Gpu(gpu.clone());
        let mut trainer = Trainer::new(model.clone(), &device, Loss::MeanSquaredError, Adam::new(0.01)).unwrap();
        let batch = examples_of_numbers();
        let made = [(); 3].map(|()| {
            trainer.train_on_batch(&batch).unwrap();
            assert!(!trainer.away.slots);
            gpu.counters().buffers()
        });
        assert_eq!(made[1], made[2]);
    }
}

/// A GPU may take a subnormal number for 0, and then the weights would stay.
#[test]
fn what_is_clipped_to_next_to_nothing_is_a_step_of_the_host() {
    let cases: [(&str, Optimizer); 2] = [
        ("clipnorm", Sgd::new(1e38).clipnorm(1e-40).into()),
        ("clipvalue", Sgd::new(1e38).clipvalue(1e-40).into()),
    ];
    for device in devices() {
        for (name, optimizer) in cases.clone() {
            let (mut there, mut here) = (trainer(&device, optimizer.clone()), on_host(&device, optimizer));
            let before = bits(&there);
            for trainer in [&mut there, &mut here] {
                trainer.train_on_batch(&examples(1.0)).unwrap();
            }
            assert!(!there.away.slots, "{name}");
            assert_eq!(bits(&there), bits(&here), "{name}");
            assert_ne!(bits(&there), before, "{name}");
        }
    }
}
