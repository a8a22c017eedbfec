//! Calls of the driver that fail between two steps.

use super::*;
use crate::error::Error;
use crate::gpu::device::Gpu;
use crate::gpu::device::buffer::Use;
use crate::recent::SMALL_RUNS;

/// Asks for more than there is, as another user of the device might: the next call of ours reports it.
fn disturb(gpu: &Gpu) {
    drop(gpu.make_buffer("disturbance", 1 << 60, Use::Storage));
}

#[track_caller]
fn assert_of_gpu<T>(result: Result<T>) {
    let error = result.map(|_| ()).unwrap_err();
    let of_step = ["making a step of the optimizer", "reading the weights"];
    assert!(
        matches!(&error, Error::Gpu { doing, .. } if of_step.contains(doing)),
        "{error}"
    );
}

/// The weights of a step that counts take their place in the call behind an error, too.
#[test]
fn a_call_that_fails_costs_no_step() {
    for gpu in own_gpus() {
        let device = Device::Gpu(gpu.clone());
        let optimizer = || Adam::new(0.01).clipnorm(0.05);
        let (mut whole, mut disturbed) = (trainer(&device, optimizer()), trainer(&device, optimizer()));
        for trainer in [&mut whole, &mut disturbed] {
            trainer.train_on_batch(&examples(1.0)).unwrap();
        }
        for scale in [2.0, 3.0] {
            whole.train_on_batch(&examples(scale)).unwrap();
            disturb(&gpu);
            assert_of_gpu(disturbed.train_on_batch(&examples(scale)));
            disturbed.train_on_batch(&examples(scale)).unwrap();
            assert!(disturbed.away.slots);
            assert_eq!(bits(&disturbed), bits(&whole));
        }
        // now the new weights are on the GPU alone
        learn_away(&mut whole, &examples(1.0));
        learn_away(&mut disturbed, &examples(1.0));
        disturb(&gpu);
        assert_of_gpu(disturbed.newest_model());
        disturb(&gpu);
        assert_of_gpu(disturbed.whole_optimizer());
        disturb(&gpu);
        assert_of_gpu(disturbed.freeze("dense"));
        for trainer in [&mut whole, &mut disturbed] {
            trainer.freeze("dense").unwrap();
            trainer.train_on_batch(&examples(2.0)).unwrap();
        }
        assert_eq!(bits(&disturbed), bits(&whole));
    }
}

/// Once an upload of weights has failed the host packs them, and makes the steps with what the GPU remembers.
#[test]
fn where_an_upload_has_failed_the_host_goes_on() {
    for gpu in own_gpus() {
        let device = Device::Gpu(gpu.clone());
        let (mut there, mut here) = (trainer(&device, Adam::new(0.01)), on_host(&device, Adam::new(0.01)));
        for trainer in [&mut there, &mut here] {
            trainer.train_on_batch(&examples(1.0)).unwrap();
            // the same weights, to be uploaded
            trainer.set_model(trainer.model().clone());
        }
        assert!(there.away.slots);
        disturb(&gpu);
        let failed = there.train_on_batch(&examples(2.0));
        assert!(matches!(failed, Err(Error::Gpu { .. })), "{failed:?}");
        for scale in [2.0, 3.0] {
            for trainer in [&mut there, &mut here] {
                trainer.train_on_batch(&examples(scale)).unwrap();
            }
            assert!(!there.away.slots);
            assert_alike(&there, &here, "the host goes on");
        }
    }
}

/// Not even where memory was lacking before.
#[test]
fn where_an_upload_has_failed_nothing_is_asked_for_again() {
    for gpu in own_gpus() {
        let mut trainer = trainer(&Device::Gpu(gpu.clone()), Adam::new(0.01));
        trainer.train_on_batch(&examples(1.0)).unwrap();
        trainer.wait_for_home().unwrap();
        trainer.engine.forget_updates();
        disturb(&gpu);
        assert!(!pollster::block_on(trainer.device_makes_steps()).unwrap());
        trainer.set_model(trainer.model().clone());
        disturb(&gpu);
        let failed = trainer.train_on_batch(&examples(2.0));
        assert!(matches!(failed, Err(Error::Gpu { .. })), "{failed:?}");
        trainer.fit(&examples(1.0), Fit::epochs(1)).unwrap();
        assert!(!trainer.away.slots);
    }
}

/// The host makes the steps that the GPU had no memory for, batch by batch; then there may be more of it.
#[test]
fn what_there_was_no_memory_for_is_asked_for_again() {
    type Again = fn(&mut Trainer);
    let cases: [(&str, Again); 3] = [
        ("a training begins", |trainer| {
            trainer.fit(&examples(1.0), Fit::epochs(1)).unwrap();
        }),
        ("less is remembered", |trainer| {
            trainer.freeze("dense").unwrap();
            trainer.train_on_batch(&examples(1.0)).unwrap();
        }),
        ("large batches are given up", |trainer| {
            let small = examples(1.0).select(&[0], 1, false).unwrap();
            (0..=SMALL_RUNS).for_each(|_| learn_away(trainer, &small));
        }),
    ];
    for gpu in own_gpus() {
        let device = Device::Gpu(gpu.clone());
        // the lists that say where weights go, or what the optimiser remembers
        for (has_lists, (name, again)) in [false, true].into_iter().flat_map(|has| cases.map(|case| (has, case))) {
            let mut trainer = trainer(&device, Adam::new(0.01));
            let at_first = trainer.memory(BATCH, STEPS).unwrap();
            if has_lists {
                trainer.train_on_batch(&examples(1.0)).unwrap();
                assert!(trainer.away.slots);
                trainer.wait_for_home().unwrap();
                trainer.engine.forget_updates();
            }
            disturb(&gpu);
            assert!(!pollster::block_on(trainer.device_makes_steps()).unwrap());
            for _ in 0..2 {
                trainer.train_on_batch(&examples(1.0)).unwrap();
                assert!(!trainer.away.slots, "{name}: not with every batch");
            }
            let told = trainer.memory(BATCH, STEPS).unwrap();
            again(&mut trainer);
            assert!(trainer.away.slots, "{name}");
            // what may come was counted
            let now = trainer.memory(BATCH, STEPS).unwrap();
            assert!(
                now <= told && told <= at_first,
                "{name}: {now}, {told} before and {at_first} at first"
            );
        }
    }
}

/// Every call says so, again and again.
#[test]
fn what_is_lost_is_said_to_be_lost() {
    for gpu in own_gpus() {
        let device = Device::Gpu(gpu.clone());
        let mut trainers = [false, true].map(|comes_home| {
            let mut trainer = trainer(&device, Adam::new(0.01));
            trainer.train_on_batch(&examples(1.0)).unwrap();
            match comes_home {
                true => drop(trainer.train_on_batch(&examples(2.0)).unwrap()),
                false => learn_away(&mut trainer, &examples(2.0)),
            }
            trainer
        });
        gpu.device().destroy();
        for trainer in &mut trainers {
            for _ in 0..2 {
                let path = std::env::temp_dir().join("never-written.safetensors");
                let calls = [
                    trainer.train_on_batch(&examples(1.0)).map(|_| ()),
                    trainer.train_on_batches([examples(1.0)]).map(|_| ()),
                    trainer.save_checkpoint(path),
                    trainer.freeze("dense"),
                    trainer.predict(examples(1.0).sequences()).map(|_| ()),
                ];
                for call in calls {
                    let error = call.unwrap_err().to_string();
                    assert!(error.contains("lost"), "{error}");
                }
            }
        }
    }
}
