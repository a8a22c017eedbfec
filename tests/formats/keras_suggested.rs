//! Files of weights alone that are opened as models: the message has the chain that would take them.

use cellstate::{Error, Model};

use super::keras::folder;

fn suggested(file: &str) -> String {
    let error = Model::open(folder("models").join(file)).unwrap_err();
    assert!(matches!(error, Error::Content { .. }), "{file}: {error:?}");
    let message = error.to_string();
    assert!(!message.contains("no layer that cellstate knows"), "{message}");
    assert!(message.contains("model.load_weights(path)?;"), "{message}");
    message
}

#[test]
fn the_chain_is_that_of_the_model() {
    for (file, chain) in [
        (
            "keras_masking_stack.weights.h5",
            &[
                ".add(Lstm::new(6, 48).return_sequences(true)) // lstm",
                ".add(Lstm::new(48, 24)) // lstm_1",
                ".add(Dense::new(24, 5)) // dense",
            ][..],
        ),
        (
            "keras_sentiment.weights.h5",
            &[
                ".add(Embedding::new(20, 8)) // embedding",
                ".add(Lstm::new(8, 32)) // lstm",
                ".add(Dense::new(32, 1)) // dense",
            ],
        ),
        (
            "keras_tagger.weights.h5",
            &[
                ".add(Bidirectional::new(Lstm::new(5, 20))) // bidirectional",
                ".add(Dense::new(40, 7)) // time_distributed",
            ],
        ),
        (
            "keras_more_cells.weights.h5",
            &[
                ".add(StackedRnnCells::new([Recurrent::from(Lstm::new(3, 4)), Recurrent::from(Gru::new(4, 5)), \
                 Recurrent::from(Lstm::new(5, 2))]).return_sequences(true)) // rnn",
                ".add(StackedRnnCells::new([Recurrent::from(SimpleRnn::new(2, 3)), \
                 Recurrent::from(Gru::new(3, 4).reset_after(false))]).return_sequences(true)) // rnn_1",
                ".add(Lstm::new(4, 4).use_bias(false).return_sequences(true)) // rnn_2",
                ".add(Gru::new(4, 3)) // rnn_3",
            ],
        ),
    ] {
        let message = suggested(file);
        let chain = format!("Model::builder()\n    {}\n    .build()?;\n", chain.join("\n    "));
        assert!(message.contains(&chain), "{file}: expected\n{chain}\nin {message}");
        assert!(message.contains("check their order"), "{message}");
    }
}

#[test]
fn normalizations_and_two_directions_are_known() {
    let norms = suggested("keras_more_norms.weights.h5");
    for code in [
        "BatchNormalization::new(3))",
        "BatchNormalization::new(5).scale(false) /* or .center(false) */",
        "LayerNormalization::new(5).center(false)",
    ] {
        assert!(norms.contains(code), "{norms}");
    }
    let both = suggested("keras_more_two_ways.weights.h5");
    assert!(
        both.contains("Bidirectional::new(Lstm::new(3, 4).return_sequences(true)).backward_layer(Gru::new(3, 4).return_sequences(true))"),
        "{both}"
    );
}

/// What runs over the characters of each word stands within a TimeDistributed, and no matrix of another name is taken for a layer that it
/// may not be.
#[test]
fn sequences_within_sequences_are_seen() {
    for (file, chain) in [
        (
            "keras_nested_alone.weights.h5",
            &["    .add(TimeDistributed::new(Lstm::new(2, 4))) // time_distributed"][..],
        ),
        (
            "keras_nested_tagger.weights.h5",
            &[
                "    .add(TimeDistributed::new(Embedding::new(9, 3) /* or Dense::new(9, 3).use_bias(false) */) // time_distributed",
                "        .add(Bidirectional::new(Lstm::new(3, 4)))) // time_distributed_1",
                "    .add(Bidirectional::new(Lstm::new(8, 5))) // bidirectional",
                "    .add(Dense::new(10, 3)) // time_distributed_2",
            ],
        ),
        (
            "keras_nested_functional.weights.h5",
            &[
                "    .add(TimeDistributed::new(Embedding::new(9, 3)) // embedding",
                "        .add(Bidirectional::new(Gru::new(3, 4)))) // time_distributed",
                "    .add(Lstm::new(4, 5)) // lstm",
                "    .add(Dense::new(5, 2)) // time_distributed_1",
            ],
        ),
        (
            "keras_nested_within.weights.h5",
            &[
                "    .add(TimeDistributed::new(Bidirectional::new(SimpleRnn::new(2, 4).return_sequences(true))) // \
                 time_distributed/bidirectional",
                "        .add(LayerNormalization::new(8)) // time_distributed/layer_normalization",
                "        .add(Gru::new(8, 5))) // time_distributed/gru",
                "    .add(Bidirectional::new(Lstm::new(5, 4))) // bidirectional",
            ],
        ),
    ] {
        let message = suggested(file);
        let chain = format!("Model::builder()\n{}\n    .build()?;\n", chain.join("\n"));
        assert!(message.contains(&chain), "{file}: expected\n{chain}\nin {message}");
    }
}
