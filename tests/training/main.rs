//! Training through the public doors: what is learned, what is reported, what is kept, what is refused.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod checkpoints;
mod ctc;
mod data;
#[path = "../support/devices.rs"]
mod devices;
mod differences;
mod fit;
mod frozen;
mod gpu;
mod hostile;
mod logits;
mod low_memory;
mod nested;
mod options;
mod padding;
mod stateful;

use cellstate::{Adam, Dense, Device, Dropout, Loss, Lstm, Model, Optimizer, Trainer};

/// Masks, two recurrent layers, dropout: what has states, seeds and statistics.
pub(crate) fn model() -> Model {
    let builder = Model::builder()
        .add(Lstm::new(3, 5).return_sequences(true))
        .add(Dropout::new(0.2))
        .add(Lstm::new(5, 4))
        .add(Dense::new(4, 1));
    builder.build().unwrap()
}

pub(crate) fn trainer_of(model: Model, optimizer: impl Into<Optimizer>) -> Trainer {
    Trainer::new(model, &Device::cpu(), Loss::MeanSquaredError, optimizer).unwrap()
}

pub(crate) fn trainer() -> Trainer {
    trainer_of(model(), Adam::new(1e-2)).seed(11)
}

/// The bits of all weights.
pub(crate) fn bits(trainer: &Trainer) -> Vec<u32> {
    let parameters = trainer.model().parameters();
    parameters
        .iter()
        .flat_map(|parameter| {
            parameter
                .values()
                .iter()
                .map(|value| value.to_bits())
                .collect::<Vec<_>>()
        })
        .collect()
}
