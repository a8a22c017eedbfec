//! Files of Keras that were cut off or changed at random: an error or a model, and never more than a moment.

use std::fs;
use std::time::{Duration, Instant};

use cellstate::{Dense, Error, Gru, Lstm, Model};

use crate::keras::model_file;

const FILES: [&str; 3] = [
    "keras_more_gru.keras",
    "keras_more_gru.h5",
    "keras_more_kept.chunked.h5",
];

/// How long one file may take to read, however it was changed. A whole one takes a thousandth of it.
const LONGEST: Duration = Duration::from_secs(5);

/// How long each of the loops runs at most.
const LOOP: Duration = Duration::from_secs(3);

fn read(bytes: &[u8], name: &str, what: &str) -> Option<Model> {
    let begin = Instant::now();
    let outcome = match name.ends_with(".weights.h5") {
        true => load(bytes, name),
        false => Model::from_bytes(bytes, name),
    };
    assert!(begin.elapsed() < LONGEST, "{name}, {what}: {:?}", begin.elapsed());
    let model = outcome.ok()?;
    for parameter in model.parameters() {
        let finite = parameter.values().iter().all(|value| value.is_finite());
        assert!(finite, "{name}, {what}: {} is not finite", parameter.path());
    }
    Some(model)
}

/// The layers of `keras_more_kept`, with the weights of a file.
fn load(bytes: &[u8], name: &str) -> Result<Model, Error> {
    let layers = Model::builder()
        .add(Lstm::new(3, 4).return_sequences(true))
        .add(Gru::new(4, 5))
        .add(Dense::new(5, 2));
    let mut model = layers.build()?;
    model.load_weights_from_bytes(bytes, name).map(|()| model)
}

#[test]
fn files_that_are_cut_off_are_refused() {
    for file in FILES {
        let whole = fs::read(model_file(file)).unwrap();
        let parameters = read(&whole, file, "whole").unwrap().parameters().clone();
        for end in (0..whole.len()).step_by(97) {
            // what was cut off may be what nobody reads
            if let Some(model) = read(&whole[..end], file, &format!("{end} bytes")) {
                assert_eq!(model.parameters(), &parameters, "{file}, {end} bytes");
            }
        }
    }
}

#[test]
fn files_with_changed_bytes_are_read_or_refused() {
    for file in FILES {
        let whole = fs::read(model_file(file)).unwrap();
        let begin = Instant::now();
        let (mut changed, mut read_whole) = (0, 0);
        // each position once, in an order that comes everywhere early
        let step = 7919 % whole.len();
        let positions = (0..whole.len()).map(|number| number * step % whole.len());
        let mut bytes = whole.clone();
        for position in positions {
            if begin.elapsed() > LOOP {
                break;
            }
            let flipped = [0xff, 0x01, 0x80, 0x40][changed % 4];
            bytes[position] ^= flipped;
            read_whole += usize::from(read(&bytes, file, &format!("byte {position} ^ {flipped}")).is_some());
            bytes[position] ^= flipped;
            changed += 1;
        }
        println!("{file}: {changed} changes, {read_whole} read all the same");
        assert!(changed > 100, "{file}: only {changed} changes");
    }
}

#[test]
fn words_that_say_sizes_are_read_or_refused() {
    for file in FILES {
        let whole = fs::read(model_file(file)).unwrap();
        let begin = Instant::now();
        let mut bytes = whole.clone();
        let step = (8 * 1009) % whole.len();
        for position in (0..whole.len() / 8).map(|number| number * step % (whole.len() - 8)) {
            if begin.elapsed() > LOOP {
                break;
            }
            for word in [u64::MAX, 1 << 40, u64::from(u32::MAX), 0] {
                bytes[position..position + 8].copy_from_slice(&word.to_le_bytes());
                read(&bytes, file, &format!("byte {position} = {word}"));
            }
            bytes[position..position + 8].copy_from_slice(&whole[position..position + 8]);
        }
    }
}
