//! Truncated backpropagation through time: states go on from batch to batch, and gradients stop there.

use cellstate::{Dense, Device, Examples, Fit, Gru, Loss, Lstm, Model, Sequences, Sgd, States, Trainer, Upstream};
use ndarray::{Array3, Axis};

use crate::data::noise;
use crate::devices::devices;

const RATE: f64 = 0.2;
const BATCH: usize = 3;
const BATCHES: usize = 4;
const STEPS: usize = 6;
/// Of the sequences of each batch. The state of one that ends early is that of its last step.
const LENGTHS: [usize; BATCH] = [STEPS, STEPS - 2, STEPS];

fn model() -> Model {
    let builder = Model::builder()
        .add(Lstm::new(2, 5).return_sequences(true).seed(1))
        .add(Gru::new(5, 4).return_sequences(true).seed(2))
        .add(Dense::new(4, 1).seed(3));
    builder.build().unwrap()
}

/// Sequences whose lengths repeat from batch to batch, and what is wanted of them.
fn batches(rows: std::ops::Range<usize>) -> (Sequences<'static>, Array3<f32>) {
    let x = Array3::from_shape_fn((rows.len(), STEPS, 2), |(row, step, feature)| {
        noise(rows.start + row, step, feature)
    });
    let y = x.map_axis(Axis(2), |features| features[0] - 0.5 * features[1]);
    let lengths: Vec<usize> = LENGTHS.iter().copied().cycle().take(rows.len()).collect();
    (
        Sequences::from(x).with_lengths(&lengths).unwrap(),
        y.insert_axis(Axis(2)),
    )
}

/// The weights behind an epoch, batch by batch: each from the states that the one before has left, which count as given.
fn by_hand(device: &Device) -> Model {
    let mut model = model();
    let mut states: Option<States> = None;
    for batch in 0..BATCHES {
        let (sequences, y) = batches(BATCH * batch..BATCH * (batch + 1));
        let valid = LENGTHS.iter().sum::<usize>() as f32;
        let mut left = None;
        let trainer = Trainer::new(model.clone(), device, Loss::MeanSquaredError, Sgd::new(RATE));
        let gradients = trainer
            .unwrap()
            .gradients(&sequences, states.as_ref(), |output, after| {
                left = Some(after.clone());
                let mut given = output.values().to_owned();
                for (index, value) in given.indexed_iter_mut() {
                    let error = *value - y[[index[0], index[1], index[2]]];
                    *value = if index[1] < LENGTHS[index[0]] {
                        2.0 * error / valid
                    } else {
                        0.0
                    };
                }
                Upstream::new(given)
            });
        let gradients = gradients.unwrap();
        for (path, gradient) in gradients.parameters() {
            let old = model.parameters().get(path).unwrap().values().to_owned();
            model
                .replace_parameter(path, old - &gradient.mapv(|value| RATE as f32 * value))
                .unwrap();
        }
        states = left;
    }
    model
}

#[test]
fn an_epoch_is_its_batches_from_carried_states() {
    for device in devices() {
        let want = by_hand(&device);
        let trainer = Trainer::new(model(), &device, Loss::MeanSquaredError, Sgd::new(RATE));
        let mut trainer = trainer.unwrap();
        let (x, y) = batches(0..BATCH * BATCHES);
        let fit = Fit::epochs(1).batch_size(BATCH).stateful(true);
        trainer.fit(&Examples::new(x, &y).unwrap(), fit).unwrap();
        let mut moved = 0.0_f32;
        for ((got, want), first) in (trainer.model().parameters().iter())
            .zip(want.parameters().iter())
            .zip(model().parameters().iter())
        {
            for ((got, want), first) in got.values().iter().zip(want.values()).zip(first.values()) {
                let name = device.name();
                assert!(
                    (got - want).abs() < 1e-6,
                    "{name}: {got}, expected {want}, at first {first}"
                );
                moved = moved.max((got - first).abs());
            }
        }
        assert!(moved > 0.01, "{}: nothing is learned", device.name());
    }
}
