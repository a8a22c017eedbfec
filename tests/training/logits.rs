//! A cross-entropy behind a last softmax or sigmoid is one of logits, as in Keras. The figures are those of Keras 3.15.1 on TensorFlow.

use cellstate::{
    Activation, Adam, BatchNormalization, BinaryCrossentropy, CategoricalCrossentropy, Dense, Examples, Fit, Layer,
    Loss, Lstm, Metric, Model, Sequences, Sgd, SparseCategoricalCrossentropy, Targets, Trainer, Upstream,
};
use ndarray::{Array2, Array3, ArrayD};

use crate::bits;
use crate::data::{noise, values};
use crate::devices::devices;

fn model(layers: Vec<Layer>) -> Model {
    let builder = layers.into_iter().fold(Model::builder(), cellstate::ModelBuilder::add);
    builder.build().unwrap()
}

/// Ones, of lengths 5, 2 and 3.
fn ones() -> Sequences<'static> {
    Sequences::from(Array3::ones((3, 5, 3)))
        .with_lengths(&[5, 2, 3])
        .unwrap()
}

/// A model that is wrong and sure of it: the logit of its first unit is 120, those of the others are 0.
fn sure(units: usize, activation: Activation) -> Model {
    let mut model = model(vec![Dense::new(3, units).activation(activation).into()]);
    let kernel = Array2::from_shape_fn((3, units), |(_, unit)| if unit == 0 { 40.0 } else { 0.0 });
    model.replace_parameter("dense/kernel", kernel.into_dyn()).unwrap();
    model
}

#[test]
fn who_is_sure_and_wrong_still_learns() {
    let sparse = SparseCategoricalCrossentropy::new();
    let second = || Targets::from(Array3::from_shape_fn((3, 5, 2), |(_, _, class)| class as f32));
    let class = || Targets::from(Array2::from_elem((3, 5), 1));
    let zeros = |units| Targets::from(Array3::<f32>::zeros((3, 5, units)));
    let smooth = CategoricalCrossentropy::new().label_smoothing(0.1);
    type Case = (Loss, Activation, Targets<'static>, f64, &'static [f32]);
    let cases: [Case; 9] = [
        (
            CategoricalCrossentropy::new().into(),
            Activation::Softmax,
            second(),
            120.0,
            &[-1.0, 1.0],
        ),
        (smooth.into(), Activation::Softmax, second(), 114.0, &[-0.95, 0.95]),
        (sparse.into(), Activation::Softmax, class(), 120.0, &[-1.0, 1.0]),
        (
            sparse.from_logits(true).into(),
            Activation::Softmax,
            class(),
            120.0,
            &[-1.0, 1.0],
        ),
        // Keras does not find the logits any more then
        (
            sparse.ignore_class(0).into(),
            Activation::Softmax,
            class(),
            16.118_095,
            &[0.0, 0.0],
        ),
        (
            BinaryCrossentropy::new().into(),
            Activation::Sigmoid,
            zeros(1),
            120.0,
            &[-1.0],
        ),
        (
            BinaryCrossentropy::new().into(),
            Activation::Sigmoid,
            zeros(2),
            60.346_573,
            &[-0.5, -0.25],
        ),
        (
            CategoricalCrossentropy::new().into(),
            Activation::Sigmoid,
            second(),
            120.0,
            &[-1.0, 1.0],
        ),
        (
            BinaryCrossentropy::new().into(),
            Activation::Softmax,
            second(),
            60.346_573,
            &[-0.5, 0.25],
        ),
    ];
    for device in devices() {
        for (loss, activation, targets, expected, moved) in &cases {
            let what = format!("{}: {loss:?} behind {activation}", device.name());
            let data = Examples::new(ones(), targets.clone()).unwrap();
            let mut trainer = Trainer::new(sure(moved.len(), *activation), &device, *loss, Sgd::new(1.0)).unwrap();
            let judged = trainer.evaluate(&data).unwrap().loss();
            let learned = trainer.train_on_batch(&data).unwrap();
            for found in [judged, learned] {
                assert!(
                    (found - expected).abs() < 1e-5 * expected,
                    "{what}: {found}, in Keras {expected}"
                );
            }
            let bias = trainer
                .model()
                .parameters()
                .get("dense/bias")
                .unwrap()
                .values()
                .to_owned();
            for (found, expected) in bias.iter().zip(*moved) {
                assert!((found - expected).abs() < 1e-6, "{what}: {bias}, in Keras {moved:?}");
            }
        }
    }
}

#[test]
fn metrics_are_of_logits_where_keras_finds_them() {
    let loss = SparseCategoricalCrossentropy::new();
    for device in devices() {
        let trainer = Trainer::new(sure(2, Activation::Softmax), &device, loss, Sgd::new(0.0)).unwrap();
        let mut trainer = trainer.metrics([Metric::of(loss), Metric::accuracy()]);
        let data = Examples::new(ones(), Array2::from_elem((3, 5), 1)).unwrap();
        let history = trainer.fit(&data, Fit::epochs(1)).unwrap();
        let judged = trainer.evaluate(&data).unwrap();
        for scores in [history.epochs()[0].training(), &judged] {
            assert_eq!(scores.get("sparse_categorical_crossentropy"), Some(120.0));
            assert_eq!(scores.get("accuracy"), Some(0.0));
        }
    }
}

/// With the last activation, and without it but with a loss of logits: the same bits.
#[test]
fn it_is_the_training_of_the_model_without_its_last_activation() {
    let lstm = || Lstm::new(3, 4).return_sequences(true).into();
    let dense = |activation| Dense::new(4, 3).activation(activation).into();
    let (softmax, sigmoid) = (Activation::Softmax, Activation::Sigmoid);
    let of_classes = CategoricalCrossentropy::new();
    let pairs: Vec<(Vec<Layer>, Vec<Layer>, [Loss; 2])> = vec![
        (
            vec![lstm(), dense(softmax)],
            vec![lstm(), dense(Activation::Linear)],
            [of_classes.into(), of_classes.from_logits(true).into()],
        ),
        (
            vec![lstm(), dense(Activation::Linear), sigmoid.into()],
            vec![lstm(), dense(Activation::Linear)],
            [
                BinaryCrossentropy::new().into(),
                BinaryCrossentropy::new().from_logits(true).into(),
            ],
        ),
        (
            vec![Lstm::new(3, 3).return_sequences(true).into(), softmax.into()],
            vec![Lstm::new(3, 3).return_sequences(true).into()],
            [of_classes.into(), of_classes.from_logits(true).into()],
        ),
        (
            vec![
                lstm(),
                dense(Activation::Tanh),
                BatchNormalization::new(3).into(),
                softmax.into(),
            ],
            vec![lstm(), dense(Activation::Tanh), BatchNormalization::new(3).into()],
            [of_classes.into(), of_classes.from_logits(true).into()],
        ),
    ];
    let (x, lengths) = values(6);
    let targets = Array3::from_shape_fn((6, 7, 3), |(row, step, class)| ((row + step) % 3 == class) as u8 as f32);
    let data = Examples::new(Sequences::from(x).with_lengths(&lengths).unwrap(), targets).unwrap();
    for device in devices() {
        for (with, without, losses) in &pairs {
            let trained = [with, without].into_iter().zip(losses).map(|(layers, loss)| {
                let trainer = Trainer::new(model(layers.clone()), &device, *loss, Adam::new(1e-2));
                let mut trainer = trainer.unwrap();
                let history = trainer.fit(&data, Fit::epochs(2).batch_size(4)).unwrap();
                (bits(&trainer), history.values("loss"))
            });
            let trained: Vec<_> = trained.collect();
            assert_eq!(trained[0], trained[1], "{}: {with:?}", device.name());
        }
    }
}

/// What the caller sees are the outputs of the model, whatever the device runs.
#[test]
fn outputs_and_gradients_are_those_of_the_whole_model() {
    let layers = || {
        let dense = Dense::new(4, 3).activation(Activation::Softmax);
        model(vec![Lstm::new(3, 4).return_sequences(true).into(), dense.into()])
    };
    let (x, lengths) = values(4);
    let sequences = Sequences::from(x).with_lengths(&lengths).unwrap();
    let upstream = |output: &cellstate::Output, _: &cellstate::States| {
        let mut place = 0;
        Upstream::new(ArrayD::from_shape_fn(output.values().shape(), |_| {
            place += 1;
            noise(place, 1, 2)
        }))
    };
    let near = |found: f32, expected: f32, what: &str| {
        assert!((found - expected).abs() < 1e-6, "{what}: {found}, expected {expected}");
    };
    for device in devices() {
        let of = |loss: Loss| Trainer::new(layers(), &device, loss, Sgd::new(0.1)).unwrap();
        let (mut whole, mut cut) = (of(Loss::MeanSquaredError), of(CategoricalCrossentropy::new().into()));
        let outputs = [&mut whole, &mut cut].map(|trainer| trainer.predict(&sequences).unwrap().values().to_owned());
        for (expected, found) in outputs[0].iter().zip(&outputs[1]) {
            near(*found, *expected, &device.name());
        }
        let [expected, found] =
            [&mut whole, &mut cut].map(|trainer| trainer.gradients(&sequences, None, upstream).unwrap());
        for ((path, expected), (_, found)) in expected.parameters().zip(found.parameters()) {
            for (expected, found) in expected.iter().zip(found) {
                near(*found, *expected, path);
            }
        }
    }
}
