//! Tokens that have no row.

use cellstate::{Dense, Device, Embedding, Error, Lstm, Model, Padding, Sequences};
use ndarray::{Array2, array};

use super::devices::devices;
use super::refused;
use super::support::judge::assert_same_bits;

const OUT_OF_RANGE: [i32; 5] = [-1, 10, 11, i32::MIN, i32::MAX];

fn models(mask_zero: bool) -> Vec<Model> {
    let embedding = || Embedding::new(10, 3).mask_zero(mask_zero);
    let builder = || Model::builder().add(embedding());
    vec![
        builder().add(Lstm::new(3, 4).return_sequences(true)).build().unwrap(),
        builder().add(Lstm::new(3, 4)).add(Dense::new(4, 2)).build().unwrap(),
        builder()
            .add(Dense::new(3, 3))
            .add(Lstm::new(3, 4).go_backwards(true))
            .build()
            .unwrap(),
    ]
}

#[test]
fn a_token_without_a_row_is_named() {
    for device in devices() {
        for mask_zero in [false, true] {
            for model in models(mask_zero) {
                let runner = model.on(&device).unwrap();
                for token in OUT_OF_RANGE {
                    let tokens = array![[1, 2, 3], [4, token, 6]];
                    let error = runner.run(&Sequences::from(&tokens)).unwrap_err();
                    let Error::Token {
                        sequence: 1,
                        time_step: 1,
                        token: found,
                        input_dim: 10,
                        ..
                    } = &error
                    else {
                        panic!("{error}");
                    };
                    assert_eq!(*found, token);
                    let message = error.to_string();
                    assert!(
                        message.contains("from 0 to 9")
                            && message.contains(if token < 0 { "with_lengths" } else { "embedding larger" })
                            && (token >= 0 || !message.contains("larger")),
                        "{message}"
                    );
                    // masking another step does not help
                    let mask = array![[true, false, true], [false, true, true]];
                    let masked = Sequences::from(&tokens).with_mask(mask).unwrap();
                    refused!(runner.run(&masked), Error::Token { .. }, token.to_string());
                }
            }
        }
    }
}

/// Padding may hold anything: what the caller masked and what has no row changes nothing.
#[test]
fn a_token_without_a_row_in_padding_does_no_harm() {
    let clean = array![[1, 2, 0, 0], [4, 5, 6, 0], [7, 8, 9, 3]];
    let mask = clean.mapv(|token| token != 0);
    for device in devices() {
        for mask_zero in [false, true] {
            for model in models(mask_zero) {
                let runner = model.on(&device).unwrap();
                let run = |tokens: &Array2<i32>| {
                    let batch = Sequences::from(tokens).with_mask(mask.clone()).unwrap();
                    runner.run(&batch).unwrap()
                };
                let want = run(&clean);
                assert_eq!(want.rows_run(), 9);
                for token in OUT_OF_RANGE {
                    let dirty = clean.mapv(|clean| if clean == 0 { token } else { clean });
                    let got = run(&dirty);
                    let name = format!("{}, mask_zero {mask_zero}, {token}", device.name());
                    assert_same_bits(&name, got.values(), want.values());
                    assert_eq!(got.rows_run(), 9, "{name}");
                }
            }
        }
    }
}

/// Padded with -1, as many a file is.
#[test]
fn padding_with_minus_one() {
    let reviews = [vec![1, 2], vec![4, 5, 6, 3]];
    let padded = Sequences::pad_tokens(&reviews, &Padding::default().value(-1.0)).unwrap();
    for device in devices() {
        for model in models(true) {
            let output = model.on(&device).unwrap().run(&padded).unwrap();
            assert_eq!(output.rows_run(), 6, "{}", device.name());
        }
    }
}

/// As in Keras `mask_zero` replaces the caller's mask where the tokens have rows.
#[test]
fn mask_zero_replaces_the_mask() {
    let tokens = array![[1, 2, 0], [4, 5, 6]];
    let mask = Array2::from_elem((2, 3), false);
    for device in devices() {
        let masked = Sequences::from(&tokens).with_mask(mask.clone()).unwrap();
        let model = &models(true)[0];
        let rows = model.on(&device).unwrap().run(&masked).unwrap().rows_run();
        assert_eq!(rows, 5);
    }
    let alone = Embedding::new(10, 3).on(&Device::cpu()).unwrap();
    assert_eq!(
        alone.run(&Sequences::from(&tokens)).unwrap().sequences().unwrap().dim(),
        (2, 3, 3)
    );
}
