//! Penalties of weights, whose gradients are added where the gradients are.

use super::sizes::examples_of_one_number;
use super::*;

/// On weights in one place, on a table whose rows have gaps, and more of them than a workgroup does; both kinds on one weight.
fn regularizers() -> [Regularizer; 3] {
    [
        Regularizer::l2(0.03).on(Role::Kernel).on(Role::Embeddings),
        Regularizer::l1(0.02).on(Role::RecurrentKernel).on("lstm/kernel"),
        Regularizer::l1_l2(0.01, 0.02).on("dense/bias"),
    ]
}

#[test]
fn penalties_are_those_of_the_host() {
    let optimizers: [(&str, Optimizer); 5] = [
        ("sgd", Sgd::new(0.05).momentum(0.9).into()),
        ("adam", Adam::new(0.01).into()),
        ("clipnorm", Adam::new(0.01).clipnorm(0.05).into()),
        ("global_clipnorm", Sgd::new(0.05).global_clipnorm(0.1).into()),
        ("clipvalue", Sgd::new(0.05).clipvalue(0.01).into()),
    ];
    for device in devices() {
        for (name, optimizer) in optimizers.clone() {
            let (mut there, mut here) = (trainer(&device, optimizer.clone()), on_host(&device, optimizer.clone()));
            let mut again = trainer(&device, optimizer.clone());
            let mut without = trainer(&device, optimizer);
            for trainer in [&mut there, &mut here, &mut again] {
                trainer.regularizers(regularizers()).unwrap();
            }
            for step in 0..4 {
                let batch = examples(1.0 + step as f32);
                let expected = here.train_on_batch(&batch).unwrap();
                let loss = there.train_on_batch(&batch).unwrap();
                assert!((loss - expected).abs() <= 1e-5 * expected, "{name}: {loss} {expected}");
                assert_eq!(loss, again.train_on_batch(&batch).unwrap(), "{name}");
                let plain = without.train_on_batch(&batch).unwrap();
                assert!(loss > 1.001 * plain, "{name}: {loss} {plain}");
                assert!(there.away.slots && !here.away.slots, "{name}");
            }
            assert_alike(&there, &here, name);
            assert_eq!(bits(&there), bits(&again), "{name}");
            // weights that are frozen have no penalty, and other penalties count from the next batch on
            for trainer in [&mut there, &mut here] {
                trainer.freeze(Role::Embeddings).unwrap();
                trainer.train_on_batch(&examples(1.0)).unwrap();
                trainer.regularizers([Regularizer::l2(0.5).on("dense")]).unwrap();
                trainer.train_on_batch(&examples(1.0)).unwrap();
            }
            assert_alike(&there, &here, name);
        }
    }
}

#[test]
fn penalties_of_tensors_of_every_size_are_those_of_the_host() {
    for device in devices() {
        for values in sizes::VALUES {
            let builder = Model::builder().add(Dense::new(1, values)).add(Dense::new(values, 1));
            let model = builder.build().unwrap();
            let batch = examples_of_one_number();
            let new = || Trainer::new(model.clone(), &device, Loss::MeanSquaredError, Sgd::new(0.01)).unwrap();
            let (mut there, mut here) = (new(), new().offload_optimizer(true));
            for step in 0..2 {
                let [found, expected] = [&mut there, &mut here].map(|trainer| {
                    let penalties = [Regularizer::l1_l2(0.3, 0.2).on(Role::Kernel)];
                    trainer.regularizers(penalties).unwrap();
                    trainer.train_on_batch(&batch).unwrap()
                });
                let far = (found - expected).abs();
                assert!(
                    far <= 1e-5 * expected,
                    "{values} values, step {step}: {found} {expected}"
                );
            }
            assert!(there.away.slots && !here.away.slots);
            assert_alike(&there, &here, &format!("{values} values"));
        }
    }
}

/// Squares of weights may be beyond f32, and their sum in f64 may not; where nothing asks for squares they do not matter.
#[test]
fn a_penalty_of_huge_weights_is_that_of_the_host() {
    let mut model = model();
    let kernel = ArrayD::from_elem(vec![4, 2], 1e25);
    model.replace_parameter("dense/kernel", kernel).unwrap();
    // nothing counts but the penalty
    let batch = examples(1.0).with_weights(&[0.0; BATCH]).unwrap();
    for device in devices() {
        for (regularizer, goes_on) in [(Regularizer::l2(1e-30), false), (Regularizer::l1(1e-15), true)] {
            let [found, expected] = [false, true].map(|offloads| {
                let trainer = Trainer::new(model.clone(), &device, Loss::MeanSquaredError, Sgd::new(0.1)).unwrap();
                let mut trainer = trainer.offload_optimizer(offloads);
                trainer.regularizers([regularizer.clone().on("dense/kernel")]).unwrap();
                let loss = trainer.train_on_batch(&batch).unwrap();
                assert_eq!(trainer.away.slots, goes_on && !offloads);
                loss
            });
            let far = (found - expected).abs();
            assert!(expected.is_finite() && far <= 1e-5 * expected, "{found} {expected}");
        }
    }
}

/// Errors say the loss with its penalties, and nothing has changed behind them.
#[test]
fn a_step_with_a_penalty_that_leads_nowhere_is_not_made() {
    for device in devices() {
        let [found, expected] = [false, true].map(|offloads| {
            let mut trainer = trainer(&device, Sgd::new(0.1)).offload_optimizer(offloads);
            trainer.regularizers(regularizers()).unwrap();
            trainer.train_on_batch(&examples(1.0)).unwrap();
            let before = bits(&trainer);
            trainer.regularizers([Regularizer::l2(1e38).on(Role::Kernel)]).unwrap();
            let error = trainer.train_on_batch(&examples(1e30)).unwrap_err().to_string();
            assert_eq!(bits(&trainer), before);
            trainer.regularizers(regularizers()).unwrap();
            trainer.train_on_batch(&examples(1.0)).unwrap();
            (errors::without_numbers(&error), trainer)
        });
        assert_eq!(found.0, expected.0);
        assert_alike(&found.1, &expected.1, "behind an error");
    }
}
