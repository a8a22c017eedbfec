//! Files of Keras with other contents: what is in the archive is changed before it is read.

use std::fs;
use std::io::{Cursor, Read, Write};

use cellstate::{Error, Layer, Lstm, Model, Result};
use serde_json::Value;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

use crate::keras::model_file;

/// The members of an archive, by name.
pub(crate) fn members(bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut archive = ZipArchive::new(Cursor::new(bytes)).unwrap();
    let member = |index| {
        let mut member = archive.by_index(index).unwrap();
        let mut bytes = Vec::new();
        member.read_to_end(&mut bytes).unwrap();
        (member.name().unwrap().into_owned(), bytes)
    };
    (0..3).map(member).collect()
}

pub(crate) fn packed(members: &[(String, Vec<u8>)], method: CompressionMethod) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in members {
        zip.start_file(name.as_str(), SimpleFileOptions::default().compression_method(method))
            .unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// A golden file whose configuration was changed.
pub(crate) fn with_config(file: &str, change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let mut members = members(&fs::read(model_file(file)).unwrap());
    for (name, bytes) in &mut members {
        if name == "config.json" {
            let mut config: Value = serde_json::from_slice(bytes).unwrap();
            change(&mut config);
            *bytes = config.to_string().into_bytes();
            break;
        }
    }
    packed(&members, CompressionMethod::Stored)
}

pub(crate) fn open(bytes: &[u8]) -> Result<Model> {
    Model::from_bytes(bytes, "changed.keras")
}

/// The options of a layer of a Sequential.
pub(crate) fn options<'a>(config: &'a mut Value, class: &str) -> &'a mut Value {
    let layers = config["config"]["layers"].as_array_mut().unwrap();
    let layer = layers.iter_mut().find(|layer| layer["class_name"] == class).unwrap();
    &mut layer["config"]
}

fn node<'a>(config: &'a mut Value, class: &str) -> &'a mut Value {
    let layers = config["config"]["layers"].as_array_mut().unwrap();
    layers.iter_mut().find(|layer| layer["class_name"] == class).unwrap()
}

#[track_caller]
fn assert_refused(bytes: &[u8], wanted: &[&str]) {
    let error = open(bytes).expect_err(wanted[0]);
    let message = error.to_string();
    println!("{message}\n");
    for wanted in wanted.iter().chain(&["changed.keras"]) {
        assert!(message.contains(wanted), "{wanted:?} is not in: {message}");
    }
}

#[test]
fn what_is_not_known_or_not_done_is_named() {
    let gru = "keras_more_gru.keras";
    let edits: [(&str, &str, &str, Value, &[&str]); 12] = [
        (
            gru,
            "GRU",
            "future_option",
            true.into(),
            &["\"gru\" (GRU)", "future_option = true"],
        ),
        (
            gru,
            "GRU",
            "time_major",
            true.into(),
            &["time_major = true", "(batch, time_steps, features)"],
        ),
        (gru, "GRU", "units", 0.into(), &["units", "from 1 to"]),
        (gru, "GRU", "units", Value::Null, &["units", "from 1 to"]),
        (
            gru,
            "GRU",
            "units",
            5.into(),
            &["layers/gru/cell/vars/0 (kernel)", "[3, 15]", "[3, 12]"],
        ),
        (
            gru,
            "GRU",
            "use_bias",
            false.into(),
            &[
                "layers/gru/cell/vars",
                "2 tensors: kernel, recurrent_kernel",
                "3 tensors",
            ],
        ),
        (
            gru,
            "GRU",
            "activation",
            "my_function".into(),
            &["my_function", "\"gru\" (GRU)"],
        ),
        (
            gru,
            "GRU",
            "return_sequences",
            "yes".into(),
            &["return_sequences", "true or false"],
        ),
        (
            gru,
            "Dense",
            "quantization_config",
            serde_json::json!({"mode": "int8"}),
            &["quantization_config", "(Dense)"],
        ),
        (
            gru,
            "Dense",
            "dtype",
            "int8_from_float32".into(),
            &["int8_from_float32"],
        ),
        (
            "keras_more_norms.keras",
            "BatchNormalization",
            "axis",
            1.into(),
            &["axis = 1", "axis=-1"],
        ),
        (
            "keras_more_norms.keras",
            "LayerNormalization",
            "rms_scaling",
            true.into(),
            &["rms_scaling = true"],
        ),
    ];
    for (file, class, option, value, wanted) in edits {
        assert_refused(
            &with_config(file, |config| options(config, class)[option] = value),
            wanted,
        );
    }
}

#[test]
fn what_changes_nothing_in_inference_is_passed_over() {
    let edits: [(&str, Value); 6] = [
        // as in Keras, a layer of which nothing would stay leaves out nothing
        ("dropout", 1.into()),
        ("recurrent_dropout", 1.5.into()),
        ("trainable", false.into()),
        ("unroll", true.into()),
        ("implementation", 1.into()),
        (
            "kernel_regularizer",
            serde_json::json!({"class_name": "L2", "config": {"l2": 0.1}}),
        ),
    ];
    let plain = Model::open(model_file("keras_more_gru.keras")).unwrap();
    for (option, value) in edits {
        let model = open(&with_config("keras_more_gru.keras", |config| {
            options(config, "GRU")[option] = value
        }))
        .unwrap();
        assert_eq!(model.layers(), plain.layers(), "{option}");
        let acts_in_training = !matches!(option, "unroll" | "implementation");
        let notes = model.notes().join("\n");
        assert_eq!(
            notes.contains(option) && notes.contains("`Trainer`"),
            acts_in_training,
            "{option}: {notes}"
        );
    }
}

#[test]
fn notes_say_what_was_assumed() {
    let note = |file: &str, wanted: &str| {
        let notes = Model::open(model_file(file)).unwrap().notes().join("\n");
        println!("{file}: {notes}");
        assert!(notes.contains(wanted), "{file}: {notes}");
    };
    note("keras_more_stateful.keras", "\"lstm\" (LSTM) is stateful");
    note("keras_more_mixed.keras", "mixed_float16");
    note("keras_more_float16.keras", "kept as float16");
    note("keras_more_bfloat16.keras", "kept as bfloat16");
    note("keras_more_3_16.keras", "EndMask stands behind it");
    assert!(
        Model::open(model_file("keras_more_gru.keras"))
            .unwrap()
            .notes()
            .is_empty()
    );
    let mut unsaid = members(&fs::read(model_file("keras_more_gru.keras")).unwrap());
    unsaid.retain(|(name, _)| name != "metadata.json");
    let model = open(&packed(&unsaid, CompressionMethod::Stored)).unwrap();
    assert!(model.notes()[0].contains("3.15 was assumed"), "{:?}", model.notes());
}

#[test]
fn ones_own_classes_and_branches_are_named() {
    let gru = |change: &dyn Fn(&mut Value)| with_config("keras_more_gru.keras", |config| change(node(config, "GRU")));
    assert_refused(
        &gru(&|node| node["class_name"] = "Lambda".into()),
        &["Lambda", "Python's code"],
    );
    assert_refused(
        &gru(&|node| node["module"] = "my_models".into()),
        &["\"gru\" (GRU)", "one's own"],
    );
    assert_refused(
        &gru(&|node| node["registered_name"] = "mine>GRU".into()),
        &["\"gru\" (GRU)", "one's own"],
    );
    let model = |change: &dyn Fn(&mut Value)| with_config("keras_more_words.keras", |config| change(config));
    assert_refused(
        &model(&|config| config["class_name"] = "MyModel".into()),
        &["MyModel", "load_weights"],
    );
    let inputs = |config: &mut Value| {
        let first = config["config"]["input_layers"].clone();
        let mut second = first.clone();
        second[0] = "embedding".into();
        config["config"]["input_layers"] = Value::Array(vec![first, second]);
    };
    assert_refused(&model(&inputs), &["\"embedding\"", "no chain"]);
    let outputs = |config: &mut Value| {
        let first = config["config"]["output_layers"].clone();
        let mut second = first.clone();
        second[0] = "lstm_1".into();
        config["config"]["output_layers"] = Value::Array(vec![first, second]);
    };
    assert_refused(&model(&outputs), &["\"lstm_1\"", "no chain"]);
    // an Add of two layers
    let joined = |config: &mut Value| {
        let inbound = &mut node(config, "Dense")["inbound_nodes"][0]["args"];
        let one = inbound[0].clone();
        let mut other = one.clone();
        other["config"]["keras_history"][0] = "embedding".into();
        *inbound = serde_json::json!([[one, other]]);
    };
    assert_refused(&model(&joined), &["\"dense\"", "2 inputs"]);
    let twice = |config: &mut Value| {
        let nodes = node(config, "Dense")["inbound_nodes"].as_array_mut().unwrap();
        nodes.push(nodes[0].clone());
    };
    assert_refused(&model(&twice), &["\"dense\"", "2 calls"]);
    let ring = |config: &mut Value| {
        let inbound = &mut node(config, "Bidirectional")["inbound_nodes"][0]["args"][0];
        inbound["config"]["keras_history"][0] = "dense".into();
    };
    assert_refused(&model(&ring), &["ring"]);
    let another_mask = |config: &mut Value| {
        node(config, "NotEqual")["inbound_nodes"][0]["args"][1] = 3.into();
    };
    assert_refused(&model(&another_mask), &["mask", "do not equal 3"]);
    let initial = |config: &mut Value| {
        let kwargs = &mut node(config, "LSTM")["inbound_nodes"][0]["kwargs"];
        kwargs["initial_state"] = 1.into();
    };
    assert_refused(&model(&initial), &["initial_state", "\"lstm_1\""]);
}

#[test]
fn states_that_are_outputs_are_returned() {
    let bytes = with_config("keras_more_words.keras", |config| {
        let layers = config["config"]["layers"].as_array_mut().unwrap();
        layers.retain(|layer| layer["class_name"] != "Dense");
        options(config, "LSTM")["return_state"] = true.into();
        let output = |number: u64| serde_json::json!(["lstm_1", 0, number]);
        config["config"]["output_layers"] = serde_json::json!([output(0), output(1), output(2)]);
    });
    // the Dense layer's weights are in the file still
    assert_refused(&bytes, &["layers/dense/vars", "one more"]);

    let written = Model::builder().add(Lstm::new(3, 4)).build().unwrap();
    let mut members = members(&written.to_bytes("model.keras").unwrap());
    let tensor = |layer: &str, number: u64| serde_json::json!([layer, 0, number]);
    let config = serde_json::json!({"class_name": "Functional", "config": {
        "name": "functional",
        "layers": [
            {"class_name": "InputLayer", "config": {"batch_shape": [null, null, 3]}, "name": "in", "inbound_nodes": []},
            {"class_name": "LSTM", "config": {"units": 4, "return_state": true}, "name": "lstm",
             "inbound_nodes": [[["in", 0, 0, {}]]]},
        ],
        "input_layers": [tensor("in", 0)],
        "output_layers": [tensor("lstm", 0), tensor("lstm", 1), tensor("lstm", 2)],
    }});
    members.iter_mut().find(|(name, _)| name == "config.json").unwrap().1 = config.to_string().into_bytes();
    let model = open(&packed(&members, CompressionMethod::Stored)).unwrap();
    let [Layer::Recurrent(lstm)] = model.layers() else {
        panic!("{:?}", model.layers());
    };
    assert!(lstm.options().return_state);
    assert!(model.notes()[0].contains("Output::states"), "{:?}", model.notes());
    assert_eq!(model.parameters(), written.parameters());
}

#[test]
fn members_of_the_archive_are_checked() {
    let whole = members(&fs::read(model_file("keras_more_gru.keras")).unwrap());
    let stored = |members: &[(String, Vec<u8>)]| packed(members, CompressionMethod::Stored);
    for missing in ["config.json", "model.weights.h5"] {
        let rest: Vec<_> = whole.iter().filter(|(name, _)| name != missing).cloned().collect();
        assert_refused(&stored(&rest), &[missing]);
    }
    let renamed: Vec<_> = whole
        .iter()
        .map(|(name, bytes)| (format!("../{name}"), bytes.clone()))
        .collect();
    assert_refused(&stored(&renamed), &["config.json"]);
    let mut nested = whole.clone();
    let deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
    nested.iter_mut().find(|(name, _)| name == "config.json").unwrap().1 = deep.into_bytes();
    assert_refused(&stored(&nested), &["config.json, line 1", "recursion limit"]);
    let mut bomb = whole.clone();
    bomb.iter_mut().find(|(name, _)| name == "config.json").unwrap().1 = vec![b' '; 64 << 20];
    assert_refused(
        &packed(&bomb, CompressionMethod::Deflated),
        &["config.json", "67108864 bytes"],
    );
    // twice the same name: the name of the second member is changed afterwards
    let mut twice = whole.clone();
    twice.push(("config.jsom".to_owned(), b"{}".to_vec()));
    let mut bytes = stored(&twice);
    let at: Vec<usize> = bytes
        .windows(11)
        .enumerate()
        .filter(|(_, name)| *name == b"config.jsom")
        .map(|(at, _)| at)
        .collect();
    assert_eq!(at.len(), 2);
    at.iter().for_each(|at| bytes[at + 10] = b'n');
    assert_refused(&bytes, &["one member of each name"]);
    let deep = with_config("keras_more_gru.keras", |config| {
        for _ in 0..40 {
            let inner = config.take();
            *config = serde_json::json!({"class_name": "Sequential", "config": {"name": "outer", "layers": [inner]}});
        }
    });
    assert!(matches!(open(&deep), Err(Error::Content { .. })));
}

/// As many layers as no model has: whatever goes over them takes its time.
#[test]
fn there_is_an_end_to_the_layers() {
    let with = |count: usize| {
        with_config("keras_more_gru.keras", |config| {
            let layers = config["config"]["layers"].as_array_mut().unwrap();
            let more = (0..count).map(|number| {
                serde_json::json!({"class_name": "Dropout", "config": {"name": format!("d{number}"), "rate": 0.5}})
            });
            layers.extend(more);
        })
    };
    open(&with(1000)).unwrap();
    assert_refused(&with(5000), &["at most 4096 layers"]);
    // in models within models
    let nested = with_config("keras_more_gru.keras", |config| {
        let layers = config["config"]["layers"].as_array_mut().unwrap();
        let drop = |number: usize| serde_json::json!({"class_name": "Dropout", "config": {"name": format!("d{number}"), "rate": 0.5}});
        let drops: Vec<Value> = (0..2000).map(drop).collect();
        let inner = |number: usize| serde_json::json!({"class_name": "Sequential", "config": {"name": format!("s{number}"), "layers": drops.clone()}});
        layers.extend((0..3).map(inner));
    });
    assert_refused(&nested, &["at most 4096 layers"]);
}
