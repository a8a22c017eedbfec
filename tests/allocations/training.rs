//! `Trainer::memory` on the CPU against the bytes that are taken at most while a model is trained.

use std::sync::atomic::Ordering;

use cellstate::{
    Adam, BatchNormalization, Bidirectional, Ctc, Dense, Device, Dropout, Embedding, Examples, Gru, Loss, Lstm, Model,
    ModelBuilder, Optimizer, Sequences, Sgd, TimeDistributed, Trainer,
};
use ndarray::{Array2, Array3, Array4};
use rayon::ThreadPoolBuilder;

use super::{LIVE, PEAK};

const FEATURES: usize = 16;
const WORDS: usize = 50;
const NESTED: &str = "TimeDistributed";
/// Of the sequences within a time step.
const INNER_STEPS: usize = 8;

/// A model, the sequences and steps of its batches, and what is trained on them.
struct Case {
    name: &'static str,
    builder: ModelBuilder,
    size: (usize, usize),
    is_last: bool,
    optimizer: Optimizer,
    loss: Loss,
}

fn lstm(features: usize, units: usize) -> Lstm {
    Lstm::new(features, units).return_sequences(true)
}

fn cases() -> Vec<Case> {
    let case = |name, builder, size, is_last| Case {
        name,
        builder,
        size,
        is_last,
        optimizer: Adam::new(1e-3).into(),
        loss: Loss::MeanSquaredError,
    };
    let new = Model::builder;
    let (few, many) = ((2, 200), (32, 50));
    vec![
        case("LSTM, many sequences", new().add(lstm(FEATURES, 64)), many, false),
        case("LSTM, few sequences", new().add(lstm(FEATURES, 64)), few, false),
        case(
            "LSTM whose units are split over threads",
            new().add(lstm(FEATURES, 192)),
            (1, 300),
            false,
        ),
        case(
            "LSTMs whose units are split over threads",
            new().add(lstm(FEATURES, 192)).add(lstm(192, 160)).add(lstm(160, 192)),
            (1, 300),
            false,
        ),
        case("large weights", new().add(Lstm::new(200, 400)), (2, 4), true),
        case(
            "large Dense",
            new().add(Lstm::new(FEATURES, 200)).add(Dense::new(200, 2000)),
            (2, 4),
            true,
        ),
        case(
            "stack",
            new().add(lstm(FEATURES, 64)).add(lstm(64, 48)).add(Dense::new(48, 3)),
            many,
            false,
        ),
        case(
            "last output",
            new().add(Lstm::new(FEATURES, 64)).add(Dense::new(64, 3)),
            many,
            true,
        ),
        case(
            "Bidirectional",
            new().add(Bidirectional::new(lstm(FEATURES, 48))),
            many,
            false,
        ),
        case(
            "Embedding",
            new().add(Embedding::new(WORDS, 32)).add(lstm(32, 64)),
            many,
            false,
        ),
        case(
            "BatchNormalization and Dropout",
            new()
                .add(lstm(FEATURES, 48))
                .add(BatchNormalization::new(48))
                .add(Dropout::new(0.3)),
            many,
            false,
        ),
        case(
            "GRU that multiplies r * h",
            new().add(Gru::new(FEATURES, 48).reset_after(false).return_sequences(true)),
            many,
            false,
        ),
        case(
            "GRU that multiplies r * h, many steps",
            new().add(Gru::new(FEATURES, 96).reset_after(false).return_sequences(true)),
            (1, 2000),
            false,
        ),
        case(
            "GRU that multiplies r * h, large weights",
            new().add(Gru::new(8, 250).reset_after(false).return_sequences(true)),
            (2, 20),
            false,
        ),
        case(
            "recurrent dropout, wide input",
            new().add(lstm(200, 40).recurrent_dropout(0.2)),
            (9, 300),
            false,
        ),
        case(
            "two pieces, the last of one step",
            new().add(lstm(FEATURES, 150)),
            (1, 129),
            false,
        ),
        case(
            "wide input, one piece",
            new().add(Embedding::new(WORDS, 600)).add(lstm(600, 1)),
            (700, 2),
            false,
        ),
        case(
            "wide input, two pieces",
            new().add(Embedding::new(WORDS, 600)).add(lstm(600, 1)),
            (700, 3),
            false,
        ),
        case("projection", new().add(lstm(FEATURES, 64).projection(32)), many, false),
        case(
            "projection and recurrent dropout",
            new().add(lstm(FEATURES, 64).projection(40).recurrent_dropout(0.2)),
            many,
            false,
        ),
        case(
            "recurrent dropout",
            new().add(lstm(FEATURES, 48).dropout(0.2).recurrent_dropout(0.2)),
            many,
            false,
        ),
        case(
            "recurrent dropout between others",
            new()
                .add(lstm(FEATURES, 64))
                .add(lstm(64, 32).recurrent_dropout(0.2))
                .add(lstm(32, 64)),
            many,
            false,
        ),
        case(
            NESTED,
            new()
                .add(TimeDistributed::new(Lstm::new(FEATURES, 48)))
                .add(lstm(48, 32))
                .add(Dense::new(32, 3)),
            (16, 25),
            false,
        ),
        Case {
            optimizer: Sgd::new(0.1).into(),
            ..case("without slots", new().add(lstm(FEATURES, 64)), many, false)
        },
        ctc(case("Ctc", labelled(), (1, 300), false)),
        ctc(case(MANY_LABELLED, labelled(), (4, 150), false)),
    ]
}

/// Whose gates are most of it.
const SAVING: [&str; 7] = [
    "LSTM, many sequences",
    "stack",
    "last output",
    "Bidirectional",
    "projection",
    "recurrent dropout between others",
    "GRU that multiplies r * h, many steps",
];

const MANY_LABELLED: &str = "Ctc, many sequences";

/// A model of five classes.
fn labelled() -> ModelBuilder {
    Model::builder().add(lstm(FEATURES, 32)).add(Dense::new(32, 5))
}

/// With a label at each time step, which a shorter sequence cannot say.
fn ctc(case: Case) -> Case {
    Case {
        loss: Ctc::new().zero_infinity(true).into(),
        ..case
    }
}

/// A batch whose sequences have all steps, or fewer from one to the next.
fn batch(case: &Case, model: &Model, shorter: usize) -> Examples<'static, 'static> {
    let (batch, steps) = case.size;
    let sequences = match case.name {
        "Embedding" | "wide input, one piece" | "wide input, two pieces" => {
            Sequences::from(Array2::from_shape_fn((batch, steps), |(b, t)| ((b + t) % WORDS) as i32))
        }
        NESTED => {
            let shape = (batch, steps, INNER_STEPS, FEATURES);
            let number = |(b, t, s, f)| ((b * 5 + t * 3 + s * 7 + f) % 13) as f32 / 13.0;
            Sequences::nested(Array4::from_shape_fn(shape, number)).unwrap()
        }
        _ => {
            let features = match case.name {
                "large weights" | "recurrent dropout, wide input" => 200,
                "GRU that multiplies r * h, large weights" => 8,
                _ => FEATURES,
            };
            Sequences::from(Array3::from_shape_fn((batch, steps, features), |(b, t, f)| {
                ((b * 5 + t * 3 + f) % 13) as f32 / 13.0
            }))
        }
    };
    let lengths: Vec<usize> = (0..batch)
        .map(|row| (steps - 1) - (row * shorter) % (steps - 1) + 1)
        .collect();
    let sequences = sequences.with_lengths(&lengths).unwrap();
    let runner = model.on(&Device::cpu()).unwrap();
    let shape = runner.run(&sequences).unwrap().values().shape().to_vec();
    let width = shape[shape.len() - 1];
    if matches!(case.loss, Loss::Ctc(_)) {
        let labels = Array2::from_shape_fn((batch, steps), |(_, t)| 1 + (t % 2) as i32);
        return Examples::new(sequences, labels).unwrap();
    }
    match case.is_last {
        true => Examples::new(sequences, Array2::<f32>::ones((batch, width))).unwrap(),
        false => Examples::new(sequences, Array3::<f32>::ones((batch, steps, width))).unwrap(),
    }
}

/// Besides what is told: lists of a few entries, names, what rayon and the threads of a pool take.
const SMALL: usize = 64 << 10;

pub(super) fn training_takes_what_is_told() {
    for threads in [1, 2, 4] {
        let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        for case in cases() {
            let most = pool.install(|| check(&case, (threads, false)));
            let little = pool.install(|| check(&case, (threads, true)));
            let limit = match SAVING.contains(&case.name) {
                true => most * 3 / 4,
                // the gradients of the weights, and those of the input of a piece, have a copy more
                false => most * 5 / 4,
            };
            // (where the input is wide and there are two pieces it is no use)
            let is_wide = case.name.starts_with("wide input");
            assert!(is_wide || little <= limit, "{}: {little} instead of {most}", case.name);
        }
    }
}

/// The most that is taken.
fn check(case: &Case, (threads, is_low): (usize, bool)) -> usize {
    let model = case.builder.clone().build().unwrap();
    let batches: Vec<_> = [0, 1, 3, 0].map(|shorter| batch(case, &model, shorter)).into();
    let live = || LIVE.load(Ordering::Relaxed);
    let before = live();
    PEAK.store(before, Ordering::Relaxed);
    let (batch, steps) = case.size;
    let made = Trainer::new(model, &Device::cpu(), case.loss, case.optimizer.clone());
    let mut trainer = made.unwrap();
    trainer = trainer.low_memory(is_low);
    let told = match case.name {
        NESTED => trainer.memory_within(batch, steps, INNER_STEPS),
        _ => trainer.memory(batch, steps),
    };
    let told = told.unwrap() as usize;
    for batch in &batches {
        trainer.train_on_batch(batch).unwrap();
    }
    let most = PEAK.load(Ordering::Relaxed) - before;
    println!(
        "{threads} threads, {}, little memory: {is_low}: {told} told, {most} taken, {:.2}",
        case.name,
        told as f64 / most as f64
    );
    assert!(told + SMALL >= most, "{}: {told} told, {most} taken", case.name);
    // several threads have a sequence each, but not always all of them at once
    let is_sure = threads == 1 || case.name != MANY_LABELLED;
    // and what is the same with little memory weighs more there
    let limit = if is_low { most * 3 / 2 } else { most * 4 / 3 };
    assert!(
        !is_sure || told <= limit + SMALL,
        "{}: {told} told, {most} taken",
        case.name
    );
    most
}
