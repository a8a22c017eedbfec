//! Training with little memory is the same training but for rounding.

use cellstate::{
    Adam, BatchNormalization, Bidirectional, Dense, Device, Examples, Fit, Gru, Loss, Lstm, Masking, Model,
    ModelBuilder, Sequences, SimpleRnn, TimeDistributed, Trainer,
};
use ndarray::{Array2, Array3, Array4};

const BATCH: usize = 24;
const STEPS: usize = 60;

fn sequences() -> Sequences<'static> {
    let number = |(row, step, feature)| ((row * 7 + step * 3 + feature * 5) % 11) as f32 / 11.0 - 0.4;
    let lengths: Vec<usize> = (0..BATCH).map(|row| (row * 17) % (STEPS + 1)).collect();
    let sequences = Sequences::from(Array3::from_shape_fn((BATCH, STEPS, 3), number));
    sequences.with_lengths(&lengths).unwrap()
}

fn nested() -> Sequences<'static> {
    let number = |(row, step, inner, feature)| ((row * 7 + step * 3 + inner * 2 + feature * 5) % 11) as f32 / 11.0;
    Sequences::nested(Array4::from_shape_fn((4, 9, 30, 3), number)).unwrap()
}

fn sequence_targets(width: usize) -> Array3<f32> {
    Array3::from_shape_fn((BATCH, STEPS, width), |(row, step, feature)| {
        ((row + step * 2 + feature) % 5) as f32 / 5.0
    })
}

fn losses(builder: &ModelBuilder, data: &Examples<'_, '_>, fit: impl Fn() -> Fit<'static>) -> [Vec<f64>; 2] {
    [false, true].map(|is_low| {
        let model = builder.clone().build().unwrap();
        let made = Trainer::new(model, &Device::cpu(), Loss::MeanSquaredError, Adam::new(0.01)).unwrap();
        let mut trainer = made.seed(3).low_memory(is_low);
        let history = trainer.fit(data, fit()).unwrap();
        let mut losses = history.values("loss");
        losses.push(trainer.evaluate(data).unwrap().loss());
        losses
    })
}

fn assert_alike([whole, low]: [Vec<f64>; 2], what: &str) {
    assert!(whole.len() == 4 && whole[0] != whole[2], "{what}: it learns");
    for (whole, low) in whole.iter().zip(&low) {
        assert!((whole - low).abs() <= 1e-5 * whole, "{what}: {low} instead of {whole}");
    }
}

#[test]
fn every_kind_of_model_learns_the_same() {
    let layer = |features, units| Lstm::new(features, units).return_sequences(true);
    let both = Bidirectional::new(Gru::new(3, 5).return_sequences(true));
    let stack = Model::builder().add(both).add(layer(10, 4)).add(Dense::new(4, 2));
    let sections = Model::builder()
        .add(layer(3, 6))
        .add(BatchNormalization::new(6))
        .add(Masking::new(9.5))
        .add(SimpleRnn::new(6, 5).return_sequences(true))
        .add(layer(5, 2).recurrent_dropout(0.2));
    let fit = || Fit::epochs(3).batch_size(10);
    let data = Examples::new(sequences(), sequence_targets(2)).unwrap();
    for (what, builder) in [("stack", stack), ("sections", sections)] {
        assert_alike(losses(&builder, &data, fit), what);
    }
    let within = TimeDistributed::new(Lstm::new(3, 5));
    let builder = Model::builder().add(within).add(Lstm::new(5, 2));
    let data = Examples::new(nested(), Array2::<f32>::ones((4, 2))).unwrap();
    assert_alike(losses(&builder, &data, fit), "TimeDistributed");
}

/// States that are carried from batch to batch begin the first piece of each.
#[test]
fn states_are_carried() {
    let layer = Lstm::new(3, 2).return_sequences(true);
    let data = Examples::new(sequences(), sequence_targets(2)).unwrap();
    let fit = || Fit::epochs(3).batch_size(12).stateful(true).shuffle(false);
    assert_alike(losses(&Model::builder().add(layer), &data, fit), "carried states");
}
