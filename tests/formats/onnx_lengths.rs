//! Models whose layers count with padding, written as ONNX: the file has an input of lengths.

use cellstate::{
    Bidirectional, Device, EndMask, Error, LastStep, Layer, Model, RepeatVector, Sequences, StackedRnnCells,
};

use super::onnx_kept::{folder, keep};
use super::onnx_written::{FEATURES, dense, gru, lstm, model, rnn, x};
use super::support::judge::assert_same_bits;

/// Of the four sequences.
const LENGTHS: [usize; 4] = [7, 3, 5, 1];

fn chains() -> Vec<(&'static str, Vec<Layer>)> {
    let steps = |layer: cellstate::Lstm| layer.return_sequences(true).zero_output_for_mask(true);
    vec![
        (
            "lengths_steps",
            vec![steps(lstm(FEATURES, 4)).into(), dense(4, 2).into()],
        ),
        (
            "lengths_last",
            vec![lstm(FEATURES, 4).zero_output_for_mask(true).into(), dense(4, 2).into()],
        ),
        (
            "lengths_before",
            vec![
                gru(FEATURES, 5).return_sequences(true).into(),
                steps(lstm(5, 4)).into(),
                LastStep::new().into(),
            ],
        ),
        (
            "lengths_both_ways",
            vec![
                Bidirectional::new(lstm(FEATURES, 4).return_sequences(true)).into(),
                rnn(8, 3).return_sequences(true).zero_output_for_mask(true).into(),
                gru(3, 5).into(),
            ],
        ),
        (
            "lengths_backwards",
            vec![steps(lstm(FEATURES, 4)).go_backwards(true).input_order(true).into()],
        ),
        (
            "lengths_as_it_ran",
            vec![
                gru(FEATURES, 4)
                    .return_sequences(true)
                    .zero_output_for_mask(true)
                    .go_backwards(true)
                    .into(),
            ],
        ),
        (
            "lengths_stacked",
            vec![
                StackedRnnCells::new([lstm(FEATURES, 4), lstm(4, 3)])
                    .return_sequences(true)
                    .zero_output_for_mask(true)
                    .into(),
            ],
        ),
        (
            "lengths_repeated",
            vec![
                lstm(FEATURES, 4).zero_output_for_mask(true).into(),
                RepeatVector::new(3).into(),
                lstm(4, 5).return_sequences(true).into(),
            ],
        ),
    ]
}

#[test]
fn lengths_are_an_input_of_the_file() {
    let device = Device::cpu();
    for (name, layers) in chains() {
        let model = model(layers);
        let path = folder().join(format!("{name}.onnx"));
        model.save(&path).unwrap();
        let again = Model::open(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
        let told = again
            .notes()
            .iter()
            .any(|note| note.contains("\"lengths\" gives lengths"));
        assert!(told, "{name}: {:?}", again.notes());
        let input = Sequences::from(x()).with_lengths(&LENGTHS).unwrap();
        let run = |model: &Model| model.on(&device).unwrap().run(&input).unwrap();
        let (first, second) = (run(&model), run(&again));
        assert_same_bits(name, second.values(), first.values());
        let whole = model.on(&device).unwrap().run(&Sequences::from(x())).unwrap();
        assert!(whole.values() != first.values(), "{name}: the lengths change nothing");
        keep(
            name,
            &input,
            Some(&LENGTHS),
            &[("output".to_owned(), first.values().to_owned())],
        );
    }
    // behind the end of the mask nothing has lengths
    let ended = model([
        lstm(FEATURES, 4)
            .return_sequences(true)
            .zero_output_for_mask(true)
            .into(),
        EndMask::new().into(),
        gru(4, 5).into(),
    ]);
    let input = Sequences::from(x()).with_lengths(&LENGTHS).unwrap();
    ended.save(folder().join("lengths_ended.onnx")).unwrap();
    let output = ended.on(&device).unwrap().run(&input).unwrap();
    keep(
        "lengths_ended",
        &input,
        Some(&LENGTHS),
        &[("output".to_owned(), output.values().to_owned())],
    );
}

#[test]
fn outputs_at_padding_that_onnx_has_not_are_refused() {
    let mixed = model([
        lstm(FEATURES, 4)
            .return_sequences(true)
            .zero_output_for_mask(true)
            .into(),
        gru(4, 5).return_sequences(true).into(),
    ]);
    let error = mixed.to_bytes("x.onnx").unwrap_err();
    assert!(matches!(error, Error::Unsupported { .. }), "{error}");
    assert!(
        error.to_string().contains("GRU") && error.to_string().contains("zero_output_for_mask(true)"),
        "{error}"
    );
}
