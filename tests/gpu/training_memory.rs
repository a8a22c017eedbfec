//! `Trainer::memory` says what training takes: never less than is made, and hardly more.

use cellstate::{
    Adam, BatchNormalization, Bidirectional, Dense, Device, Dropout, Embedding, Examples, Gru, Loss, Lstm, Masking,
    Model, ModelBuilder, Regularizer, Role, Sequences, TimeDistributed, Trainer,
};
use ndarray::{Array2, Array3, Array4};

use super::adapters::{adapters, floor, open};
use super::drawn::is_drawn;

const BATCH: usize = 24;
const STEPS: usize = 60;
const FEATURES: usize = 6;
const WORDS: usize = 40;
/// Of the sequences within a time step.
const INNER_STEPS: usize = 5;
const NESTED: &str = "TimeDistributed";

fn lstm(features: usize, units: usize) -> Lstm {
    Lstm::new(features, units).return_sequences(true)
}

fn models() -> Vec<(&'static str, ModelBuilder)> {
    let new = Model::builder;
    let dense = |features| Dense::new(features, 1);
    vec![
        ("LSTM", new().add(lstm(FEATURES, 20)).add(dense(20))),
        ("last output", new().add(Lstm::new(FEATURES, 20)).add(dense(20))),
        ("stack", new().add(lstm(FEATURES, 20)).add(lstm(20, 12)).add(dense(12))),
        (
            "Bidirectional",
            new().add(Bidirectional::new(lstm(FEATURES, 12))).add(dense(24)),
        ),
        (
            "Embedding",
            new().add(Embedding::new(WORDS, 8)).add(lstm(8, 16)).add(dense(16)),
        ),
        (
            "BatchNormalization",
            new()
                .add(lstm(FEATURES, 16))
                .add(BatchNormalization::new(16))
                .add(Dropout::new(0.2))
                .add(dense(16)),
        ),
        (
            "reset_after(false)",
            new()
                .add(Gru::new(FEATURES, 16).reset_after(false).return_sequences(true))
                .add(dense(16)),
        ),
        (
            "recurrent_dropout",
            new()
                .add(Bidirectional::new(
                    lstm(FEATURES, 12).dropout(0.2).recurrent_dropout(0.3),
                ))
                .add(dense(24)),
        ),
        (
            "sections",
            new()
                .add(lstm(FEATURES, 12))
                .add(Masking::new(0.0))
                .add(lstm(12, 8))
                .add(dense(8)),
        ),
        (
            NESTED,
            new()
                .add(TimeDistributed::new(Lstm::new(FEATURES, 12)))
                .add(lstm(12, 8))
                .add(dense(8)),
        ),
    ]
}

/// What training is said to take.
fn told(trainer: &Trainer, name: &str) -> u64 {
    let told = match name {
        NESTED => trainer.memory_within(BATCH, STEPS, INNER_STEPS),
        _ => trainer.memory(BATCH, STEPS),
    };
    told.unwrap()
}

fn examples(model: &Model, is_last: bool, is_ragged: bool) -> Examples<'static, 'static> {
    let number = |b: usize, t: usize, f: usize| ((b * 7 + t * 3 + f) % 11) as f32 / 11.0 + 0.1;
    let sequences = match model.layers() {
        [cellstate::Layer::Embedding(_), ..] => {
            Sequences::from(Array2::from_shape_fn((BATCH, STEPS), |(b, t)| ((b + t) % WORDS) as i32))
        }
        [cellstate::Layer::TimeDistributed(_), ..] => {
            let shape = (BATCH, STEPS, INNER_STEPS, FEATURES);
            Sequences::nested(Array4::from_shape_fn(shape, |(b, t, s, f)| number(b + s, t, f))).unwrap()
        }
        _ => Sequences::from(Array3::from_shape_fn((BATCH, STEPS, FEATURES), |(b, t, f)| {
            number(b, t, f)
        })),
    };
    let lengths: Vec<usize> = (0..BATCH)
        .map(|row| STEPS - if is_ragged { 2 * row } else { 0 })
        .collect();
    let sequences = sequences.with_lengths(&lengths).unwrap();
    match is_last {
        true => Examples::new(sequences, Array2::<f32>::ones((BATCH, 1))).unwrap(),
        false => Examples::new(sequences, Array3::<f32>::ones((BATCH, STEPS, 1))).unwrap(),
    }
}

#[test]
fn it_is_what_training_makes() {
    for adapter in adapters() {
        let drawn = models().into_iter().enumerate();
        for (_, (name, builder)) in drawn.filter(|(number, _)| is_drawn(*number, 2)) {
            check(&adapter, (name, builder), None);
        }
    }
}

/// What a frozen BatchNormalization normalises by is counted too.
#[test]
fn so_it_is_where_a_normalization_is_frozen() {
    for adapter in adapters() {
        let normalised = models().into_iter().filter(|(name, _)| *name == "BatchNormalization");
        for model in normalised {
            check(&adapter, model, Some("batch_normalization"));
        }
    }
}

fn check(adapter: &wgpu::Adapter, (name, builder): (&str, ModelBuilder), frozen: Option<&str>) {
    let opened = open(adapter, floor());
    let bytes = || opened.gpu.counters().bytes();
    let model = builder.build().unwrap();
    let (full, ragged) = (
        examples(&model, name == "last output", false),
        examples(&model, name == "last output", true),
    );
    let before = bytes();
    let trainer = Trainer::new(model, &opened.device, Loss::MeanSquaredError, Adam::new(1e-3)).unwrap();
    let mut trainer = trainer.offload_optimizer(true);
    if let Some(layer) = frozen {
        trainer.freeze(layer).unwrap();
    }
    let at_first = told(&trainer, name);
    trainer.train_on_batch(&full).unwrap();
    // weights in another order are made with the second batch
    let made = bytes() - before;
    assert!(
        at_first >= made && at_first as f64 <= 1.1 * made as f64,
        "{name}: {at_first} for {made}"
    );
    trainer.train_on_batch(&full).unwrap();
    let now = told(&trainer, name);
    assert!(now <= at_first && now >= made, "{name}: {now}, at first {at_first}");
    let before = bytes();
    trainer.train_on_batch(&ragged).unwrap();
    trainer.train_on_batch(&full).unwrap();
    assert_eq!(bytes(), before, "{name}: no batch of this size takes more");
    opened.assert_quiet();
}

/// Where the GPU makes the steps, new weights and what Adam remembers, twice, come on top; and no batch makes anything behind the first ones.
#[test]
fn steps_of_the_optimizer_are_counted() {
    for adapter in adapters() {
        // others than above
        let drawn = models().into_iter().enumerate();
        for (_, (name, builder)) in drawn.filter(|(number, _)| is_drawn(number + 1, 2)) {
            if name != "BatchNormalization" {
                check_steps(&adapter, (name, builder), Adam::new(1e-3));
            }
        }
    }
}

/// Where norms are clipped the host reads numbers between the way back and the step.
#[test]
fn steps_with_clipped_norms_are_counted() {
    for adapter in adapters() {
        let models = models().into_iter();
        for (name, builder) in models.filter(|(name, _)| ["LSTM", "Embedding", "sections"].contains(name)) {
            check_steps(&adapter, (name, builder), Adam::new(1e-3).global_clipnorm(0.01));
        }
    }
}

fn check_steps(adapter: &wgpu::Adapter, (name, builder): (&str, ModelBuilder), optimizer: Adam) {
    let opened = open(adapter, floor());
    let (bytes, buffers) = (|| opened.gpu.counters().bytes(), || opened.gpu.counters().buffers());
    let model = builder.build().unwrap();
    let is_last = name == "last output";
    let (full, ragged) = (examples(&model, is_last, false), examples(&model, is_last, true));
    // what the loss takes: targets, and 16 bytes for each step
    let outputs = model.on(&Device::cpu()).unwrap().run(full.sequences()).unwrap();
    let (width, outputs) = (
        outputs.values().shape().last().copied().unwrap(),
        outputs.values().len(),
    );
    let has_sections = ["sections", NESTED].contains(&name);
    let of_loss = if has_sections {
        0
    } else {
        4 * (outputs + 4 * outputs / width) as u64
    };
    let values = model.parameters().count() as u64 * 4;
    let tensors = model.parameters().iter().count() as u64;
    let penalties = [Regularizer::l2(0.01).on(Role::Kernel).on(Role::Embeddings)];
    let mut trainer = Trainer::new(model, &opened.device, Loss::MeanSquaredError, optimizer).unwrap();
    trainer.regularizers(penalties).unwrap();
    let at_first = told(&trainer, name);
    trainer = trainer.offload_optimizer(true);
    let on_host = told(&trainer, name);
    // new weights, both moments before and behind the step, and those of one weight as they come home
    let all = at_first - on_host;
    let more = all.saturating_sub(of_loss);
    assert!(
        more >= 5 * values && more <= 7 * values + 256 * (tensors + 8),
        "{name}: {more} more for {values}"
    );
    // what the host needs for its steps, and with the second batch what finds out where each weight goes
    trainer.train_on_batch(&full).unwrap();
    trainer.train_on_batch(&full).unwrap();
    trainer = trainer.offload_optimizer(false);
    let before = bytes();
    trainer.train_on_batch(&full).unwrap();
    trainer.train_on_batch(&full).unwrap();
    let now = told(&trainer, name);
    assert!(now <= at_first, "{name}: {now}, at first {at_first}");
    let behind = (bytes(), buffers());
    trainer.train_on_batch(&ragged).unwrap();
    trainer.train_on_batch(&full).unwrap();
    let now = (bytes(), buffers());
    assert_eq!(now, behind, "{name}: no batch of this size makes anything");
    // what the optimiser remembers comes home, for each section through one buffer, and then the host needs nothing more
    let sections = if has_sections { 2 } else { 1 };
    trainer = trainer.offload_optimizer(true);
    trainer.train_on_batch(&full).unwrap();
    assert_eq!(buffers(), behind.1 + sections, "{name}: the host makes the steps");
    let made = bytes() - before;
    assert!(
        all >= made && all as f64 <= 1.1 * made as f64,
        "{name}: {all} more for {made}"
    );
    opened.assert_quiet();
}
