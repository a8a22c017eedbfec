//! Steps that lead nowhere.

use super::*;

/// A message with a mark in the place of each number.
fn without_numbers(message: &str) -> String {
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
    let cases: [(&str, Optimizer, f32); 3] = [
        ("gradients", Sgd::new(0.1).into(), f32::MAX),
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

/// A gradient that nothing follows may be what it is, on either path: here 1e30 · 1e10.
#[test]
fn gradients_of_frozen_weights_are_not_judged() {
    let builder = Model::builder().add(Dense::new(1, 1)).add(Dense::new(1, 1));
    let mut model = builder.build().unwrap();
    model
        .replace_parameter("dense/kernel", ndarray::array![[1e-10_f32]].into_dyn())
        .unwrap();
    model
        .replace_parameter("dense_1/kernel", ndarray::array![[1e30_f32]].into_dyn())
        .unwrap();
    let batch = Examples::new(
        Sequences::from(ndarray::array![[[1e10_f32]]]),
        ndarray::array![[[0.0_f32]]],
    )
    .unwrap();
    for device in devices().chain([Device::cpu()]) {
        let mut trainer = Trainer::new(model.clone(), &device, Loss::MeanAbsoluteError, Sgd::new(0.1)).unwrap();
        trainer.train_on_batch(&batch).unwrap_err();
        trainer.freeze("dense").unwrap();
        trainer.train_on_batch(&batch).unwrap();
    }
}
