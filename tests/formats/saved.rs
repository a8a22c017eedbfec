//! What is written and read again: our own files, and state dicts for PyTorch.

use std::path::PathBuf;

use cellstate::{
    Activation, BatchNormalization, Bidirectional, Dense, Dropout, Embedding, EndMask, Error, Flatten, Gru,
    Initializer, LastStep, Layer, LayerNormalization, Lstm, Masking, MergeMode, Model, RepeatVector, Reshape,
    SimpleRnn, StackedRnnCells,
};
use safetensors::SafeTensors;

use super::files::{bytes, golden};
use super::pytorch::model;

/// Chains that have every layer, and every option with another value than the one that it has where nothing is said.
fn chains() -> Vec<Vec<Layer>> {
    let leaky = Activation::LeakyReluWith { alpha: 0.1 };
    let lstm = Lstm::new(4, 6)
        .activation(leaky)
        .recurrent_activation(Activation::HardSigmoidWith {
            alpha: 0.21,
            beta: 0.47,
        })
        .output_activation(Activation::Softsign)
        .peepholes(true)
        .clip(0.3)
        .input_forget(true)
        .projection(3)
        .unit_forget_bias(false)
        .kernel_initializer(Initializer::RandomUniform { min: -0.3, max: 0.4 })
        .recurrent_initializer(Initializer::TruncatedNormal {
            mean: 0.1,
            deviation: 0.2,
        })
        .bias_initializer(Initializer::Constant(0.1))
        .seed(u64::MAX)
        .return_sequences(true)
        .go_backwards(true)
        .zero_output_for_mask(true)
        .input_order(true);
    let gru = Gru::new(3, 5)
        .reset_after(false)
        .clip(0.5)
        .activation(Activation::Elu)
        .return_sequences(true)
        .seed(3);
    let backward = Gru::new(5, 7).use_bias(false).return_sequences(true);
    let two_ways = Bidirectional::new(SimpleRnn::new(5, 4).clip(2.0).return_sequences(true)).backward_layer(backward);
    let cells = StackedRnnCells::new([Lstm::new(11, 3), Lstm::new(3, 2)])
        .return_state(true)
        .go_backwards(true);
    vec![
        vec![
            Embedding::new(9, 4)
                .mask_zero(true)
                .seed(5)
                .initializer(Initializer::Orthogonal { gain: 0.5 })
                .into(),
            lstm.into(),
            gru.into(),
            two_ways.into(),
            LayerNormalization::new(11).epsilon(1e-5).center(false).into(),
            cells.into(),
        ],
        vec![
            Masking::new(f32::NEG_INFINITY).into(),
            Masking::new(-0.0).into(),
            BatchNormalization::new(2).scale(false).into(),
            Bidirectional::new(Lstm::new(2, 3).return_sequences(true))
                .merge_mode(MergeMode::Multiply)
                .into(),
            EndMask::new().into(),
            Activation::ScaledTanh { alpha: 1.7, beta: 0.6 }.into(),
            Dropout::new(0.25).into(),
            Dropout::new(0.1).spatial(true).into(),
            Reshape::new([4, 3], [2, 6]).into(),
            Flatten::new(2, 6).into(),
            Dense::new(12, 5)
                .activation(Activation::Softmax)
                .bias_initializer(Initializer::Ones)
                .seed(1)
                .into(),
            RepeatVector::new(3).into(),
            Gru::new(5, 4)
                .return_sequences(true)
                .dropout(0.25)
                .recurrent_dropout(0.1)
                .into(),
            LastStep::new().into(),
            Dense::new(4, 1).use_bias(false).into(),
        ],
        vec![
            Bidirectional::new(SimpleRnn::new(2, 3))
                .merge_mode(MergeMode::Separate)
                .into(),
        ],
    ]
}

/// The bits of the parameters by path.
fn bits(model: &Model) -> Vec<(String, Vec<usize>, Vec<u32>)> {
    let parameters = model.parameters().iter();
    let bits = parameters.map(|parameter| {
        let values = parameter.values();
        let bits = values.iter().map(|value| value.to_bits()).collect();
        (parameter.path().to_owned(), values.shape().to_vec(), bits)
    });
    bits.collect()
}

#[test]
fn our_own_files_open_alone_with_the_same_bits() {
    for (number, layers) in chains().into_iter().enumerate() {
        let drawn = model(&layers);
        let saved = drawn.to_bytes("model.safetensors").unwrap();
        let opened = Model::from_bytes(&saved, "model.safetensors").unwrap();
        assert_eq!(bits(&opened), bits(&drawn), "chain {number}");
        assert_eq!(format!("{opened}"), format!("{drawn}"), "chain {number}");
        // all options too: they are written again as they were, and of layers with weights nothing differs
        assert_eq!(opened.to_bytes("model.safetensors").unwrap(), saved, "chain {number}");
        let again = Model::from_bytes(&saved, "model.safetensors").unwrap();
        assert_eq!(again.layers(), opened.layers(), "chain {number}");
        assert!(opened.notes().is_empty(), "{:?}", opened.notes());

        let mut other = model(&layers);
        let path = other.parameters().iter().next().unwrap().path().to_owned();
        let values = other
            .parameters()
            .get(&path)
            .unwrap()
            .values()
            .mapv(|value| value + 1.0);
        other.replace_parameter(&path, values).unwrap();
        assert_ne!(bits(&other), bits(&drawn));
        other.load_weights_from_bytes(&saved, "model.safetensors").unwrap();
        assert_eq!(bits(&other), bits(&drawn), "chain {number}");
    }
}

/// A chain with one option changed is another file.
#[test]
fn every_option_of_a_chain_is_written() {
    let text = |layer: Layer| {
        let saved = model(&[layer]).to_bytes("model.safetensors").unwrap();
        let (_, header) = SafeTensors::read_metadata(&saved).unwrap();
        header.metadata().as_ref().unwrap()["cellstate"].clone()
    };
    let plain = text(Lstm::new(4, 6).into());
    for other in [
        Lstm::new(4, 6).activation(Activation::Relu),
        Lstm::new(4, 6).recurrent_activation(Activation::HardSigmoid),
        Lstm::new(4, 6).output_activation(Activation::Relu),
        Lstm::new(4, 6).peepholes(true),
        Lstm::new(4, 6).clip(1.0),
        Lstm::new(4, 6).input_forget(true),
        Lstm::new(4, 6).projection(2),
        Lstm::new(4, 6).unit_forget_bias(false),
        Lstm::new(4, 6).use_bias(false),
        Lstm::new(4, 6).kernel_initializer(Initializer::HeNormal),
        Lstm::new(4, 6).recurrent_initializer(Initializer::HeNormal),
        Lstm::new(4, 6).bias_initializer(Initializer::Ones),
        Lstm::new(4, 6).seed(1),
        Lstm::new(4, 6).return_sequences(true),
        Lstm::new(4, 6).return_state(true),
        Lstm::new(4, 6).go_backwards(true),
        Lstm::new(4, 6).zero_output_for_mask(true),
    ] {
        assert_ne!(text(other.into()), plain);
    }
}

#[test]
fn files_of_another_model_are_refused() {
    let one = model(&[Lstm::new(4, 6).return_sequences(true).into(), Dense::new(6, 2).into()]);
    let saved = one.to_bytes("one.safetensors").unwrap();
    for (layers, text) in [
        (vec![Layer::from(Lstm::new(4, 6))], "dense/"),
        (
            vec![Lstm::new(4, 5).into(), Dense::new(5, 2).into()],
            "(features, 4·units) = [4, 20]",
        ),
        (
            vec![Lstm::new(4, 6).into(), Dense::new(6, 2).into(), Dense::new(2, 2).into()],
            "dense_1/kernel",
        ),
        (
            vec![Lstm::new(4, 6).use_bias(false).into(), Dense::new(6, 2).into()],
            "lstm/bias",
        ),
    ] {
        let mut other = model(&layers);
        let before = bits(&other);
        let message = other
            .load_weights_from_bytes(&saved, "one.safetensors")
            .unwrap_err()
            .to_string();
        assert!(message.contains(text), "{message}");
        assert_eq!(bits(&other), before);
    }
}

/// The tensors of a state dict by name.
fn tensors(bytes: &[u8]) -> Vec<(String, Vec<usize>, Vec<u8>)> {
    let file = SafeTensors::deserialize(bytes).unwrap();
    let mut tensors: Vec<_> = file
        .iter()
        .map(|(name, view)| (name.to_owned(), view.shape().to_vec(), view.data().to_vec()))
        .collect();
    tensors.sort();
    tensors
}

fn lstm(features: usize, units: usize) -> Lstm {
    Lstm::new(features, units).return_sequences(true)
}

/// State dicts that go in and out again. Of an LSTM and an RNN the two biases come back as their sum, in the first.
#[test]
fn state_dicts_come_out_as_they_came_in() {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("for_pytorch");
    std::fs::create_dir_all(&folder).unwrap();
    let gru = |features| Layer::from(Gru::new(features, 6).return_sequences(true));
    let both = |features| Layer::from(Bidirectional::new(lstm(features, 5)));
    let norm = LayerNormalization::new(6).epsilon(1e-3);
    let cases: [(&str, Vec<Layer>, &[&str]); 8] = [
        ("gru", vec![gru(4), gru(6)], &["gru", "gru"]),
        ("gru_float16", vec![gru(4), Dense::new(6, 2).into()], &["gru", "head"]),
        (
            "rnn_relu",
            vec![
                SimpleRnn::new(4, 6)
                    .activation(Activation::Relu)
                    .return_sequences(true)
                    .into(),
            ],
            &["rnn"],
        ),
        (
            "rnn_tanh",
            vec![Bidirectional::new(SimpleRnn::new(4, 6).return_sequences(true)).into()],
            &["rnn"],
        ),
        (
            "lstm_projection",
            vec![lstm(4, 6).projection(3).into(), lstm(3, 6).projection(3).into()],
            &["lstm", "lstm"],
        ),
        (
            "lstm_3_bidirectional",
            vec![both(3), both(10), both(10)],
            &["lstm", "lstm", "lstm"],
        ),
        ("lstm_no_bias", vec![lstm(4, 6).use_bias(false).into()], &["lstm"]),
        (
            "layer_norm",
            vec![lstm(4, 6).into(), norm.into(), Dense::new(6, 2).into()],
            &["lstm", "norm", "head"],
        ),
    ];
    for (case, layers, names) in cases {
        let file = format!("pytorch/{case}.safetensors");
        let mut trained = model(&layers);
        trained.load_weights(golden(&file)).unwrap();
        let path = folder.join(format!("{case}.safetensors"));
        trained.save_modules(&path, names).unwrap();
        let saved = std::fs::read(&path).unwrap();
        for (came, went) in tensors(&bytes(&file)).into_iter().zip(tensors(&saved)) {
            assert_eq!((&came.0, &came.1), (&went.0, &went.1), "{case}");
            let changes = came.0.contains("bias_") && !case.starts_with("gru") || case == "gru_float16";
            assert!(changes || came.2 == went.2, "{case}: {}", came.0);
        }
        assert_eq!(bits(&Model::open(&path).unwrap()), bits(&trained), "{case}");
        let mut other = model(&layers);
        other.load_modules(&path, names).unwrap();
        assert_eq!(bits(&other), bits(&trained), "{case}");
    }
}

#[test]
fn what_pytorch_has_no_module_for_is_refused() {
    for (layer, option) in [
        (Layer::from(lstm(4, 6).peepholes(true)), "peepholes"),
        (lstm(4, 6).clip(1.0).into(), "clip"),
        (lstm(4, 6).activation(Activation::Relu).into(), "other activations"),
        (lstm(4, 6).go_backwards(true).into(), "go_backwards"),
        (Gru::new(4, 6).reset_after(false).into(), "reset_after"),
        (
            Bidirectional::new(lstm(4, 6)).merge_mode(MergeMode::Sum).into(),
            "merge mode",
        ),
        (
            Bidirectional::new(lstm(4, 6)).backward_layer(lstm(4, 5)).into(),
            "not alike",
        ),
    ] {
        let error = model(&[layer]).modules_to_bytes(&["module"]).unwrap_err();
        assert!(
            matches!(error, Error::Unsupported { .. }) && error.to_string().contains(option),
            "{error}"
        );
    }
    let two = model(&[lstm(4, 6).into(), lstm(6, 5).into(), Dense::new(5, 1).into()]);
    for (names, text) in [
        (&["lstm", "head"][..], "3 names"),
        (&["lstm", "lstm", "head"], "layer 1 (LSTM): LSTM, 6 features, 5 units"),
        (&["lstm", "head", "head"], "head"),
        (&["lstm", "other", "lstm"], "one behind the other"),
    ] {
        let message = two.modules_to_bytes(names).unwrap_err().to_string();
        assert!(message.contains(text), "{names:?}: {message}");
    }
}

/// Chains of JSON that are wrong, or larger than they should be.
#[test]
fn chains_that_are_wrong_are_refused() {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("wrong_chains");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("gru.pt"), bytes("pytorch/gru.pt")).unwrap();
    let many = format!(
        "{{\"cellstate\": 1, \"layers\": [{}]}}",
        vec!["{\"class\": \"LastStep\"}"; 5000].join(",")
    );
    let deep = "[".repeat(100_000);
    for (chain, text) in [
        ("", "JSON"),
        ("{}", "cellstate"),
        (r#"{"cellstate": 2, "layers": []}"#, "version 2"),
        (r#"{"cellstate": 1, "layers": {}}"#, "a list"),
        (r#"{"cellstate": 1, "layers": [], "more": 1}"#, "more"),
        (r#"{"cellstate": 1, "layers": []}"#, "a layer for each module"),
        (r#"{"cellstate": 1, "layers": [{"class": "Conv1D"}]}"#, "Conv1D"),
        (
            r#"{"cellstate": 1, "layers": [{"class": "GRU", "units": 6}]}"#,
            "features",
        ),
        (
            r#"{"cellstate": 1, "layers": [{"class": "GRU", "features": -4, "units": 6}]}"#,
            "-4",
        ),
        (
            r#"{"cellstate": 1, "layers": [{"class": "GRU", "features": 4, "units": 6, "clip": 1e300}]}"#,
            "1e+300",
        ),
        (
            r#"{"cellstate": 1, "layers": [{"class": "GRU", "features": 4, "units": 6, "activation": "glue"}]}"#,
            "glue",
        ),
        (
            r#"{"cellstate": 1, "layers": [{"class": "GRU", "features": 4, "units": 6, "peepholes": true}]}"#,
            "peepholes",
        ),
        (
            r#"{"cellstate": 1, "layers": [{"class": "GRU", "features": 4, "units": 600000}]}"#,
            "GRU, 4 features",
        ),
        (many.as_str(), "4096"),
        (deep.as_str(), "recursion"),
    ] {
        std::fs::write(folder.join("gru.json"), chain).unwrap();
        let message = Model::open(folder.join("gru.pt")).unwrap_err().to_string();
        assert!(message.contains(text), "{text}: {message}");
    }
}
