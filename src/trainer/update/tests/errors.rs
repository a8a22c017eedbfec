//! Steps that lead nowhere.

use super::*;

/// A message with a mark in the place of each number.
pub(super) fn without_numbers(message: &str) -> String {
    let words = message
        .split(' ')
        .map(|word| match word.trim_matches([',', ';', ':']).parse::<f64>() {
            Ok(_) => "#",
            Err(_) => word,
        });
    words.collect::<Vec<_>>().join(" ")
}

/// Errors are those of the host, and nothing has changed behind them.
#[test]
fn a_step_that_leads_nowhere_is_not_made() {
    let cases: [(&str, Optimizer, f32); 6] = [
        ("gradients", Sgd::new(0.1).into(), f32::MAX),
        ("clipnorm", Adam::new(0.1).clipnorm(1.0).into(), f32::MAX),
        ("global_clipnorm", Sgd::new(0.1).global_clipnorm(1.0).into(), f32::MAX),
        ("clipvalue", Sgd::new(0.1).clipvalue(1.0).into(), f32::MAX),
        ("large gradients", Adam::new(0.1).into(), 1e25),
        ("weights", Sgd::new(1e38).into(), 1e15),
    ];
    for device in devices() {
        for (name, optimizer, scale) in cases.clone() {
            let [there, here] =
                [trainer(&device, optimizer.clone()), on_host(&device, optimizer)].map(|mut trainer| {
                    if name != "weights" {
                        trainer.train_on_batch(&examples(1.0)).unwrap();
                    }
                    let before = bits(&trainer);
                    let error = trainer.train_on_batch(&examples(scale)).unwrap_err().to_string();
                    assert_eq!(bits(&trainer), before, "{name}");
                    (error, trainer)
                });
            // (a loss in the message is not the same to the last digit)
            assert_eq!(without_numbers(&there.0), without_numbers(&here.0), "{name}");
            let (mut there, mut here) = (there.1, here.1);
            if name != "weights" {
                for trainer in [&mut there, &mut here] {
                    trainer.train_on_batch(&examples(1.0)).unwrap();
                }
                assert_alike(&there, &here, name);
            }
        }
    }
}

/// Two layers and a batch: each step gives the first kernel a gradient of 1e30 · 1e10, towards its target.
fn with_infinite_gradients(targets: &[f32]) -> (Model, Examples<'static, 'static>) {
    let builder = Model::builder().add(Dense::new(1, 1)).add(Dense::new(1, 1));
    let mut model = builder.build().unwrap();
    for (path, value) in [("dense/kernel", 1e-10_f32), ("dense_1/kernel", 1e30)] {
        model
            .replace_parameter(path, ndarray::array![[value]].into_dyn())
            .unwrap();
    }
    let sequences = Sequences::from(Array3::from_elem((1, targets.len(), 1), 1e10));
    let targets = Array3::from_shape_fn((1, targets.len(), 1), |(_, step, _)| targets[step]);
    (model, Examples::new(sequences, targets).unwrap())
}

/// Where the loss is finite, whatever is clipped: what is found where the gradients are is what the host finds.
#[test]
fn gradients_are_judged_whatever_is_clipped() {
    let optimizers: [Optimizer; 6] = [
        Sgd::new(0.1).into(),
        Lion::new(0.1).into(), // whose step is finite for all that
        Sgd::new(0.1).clipvalue(1.0).into(),
        Adam::new(0.1).clipnorm(1.0).into(),
        Sgd::new(0.1).momentum(0.9).global_clipnorm(1.0).into(),
        Adam::pytorch(0.1).clip_grad_norm(1.0).into(),
    ];
    for device in devices() {
        // infinity, and infinity less infinity
        for (targets, found) in [(&[0.0][..], "inf"), (&[0.0, 2e30], "NaN")] {
            let (model, batch) = with_infinite_gradients(targets);
            for optimizer in &optimizers {
                let mut trainer =
                    Trainer::new(model.clone(), &device, Loss::MeanAbsoluteError, optimizer.clone()).unwrap();
                let before = bits(&trainer);
                let error = trainer.train_on_batch(&batch).unwrap_err();
                let Error::NotFinite { tensor, value, .. } = &error else {
                    panic!("{optimizer:?}: {error}");
                };
                assert!(
                    tensor.starts_with("gradient of dense/kernel in the batch") && value == found,
                    "{optimizer:?}: {error}"
                );
                assert_eq!(bits(&trainer), before, "{optimizer:?}");
            }
        }
    }
}

/// A gradient that nothing follows may be what it is, on either path.
#[test]
fn gradients_of_frozen_weights_are_not_judged() {
    let (model, batch) = with_infinite_gradients(&[0.0]);
    for device in devices().chain([Device::cpu()]) {
        let mut trainer = Trainer::new(model.clone(), &device, Loss::MeanAbsoluteError, Sgd::new(0.1)).unwrap();
        trainer.train_on_batch(&batch).unwrap_err();
        trainer.freeze("dense").unwrap();
        trainer.train_on_batch(&batch).unwrap();
    }
}
