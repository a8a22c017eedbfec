//! Labels without time steps: what `Ctc` does in a training.

use cellstate::{
    Activation, Adam, Bidirectional, Ctc, Dense, Error, Examples, Fit, Loss, Lstm, Metric, Model, Sequences, Targets,
    Trainer,
};
use ndarray::{Array2, Array3};

use crate::devices::devices;

const SEQUENCES: usize = 12;
const TIME_STEPS: usize = 16;
const LABELS: usize = 4;

/// Sequences of 7 to 16 steps in which each label is a peak of its own feature, between steps of nothing.
fn words() -> (Array3<f32>, Vec<usize>, Array2<i32>) {
    let mut values = Array3::from_elem((SEQUENCES, TIME_STEPS, LABELS), f32::NAN);
    let mut labels = Array2::zeros((SEQUENCES, 3));
    let mut lengths = Vec::new();
    for sequence in 0..SEQUENCES {
        let count = 1 + sequence % 3;
        let length = 7 + (5 * sequence) % 10;
        lengths.push(length);
        for step in 0..length {
            for feature in 0..LABELS {
                values[[sequence, step, feature]] = 0.1 * ((sequence + 3 * step + feature) % 5) as f32;
            }
        }
        for number in 0..count {
            let label = (sequence * 7 + number * 3) % LABELS;
            labels[[sequence, number]] = 1 + label as i32;
            values[[sequence, 1 + 2 * number, label]] += 2.0;
        }
    }
    (values, lengths, labels)
}

fn examples() -> Examples<'static, 'static> {
    let (values, lengths, labels) = words();
    Examples::new(Sequences::from(values).with_lengths(&lengths).unwrap(), labels).unwrap()
}

fn model(last: Activation) -> Model {
    let builder = Model::builder()
        .add(Bidirectional::new(Lstm::new(LABELS, 10).return_sequences(true)))
        .add(Dense::new(20, LABELS + 1).activation(last));
    builder.build().unwrap()
}

/// The labels that the most probable word of each sequence says.
fn said(trainer: &mut Trainer) -> Vec<Vec<i32>> {
    let (values, lengths, _) = words();
    let sequences = Sequences::from(values).with_lengths(&lengths).unwrap();
    let output = trainer.predict(&sequences).unwrap();
    let values = output.values().clone().into_dimensionality::<ndarray::Ix3>().unwrap();
    let mut all = Vec::new();
    for (steps, length) in values.outer_iter().zip(lengths) {
        let of_step = |step: usize| {
            let row = steps.row(step);
            let best = (0..row.len()).max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap();
            best as i32
        };
        let mut word: Vec<i32> = (0..length).map(of_step).collect();
        word.dedup();
        word.retain(|&class| class != 0);
        all.push(word);
    }
    all
}

#[test]
fn a_network_learns_to_say_labels() {
    for device in devices() {
        let mut trainer = Trainer::new(model(Activation::Linear), &device, Ctc::new(), Adam::new(2e-2)).unwrap();
        let history = trainer
            .fit(&examples(), Fit::epochs(60).batch_size(4).bucketing(true))
            .unwrap();
        let losses = history.values("loss");
        assert!(losses[0] > 3.0 && losses[59] < 0.2, "{device:?}: {losses:?}");
        let (_, _, labels) = words();
        let wanted: Vec<Vec<i32>> = labels
            .outer_iter()
            .map(|row| row.iter().copied().filter(|&label| label > 0).collect())
            .collect();
        assert_eq!(said(&mut trainer), wanted, "{device:?}");
    }
}

#[test]
fn behind_a_softmax_the_loss_takes_the_logits() {
    let device = cellstate::Device::cpu();
    let losses = [Activation::Linear, Activation::Softmax].map(|last| {
        let mut trainer = Trainer::new(model(last), &device, Ctc::new(), Adam::new(1e-2))
            .unwrap()
            .metrics([Metric::of(Ctc::new())]);
        let trained: Vec<f64> = (0..3).map(|_| trainer.train_on_batch(&examples()).unwrap()).collect();
        let scores = trainer.evaluate(&examples()).unwrap();
        assert_eq!(scores.get("ctc"), Some(scores.loss()));
        (trained, scores.loss())
    });
    assert_eq!(losses[0], losses[1]);
}

#[test]
fn weights_of_classes_and_targets_of_steps_are_refused() {
    let mut trainer = Trainer::new(
        model(Activation::Linear),
        &cellstate::Device::cpu(),
        Ctc::new(),
        Adam::new(1e-2),
    )
    .unwrap();
    let refused = trainer
        .fit(&examples(), Fit::epochs(1).class_weights([(1, 2.0)]))
        .unwrap_err();
    assert!(
        matches!(&refused, Error::Value { argument, .. } if argument == "class_weights"),
        "{refused}"
    );
    let (values, lengths, _) = words();
    let sequences = Sequences::from(values).with_lengths(&lengths).unwrap();
    let classes = Targets::from(Array3::<i32>::zeros((SEQUENCES, TIME_STEPS, 1)));
    let refused = trainer
        .fit(&Examples::new(sequences, classes).unwrap(), Fit::epochs(1))
        .unwrap_err();
    assert!(matches!(refused, Error::Size { .. }), "{refused}");
    assert_eq!(Loss::from(Ctc::new()).name(), "ctc");
}
