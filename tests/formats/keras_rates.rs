//! What Keras's files say for training: rates are taken over, and what is not is said once.

use cellstate::Layer;

use crate::keras_edited::{open, options, with_config};

#[test]
fn rates_of_recurrent_layers_are_taken_over() {
    for (option, wanted) in [("dropout", [0.25, 0.0]), ("recurrent_dropout", [0.0, 0.25])] {
        let file = with_config("keras_more_gru.keras", |config| {
            options(config, "GRU")[option] = 0.25.into()
        });
        let model = open(&file).unwrap();
        let rates = model.layers().iter().find_map(|layer| match layer {
            Layer::Recurrent(layer) => Some([layer.dropout_rate(), layer.recurrent_dropout_rate()]),
            _ => None,
        });
        assert_eq!(rates, Some(wanted), "{option}");
        assert!(model.notes().is_empty(), "{:?}", model.notes());
        assert!(model.to_string().contains(&format!("{option}=0.25")), "{model}");
        let again = open(&model.to_bytes("again.keras").unwrap()).unwrap();
        assert!(again.to_string().contains(&format!("{option}=0.25")), "{again}");
    }
}

#[test]
fn what_is_not_taken_over_is_said_once() {
    fn wrapped(config: &mut serde_json::Value) -> &mut serde_json::Value {
        &mut options(config, "TimeDistributed")["layer"]["config"]
    }
    for (file, inner) in [
        ("keras_nested_alone.keras", "\"lstm\" (LSTM) in"),
        ("keras_nested_within.keras", "\"gru\" (GRU)"),
        ("keras_tagger.keras", "\"dense\" (Dense) in"),
    ] {
        let file = with_config(file, |config| {
            options(config, "TimeDistributed")["trainable"] = false.into();
            let mut layer = wrapped(config);
            layer["trainable"] = false.into();
            if layer.get("layers").is_some() {
                let layers = layer["layers"].as_array_mut().unwrap();
                layer = &mut layers.last_mut().unwrap()["config"];
                layer["trainable"] = false.into();
            }
            layer["kernel_regularizer"] = "l2".into();
        });
        let model = open(&file).unwrap();
        for option in ["kernel_regularizer = \"l2\"", "trainable = false"] {
            let notes = model.notes().iter().filter(|note| note.contains(option));
            let notes: Vec<&String> = notes.collect();
            assert!(
                notes.len() == 1 && notes[0].contains(inner),
                "{option}: {:?}",
                model.notes()
            );
        }
    }
    // the wrapper alone may say that nothing within is trained, and a layer of noise may stand in one
    let file = with_config("keras_tagger.keras", |config| {
        options(config, "TimeDistributed")["trainable"] = false.into();
    });
    let notes = open(&file).unwrap().notes().join("\n");
    assert!(
        notes.contains("\"time_distributed\" (TimeDistributed): trainable = false"),
        "{notes}"
    );
}
