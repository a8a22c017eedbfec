//! Weights that stay as they are, and penalties on those that do not.

use cellstate::{
    Adam, BatchNormalization, Dense, Device, Embedding, Error, Fit, Loss, Lstm, Model, Regularizer, Role, Sgd,
    SparseCategoricalCrossentropy, TimeDistributed, Trainer,
};
use ndarray::ArrayD;

use crate::data::examples;
use crate::devices::devices;
use crate::nested;
use crate::{bits, model, trainer, trainer_of};

fn weight(trainer: &Trainer, path: &str) -> ArrayD<f32> {
    trainer.model().parameters().get(path).unwrap().values().to_owned()
}

#[test]
fn frozen_weights_stay() {
    let mut trainer = trainer();
    trainer.freeze("lstm").unwrap();
    trainer.freeze(Role::Bias).unwrap();
    let paths = [
        "lstm/kernel",
        "lstm/recurrent_kernel",
        "lstm/bias",
        "lstm_1/bias",
        "dense/bias",
    ];
    let before: Vec<ArrayD<f32>> = paths.iter().map(|path| weight(&trainer, path)).collect();
    let kernel = weight(&trainer, "lstm_1/kernel");
    trainer.fit(&examples(12), Fit::epochs(2).batch_size(4)).unwrap();
    for (path, before) in paths.iter().zip(before) {
        assert_eq!(weight(&trainer, path), before, "{path}");
    }
    assert_ne!(weight(&trainer, "lstm_1/kernel"), kernel);
    let count = trainer.model().parameters().count();
    let frozen = 4 * 5 * (3 + 5 + 1) + 4 * 4 + 1;
    assert_eq!(trainer.trainable_count(), count - frozen);
    let summary = trainer.summary();
    assert!(summary.contains(&format!("{frozen} are not: lstm/kernel")), "{summary}");
}

#[test]
fn what_the_optimiser_remembers_outlasts_a_freeze() {
    let data = examples(8);
    let mut all_along = trainer_of(model(), Adam::new(1e-2));
    let mut frozen_between = trainer_of(model(), Adam::new(1e-2));
    for trainer in [&mut all_along, &mut frozen_between] {
        trainer.train_on_batch(&data).unwrap();
    }
    frozen_between.freeze("lstm").unwrap();
    frozen_between.unfreeze().unwrap();
    // the slots of what was frozen begin anew, those of the others go on
    for trainer in [&mut all_along, &mut frozen_between] {
        trainer.train_on_batch(&data).unwrap();
    }
    assert_eq!(
        weight(&all_along, "dense/kernel"),
        weight(&frozen_between, "dense/kernel")
    );
    assert_ne!(
        weight(&all_along, "lstm/kernel"),
        weight(&frozen_between, "lstm/kernel")
    );
}

/// As a layer it normalises by its moving mean and variance, and these stay; of which gamma and beta are frozen follows each batch.
#[test]
fn a_frozen_batch_normalization_normalises_as_in_inference() {
    let model = || {
        let model = Model::builder()
            .add(BatchNormalization::new(3))
            .add(Lstm::new(3, 4))
            .add(Dense::new(4, 1));
        model.build().unwrap()
    };
    let data = examples(8);
    for device in devices() {
        let trainer = || Trainer::new(model(), &device, Loss::MeanSquaredError, Sgd::new(0.1)).unwrap();
        let all = |trainer: &Trainer| {
            let names = ["gamma", "beta", "moving_mean", "moving_variance"];
            names.map(|name| weight(trainer, &format!("batch_normalization/{name}")))
        };
        let mut followed = trainer();
        let before = all(&followed);
        followed.freeze(Role::Gamma).unwrap();
        followed.freeze(Role::Beta).unwrap();
        followed.train_on_batch(&data).unwrap();
        assert_ne!(all(&followed)[2..], before[2..]);
        assert_eq!(all(&followed)[..2], before[..2]);

        let mut held = trainer();
        held.freeze("batch_normalization").unwrap();
        let of_inference = held.evaluate(&data).unwrap().loss();
        assert_near(held.train_on_batch(&data).unwrap(), of_inference);
        assert_eq!(all(&held), before);
        // also behind batches by whose mean it has normalised
        let mut later = trainer();
        later.train_on_batch(&data).unwrap();
        later.freeze("batch_normalization").unwrap();
        let (before, of_inference) = (all(&later), later.evaluate(&data).unwrap().loss());
        assert_near(later.train_on_batch(&data).unwrap(), of_inference);
        assert_eq!(all(&later), before);
        let before = all(&held);
        // what is trained behind it learns from that
        assert_ne!(weight(&held, "lstm/kernel"), weight(&followed, "lstm/kernel"));
        held.unfreeze().unwrap();
        held.train_on_batch(&data).unwrap();
        let after = all(&held);
        assert!(after.iter().zip(&before).all(|(after, before)| after != before));
    }
}

/// A GPU computes the loss of a batch in f32, the host that of a judgement in f64.
fn assert_near(found: f64, expected: f64) {
    assert!(
        (found - expected).abs() <= 1e-6 * expected,
        "{found} instead of {expected}"
    );
}

#[test]
fn a_batch_normalization_is_frozen_with_what_stands_around_it() {
    let within = TimeDistributed::new(Embedding::new(5, 4).mask_zero(true))
        .add(Lstm::new(4, 3))
        .add(BatchNormalization::new(3));
    let model = Model::builder().add(within).add(Dense::new(3, 2)).build().unwrap();
    let trainer = || {
        let loss = SparseCategoricalCrossentropy::new().from_logits(true);
        Trainer::new(model.clone(), &Device::cpu(), loss, Sgd::new(0.1)).unwrap()
    };
    for (path, stays) in [
        ("time_distributed", true),
        ("time_distributed/batch_normalization", true),
        ("time_distributed/batch_normalization/gamma", false),
    ] {
        let mut trainer = trainer();
        trainer.freeze(path).unwrap();
        let mean = |trainer: &Trainer| weight(trainer, "time_distributed/batch_normalization/moving_mean");
        let before = mean(&trainer);
        trainer.train_on_batch(&nested::examples(3)).unwrap();
        assert_eq!(mean(&trainer) == before, stays, "{path}");
    }
    assert!(matches!(trainer().freeze("gru"), Err(Error::Value { .. })));
}

#[test]
fn penalties_are_in_the_loss_and_in_the_gradients() {
    let data = examples(8);
    let plain = || trainer_of(model(), Sgd::new(0.1));
    let penalised = || {
        let mut trainer = plain();
        let kernel = Regularizer::l2(0.01).on("dense/kernel");
        trainer.regularizers([kernel.clone()]).unwrap();
        // what is refused changes nothing
        let wrong = [kernel, Regularizer::l2(-1.0).on("dense/bias")];
        assert!(matches!(trainer.regularizers(wrong), Err(Error::Value { .. })));
        trainer
    };
    let kernel = weight(&plain(), "dense/kernel");
    let penalty = 0.01 * kernel.iter().map(|weight| f64::from(*weight).powi(2)).sum::<f64>();
    let (mut one, mut other) = (plain(), penalised());
    let [loss, with] = [one.evaluate(&data).unwrap(), other.evaluate(&data).unwrap()].map(|scores| scores.loss());
    assert!((with - loss - penalty).abs() < 1e-9);
    let [loss, with] = [one.train_on_batch(&data).unwrap(), other.train_on_batch(&data).unwrap()];
    assert!((with - loss - penalty).abs() < 1e-9);
    let smaller = weight(&one, "dense/kernel") - kernel.mapv(|weight| 0.1 * 0.02 * weight);
    for (found, expected) in weight(&other, "dense/kernel").iter().zip(&smaller) {
        assert!((found - expected).abs() < 1e-6);
    }
    assert_eq!(weight(&one, "lstm/kernel"), weight(&other, "lstm/kernel"));
    assert_ne!(bits(&one), bits(&other));
}
