//! Sequences within sequences in the files of Keras: what is refused, and how the outputs depend on the weights.

use std::fs;

use cellstate::{Adam, Error, Layer, Loss, Model, Sequences, Trainer, Upstream};
use ndarray::{Array3, Array4, ArrayD, IxDyn};
use safetensors::SafeTensors;
use serde_json::{Value, json};

use crate::devices::devices;
use crate::keras::{case, model_file, sequences};
use crate::keras_edited::with_config;

fn layers(config: &mut Value) -> &mut Vec<Value> {
    config["config"]["layers"].as_array_mut().unwrap()
}

fn of_class(layer: &Value, class: &str) -> bool {
    layer["class_name"] == class
}

/// A layer of the class within a TimeDistributed.
fn wrapped(layer: Value) -> Value {
    json!({ "class_name": "TimeDistributed", "config": { "name": "each", "layer": layer } })
}

#[track_caller]
fn assert_refused(bytes: &[u8], wanted: &[&str]) {
    let error = Model::from_bytes(bytes, "changed.keras").expect_err(wanted[0]);
    println!("{error}\n");
    for wanted in wanted {
        assert!(error.to_string().contains(wanted), "{wanted:?} is not in: {error}");
    }
}

#[test]
fn sequences_within_sequences_stand_at_the_input() {
    // four axes, and a recurrent layer over all of them
    let axes = with_config("keras_more_gru.keras", |config| {
        layers(config)[0]["config"]["batch_shape"] = json!([null, 5, 4, 3]);
    });
    assert_refused(
        &axes,
        &["GRU", "TimeDistributed", "(batch, words, characters, features)"],
    );
    // three axes, of which a TimeDistributed leaves two
    let each = with_config("keras_more_gru.keras", |config| {
        let gru = layers(config).iter_mut().find(|layer| of_class(layer, "GRU")).unwrap();
        *gru = wrapped(gru.take());
    });
    assert_refused(&each, &["each", "GRU", "(batch, words, characters, features)"]);
    // five axes
    let five = with_config("keras_nested_alone.keras", |config| {
        layers(config)[0]["config"]["batch_shape"] = json!([null, 2, 5, 4, 2]);
    });
    assert_refused(&five, &["5 axes"]);
    let twice = with_config("keras_nested_alone.keras", |config| {
        let first = &mut layers(config)[1];
        *first = wrapped(first.take());
    });
    assert_refused(&twice, &["sequences within sequences within sequences"]);
    // nothing makes one value of each inner sequence
    let open = with_config("keras_nested_alone.keras", |config| {
        layers(config)[1]["config"]["layer"]["config"]["return_sequences"] = true.into();
    });
    assert_refused(&open, &["TimeDistributed", "return_sequences"]);
}

#[test]
fn masks_that_keras_fails_on_are_refused() {
    // without the Masking over words that of the characters reaches an LSTM, a Bidirectional, a BatchNormalization
    let without = |change: &dyn Fn(&mut Vec<Value>)| {
        with_config("keras_nested_masked.keras", |config| {
            let layers = layers(config);
            let last = layers.iter().rposition(|layer| of_class(layer, "Masking")).unwrap();
            layers.remove(last);
            change(layers);
        })
    };
    let wanted = ["mask of the characters", "put a Masking layer behind"];
    assert_refused(&without(&|_| {}), &wanted);
    let normalization = json!({ "class_name": "BatchNormalization", "config": { "name": "norm" } });
    for layer in [normalization.clone(), wrapped(normalization)] {
        assert_refused(&without(&|layers| layers.insert(7, layer.clone())), &wanted);
    }
    // Masking alone in a TimeDistributed masks nothing, but writes zeros
    let alone = |value: f64| {
        with_config("keras_nested_alone.keras", |config| {
            let masking = json!({ "class_name": "Masking", "config": { "name": "padding", "mask_value": value } });
            layers(config).insert(1, wrapped(masking));
        })
    };
    assert_refused(
        &alone(-1.0),
        &["Masking alone", "leave the TimeDistributed around Masking out"],
    );
    // the weights of the LSTM are then those of the second TimeDistributed, which the file has not
    assert_refused(&alone(0.0), &["layers/time_distributed_1/layer"]);
}

#[test]
fn what_ends_with_a_wrapper_is_said() {
    let model = Model::open(model_file("keras_nested_tagger.keras")).unwrap();
    let notes = model.notes().join(" ");
    assert!(notes.contains("masks nothing in spite of mask_zero"), "{notes}");
    let table = model.to_string();
    assert!(table.contains("TimeDistributed"), "{table}");
    assert!(
        table.contains("tokens (batch, time_steps, inner_time_steps)"),
        "{table}"
    );
    let [Layer::TimeDistributed(nested), ..] = model.layers() else {
        panic!("{table}");
    };
    assert_eq!(nested.layers().len(), 2, "{table}");
}

#[test]
fn the_formats_that_have_no_such_thing_refuse() {
    for name in ["keras_nested_tagger.keras", "keras_nested_masked.keras"] {
        let model = Model::open(model_file(name)).unwrap();
        let error = model.to_bytes("model.onnx").unwrap_err();
        assert!(matches!(error, Error::Unsupported { .. }), "{error}");
        assert!(error.to_string().contains("TimeDistributed"), "{error}");
        let bytes = model.to_bytes("model.safetensors").unwrap();
        let again = Model::from_bytes(&bytes, "model.safetensors").unwrap();
        assert_eq!(again.parameters(), model.parameters());
        assert_eq!(again.to_string(), model.to_string());
    }
}

/// The tensor of a file of gradients.
fn tensor(tensors: &SafeTensors<'_>, name: &str) -> ArrayD<f32> {
    let tensor = tensors.tensor(name).unwrap();
    let values = tensor.data().chunks_exact(4);
    let values = values.map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap()));
    ArrayD::from_shape_vec(IxDyn(tensor.shape()), values.collect()).unwrap()
}

#[test]
fn gradients_are_those_of_keras() {
    for name in ["keras_nested_masked", "keras_nested_tagger"] {
        let bytes = fs::read(model_file(&format!("{name}.gradients.safetensors"))).unwrap();
        let tensors = SafeTensors::deserialize(&bytes).unwrap();
        let upstream = tensor(&tensors, "upstream");
        let case = case(name);
        for device in devices() {
            let model = Model::open(model_file(&format!("{name}.keras"))).unwrap();
            let mut trainer = Trainer::new(model, &device, Loss::MeanSquaredError, Adam::new(1e-3)).unwrap();
            let found = trainer
                .gradients(&sequences(&case), None, |_, _| Upstream::new(upstream.clone()))
                .unwrap();
            let mut count = 0;
            for (number, (path, got)) in found.parameters().enumerate() {
                let want = tensor(&tensors, &format!("g{number}"));
                assert_eq!(got.shape(), want.shape(), "{path}");
                for (got, want) in got.iter().zip(&want) {
                    // sums over words and characters in f32, here and in Keras, in another order
                    let close = (got - want).abs() <= 2e-5 + 2e-4 * want.abs();
                    assert!(close, "{name} on {}: {path}: got {got}, want {want}", device.name());
                }
                count += 1;
            }
            assert_eq!(count + 1, tensors.names().len(), "{name}");
        }
    }
}

#[test]
fn inputs_of_the_other_kind_are_named() {
    let nested = Model::open(model_file("keras_nested_alone.keras")).unwrap();
    let flat = Model::open(model_file("keras_more_gru.keras")).unwrap();
    for device in devices() {
        let error = nested
            .on(&device)
            .unwrap()
            .run(&Sequences::from(Array3::zeros((3, 5, 2))));
        let error = error.unwrap_err();
        assert!(matches!(error, Error::InputKind { .. }), "{error}");
        assert!(error.to_string().contains("Sequences::nested"), "{error}");
        let inner = Sequences::nested(Array4::zeros((3, 5, 4, 3))).unwrap();
        let error = flat.on(&device).unwrap().run(&inner).unwrap_err();
        assert!(matches!(error, Error::InputKind { .. }), "{error}");
        assert!(error.to_string().contains("TimeDistributed"), "{error}");
        let wide = Sequences::nested(Array4::zeros((3, 5, 4, 3))).unwrap();
        let error = nested.on(&device).unwrap().run(&wide).unwrap_err();
        assert!(
            matches!(
                error,
                Error::Features {
                    expected: 2,
                    found: 3,
                    ..
                }
            ),
            "{error}"
        );
        let tokens = Sequences::nested_tokens(Array3::zeros((3, 5, 4))).unwrap();
        let error = nested.on(&device).unwrap().run(&tokens).unwrap_err();
        assert!(matches!(error, Error::InputKind { .. }), "{error}");
    }
}
