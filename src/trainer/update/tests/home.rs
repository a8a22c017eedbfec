//! What the GPU has newer, and how it comes home.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use super::*;
use crate::error::Error;
use crate::trainer::Next;

fn path_of(what: &str, device: usize) -> PathBuf {
    let name = format!("cellstate-{what}-{}-{device}.safetensors", std::process::id());
    std::env::temp_dir().join(name)
}

/// The callback sees the weights of the epoch, and best weights come back, to the embeddings too.
#[test]
fn weights_come_home_behind_each_epoch() {
    for device in devices() {
        let data = examples(1.0);
        let mut seen = Vec::new();
        let mut trainer = trainer(&device, Sgd::new(0.5).momentum(0.9));
        let fit = Fit::epochs(6).batch_size(4).early_stopping(1).monitor("loss");
        let fit = fit.on_epoch(|epoch| seen.push((epoch.is_best(), weights_of(epoch.model()))));
        trainer.fit(&data, fit).unwrap();
        let first: Vec<&ArrayD<f32>> = seen
            .iter()
            .flat_map(|(_, weights)| weights.first().map(|(_, table)| table))
            .collect();
        assert!(
            first.len() > 1 && first.windows(2).all(|pair| pair[0] != pair[1]),
            "each epoch has weights of its own"
        );
        let (_, best) = seen.iter().rev().find(|(is_best, _)| *is_best).unwrap();
        assert_eq!(&weights_of(trainer.model()), best);
        // what the GPU has now is what the model says
        let found = trainer.predict(data.sequences()).unwrap();
        let expected = trainer
            .model()
            .clone()
            .on(&device)
            .unwrap()
            .run(data.sequences())
            .unwrap();
        assert_eq!(found.values(), expected.values());
    }
}

/// In the midst of an epoch the GPU has all of it: a checkpoint does too.
#[test]
fn a_checkpoint_has_what_is_away() {
    for (number, device) in devices().enumerate() {
        let batch = examples(1.0);
        let mut whole = trainer(&device, Adam::new(0.01));
        let mut away = trainer(&device, Adam::new(0.01));
        for _ in 0..3 {
            whole.train_on_batch(&batch).unwrap();
            learn_away(&mut away, &batch);
        }
        assert!(away.away.weights && away.away.slots);
        let path = path_of("away", number);
        away.save_checkpoint(&path).unwrap();
        let mut resumed = trainer(&device, Adam::new(0.01));
        resumed.load_checkpoint(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(bits(&resumed), bits(&whole));
        for trainer in [&mut resumed, &mut whole, &mut away] {
            trainer.train_on_batch(&batch).unwrap();
        }
        assert_eq!(bits(&resumed), bits(&whole));
        assert_eq!(bits(&away), bits(&whole));
    }
}

/// What the GPU remembers of the steps behind it is not what the checkpoint says.
#[test]
fn a_checkpoint_takes_the_place_of_what_is_away() {
    for (number, device) in devices().enumerate() {
        let [mut whole, mut resumed] = [Adam::new(0.01), Adam::new(0.01)].map(|optimizer| trainer(&device, optimizer));
        for trainer in [&mut whole, &mut resumed] {
            trainer.train_on_batch(&examples(1.0)).unwrap();
        }
        let path = path_of("place", number);
        resumed.save_checkpoint(&path).unwrap();
        resumed.train_on_batch(&examples(5.0)).unwrap();
        learn_away(&mut resumed, &examples(5.0));
        resumed.load_checkpoint(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(bits(&resumed), bits(&whole));
        for trainer in [&mut whole, &mut resumed] {
            trainer.train_on_batch(&examples(2.0)).unwrap();
        }
        assert!(resumed.away.slots);
        assert_eq!(bits(&resumed), bits(&whole));
    }
}

/// Whether a batch ends a training or an error does: the weights are those behind this batch, and another one goes on from there.
#[test]
fn weights_come_home_in_the_midst_of_an_epoch() {
    let data = examples(1.0);
    let ends: [fn() -> Result<Next>; 2] = [|| Ok(Next::Stop), || Err(Error::defect("a test"))];
    for device in devices() {
        let mut one_by_one = trainer(&device, Adam::new(0.01));
        for rows in [[0, 1], [2, 3]] {
            let batch = data.select(&rows, STEPS, false).unwrap();
            one_by_one.train_on_batch(&batch).unwrap();
        }
        let mut trainers = ends.map(|end| {
            let mut trainer = trainer(&device, Adam::new(0.01));
            let fit = Fit::epochs(2).batch_size(2).shuffle(false);
            let fit = fit.on_batch(|batch| match batch.batch {
                2 => end(),
                _ => Ok(Next::GoOn),
            });
            assert_eq!(trainer.fit(&data, fit).is_ok(), end().is_ok());
            assert_eq!(weights_of(trainer.model()), weights_of(one_by_one.model()));
            trainer
        });
        let again = || Fit::epochs(1).batch_size(2).shuffle(false);
        one_by_one.fit(&data, again()).unwrap();
        for trainer in &mut trainers {
            trainer.fit(&data, again()).unwrap();
            assert_eq!(bits(trainer), bits(&one_by_one));
        }
    }
}

/// Whoever leaves a training in the midst of an epoch, by a future that is dropped or by a panic, leaves the newest weights on the GPU: a penalty is
/// theirs, that of a batch and that of a judgement.
#[test]
fn a_penalty_is_that_of_the_newest_weights() {
    let data = examples(1.0);
    let fit = || Fit::epochs(1).batch_size(2).shuffle(false);
    let ends = |callback: fn() -> Next| {
        fit().on_batch(move |batch| Ok(if batch.batch == 2 { callback() } else { Next::GoOn }))
    };
    for device in devices() {
        for judges_first in [true, false] {
            let [mut left, mut stopped] = [0.05, 0.05].map(|rate| trainer(&device, Adam::new(rate)));
            let leaves = || left.fit(&data, ends(|| panic!("on purpose")));
            catch_unwind(AssertUnwindSafe(leaves)).unwrap_err();
            assert!(left.away.weights);
            stopped.fit(&data, ends(|| Next::Stop)).unwrap();
            for trainer in [&mut left, &mut stopped] {
                trainer.regularizers([Regularizer::l2(0.5).on(Role::Kernel)]).unwrap();
            }
            if judges_first {
                let [found, expected] =
                    [&mut left, &mut stopped].map(|trainer| trainer.evaluate(&data).unwrap().loss());
                assert_eq!(found, expected);
            }
            let [found, expected] = [&mut left, &mut stopped].map(|trainer| trainer.train_on_batch(&data).unwrap());
            assert_eq!(found, expected);
            assert_eq!(bits(&left), bits(&stopped));
        }
    }
}

/// What the GPU has of the optimiser is given up before a batch runs that may need its memory: also where that fails.
#[test]
fn offloading_makes_room_before_the_next_batch() {
    for device in devices() {
        let mut trainer = trainer(&device, Adam::new(0.01));
        trainer.train_on_batch(&examples(1.0)).unwrap();
        assert!(trainer.away.slots);
        trainer = trainer.offload_optimizer(true);
        let nobody = Array2::from_elem((BATCH, STEPS), WORDS as i32);
        let nobody = Examples::new(Sequences::from(nobody), Array2::<f32>::ones((BATCH, 2))).unwrap();
        trainer.train_on_batch(&nobody).unwrap_err();
        assert!(!trainer.away.slots);
    }
}
