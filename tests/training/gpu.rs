//! Every device learns the same, to float32 rounding, and each the same bits every time.

use cellstate::{Adam, Bidirectional, Dense, Device, Fit, Gru, Loss, Lstm, Masking, Model, Sgd, Trainer};

use crate::bits;
use crate::data::{every_step, examples};
use crate::devices::devices;

fn stack() -> Model {
    let builder = Model::builder()
        .add(Bidirectional::new(Lstm::new(3, 4).return_sequences(true)))
        .add(Gru::new(8, 5).return_sequences(true))
        .add(Dense::new(5, 1));
    builder.build().unwrap()
}

#[test]
fn every_device_learns_the_same() {
    let data = every_step(12);
    let train = |device: &Device| {
        let mut trainer = Trainer::new(stack(), device, Loss::MeanSquaredError, Adam::new(1e-2))
            .unwrap()
            .seed(4);
        let fit = Fit::epochs(3).batch_size(5).validation_split(0.25).bucketing(true);
        let history = trainer.fit(&data, fit).unwrap();
        (trainer, history)
    };
    let (expected, reported) = train(&Device::cpu());
    for device in devices() {
        let (trainer, history) = train(&device);
        for name in ["loss", "val_loss"] {
            for (found, expected) in history.values(name).iter().zip(reported.values(name)) {
                let far = (found - expected).abs();
                assert!(
                    far < 1e-4 * expected,
                    "{}: {name} {found}, on the CPU {expected}",
                    device.name()
                );
            }
        }
        for (found, expected) in trainer.model().parameters().iter().zip(expected.model().parameters()) {
            let differences = (&found.values() - &expected.values()).mapv(f32::abs);
            let far = differences.iter().copied().fold(0.0, f32::max);
            assert!(far < 2e-3, "{}: {} differs by {far}", device.name(), found.path());
        }
        assert_eq!(bits(&trainer), bits(&train(&device).0), "{}", device.name());
    }
}

#[test]
fn sections_run_on_every_device() {
    let model = || {
        let builder = Model::builder()
            .add(Lstm::new(3, 4).return_sequences(true))
            .add(Masking::new(0.0))
            .add(Lstm::new(4, 3))
            .add(Dense::new(3, 1));
        builder.build().unwrap()
    };
    let train = |device: &Device| {
        let mut trainer = Trainer::new(model(), device, Loss::MeanSquaredError, Sgd::new(0.1)).unwrap();
        (0..3)
            .map(|_| trainer.train_on_batch(&examples(6)).unwrap())
            .collect::<Vec<f64>>()
    };
    let expected = train(&Device::cpu());
    for device in devices() {
        for (found, expected) in train(&device).iter().zip(&expected) {
            assert!(
                (found - expected).abs() < 1e-4 * expected,
                "{}: {found} {expected}",
                device.name()
            );
        }
    }
}
