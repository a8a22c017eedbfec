//! Weights of sequences, steps and classes; states that are carried; learning rates.

use std::cell::{Cell, RefCell};

use cellstate::{
    Adam, Dense, Device, Dropout, Examples, ExponentialDecay, Fit, Loss, Lstm, Masking, Metric, Model, ModelBuilder,
    ReduceOnPlateau, Sequences, Sgd, SparseCategoricalCrossentropy, Trainer,
};
use ndarray::{Array1, Array2, Array3, Axis, Slice};

use crate::data::{every_step, examples, noise};
use crate::devices::devices;
use crate::{bits, model, trainer, trainer_of};

#[test]
fn a_weight_is_how_much_a_sequence_counts() {
    let one = |weights: &[f32]| {
        let mut trainer = trainer_of(model(), Sgd::new(0.1));
        let loss = trainer
            .train_on_batch(&examples(4).with_weights(weights).unwrap())
            .unwrap();
        (loss, bits(&trainer))
    };
    let plain = one(&[1.0; 4]);
    assert_eq!(plain, {
        let mut trainer = trainer_of(model(), Sgd::new(0.1));
        (trainer.train_on_batch(&examples(4)).unwrap(), bits(&trainer))
    });
    assert!((one(&[2.0; 4]).0 - 2.0 * plain.0).abs() < 1e-9);
    // without weight nothing is learned
    let (loss, weights) = one(&[0.0; 4]);
    assert_eq!((loss, weights), (0.0, bits(&trainer_of(model(), Sgd::new(0.1)))));
}

#[test]
fn a_weight_of_a_class_is_that_of_its_sequences() {
    let classifier = || {
        let model = Model::builder()
            .add(Lstm::new(3, 4))
            .add(Dense::new(4, 3))
            .build()
            .unwrap();
        let loss = SparseCategoricalCrossentropy::new().from_logits(true);
        Trainer::new(model, &Device::cpu(), loss, Adam::new(1e-2)).unwrap()
    };
    let classes = Array1::from_shape_fn(9, |row| (row % 3) as i32);
    let x = Array3::from_shape_fn((9, 5, 3), |(row, step, feature)| noise(row, step, feature));
    let data = || Examples::new(Sequences::from(&x), &classes).unwrap();
    let fit = || Fit::epochs(2).batch_size(4);
    let mut by_class = classifier();
    by_class
        .fit(&data(), fit().class_weights([(0, 0.5), (2, 3.0)]))
        .unwrap();
    let weights: Vec<f32> = classes.iter().map(|class| [0.5, 1.0, 3.0][*class as usize]).collect();
    let mut by_sequence = classifier();
    by_sequence.fit(&data().with_weights(&weights).unwrap(), fit()).unwrap();
    assert_eq!(bits(&by_class), bits(&by_sequence));
    let mut plain = classifier();
    plain.fit(&data(), fit()).unwrap();
    assert_ne!(bits(&by_class), bits(&plain));
    // both at once are multiplied
    let mut both = classifier();
    both.fit(
        &data().with_weights(&[2.0; 9]).unwrap(),
        fit().class_weights([(0, 0.25), (1, 0.5), (2, 1.5)]),
    )
    .unwrap();
    assert_eq!(bits(&both), bits(&by_sequence));
}

#[test]
fn steps_that_do_not_count_teach_nothing() {
    let model = || {
        let builder = Model::builder()
            .add(Lstm::new(3, 5).return_sequences(true))
            .add(Dense::new(5, 1));
        builder.build().unwrap()
    };
    // padding and its targets are NaN
    let mut trainer = trainer_of(model(), Adam::new(1e-2));
    let loss = trainer.train_on_batch(&every_step(6)).unwrap();
    assert!(loss.is_finite() && loss > 0.0);
    // nothing counts: no loss, no gradient, no step
    let mut trainer = trainer_of(model(), Sgd::new(0.1));
    let nothing = Sequences::from(Array3::from_elem((4, 5, 3), f32::NAN))
        .with_lengths(&[0; 4])
        .unwrap();
    let nothing = Examples::new(nothing, Array3::from_elem((4, 5, 1), f32::NAN)).unwrap();
    let before = bits(&trainer);
    assert_eq!(trainer.train_on_batch(&nothing).unwrap(), 0.0);
    assert_eq!(trainer.evaluate(&nothing).unwrap().loss(), 0.0);
    let history = trainer.fit(&nothing, Fit::epochs(2).bucketing(true)).unwrap();
    assert_eq!(history.values("loss"), [0.0, 0.0]);
    assert_eq!(bits(&trainer), before);
}

#[test]
fn states_are_carried_and_gradients_stop() {
    let stack = || {
        let builder = Model::builder()
            .add(Lstm::new(1, 4).return_sequences(true))
            .add(Dense::new(4, 1));
        builder.build().unwrap()
    };
    let series = Array2::from_shape_fn((1, 24), |(_, step)| noise(1, step, 0));
    let x = series.into_shape_with_order((4, 6, 1)).unwrap();
    let y = x.mapv(|value| 0.5 * value);
    let whole = Examples::new(Sequences::from(&x), &y).unwrap();
    // without a step of the weights the losses are those of the whole series, cut
    let mut still = trainer_of(stack(), Sgd::new(0.0));
    let losses = RefCell::new(Vec::new());
    let fit = Fit::epochs(2)
        .batch_size(1)
        .stateful(true)
        .on_batch(|report| losses.borrow_mut().push(report.loss));
    still.fit(&whole, fit).unwrap();
    let runner = stack().on(&Device::cpu()).unwrap();
    let long = x.clone().into_shape_with_order((1, 24, 1)).unwrap();
    let output = runner.run(&Sequences::from(&long)).unwrap();
    let expected: Vec<f64> = (0..4)
        .map(|part| {
            let steps = Slice::from(6 * part..6 * part + 6);
            let outputs = output.values();
            let (outputs, targets) = (
                outputs.slice_axis(Axis(1), steps),
                y.index_axis(Axis(0), part).to_owned().insert_axis(Axis(0)),
            );
            let outputs = outputs.into_dimensionality::<ndarray::Ix3>().unwrap();
            let errors = outputs
                .iter()
                .zip(&targets)
                .map(|(one, other)| f64::from(one - other).powi(2));
            errors.sum::<f64>() / 6.0
        })
        .collect();
    let losses = losses.into_inner();
    assert_eq!(losses.len(), 8);
    for (found, expected) in losses.iter().zip(expected.iter().cycle()) {
        assert!((found - expected).abs() < 1e-7, "{found} {expected}");
    }
    // the state is worth something: cut off from it the losses differ
    assert!(
        (trainer_of(stack(), Sgd::new(0.0)).evaluate(&whole).unwrap().loss() - losses[..4].iter().sum::<f64>() / 4.0)
            .abs()
            > 1e-6
    );
}

#[test]
fn the_learning_rate_follows_its_schedule() {
    let mut by_schedule = trainer_of(model(), Adam::new(ExponentialDecay::new(1e-2, 3, 0.5).staircase(true)));
    let history = by_schedule.fit(&examples(12), Fit::epochs(3).batch_size(4)).unwrap();
    let rates: Vec<f64> = history.epochs().iter().map(|epoch| epoch.learning_rate()).collect();
    for (rate, expected) in rates.iter().zip([1e-2, 5e-3, 2.5e-3]) {
        assert!((rate - expected).abs() < 1e-9, "{rates:?}");
    }
    // nothing gets better without a step
    let reduce = ReduceOnPlateau::new().factor(0.5).patience(2);
    let mut still = trainer_of(model(), Sgd::new(1e-9));
    let history = still
        .fit(&examples(12), Fit::epochs(6).reduce_on_plateau(reduce))
        .unwrap();
    let rates: Vec<f64> = history
        .epochs()
        .iter()
        .map(|epoch| epoch.learning_rate() / 1e-9)
        .collect();
    for (rate, expected) in rates.iter().zip([1.0, 1.0, 1.0, 0.5, 0.5, 0.25]) {
        assert!((rate - expected).abs() < 1e-6, "{rates:?}");
    }
}

#[test]
fn what_is_monitored_has_a_name() {
    let fit = Fit::epochs(3).monitor("val_loss").early_stopping(1);
    let begun = Cell::new(false);
    let fit = fit.on_batch(|_| begun.set(true));
    let error = trainer().fit(&examples(6), fit).unwrap_err();
    assert!(!begun.get(), "refused behind a batch");
    let error = error.to_string();
    assert!(
        error.contains("one of loss") && error.contains("validation data"),
        "{error}"
    );
    let fit = Fit::epochs(3).monitor("loss").early_stopping(1).validation_split(0.5);
    assert!(trainer().fit(&examples(6), fit).unwrap().best_epoch().is_some());
}

/// As in Keras a schedule and a plateau do not go together, which is said before the first batch.
#[test]
fn a_plateau_beside_a_schedule_is_refused() {
    let optimizer = Adam::new(ExponentialDecay::new(1e-2, 10, 0.5));
    let fit = Fit::epochs(3).reduce_on_plateau(ReduceOnPlateau::new());
    let begun = Cell::new(false);
    let fit = fit.on_batch(|_| begun.set(true));
    let error = trainer_of(model(), optimizer)
        .fit(&examples(6), fit)
        .unwrap_err()
        .to_string();
    assert!(error.contains("schedule") && !begun.get(), "{error}");
}

#[test]
fn two_losses_are_two_trainings() {
    let model = || {
        Model::builder()
            .add(Lstm::new(3, 4))
            .add(Dense::new(4, 1))
            .build()
            .unwrap()
    };
    let train = |loss: Loss| {
        let mut trainer = Trainer::new(model(), &Device::cpu(), loss, Adam::new(1e-2)).unwrap();
        trainer.fit(&examples(8), Fit::epochs(1)).unwrap();
        bits(&trainer)
    };
    assert_ne!(train(Loss::MeanSquaredError), train(Loss::MeanAbsoluteError));
}

/// Weights of steps, of which there is one, and weights of classes are multiplied behind a last output too.
#[test]
fn a_weight_of_a_class_goes_with_that_of_the_only_step() {
    let classes = Array1::from_shape_fn(6, |row| (row % 3) as i32);
    let x = Array3::from_shape_fn((6, 1, 3), |(row, step, feature)| noise(row, step, feature));
    let data = || Examples::new(Sequences::from(&x), &classes).unwrap();
    let train = |data: &Examples<'_, '_>, weights: &[(i32, f32)]| {
        let layers = Model::builder().add(Lstm::new(3, 4)).add(Dense::new(4, 3));
        let loss = SparseCategoricalCrossentropy::new().from_logits(true);
        let mut trainer = Trainer::new(layers.build().unwrap(), &Device::cpu(), loss, Adam::new(1e-2)).unwrap();
        let fit = Fit::epochs(2).batch_size(4).class_weights(weights.iter().copied());
        trainer.fit(data, fit).unwrap();
        bits(&trainer)
    };
    let by_step = data().with_step_weights(Array2::from_elem((6, 1), 2.0)).unwrap();
    let by_both = classes.mapv(|class| 2.0 * [0.5, 1.0, 3.0][class as usize]).to_vec();
    let expected = train(&data().with_weights(&by_both).unwrap(), &[]);
    assert_eq!(train(&by_step, &[(0, 0.5), (2, 3.0)]), expected);
}

/// As in Keras: `metrics` count each step once, `weighted_metrics` by its weight; those of one name are told apart.
#[test]
fn metrics_are_weighted_where_that_is_asked_for() {
    let weights = [2.0_f32, 0.0, 1.0];
    let x = Array3::from_shape_fn((3, 5, 3), |(row, step, feature)| noise(row, step, feature));
    let data = |second: f32| {
        let targets = Array2::from_shape_vec((3, 1), vec![1.0, second, -1.0]).unwrap();
        let data = Examples::new(Sequences::from(x.clone()), targets).unwrap();
        data.with_weights(&weights).unwrap()
    };
    let error = Metric::mean_absolute_error;
    let mut trainer = trainer().metrics([error(), error()]).weighted_metrics([error()]);
    let outputs = trainer.predict(data(3.0).sequences()).unwrap().values().to_owned();
    let far: Vec<f64> = outputs
        .iter()
        .zip([1.0, 3.0, -1.0])
        .map(|(o, t)| f64::from((o - t).abs()))
        .collect();
    let scores = trainer.evaluate(&data(3.0)).unwrap();
    let names: Vec<&str> = scores.metrics().iter().map(|(name, _)| name.as_str()).collect();
    let expected = [
        "mean_absolute_error",
        "mean_absolute_error_1",
        "weighted_mean_absolute_error",
    ];
    assert_eq!(names, expected);
    let near = |name: &str, expected: f64| {
        let found = scores.get(name).unwrap();
        assert!((found - expected).abs() < 1e-6, "{name}: {found}, expected {expected}");
    };
    near("mean_absolute_error", far.iter().sum::<f64>() / 3.0);
    near("weighted_mean_absolute_error", (2.0 * far[0] + far[2]) / 3.0);
    // what has no weight may be anything for the one, and for the other it is a target as any
    let fit = || Fit::epochs(2).monitor("weighted_mean_absolute_error").early_stopping(1);
    assert!(trainer.fit(&data(f32::NAN), fit()).is_err());
    let mut trainer = trainer.metrics([]);
    let fit = Fit::epochs(2).monitor("mean_absolute_error").early_stopping(1);
    let history = trainer.fit(&data(f32::NAN), fit).unwrap();
    assert!(
        history
            .values("mean_absolute_error")
            .iter()
            .all(|value| value.is_finite())
    );
}

/// What does not fit is said before anything is learned.
#[test]
fn validation_data_are_looked_at_before_the_first_batch() {
    let refused = |targets: Array2<f32>, trainer: &mut Trainer| {
        let x = Array3::from_shape_fn((targets.nrows(), 5, 3), |(row, step, feature)| {
            noise(row, step, feature)
        });
        let validation = Examples::new(Sequences::from(x), targets).unwrap();
        let begun = Cell::new(false);
        let (data, fit) = (examples(6), Fit::epochs(1).on_batch(|_| begun.set(true)));
        let error = trainer.fit(&data, fit.validation_data(&validation)).unwrap_err();
        assert!(!begun.get(), "{error}");
        error.to_string()
    };
    let error = refused(Array2::zeros((4, 2)), &mut trainer());
    assert!(error.contains("targets") && error.contains("[4, 1]"), "{error}");
    let error = refused(Array2::zeros((0, 1)), &mut trainer());
    assert!(
        error.contains("validation_data") && error.contains("at least one sequence"),
        "{error}"
    );
    let sparse = [Metric::sparse_categorical_accuracy()];
    assert!(refused(Array2::zeros((4, 3)), &mut trainer().metrics(sparse)).contains("targets"));
}

/// Which steps there are would follow from what is drawn; behind a layer that computes the host sees what is left.
#[test]
fn a_mask_of_what_a_dropout_leaves_is_refused_where_nothing_is_computed_before() {
    let ones = Sequences::from(Array3::<f32>::ones((4, 6, 3)));
    let examples = Examples::new(ones, Array2::<f32>::ones((4, 1))).unwrap();
    let lstm = |features| Lstm::new(features, 4);
    let tail =
        |builder: ModelBuilder, features| builder.add(Masking::new(0.0)).add(lstm(features)).add(Dense::new(4, 1));
    let refused = [
        Model::builder().add(Dropout::new(0.5)),
        Model::builder().add(Dropout::new(0.5)).add(Dropout::new(0.0)),
    ];
    let done = [
        Model::builder().add(Dropout::new(0.0)),
        Model::builder()
            .add(lstm(3).return_sequences(true))
            .add(Dropout::new(0.5)),
    ];
    for device in devices() {
        for (number, builder) in refused.clone().into_iter().enumerate() {
            let model = tail(builder, 3).build().unwrap();
            let mut trainer = Trainer::new(model, &device, Loss::MeanSquaredError, Sgd::new(0.1)).unwrap();
            let error = trainer.train_on_batch(&examples).unwrap_err().to_string();
            assert!(error.contains("a Masking layer behind a Dropout"), "{number}: {error}");
            assert!(
                error.contains("put the Masking layer before the Dropout"),
                "{number}: {error}"
            );
        }
        for (builder, features) in done.clone().into_iter().zip([3, 4]) {
            let model = tail(builder, features).build().unwrap();
            let mut trainer = Trainer::new(model, &device, Loss::MeanSquaredError, Sgd::new(0.1)).unwrap();
            trainer.train_on_batch(&examples).unwrap();
        }
    }
}
