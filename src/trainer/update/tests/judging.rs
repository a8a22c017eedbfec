//! Losses that the GPU computes against those of the host.

use std::collections::BTreeMap;

use super::*;
use crate::layer::bidirectional::{Bidirectional, MergeMode};
use crate::loss::{BinaryCrossentropy, CategoricalCrossentropy, Huber, SparseCategoricalCrossentropy};
use crate::metric::Metric;
use crate::trainer::Trainer;

const CLASSES: usize = 70; // more than a workgroup has invocations

/// Of weights and slots: a GPU computes in f32 what the host does in f64, and the gradients of a bias add up to little.
const TOLERANCE: f32 = 3e-5;

/// Outputs at every step, for sequences of different lengths: far from what they are wanted to be.
pub(super) fn network(outputs: usize) -> Model {
    let layer = Lstm::new(3, 6).return_sequences(true);
    let builder = Model::builder().add(layer).add(Dense::new(6, outputs));
    let mut model = builder.build().unwrap();
    let kernel = Array2::from_shape_fn((6, outputs), |(row, column)| ((row * 5 + column * 7) % 11) as f32 - 5.0);
    model.replace_parameter("dense/kernel", kernel.into_dyn()).unwrap();
    model
}

pub(super) fn numbers(width: usize, scale: f32) -> Array3<f32> {
    Array3::from_shape_fn((BATCH, STEPS, width), |(row, step, feature)| {
        scale * ((row * 5 + step * 3 + feature * 2) % 7) as f32 / 7.0
    })
}

pub(super) fn sequences() -> Sequences<'static> {
    let number = |(row, step, feature)| ((row * 7 + step * 3 + feature * 5) % 11) as f32 / 11.0 - 0.4;
    let lengths: Vec<usize> = (0..BATCH).map(|row| (row * 3 + 4) % STEPS).collect(); // one of them 0
    let sequences = Sequences::from(Array3::from_shape_fn((BATCH, STEPS, 3), number));
    sequences.with_lengths(&lengths).unwrap()
}

fn classes() -> Array2<i32> {
    Array2::from_shape_fn((BATCH, STEPS), |(row, step)| ((row * 11 + step * 13) % CLASSES) as i32)
}

/// Each loss that the GPU computes, with the outputs of its model and its targets.
fn cases() -> Vec<(&'static str, Loss, usize, Examples<'static, 'static>)> {
    let of = |targets: Array3<f32>| Examples::new(sequences(), targets).unwrap();
    let of_classes = || Examples::new(sequences(), classes()).unwrap();
    let sparse = SparseCategoricalCrossentropy::new().from_logits(true);
    let binary = BinaryCrossentropy::new().from_logits(true);
    let categorical = CategoricalCrossentropy::new().from_logits(true);
    vec![
        ("squared", Loss::MeanSquaredError, 5, of(numbers(5, 3.0))),
        ("absolute", Loss::MeanAbsoluteError, 5, of(numbers(5, 3.0))),
        ("Huber", Huber::new().delta(0.7).into(), 5, of(numbers(5, 3.0))),
        ("binary", binary.into(), 5, of(numbers(5, 1.0))),
        (
            "smoothed binary",
            binary.label_smoothing(0.2).into(),
            5,
            of(numbers(5, 1.0)),
        ),
        ("categorical", categorical.into(), CLASSES, of(numbers(CLASSES, 1.0))),
        (
            "smoothed categorical",
            categorical.label_smoothing(0.3).into(),
            3,
            of(numbers(3, 1.0)),
        ),
        ("sparse", sparse.into(), CLASSES, of_classes()),
        (
            "sparse, one ignored",
            sparse.ignore_class(13).into(),
            CLASSES,
            of_classes(),
        ),
    ]
}

/// Two trainers: the GPU computes the loss of one, and the host of the other, which has a metric.
pub(super) fn both(
    model: &Model,
    device: &Device,
    loss: Loss,
    optimizer: impl Into<Optimizer> + Clone,
) -> [Trainer; 2] {
    [(), ()].map(|()| Trainer::new(model.clone(), device, loss, optimizer.clone()).unwrap())
}

/// Learns with a metric, for which the host has to see the outputs.
pub(super) fn learn_here(trainer: &mut Trainer, batch: &Examples<'_, '_>, class_weights: &BTreeMap<i32, f32>) -> f64 {
    let is_by_class = matches!(trainer.head.loss, Loss::SparseCategoricalCrossentropy(_));
    let metric = match is_by_class {
        true => Metric::sparse_categorical_accuracy(),
        false => Metric::mean_absolute_error(),
    };
    learned(trainer, batch, class_weights, &mut [metric])
}

fn learn_there(trainer: &mut Trainer, batch: &Examples<'_, '_>, class_weights: &BTreeMap<i32, f32>) -> f64 {
    learned(trainer, batch, class_weights, &mut [])
}

fn learned(
    trainer: &mut Trainer,
    batch: &Examples<'_, '_>,
    class_weights: &BTreeMap<i32, f32>,
    metrics: &mut [Metric],
) -> f64 {
    let learning = Learning {
        class_weights,
        ..learning_of(metrics)
    };
    let loss = pollster::block_on(trainer.learn(batch, learning)).unwrap().loss;
    trainer.wait_for_home().unwrap();
    loss
}

/// The losses of both, which are to be the same.
pub(super) fn check_alike(there: &mut Trainer, here: &mut Trainer, batch: &Examples<'_, '_>, what: &str) {
    let nothing = BTreeMap::new();
    let (found, expected) = (learn_there(there, batch, &nothing), learn_here(here, batch, &nothing));
    assert!(
        found >= 0.0 && (found - expected).abs() <= 1e-5 * expected,
        "{what}: {found} {expected}"
    );
    assert_near(there, here, TOLERANCE, what);
}

pub(super) fn judged_there(trainer: &Trainer) -> u64 {
    trainer.judged_there
}

#[test]
fn losses_and_steps_are_those_of_the_host() {
    let weights: Vec<f32> = (0..BATCH).map(|row| row as f32 * 0.5).collect(); // one of them 0
    let of_steps = Array2::from_shape_fn((BATCH, STEPS), |(row, step)| ((row + step) % 3) as f32);
    let class_weights = BTreeMap::from([(0, 2.0), (13, 0.0), (26, 0.5)]);
    for device in devices() {
        for (name, loss, width, batch) in cases() {
            let model = network(width);
            let ways = [
                ("plain", batch.clone(), BTreeMap::new()),
                (
                    "weights",
                    batch.clone().with_weights(&weights).unwrap(),
                    BTreeMap::new(),
                ),
                (
                    "weights of steps",
                    batch.clone().with_step_weights(of_steps.clone()).unwrap(),
                    BTreeMap::new(),
                ),
                ("weights of classes", batch.clone(), class_weights.clone()),
            ];
            for (way, batch, class_weights) in ways {
                if !class_weights.is_empty() && !matches!(loss, Loss::SparseCategoricalCrossentropy(_)) {
                    continue;
                }
                let [mut there, mut here] = both(&model, &device, loss, Adam::new(0.01).clipnorm(0.5));
                for step in 0..3 {
                    let expected = learn_here(&mut here, &batch, &class_weights);
                    let found = learn_there(&mut there, &batch, &class_weights);
                    assert!(
                        (found - expected).abs() <= 2e-6 * expected,
                        "{name}, {way}, step {step}: {found} {expected}"
                    );
                }
                assert_eq!([judged_there(&there), judged_there(&here)], [3, 0], "{name}, {way}");
                assert_near(&there, &here, TOLERANCE, &format!("{name}, {way}"));
            }
        }
    }
}

/// Softmax and sigmoid at the end, of which the losses take the logits; last outputs; both directions.
#[test]
fn models_of_every_end_are_judged_as_on_the_host() {
    use crate::activation::Activation;
    let sparse: Loss = SparseCategoricalCrossentropy::new().into();
    let binary: Loss = BinaryCrossentropy::new().into();
    let last = |width: usize, activation| {
        Model::builder()
            .add(Bidirectional::new(Lstm::new(3, 4)).merge_mode(MergeMode::Sum))
            .add(Dense::new(4, width).activation(activation))
    };
    let of_sequences = Array2::from_shape_fn((BATCH, 1), |(row, _)| (row % 2) as i32);
    for device in devices() {
        for (builder, loss) in [
            (last(3, Activation::Softmax), sparse),
            (last(1, Activation::Sigmoid), binary),
        ] {
            let model = builder.build().unwrap();
            let batch = Examples::new(sequences(), of_sequences.clone()).unwrap();
            let [mut there, mut here] = both(&model, &device, loss, Sgd::new(0.1));
            for _ in 0..3 {
                let [found, expected] = [
                    learn_there(&mut there, &batch, &BTreeMap::new()),
                    learn_here(&mut here, &batch, &BTreeMap::new()),
                ];
                assert!((found - expected).abs() <= 2e-6 * expected, "{found} {expected}");
            }
            assert_eq!([judged_there(&there), judged_there(&here)], [3, 0]);
            assert_near(&there, &here, TOLERANCE, "last outputs");
        }
    }
}

/// NaN and nonsense where nothing counts are not looked at; where something counts the error is the host's, and nothing has changed.
#[test]
fn what_does_not_count_is_not_read_and_what_is_wrong_is_said() {
    for device in devices() {
        let model = network(5);
        let [mut there, mut plain] = both(&model, &device, Loss::MeanSquaredError, Sgd::new(0.1));
        let mut targets = numbers(5, 1.0);
        let good = Examples::new(sequences(), targets.clone()).unwrap();
        let mask = good.sequences().mask().unwrap();
        for ((row, step, _), target) in targets.indexed_iter_mut() {
            if !mask.view()[(row, step)] {
                *target = f32::NAN;
            }
        }
        let padded = Examples::new(sequences(), targets.clone()).unwrap();
        let [found, expected] = [
            there.train_on_batch(&padded).unwrap(),
            plain.train_on_batch(&good).unwrap(),
        ];
        assert_eq!(found, expected);
        assert_eq!(bits(&there), bits(&plain));
        // where a step counts
        let before = bits(&there);
        targets.fill(f32::INFINITY);
        let wrong = Examples::new(sequences(), targets).unwrap();
        let said = there.train_on_batch(&wrong).unwrap_err().to_string();
        let by_host = pollster::block_on(plain.learn_here(&wrong, learning_of(&mut []), true));
        assert_eq!(said, by_host.map(|_| ()).unwrap_err().to_string());
        // a loss beyond f32, whose gradients are too large to step by
        let far = Examples::new(sequences(), numbers(5, 1e25)).unwrap();
        let said = there.train_on_batch(&far).unwrap_err().to_string();
        let by_host = pollster::block_on(plain.learn_here(&far, learning_of(&mut []), true));
        assert_eq!(
            errors::without_numbers(&said),
            errors::without_numbers(&by_host.map(|_| ()).unwrap_err().to_string())
        );
        assert_eq!(bits(&there), before);
        there.train_on_batch(&good).unwrap();
        plain.train_on_batch(&good).unwrap();
        assert_eq!(bits(&there), bits(&plain));
    }
}

fn learning_of(metrics: &mut [Metric]) -> Learning<'_> {
    static NOTHING: BTreeMap<i32, f32> = BTreeMap::new();
    Learning {
        class_weights: &NOTHING,
        states: None,
        metrics,
        comes_home: false,
        place: Place(None),
    }
}

/// A loss that f32 cannot hold, of gradients that it can: the host makes the step.
#[test]
fn a_loss_beyond_f32_is_the_hosts() {
    for device in devices() {
        let model = network(1);
        let optimizer = Sgd::new(1e-6).clipvalue(1.0);
        let [mut there, mut here] = both(&model, &device, Loss::MeanSquaredError, optimizer);
        let batch = Examples::new(sequences(), numbers(1, 3e19)).unwrap();
        let [found, expected] = [
            there.train_on_batch(&batch).unwrap(),
            learn_here(&mut here, &batch, &BTreeMap::new()),
        ];
        assert!(
            found > 1e38 && (found - expected).abs() <= 1e-6 * expected,
            "{found} {expected}"
        );
        assert_eq!(judged_there(&there), 0);
        assert_near(&there, &here, TOLERANCE, "beyond f32");
    }
}

/// What counted in the batch before has no gradient where it does not count any more; a look at the outputs between batches changes nothing.
#[test]
fn a_batch_leaves_nothing_to_the_next() {
    for device in devices() {
        let model = network(5);
        let optimizer = Sgd::new(0.1);
        let [mut there, mut here] = both(&model, &device, Loss::MeanSquaredError, optimizer.clone());
        let [mut again, _] = both(&model, &device, Loss::MeanSquaredError, optimizer);
        let every_second = |odd: usize| {
            let weights = Array2::from_shape_fn((BATCH, STEPS), |(row, step)| ((row + step + odd) % 2) as f32);
            let batch = Examples::new(sequences(), numbers(5, 3.0)).unwrap();
            batch.with_step_weights(weights).unwrap()
        };
        for odd in [0, 1, 0, 1] {
            let batch = every_second(odd);
            check_alike(&mut there, &mut here, &batch, "every second step");
            again.train_on_batch(&batch).unwrap();
            again.evaluate(&batch).unwrap();
        }
        assert_eq!(bits(&there), bits(&again));
    }
}
