//! What a training does, batch by batch and epoch by epoch.

use std::cell::RefCell;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use cellstate::{Adam, Dense, EarlyStopping, Ended, Fit, Lstm, Metric, Model, Next, Sgd};
use ndarray::{Axis, Slice};

use crate::data::{every_step, examples};
use crate::{bits, model, trainer, trainer_of};

#[test]
fn a_model_learns() {
    let mut trainer = trainer_of(model(), Adam::new(1e-2)).metrics([Metric::mean_absolute_error()]);
    let data = examples(64);
    let before = trainer.evaluate(&data).unwrap();
    let history = trainer.fit(&data, Fit::epochs(30).batch_size(16)).unwrap();
    let after = trainer.evaluate(&data).unwrap();
    assert!(after.loss() < 0.3 * before.loss(), "{before} before, {after} after");
    assert!(after.get("mean_absolute_error") < before.get("mean_absolute_error"));
    assert_eq!((history.epochs().len(), history.ended_by()), (30, Ended::Epochs));
    assert_eq!(history.values("mean_absolute_error").len(), 30);
    // the trained model gives what the trainer gives
    let expected = trainer.predict(data.sequences()).unwrap();
    let runner = trainer.into_model().on(&cellstate::Device::cpu()).unwrap();
    assert_eq!(runner.run(data.sequences()).unwrap().values(), expected.values());
}

#[test]
fn the_same_seed_gives_the_same_bits() {
    let train = |seed: u64, threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let mut trainer = trainer().seed(seed);
            let fit = Fit::epochs(3).batch_size(10).validation_split(0.25);
            let history = trainer.fit(&examples(33), fit).unwrap();
            (bits(&trainer), history.values("loss"), history.values("val_loss"))
        })
    };
    let one = train(1, 1);
    assert_eq!(one, train(1, 1));
    assert_eq!(one, train(1, 3));
    assert_ne!(one.0, train(2, 1).0);
}

/// Two calls go on as one does: with the same orders, and so with another one for each epoch.
#[test]
fn a_training_in_two_calls_is_one_training() {
    let train = |calls: &[usize]| {
        let mut trainer = trainer();
        for epochs in calls {
            trainer.fit(&examples(33), Fit::epochs(*epochs).batch_size(10)).unwrap();
        }
        bits(&trainer)
    };
    assert_eq!(train(&[3]), train(&[1, 2]));
    assert_ne!(train(&[3]), train(&[2]));
}

/// An accuracy is better where it is larger, unless somebody says otherwise.
#[test]
fn the_best_epoch_of_an_accuracy_is_the_highest() {
    let data = examples(32);
    let cellstate::Targets::Numbers(targets) = data.targets() else {
        panic!()
    };
    let classes = targets.mapv(|value| f32::from(u8::from(value > 0.1)));
    let data = cellstate::Examples::new(data.sequences().clone(), classes).unwrap();
    let best_of = |stopping: EarlyStopping| {
        let mut trainer = trainer_of(model(), Sgd::new(0.5)).metrics([Metric::binary_accuracy(0.5)]);
        let fit = Fit::epochs(6)
            .batch_size(8)
            .monitor("binary_accuracy")
            .early_stopping(stopping);
        let history = trainer.fit(&data, fit).unwrap();
        (history.values("binary_accuracy"), history.best_epoch().unwrap())
    };
    let patient = EarlyStopping::patience(100);
    let ((seen, best), (_, lowest)) = (best_of(patient), best_of(patient.maximize(false)));
    let is_better = |one: f64, other: f64| one > other;
    assert!(
        seen.iter().all(|&value| !is_better(value, seen[best - 1])),
        "{seen:?}: {best}"
    );
    assert!(
        seen.iter().all(|&value| !is_better(seen[lowest - 1], value)),
        "{seen:?}: {lowest}"
    );
    assert!(
        seen.iter().any(|&value| value != seen[0]),
        "nothing to choose from: {seen:?}"
    );
}

/// A callback that fails ends the training: its epoch is in the checkpoint, and the best weights are there.
#[test]
fn an_error_leaves_the_best_weights() {
    let bias = |model: &Model| -> Vec<f32> {
        let bias = model.parameters().get("dense/bias").unwrap();
        bias.values().iter().copied().collect()
    };
    let folder = std::env::var_os("CARGO_TARGET_TMPDIR").map_or_else(std::env::temp_dir, PathBuf::from);
    let path = folder.join(format!("an_error_leaves_the_best_weights_{}", std::process::id()));
    let mut trainer = trainer();
    let seen = RefCell::new(Vec::new());
    // a loss that falls gets worse by that: the first epoch is the best
    let failing = Fit::epochs(5)
        .batch_size(8)
        .checkpoint(&path)
        .early_stopping(EarlyStopping::patience(5).maximize(true))
        .on_epoch(|epoch| -> cellstate::Result<()> {
            seen.borrow_mut().push((bias(epoch.model()), epoch.is_best()));
            match epoch.report().number() {
                3 => epoch.model().parameters().get("nothing of this name").map(|_| ()),
                _ => Ok(()),
            }
        });
    assert!(trainer.fit(&examples(24), failing).is_err());
    let seen = seen.into_inner();
    assert_eq!(
        seen.iter().map(|(_, is_best)| *is_best).collect::<Vec<_>>(),
        [true, false, false]
    );
    assert_ne!(seen[0].0, seen[2].0);
    assert_eq!(bias(trainer.model()), seen[0].0);
    let again = Fit::epochs(5).batch_size(8).checkpoint(&path).resume(true);
    let history = trainer.fit(&examples(24), again).unwrap();
    assert_eq!(history.epochs().len(), 5, "three of them before the error");
    assert_eq!(history.epochs()[3].number(), 4);
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn an_epoch_is_its_batches_in_order() {
    let data = examples(11);
    let select = |range: std::ops::Range<usize>| {
        let all = data.sequences();
        let values = all
            .values()
            .unwrap()
            .slice_axis(Axis(0), Slice::from(range.clone()))
            .to_owned();
        let mask = all
            .mask()
            .unwrap()
            .view()
            .slice_axis(Axis(0), Slice::from(range.clone()))
            .to_owned();
        let cellstate::Targets::Numbers(targets) = data.targets() else {
            panic!()
        };
        let targets = targets.slice_axis(Axis(0), Slice::from(range)).to_owned();
        let sequences = cellstate::Sequences::from(values).with_mask(mask).unwrap();
        cellstate::Examples::new(sequences, targets).unwrap()
    };
    let mut by_hand = trainer();
    let losses: Vec<f64> = [0..4, 4..8, 8..11]
        .into_iter()
        .map(|rows| by_hand.train_on_batch(&select(rows)).unwrap())
        .collect();
    let mut fitted = trainer();
    let reports = RefCell::new(Vec::new());
    let fit = Fit::epochs(1)
        .batch_size(4)
        .shuffle(false)
        .on_batch(|report| reports.borrow_mut().push(*report));
    let history = fitted.fit(&data, fit).unwrap();
    assert_eq!(bits(&by_hand), bits(&fitted));
    let reports = reports.into_inner();
    assert_eq!(reports.iter().map(|report| report.loss).collect::<Vec<_>>(), losses);
    let last = reports.last().unwrap();
    assert_eq!((last.epoch, last.epochs, last.batch, last.batches), (1, 1, 3, 3));
    // as Keras: the mean of the batches, each weighted by its sequences
    let mean = (4.0 * losses[0] + 4.0 * losses[1] + 3.0 * losses[2]) / 11.0;
    assert!((history.values("loss")[0] - mean).abs() < 1e-12 && last.mean_loss == history.values("loss")[0]);
}

#[test]
fn the_last_part_is_for_validation() {
    let all = examples(20);
    let mut trainer = trainer();
    let history = trainer
        .fit(&all, Fit::epochs(1).batch_size(5).validation_split(0.25))
        .unwrap();
    // 15 of 20 were learned from, and the last 5 judged with the weights of the end
    let last = {
        let sequences = all.sequences();
        let rows = Slice::from(15..20);
        let values = sequences.values().unwrap().slice_axis(Axis(0), rows).to_owned();
        let mask = sequences.mask().unwrap().view().slice_axis(Axis(0), rows).to_owned();
        let cellstate::Targets::Numbers(targets) = all.targets() else {
            panic!()
        };
        let sequences = cellstate::Sequences::from(values).with_mask(mask).unwrap();
        cellstate::Examples::new(sequences, targets.slice_axis(Axis(0), rows).to_owned()).unwrap()
    };
    let expected = trainer.evaluate(&last).unwrap().loss();
    assert_eq!(history.values("val_loss"), [expected]);
    let given = crate::trainer()
        .fit(&all, Fit::epochs(1).validation_data(&last))
        .unwrap();
    assert_eq!(given.values("val_loss").len(), 1);
}

#[test]
fn early_stopping_restores_the_best_weights() {
    // a learning rate that makes everything worse after a while
    let mut trainer = trainer_of(model(), Sgd::new(4.0));
    let data = examples(32);
    let saved = RefCell::new(Vec::new());
    let fit = Fit::epochs(60)
        .batch_size(8)
        .validation_split(0.5)
        .early_stopping(3)
        .on_epoch(|epoch| {
            if epoch.is_best() {
                let weights = epoch
                    .model()
                    .parameters()
                    .iter()
                    .flat_map(|one| one.values().to_owned());
                *saved.borrow_mut() = weights.map(f32::to_bits).collect();
            }
        });
    let history = trainer.fit(&data, fit).unwrap();
    let losses = history.values("val_loss");
    let best = history.best_epoch().unwrap();
    let least = losses.iter().copied().fold(f64::INFINITY, f64::min);
    assert_eq!(losses[best - 1], least);
    assert_eq!(
        (history.ended_by(), losses.len()),
        (Ended::EarlyStopping, best + 3),
        "{history}"
    );
    assert_eq!(bits(&trainer), saved.into_inner());
}

#[test]
fn a_callback_ends_a_training_or_fails_it() {
    let data = examples(12);
    let history = trainer().fit(
        &data,
        Fit::epochs(9)
            .batch_size(4)
            .on_epoch(|epoch| match epoch.report().number() {
                2 => Next::Stop,
                _ => Next::GoOn,
            }),
    );
    let history = history.unwrap();
    assert_eq!((history.epochs().len(), history.ended_by()), (2, Ended::Callback));
    let fit = Fit::epochs(9).on_epoch(|epoch| epoch.model().save("/nowhere/at/all.safetensors"));
    assert!(matches!(trainer().fit(&data, fit), Err(cellstate::Error::File { .. })));
}

#[test]
fn a_stop_flag_ends_behind_the_batch() {
    let data = examples(12);
    let stop = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stop);
    let mut trainer = trainer();
    let fit = Fit::epochs(9)
        .batch_size(4)
        .shuffle(false)
        .stop_flag(Arc::clone(&stop))
        .on_batch(move |report| {
            flag.store(report.epoch == 2 && report.batch == 2, Ordering::Relaxed);
        });
    let history = trainer.fit(&data, fit).unwrap();
    assert_eq!((history.epochs().len(), history.ended_by()), (1, Ended::StopFlag));
    // behind the last batch the epoch ends as any
    let flag = Arc::clone(&stop);
    let fit = Fit::epochs(9)
        .batch_size(4)
        .stop_flag(Arc::clone(&stop))
        .on_batch(move |report| {
            flag.store(report.batch == 3, Ordering::Relaxed);
        });
    let history = trainer.fit(&data, fit).unwrap();
    assert_eq!((history.epochs().len(), history.ended_by()), (1, Ended::StopFlag));
}

#[test]
fn batches_of_similar_length_learn_the_same() {
    let model = || {
        let builder = Model::builder()
            .add(Lstm::new(3, 5).return_sequences(true))
            .add(Dense::new(5, 1));
        builder.build().unwrap()
    };
    let train = |bucketing: bool| {
        let mut trainer = trainer_of(model(), Adam::new(1e-2));
        let fit = Fit::epochs(2).batch_size(21).shuffle(false).bucketing(bucketing);
        let history = trainer.fit(&every_step(21), fit).unwrap();
        (history.values("loss"), trainer)
    };
    // one batch of all has another order then, and nothing else: sums in another order
    let ((loss, one), (other_loss, other)) = (train(false), train(true));
    for (loss, other) in loss.iter().zip(&other_loss) {
        assert!((loss - other).abs() < 1e-6, "{loss} {other}");
    }
    for (one, other) in one.model().parameters().iter().zip(other.model().parameters()) {
        let far = one
            .values()
            .iter()
            .zip(other.values())
            .map(|(one, other)| (one - other).abs())
            .fold(0.0, f32::max);
        assert!(far < 1e-4, "{}: {far}", one.path());
    }
    // short batches are cut: what they hold behind is not read, so that they are learned from all the same
    let mut trainer = trainer_of(model(), Adam::new(1e-2));
    let history = trainer
        .fit(&every_step(40), Fit::epochs(20).batch_size(5).bucketing(true))
        .unwrap();
    let losses = history.values("loss");
    assert!(losses[19] < 0.5 * losses[0], "{history}");
}
