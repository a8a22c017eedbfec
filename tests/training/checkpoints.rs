//! A training that is interrupted, and goes on.

use std::cell::Cell;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use cellstate::{
    Adam, BatchNormalization, Dense, Ended, Error, Fit, History, Huber, Lstm, Metric, Model, ReduceOnPlateau,
    Regularizer, Role, Sgd, Trainer,
};

use crate::data::examples;
use crate::{bits, trainer, trainer_of};

/// A file of its own, which goes with the test.
struct Temporary(PathBuf);

impl Temporary {
    fn new(name: &str) -> Self {
        let folder = std::env::var_os("CARGO_TARGET_TMPDIR").map_or_else(std::env::temp_dir, PathBuf::from);
        let path = folder.join(format!("training-{name}-{}.safetensors", std::process::id()));
        std::fs::remove_file(&path).ok();
        Self(path)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).ok();
    }
}

/// A training with all that a checkpoint has to keep.
fn whole() -> Trainer {
    let model = Model::builder()
        .add(BatchNormalization::new(3))
        .add(Lstm::new(3, 5).return_sequences(true))
        .add(cellstate::Dropout::new(0.3))
        .add(Lstm::new(5, 4))
        .add(Dense::new(4, 1));
    trainer_of(model.build().unwrap(), Adam::new(1e-2).amsgrad(true))
        .seed(5)
        .metrics([Metric::mean_absolute_error()])
}

fn fit() -> Fit<'static> {
    let reduce = ReduceOnPlateau::new().patience(1).factor(0.5).min_delta(0.05);
    Fit::epochs(6)
        .batch_size(5)
        .validation_split(0.25)
        .early_stopping(3)
        .reduce_on_plateau(reduce)
}

/// Everything but how long it took.
fn reported(history: &History) -> Vec<(String, Option<String>, f64)> {
    let epochs = history.epochs().iter();
    epochs
        .map(|epoch| {
            let validation = epoch.validation().map(|scores| format!("{scores:?}"));
            (format!("{:?}", epoch.training()), validation, epoch.learning_rate())
        })
        .collect()
}

#[test]
fn what_goes_on_has_the_bits_of_what_never_stopped() {
    let data = examples(24); // 18 to learn from: four batches an epoch
    let mut expected = whole();
    let history = expected.fit(&data, fit()).unwrap();
    for (epoch, batch) in [(1, 1), (2, 4), (3, 2), (4, 3)] {
        let file = Temporary::new(&format!("{epoch}-{batch}"));
        let stop = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&stop);
        let interrupted = fit().checkpoint(&file.0).stop_flag(stop).on_batch(move |report| {
            flag.store((report.epoch, report.batch) == (epoch, batch), Ordering::Relaxed);
        });
        let first = whole().fit(&data, interrupted).unwrap();
        assert_eq!(first.ended_by(), Ended::StopFlag);
        let mut resumed = whole().seed(99); // the seed is that of the file
        let second = resumed.fit(&data, fit().checkpoint(&file.0).resume(true)).unwrap();
        assert_eq!(
            bits(&resumed),
            bits(&expected),
            "stopped in epoch {epoch} behind batch {batch}"
        );
        assert_eq!(reported(&second), reported(&history));
        assert_eq!(
            (second.best_epoch(), second.ended_by()),
            (history.best_epoch(), history.ended_by())
        );
        // a training that has ended stays so
        let mut again = whole();
        let third = again.fit(&data, fit().checkpoint(&file.0).resume(true)).unwrap();
        assert_eq!((bits(&again), reported(&third)), (bits(&expected), reported(&history)));
    }
}

#[test]
fn carried_states_go_on_too() {
    let data = examples(20);
    let fit = || Fit::epochs(2).batch_size(4).stateful(true);
    let mut expected = trainer();
    expected.fit(&data, fit()).unwrap();
    let file = Temporary::new("stateful");
    let stop = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stop);
    let interrupted = fit().checkpoint(&file.0).stop_flag(stop).on_batch(move |report| {
        flag.store((report.epoch, report.batch) == (2, 3), Ordering::Relaxed);
    });
    trainer().fit(&data, interrupted).unwrap();
    let mut resumed = trainer();
    resumed.fit(&data, fit().checkpoint(&file.0).resume(true)).unwrap();
    assert_eq!(bits(&resumed), bits(&expected));
}

/// Within an epoch the batches that have run are left out by their number, so the others have to come in the same order.
#[test]
fn an_epoch_goes_on_in_the_order_in_which_it_began() {
    let data = examples(20);
    let fit = || Fit::epochs(2).batch_size(4);
    type Other = fn(Fit<'static>) -> Fit<'static>;
    let orders: [Other; 4] = [
        |fit| fit.bucketing(true),
        |fit| fit.shuffle(false),
        |fit| fit.shuffle(false).bucketing(true),
        |fit| fit.stateful(true),
    ];
    for (number, order) in orders.into_iter().enumerate() {
        for (batch, is_within) in [(3, true), (5, false)] {
            let file = Temporary::new(&format!("order-{number}-{batch}"));
            let stop = Arc::new(AtomicBool::new(false));
            let flag = Arc::clone(&stop);
            let interrupted = fit().checkpoint(&file.0).stop_flag(stop).on_batch(move |report| {
                flag.store((report.epoch, report.batch) == (1, batch), Ordering::Relaxed);
            });
            trainer().fit(&data, interrupted).unwrap();
            let mut resumed = trainer();
            let before = bits(&resumed);
            let result = resumed.fit(&data, order(fit()).checkpoint(&file.0).resume(true));
            assert_eq!(result.is_err(), is_within, "order {number} behind batch {batch}");
            if let Err(error) = result {
                assert!(
                    error.to_string().contains("batches shuffled, within an epoch"),
                    "{error}"
                );
                assert_eq!(bits(&resumed), before);
            }
        }
    }
}

#[test]
fn weights_and_optimiser_are_taken_alone() {
    let data = examples(8);
    let file = Temporary::new("alone");
    let mut one = trainer();
    one.train_on_batch(&data).unwrap();
    one.save_checkpoint(&file.0).unwrap();
    let mut other = trainer().seed(3);
    other.load_checkpoint(&file.0).unwrap();
    for trainer in [&mut one, &mut other] {
        trainer.train_on_batch(&data).unwrap();
    }
    assert_eq!(bits(&one), bits(&other));
    // a training that resumes from it begins with these weights
    let fit = Fit::epochs(1).checkpoint(&file.0).resume(true);
    assert_eq!(trainer().fit(&data, fit).unwrap().epochs().len(), 1);
}

#[test]
fn a_file_that_is_cut_off_or_damaged_changes_nothing() {
    let data = examples(12);
    let file = Temporary::new("damaged");
    whole()
        .fit(&data, Fit::epochs(1).batch_size(4).checkpoint(&file.0))
        .unwrap();
    let bytes = std::fs::read(&file.0).unwrap();
    let mut trainer = whole();
    let before = bits(&trainer);
    let refused = Cell::new(0);
    let mut tried = |bytes: &[u8], must: bool| {
        std::fs::write(&file.0, bytes).unwrap();
        let result = trainer.fit(&data, Fit::epochs(1).batch_size(4).checkpoint(&file.0).resume(true));
        if let Err(error) = result {
            let text = error.to_string();
            assert!(text.contains("expected") && text.contains("; "), "{text}");
            assert_eq!(bits(&trainer), before, "{text}");
            assert_eq!(std::fs::read(&file.0).unwrap(), bytes);
            refused.set(refused.get() + 1);
        } else {
            assert!(!must, "accepted");
            trainer = whole();
        }
    };
    for length in (0..bytes.len()).step_by(97) {
        tried(&bytes[..length], true);
    }
    // a changed byte of the header, where it still is JSON, may name another number; nothing else may happen
    let header = usize::from(bytes[0]) + 256 * usize::from(bytes[1]);
    for place in (8..8 + header).step_by(41) {
        let mut changed = bytes.clone();
        changed[place] = changed[place].wrapping_add(1);
        tried(&changed, false);
    }
    assert!(refused.get() > 20);
}

#[test]
fn a_file_of_another_training_is_refused() {
    let data = examples(12);
    let file = Temporary::new("other");
    let fit = || Fit::epochs(2).batch_size(4).checkpoint(&file.0).resume(true);
    trainer().fit(&data, fit()).unwrap();
    let refused = |trainer: &mut Trainer, data: &cellstate::Examples<'_, '_>, fit: Fit<'_>, texts: &[&str]| {
        let before = bits(trainer);
        let error = trainer.fit(data, fit).unwrap_err();
        assert!(
            matches!(error, Error::Content { .. } | Error::Value { .. } | Error::Size { .. }),
            "{error}"
        );
        for text in texts {
            assert!(error.to_string().contains(text), "{text:?} is not in {error}");
        }
        assert_eq!(bits(trainer), before);
    };
    let other_model = Model::builder()
        .add(Lstm::new(3, 5))
        .add(Dense::new(5, 1))
        .build()
        .unwrap();
    refused(
        &mut trainer_of(other_model, Adam::new(1e-2)),
        &data,
        fit(),
        &["the model that the checkpoint is of"],
    );
    refused(&mut trainer_of(crate::model(), Sgd::new(0.1)), &data, fit(), &["Sgd"]);
    let mut frozen = trainer();
    frozen.freeze("dense").unwrap();
    refused(&mut frozen, &data, fit(), &["dense/"]);
    refused(&mut trainer(), &examples(16), fit(), &["16 sequences", "12 sequences"]);
    refused(
        &mut trainer(),
        &data,
        fit().batch_size(3),
        &["batches of 3", "batches of 4"],
    );
    let mut metrics = trainer().metrics([Metric::mean_absolute_error()]);
    refused(&mut metrics, &data, fit(), &["the same metrics"]);
    let mut huber = Trainer::new(crate::model(), &cellstate::Device::cpu(), Huber::new(), Adam::new(1e-2)).unwrap();
    refused(&mut huber, &data, fit(), &["loss: Huber", "loss: MeanSquaredError"]);
    let mut penalised = trainer();
    penalised.regularizers([Regularizer::l2(0.1).on(Role::Kernel)]).unwrap();
    refused(&mut penalised, &data, fit(), &["regularizers: ["]);
    // without slots nothing else says what was frozen
    let normalised = || {
        let model = Model::builder()
            .add(BatchNormalization::new(3))
            .add(Lstm::new(3, 4))
            .add(Dense::new(4, 1));
        trainer_of(model.build().unwrap(), Sgd::new(0.1))
    };
    let mut held = normalised();
    held.freeze("batch_normalization").unwrap();
    std::fs::remove_file(&file.0).unwrap();
    held.fit(&data, fit()).unwrap();
    refused(
        &mut normalised(),
        &data,
        fit(),
        &["frozen weights: batch_normalization/gamma", "call `freeze`"],
    );
    let mut by_role = normalised();
    for role in [Role::Gamma, Role::Beta, Role::MovingMean, Role::MovingVariance] {
        by_role.freeze(role).unwrap();
    }
    refused(
        &mut by_role,
        &data,
        fit(),
        &[
            "frozen BatchNormalization: none",
            "frozen BatchNormalization: batch_norm",
        ],
    );
    // a file that does not say what was made small, as earlier versions wrote it
    let bytes = std::fs::read(&file.0).unwrap();
    let name = b"objective";
    let place = bytes.windows(name.len()).position(|found| found == name).unwrap();
    let mut earlier = bytes.clone();
    earlier[place] = b'O';
    std::fs::write(&file.0, earlier).unwrap();
    normalised().fit(&data, fit()).unwrap();
    // a model is no checkpoint
    trainer().model().save(&file.0).unwrap();
    refused(&mut trainer(), &data, fit(), &["Fit::checkpoint"]);
    // where nothing is there the training begins
    std::fs::remove_file(&file.0).unwrap();
    assert_eq!(trainer().fit(&data, fit()).unwrap().epochs().len(), 2);
    let nowhere = Fit::epochs(1).checkpoint("/nowhere/at/all.safetensors");
    assert!(matches!(trainer().fit(&data, nowhere), Err(Error::File { .. })));
}

/// A lowered learning rate goes on being so, but not in the place of one that is asked for anew.
#[test]
fn a_new_learning_rate_is_taken_where_a_training_goes_on() {
    let data = examples(12);
    let file = Temporary::new("rate");
    // nothing is ever better by so much, so that the rate falls in every epoch but the first
    let reduce = || ReduceOnPlateau::new().patience(1).factor(0.5).min_delta(1e9);
    let rates = |optimizer: Adam, epochs: usize| {
        let fit = Fit::epochs(epochs).batch_size(4).reduce_on_plateau(reduce());
        let history = trainer_of(crate::model(), optimizer).fit(&data, fit.checkpoint(&file.0).resume(true));
        let history = history.unwrap();
        history
            .epochs()
            .iter()
            .map(|epoch| epoch.learning_rate())
            .collect::<Vec<f64>>()
    };
    assert_eq!(rates(Adam::new(0.01), 3), [0.01, 0.01, 0.005]);
    assert_eq!(rates(Adam::new(0.01), 4), [0.01, 0.01, 0.005, 0.0025]);
    assert_eq!(rates(Adam::new(0.2), 5), [0.01, 0.01, 0.005, 0.0025, 0.2]);
    assert_eq!(rates(Adam::new(0.2), 6), [0.01, 0.01, 0.005, 0.0025, 0.2, 0.1]);
}
