//! Sequences within sequences: what a TimeDistributed gives is what two models give, and what does not fit is refused.

use cellstate::{
    Bidirectional, Dense, Device, Dropout, Embedding, Error, Flatten, Gru, Layer, LayerNormalization, Lstm, Masking,
    Model, Output, Runner, Sequences, SimpleRnn, StackedRnnCells, TimeDistributed,
};
use ndarray::{Array2, Array3, Array4, ArrayView4, Axis, s};

use super::devices::devices;
use super::refused;
use super::support::random::Random;

const WORDS: usize = 5;
const CHARACTERS: usize = 6;

fn model(layers: &[Layer]) -> Model {
    let layers = layers.iter().cloned();
    let builder = layers.fold(Model::builder(), |builder, layer| builder.add(layer));
    builder.build().unwrap()
}

fn nested(layers: &[Layer]) -> Layer {
    let (first, rest) = layers.split_first().unwrap();
    let nested = TimeDistributed::new(first.clone());
    rest.iter().cloned().fold(nested, TimeDistributed::add).into()
}

fn readings() -> Array4<f32> {
    let values = Random::new(7).array3((3 * WORDS, CHARACTERS, 2), 1.0);
    values.into_shape_with_order((3, WORDS, CHARACTERS, 2)).unwrap()
}

/// A short word, an empty one, and in the last sequence words that do not count.
fn lengths() -> (Array2<usize>, [usize; 3]) {
    let inner = Array2::from_shape_fn((3, WORDS), |(sequence, word)| {
        (sequence * 4 + word * 3 + 1) % (CHARACTERS + 1)
    });
    assert!(inner.iter().any(|length| *length == 0));
    (inner, [5, 5, 2])
}

fn batch(values: &Array4<f32>) -> Sequences<'_> {
    let (inner, outer) = lengths();
    let batch = Sequences::nested(values).unwrap().with_inner_lengths(&inner).unwrap();
    batch.with_lengths(&outer).unwrap()
}

/// The same by hand: the inner layers over each word, the others over what that gives.
fn by_hand(inner: &Model, outer: &Model, values: &Array4<f32>, device: &Device) -> (Output, usize) {
    let (mut inner_lengths, lengths) = lengths();
    for (mut words, counts) in inner_lengths.outer_iter_mut().zip(lengths) {
        words.slice_mut(s![counts..]).fill(0);
    }
    let flat = values.view().into_shape_with_order((3 * WORDS, CHARACTERS, 2)).unwrap();
    let flat = Sequences::from(flat)
        .with_lengths(&inner_lengths.into_raw_vec_and_offset().0)
        .unwrap();
    let words = inner.on(device).unwrap().run(&flat).unwrap();
    let rows = words.rows_run();
    let width = words.last().ncols();
    let words = words
        .last()
        .to_owned()
        .into_shape_with_order((3, WORDS, width))
        .unwrap();
    let words = Sequences::from(words).with_lengths(&lengths).unwrap();
    let output = outer.on(device).unwrap().run(&words).unwrap();
    (output, rows)
}

#[test]
fn a_nested_model_is_two_models() {
    let inner: [Vec<Layer>; 5] = [
        vec![Lstm::new(2, 4).into()],
        vec![
            Dense::new(2, 3).into(),
            Bidirectional::new(Gru::new(3, 2)).into(),
            LayerNormalization::new(4).into(),
        ],
        // several sections within
        vec![
            Gru::new(2, 3).return_sequences(true).into(),
            Masking::new(0.0).into(),
            SimpleRnn::new(3, 4).into(),
        ],
        vec![
            Lstm::new(2, 3).return_sequences(true).into(),
            Flatten::new(CHARACTERS, 3).into(),
            Dense::new(18, 4).into(),
        ],
        vec![StackedRnnCells::new([Lstm::new(2, 3), Lstm::new(3, 4)]).into()],
    ];
    let outer: [Vec<Layer>; 4] = [
        vec![Dense::new(4, 3).into()],
        vec![
            Bidirectional::new(Lstm::new(4, 3).return_sequences(true)).into(),
            Dense::new(6, 2).into(),
        ],
        vec![
            Dropout::new(0.5).into(),
            Gru::new(4, 3).return_sequences(true).into(),
            Masking::new(0.0).into(),
            Lstm::new(3, 2).into(),
        ],
        vec![Masking::new(0.0).into(), Lstm::new(4, 3).into()],
    ];
    let values = readings();
    for device in devices() {
        for inner in &inner {
            for outer in &outer {
                let chain = [&[nested(inner)], outer.as_slice()].concat();
                let whole = model(&chain);
                // the same weights by hand
                let [mut first, mut last] = [model(inner), model(outer)];
                for parameter in whole.parameters() {
                    let values = parameter.values().to_owned();
                    match parameter.path().strip_prefix("time_distributed/") {
                        Some(path) => first.replace_parameter(path, values).unwrap(),
                        None => last.replace_parameter(parameter.path(), values).unwrap(),
                    }
                }
                let got = whole.on(&device).unwrap().run(&batch(&values)).unwrap();
                let (want, rows) = by_hand(&first, &last, &values, &device);
                assert_eq!(got.values(), want.values(), "{}: {chain:?}", device.name());
                assert_eq!(got.rows_run(), rows + want.rows_run(), "{}: {chain:?}", device.name());
            }
        }
    }
}

#[test]
fn a_nested_model_of_tokens_runs_alone() {
    let tokens = Array3::from_shape_fn((3, WORDS, CHARACTERS), |(b, w, c)| ((b * 7 + w * 3 + c * 5) % 9) as i32);
    let inner: [Layer; 2] = [Embedding::new(9, 3).mask_zero(true).into(), Lstm::new(3, 4).into()];
    let whole = model(&[nested(&inner)]);
    let mut by_hand = model(&inner);
    for parameter in whole.parameters() {
        let path = parameter.path().strip_prefix("time_distributed/").unwrap();
        by_hand.replace_parameter(path, parameter.values().to_owned()).unwrap();
    }
    let flat = tokens.view().into_shape_with_order((3 * WORDS, CHARACTERS)).unwrap();
    for device in devices() {
        let got = whole
            .on(&device)
            .unwrap()
            .run(&Sequences::nested_tokens(&tokens).unwrap())
            .unwrap();
        let want = by_hand.on(&device).unwrap().run(&Sequences::from(flat)).unwrap();
        assert_eq!(got.values().shape(), [3, WORDS, 4]);
        assert!(got.values().iter().eq(want.values().iter()), "{}", device.name());
    }
}

fn tagger() -> Model {
    model(&[
        nested(&[Lstm::new(2, 4).into()]),
        Gru::new(4, 3).return_sequences(true).into(),
    ])
}

#[test]
fn words_that_do_not_count_cost_nothing_and_are_not_read() {
    let (clean, mut spoiled) = (readings(), readings());
    let (inner, outer) = lengths();
    for ((sequence, word), length) in inner.indexed_iter() {
        let from = if word < outer[sequence] { *length } else { 0 };
        spoiled.slice_mut(s![sequence, word, from.., ..]).fill(f32::NAN);
    }
    for device in devices() {
        let runner = tagger().on(&device).unwrap();
        let [clean, dirty] = [&clean, &spoiled].map(|values| runner.run(&batch(values)).unwrap());
        assert_eq!(clean.values(), dirty.values(), "{}", device.name());
        let counts = |sequence: usize| inner.row(sequence).iter().take(outer[sequence]).sum::<usize>();
        let rows: usize = (0..3).map(counts).sum::<usize>() + outer.iter().sum::<usize>();
        assert_eq!(clean.rows_run(), rows, "{}", device.name());
    }
}

#[test]
fn states_go_from_word_to_word_and_not_from_character_to_character() {
    let values = readings();
    for device in devices() {
        let runner = tagger().on(&device).unwrap();
        let whole = runner.run(&Sequences::nested(&values).unwrap()).unwrap();
        let whole = whole.values();
        let mut states = runner.zero_state(3);
        assert_eq!(states.len(), 1); // that of the GRU
        for piece in [0..2, 2..5] {
            let part = Sequences::nested(values.slice(s![.., piece.clone(), .., ..])).unwrap();
            let output = runner.run_from(&part, &mut states).unwrap();
            let want = whole.slice_axis(Axis(1), piece.into());
            let close = output
                .values()
                .iter()
                .zip(want)
                .all(|(got, want)| (got - want).abs() < 1e-6);
            assert!(close, "{}", device.name());
        }
        let mut wrong = runner.zero_state(2);
        refused!(
            runner.run_from(&Sequences::nested(&values).unwrap(), &mut wrong),
            Error::Size { .. },
            "states[0]"
        );
    }
}

#[test]
fn nothing_within_nothing_has_a_shape() {
    for device in devices() {
        let runner = tagger().on(&device).unwrap();
        for (batch, words, characters) in [(0, 4, 5), (2, 0, 5), (2, 4, 0), (0, 0, 0), (1, 1, 1)] {
            let values = Array4::from_elem((batch, words, characters, 2), 0.5);
            let output = runner.run(&Sequences::nested(&values).unwrap()).unwrap();
            assert_eq!(output.values().shape(), [batch, words, 3], "{}", device.name());
            assert!(
                output.values().iter().all(|value| value.is_finite()),
                "{}",
                device.name()
            );
        }
        let huge = ArrayView4::from_shape((1 << 31, 1 << 20, 0, 2), &[]).unwrap();
        refused!(
            runner.run(&Sequences::nested(huge).unwrap()),
            Error::TooLarge { .. },
            "run fewer sequences"
        );
    }
}

#[test]
fn what_cannot_stand_within_or_before_is_refused() {
    let built = |layers: &[Layer]| {
        let builder = layers
            .iter()
            .cloned()
            .fold(Model::builder(), |builder, layer| builder.add(layer));
        builder.build()
    };
    let lstm = || Layer::from(Lstm::new(2, 4));
    let every_step = Layer::from(Lstm::new(4, 2).return_sequences(true));
    refused!(
        built(&[every_step.clone(), nested(&[lstm()])]),
        Error::Chain { position: 1, .. },
        "put the TimeDistributed first"
    );
    refused!(
        built(&[nested(&[nested(&[lstm()])])]),
        Error::Unsupported { .. },
        "innermost"
    );
    refused!(
        built(&[nested(std::slice::from_ref(&every_step))]),
        Error::Chain { position: 0, .. },
        "return_sequences"
    );
    refused!(
        built(&[nested(&[Dense::new(2, 3).into()])]),
        Error::Chain { .. },
        "inner time step"
    );
    refused!(
        built(&[nested(&[Masking::new(0.0).into()])]),
        Error::Chain { .. },
        "inner time step"
    );
    refused!(
        built(&[nested(&[lstm(), lstm()])]),
        Error::Chain { position: 1, .. },
        "LSTM in the TimeDistributed",
        "return_sequences(true)"
    );
    refused!(
        built(&[nested(&[Lstm::new(2, 4).return_state(true).into()])]),
        Error::Unsupported { .. },
        "in the TimeDistributed",
        "states of inner layers"
    );
    refused!(
        built(&[nested(&[lstm()]), Gru::new(5, 3).into()]),
        Error::Features {
            expected: 5,
            found: 4,
            ..
        },
        "layer 1 (GRU)"
    );
}

#[test]
fn what_a_nested_model_cannot_do_is_named() {
    let values = readings();
    for device in devices() {
        let runner = tagger().on(&device).unwrap();
        refused!(runner.zero_gpu_states(3), Error::Unsupported { .. }, "call `run");
        refused!(runner.workspace(3, WORDS), Error::Unsupported { .. }, "call `run");
        let lines = runner.explain(3, WORDS).unwrap().to_string();
        assert!(lines.contains("TimeDistributed"), "{lines}");
        assert_eq!(runner.gpu_memory(3, WORDS).unwrap().is_some(), device.gpu().is_some());
        let other: Runner = runner.rebuild(&Device::cpu()).unwrap();
        assert_eq!(other.run(&batch(&values)).unwrap().values().shape(), [3, WORDS, 3]);
    }
    let flat = model(&[
        nested(&[Lstm::new(2, 3).return_sequences(true).into(), Flatten::new(4, 3).into()]),
        Flatten::new(WORDS, 12).into(),
        Dense::new(60, 2).into(),
    ]);
    let run = |shape: (usize, usize, usize, usize)| {
        let values = Array4::zeros(shape);
        flat.on(&Device::cpu())
            .unwrap()
            .run(&Sequences::nested(&values).unwrap())
    };
    refused!(run((3, WORDS, 5, 2)), Error::Size { .. }, "inner layer 1 (Flatten)");
    refused!(run((3, 4, 4, 2)), Error::Size { .. }, "for layer 1 (Flatten)");
    assert_eq!(run((3, WORDS, 4, 2)).unwrap().values().shape(), [3, 2]);
}
