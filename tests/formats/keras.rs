//! The files of Keras: each of `golden/models` gives the weights and the outputs that its case says, on every device.

use std::fs;
use std::path::PathBuf;

use cellstate::{Device, Error, Model, Sequences};
use ndarray::{Array3, Array4, ArrayD};
use serde_json::Value;

use crate::devices::devices;
use crate::drawn::is_drawn;
use crate::support::golden::{Case, Input, Tensor, Tolerance};
use crate::support::judge::{Closeness, assert_same_bits, compare};

pub(crate) fn folder(name: &str) -> PathBuf {
    let root = std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| PathBuf::from("."), PathBuf::from);
    root.join("golden").join(name)
}

pub(crate) fn model_file(name: &str) -> PathBuf {
    folder("models").join(name)
}

/// The cases of Keras, each with the names of its files.
fn cases() -> Vec<(Case, Vec<String>)> {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder("models"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            let name = path.file_name().unwrap().to_string_lossy();
            name.starts_with("keras_") && name.ends_with(".case.safetensors")
        })
        .collect();
    paths.sort();
    assert!(paths.len() >= 19, "{paths:?}");
    let read = |path: &PathBuf| {
        let case = Case::from_bytes(&fs::read(path).unwrap()).unwrap();
        let files = case.header["files"].as_array().unwrap().iter();
        let files = files.map(|file| file.as_str().unwrap().to_owned()).collect();
        (case, files)
    };
    paths.iter().map(read).collect()
}

pub(crate) fn case(name: &str) -> Case {
    Case::from_bytes(&fs::read(model_file(&format!("{name}.case.safetensors"))).unwrap()).unwrap()
}

pub(crate) fn sequences(case: &Case) -> Sequences<'static> {
    match case.tensors.get("x") {
        Some(Tensor::F32(values)) if values.ndim() == 4 => {
            let values: Array4<f32> = values.clone().into_dimensionality().unwrap();
            return Sequences::nested(values).unwrap();
        }
        Some(Tensor::I32(tokens)) if tokens.ndim() == 3 => {
            let tokens: Array3<i32> = tokens.clone().into_dimensionality().unwrap();
            return Sequences::nested_tokens(tokens).unwrap();
        }
        _ => {}
    }
    match case.input("x").unwrap() {
        Input::Values(values) => Sequences::from(values),
        Input::Tokens(tokens) => Sequences::from(tokens),
    }
}

/// The weights of a case in the order of a model's parameters.
fn weights(case: &Case) -> Vec<ArrayD<f32>> {
    let names: Vec<String> = match case.header.get("layers").and_then(Value::as_array) {
        None => (0..)
            .map(|number| format!("w{number}"))
            .take_while(|name| case.has(name))
            .collect(),
        Some(layers) => {
            let roles = ["embeddings", "kernel", "recurrent_kernel", "bias"];
            let of_layer = |layer: &Value| {
                let prefix = layer["prefix"].as_str().unwrap().to_owned();
                ["", "forward.", "backward."].into_iter().flat_map(move |side| {
                    let prefix = prefix.clone();
                    roles.into_iter().map(move |role| format!("{prefix}{side}{role}"))
                })
            };
            layers.iter().flat_map(of_layer).filter(|name| case.has(name)).collect()
        }
    };
    let all = case.roles.values().filter(|role| *role == "weight").count();
    assert_eq!(names.len(), all, "{}: {names:?}", case.name);
    names.iter().map(|name| case.f32(name).unwrap().clone()).collect()
}

/// The model with the layers of another and weights of its own.
pub(crate) fn drawn_anew(model: &Model) -> Model {
    let mut other = model.clone();
    for parameter in model.parameters() {
        let zeros = ArrayD::zeros(parameter.values().shape());
        other.replace_parameter(parameter.path(), zeros).unwrap();
    }
    other
}

/// What a file gives: the model, or for one of weights alone the layers of the others with its weights.
fn open(case: &Case, file: &str, whole: Option<&Model>) -> Result<Model, Error> {
    let path = model_file(file);
    if !file.ends_with(".weights.h5") {
        return Model::open(&path);
    }
    let whole = whole.unwrap_or_else(|| panic!("{}: no whole model before {file}", case.name));
    let mut model = drawn_anew(whole);
    model.load_weights(&path).map(|()| model)
}

fn assert_weights(model: &Model, case: &Case, what: &str) {
    let want = weights(case);
    let got: Vec<_> = model.parameters().iter().collect();
    assert_eq!(got.len(), want.len(), "{what}: {got:?}");
    for (got, want) in got.iter().zip(&want) {
        // a GRU keeps one row of bias with an axis more
        let want = match got.values().ndim() == want.ndim() {
            true => want.clone(),
            false => want.clone().into_shape_with_order(got.values().shape()).unwrap(),
        };
        assert_same_bits(&format!("{what}: {}", got.path()), got.values(), want.view());
    }
}

/// Whether a model gives on a device what a case says.
fn outputs(model: &Model, case: &Case, device: &Device) -> Result<Closeness, String> {
    let output = model.on(device).unwrap().run(&sequences(case)).unwrap();
    let mut all = Closeness::default();
    for name in case.expected() {
        let got = match name.as_str() {
            "y" | "forward.y" => output.values().to_owned(),
            "backward.y" => output.backward().unwrap().to_owned(),
            other => panic!("{other}"),
        };
        let Tolerance { atol, rtol } = case.tolerance[name];
        let closeness = compare(got.view(), case.f32(name).unwrap().view(), atol, rtol);
        all = all.and(closeness.map_err(|error| format!("{name}: {error}"))?);
    }
    Ok(all)
}

#[test]
fn every_file_gives_the_weights_and_outputs_of_keras() {
    let devices = devices();
    let (mut files, mut failures) = (0, Vec::new());
    for (case, names) in cases() {
        let mut whole = None;
        for name in &names {
            files += 1;
            let model = match open(&case, name, whole.as_ref()) {
                Ok(model) => model,
                Err(error) => {
                    failures.push(format!("{name}: {error}"));
                    continue;
                }
            };
            assert_weights(&model, &case, name);
            // the CPU is the first
            let asked = if is_drawn(files, 3) { devices.len() } else { 1 };
            for device in devices.iter().take(asked) {
                match outputs(&model, &case, device) {
                    Ok(closeness) => println!("{name:<40} {:<40} {closeness}", device.name()),
                    Err(error) => failures.push(format!("{name} on {}: {error}", device.name())),
                }
            }
            if whole.is_none() {
                whole = Some(model);
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(files >= 40, "only {files} files were read");
}

#[test]
fn the_comparison_fails_where_it_should() {
    let case = case("keras_more_gru");
    let mut model = Model::open(model_file("keras_more_gru.keras")).unwrap();
    let run = |model: &Model| outputs(model, &case, &Device::cpu());
    run(&model).unwrap();
    let bias = model.parameters().get("gru_1/bias").unwrap().values().to_owned();
    model.replace_parameter("gru_1/bias", bias * 1.001).unwrap();
    run(&model).unwrap_err();
}

#[test]
fn a_file_in_memory_is_read_as_one_on_disk() {
    let path = model_file("keras_more_gru.keras");
    let (bytes, opened) = (fs::read(&path).unwrap(), Model::open(&path).unwrap());
    let read = Model::from_bytes(&bytes, "anything").unwrap();
    assert_eq!(read.layers(), opened.layers());
    assert_eq!(read.parameters(), opened.parameters());
}
