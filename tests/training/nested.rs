//! Training over sequences within sequences.

use cellstate::{
    Adam, Bidirectional, Dense, Device, Dropout, Embedding, Examples, Fit, Gru, Lstm, Model, Sequences, Sgd,
    SparseCategoricalCrossentropy, TimeDistributed, Trainer,
};
use ndarray::{Array2, Array3};

use crate::devices::devices;

/// Texts of words of characters; a word is of the class 1 if it has a 1 in it.
pub(crate) fn examples(batch: usize) -> Examples<'static, 'static> {
    let token = |(text, word, place): (usize, usize, usize)| match place < 1 + (text + word) % 4 {
        true => 1 + (text * 5 + word * 3 + place * 7) as i32 % 4,
        false => 0,
    };
    let tokens = Array3::from_shape_fn((batch, 5, 4), token);
    let classes = Array2::from_shape_fn((batch, 5), |(text, word)| {
        i32::from((0..4).any(|place| tokens[[text, word, place]] == 1))
    });
    let lengths: Vec<usize> = (0..batch).map(|text| 1 + text % 5).collect();
    let sequences = Sequences::nested_tokens(tokens)
        .unwrap()
        .with_lengths(&lengths)
        .unwrap();
    Examples::new(sequences, classes).unwrap()
}

#[test]
fn words_are_told_apart_by_their_characters() {
    let examples = examples(24);
    for device in devices() {
        let within = TimeDistributed::new(Embedding::new(5, 4).mask_zero(true)).add(Lstm::new(4, 6));
        let model = Model::builder()
            .add(within)
            .add(Dropout::new(0.1))
            .add(Bidirectional::new(Lstm::new(6, 4).return_sequences(true)))
            .add(Dense::new(8, 2));
        let model = model.build().unwrap();
        let before = model.parameters().clone();
        let loss = SparseCategoricalCrossentropy::new().from_logits(true);
        let mut trainer = Trainer::new(model, &device, loss, Adam::new(2e-2)).unwrap().seed(3);
        let first = trainer.evaluate(&examples).unwrap().loss();
        trainer.fit(&examples, Fit::epochs(25).batch_size(7)).unwrap();
        let last = trainer.evaluate(&examples).unwrap().loss();
        assert!(last < 0.3 * first, "{}: {first} to {last}", device.name());
        for (before, after) in before.iter().zip(trainer.model().parameters()) {
            assert_ne!(before.values(), after.values(), "{}: {}", device.name(), before.path());
        }
    }
}

/// What is left out within a TimeDistributed and behind one is drawn by the place in the batch: the same words learn the same on every device.
#[test]
fn every_device_leaves_out_the_same_within_words() {
    let examples = examples(6);
    let train = |device: &Device, seed| {
        let within = TimeDistributed::new(Embedding::new(5, 4).mask_zero(true))
            .add(Dropout::new(0.2))
            .add(Bidirectional::new(
                Gru::new(4, 3)
                    .dropout(0.3)
                    .recurrent_dropout(0.4)
                    .return_sequences(true),
            ))
            .add(Lstm::new(6, 5).dropout(0.4));
        let model = Model::builder()
            .add(within)
            .add(Lstm::new(5, 4).recurrent_dropout(0.5).return_sequences(true))
            .add(Dense::new(4, 2));
        let loss = SparseCategoricalCrossentropy::new().from_logits(true);
        let trainer = Trainer::new(model.build().unwrap(), device, loss, Sgd::new(0.5));
        let mut trainer = trainer.unwrap().seed(seed);
        let losses: Vec<f64> = (0..4).map(|_| trainer.train_on_batch(&examples).unwrap()).collect();
        (losses, trainer)
    };
    let (wanted, on_the_cpu) = train(&Device::cpu(), 3);
    assert!(
        (wanted[1] - train(&Device::cpu(), 4).0[1]).abs() > 1e-4 * wanted[1],
        "another seed"
    );
    for device in devices() {
        let (losses, trainer) = train(&device, 3);
        for (found, wanted) in losses.iter().zip(&wanted) {
            let far = (found - wanted).abs();
            assert!(far < 2e-5 * wanted, "{}: {found}, on the CPU {wanted}", device.name());
        }
        let weights = trainer.model().parameters().iter();
        for (found, wanted) in weights.zip(on_the_cpu.model().parameters()) {
            let far = (&found.values() - &wanted.values()).mapv(f32::abs);
            let far = far.iter().copied().fold(0.0, f32::max);
            assert!(far < 1e-4, "{}: {} differs by {far}", device.name(), found.path());
        }
    }
}
