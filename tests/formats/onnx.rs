//! ONNX files: those that PyTorch and Keras exported, and the golden cases of the operators as files, against ONNX Runtime.

use std::fs;
use std::path::{Path, PathBuf};

use cellstate::{Device, Layer, Model, Output, Sequences};
use ndarray::{Array2, Array3, ArrayD, Axis, Ix4, concatenate};
use serde_json::Value;

use super::devices::quiet_devices;
use super::onnx_made::WRITTEN_OUT;
use super::support::golden::{Case, Input, Tensor};
use super::support::judge::{assert_close, assert_same_bits};

fn golden() -> PathBuf {
    let root = std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    root.join("golden")
}

pub(crate) fn open(path: &Path) -> Model {
    Model::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The ONNX files of a folder whose names begin so.
pub(crate) fn files(folder: &str, begin: &str) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = fs::read_dir(golden().join(folder))
        .expect("the golden files")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|end| end == "onnx"))
        .filter(|path| {
            path.file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with(begin))
        })
        .collect();
    paths.sort();
    assert!(!paths.is_empty(), "no {begin}*.onnx in golden/{folder}");
    paths
}

/// A case of these tests: fewer fields than the others have.
struct Kept {
    tensors: std::collections::BTreeMap<String, Tensor>,
    atol: f64,
    rtol: f64,
}

impl Kept {
    fn beside(path: &Path) -> Self {
        let bytes = fs::read(path.with_extension("case.safetensors")).expect("a case beside the file");
        let (_, header) = safetensors::SafeTensors::read_metadata(&bytes).expect("a header");
        let text = header
            .metadata()
            .as_ref()
            .and_then(|map| map.get("case"))
            .expect("a case");
        let case: Value = serde_json::from_str(text).expect("JSON");
        let file = safetensors::SafeTensors::deserialize(&bytes).expect("tensors");
        let tensors = file.tensors().into_iter().map(|(name, view)| {
            let shape = view.shape().to_vec();
            let chunks = view.data().as_chunks::<4>().0.iter();
            let tensor = match view.dtype() {
                safetensors::Dtype::F32 => {
                    let values = chunks.map(|bytes| f32::from_le_bytes(*bytes)).collect();
                    Tensor::F32(ArrayD::from_shape_vec(shape, values).expect("a shape"))
                }
                _ => {
                    let values = chunks.map(|bytes| i32::from_le_bytes(*bytes)).collect();
                    Tensor::I32(ArrayD::from_shape_vec(shape, values).expect("a shape"))
                }
            };
            (name, tensor)
        });
        Self {
            tensors: tensors.collect(),
            atol: case["tolerance"]["atol"].as_f64().expect("atol"),
            rtol: case["tolerance"]["rtol"].as_f64().expect("rtol"),
        }
    }

    fn f32(&self, name: &str) -> Option<&ArrayD<f32>> {
        match self.tensors.get(name) {
            Some(Tensor::F32(tensor)) => Some(tensor),
            _ => None,
        }
    }

    fn run(&self, model: &Model, device: &Device) -> Output {
        let runner = model.on(device).expect("a runner");
        let output = match &self.tensors["x"] {
            Tensor::F32(x) => {
                let x: Array3<f32> = x.clone().into_dimensionality().expect("three axes");
                runner.run(&Sequences::from(x))
            }
            Tensor::I32(x) => {
                let x: Array2<i32> = x.clone().into_dimensionality().expect("two axes");
                runner.run(&Sequences::from(x))
            }
            Tensor::U8(_) => panic!("x of bytes"),
        };
        output.expect("a run")
    }
}

/// What an exporter wrote gives what ONNX Runtime gives, on every device.
#[test]
fn exported_files_give_what_onnx_runtime_gives() {
    let devices = quiet_devices();
    let mut read = 0;
    let mut failures = Vec::new();
    for begin in ["torch_", "keras_"] {
        for path in files("onnx", begin) {
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            if WRITTEN_OUT.contains(&name.as_str()) {
                continue;
            }
            let model = match Model::open(&path) {
                Ok(model) => model,
                Err(error) => {
                    failures.push(error.to_string());
                    continue;
                }
            };
            let kept = Kept::beside(&path);
            for device in &devices {
                let output = kept.run(&model, device);
                let what = format!("{name} on {}", device.name());
                assert_close(
                    &what,
                    output.values(),
                    kept.f32("y").expect("y").view(),
                    kept.atol,
                    kept.rtol,
                );
                for (state, values) in [("h_n", 0), ("c_n", 1)] {
                    let Some(want) = kept.f32(state) else { continue };
                    let got = &output.states()[0];
                    let got = if values == 0 {
                        got.hidden()
                    } else {
                        got.cell().expect("a cell state")
                    };
                    let want = want.index_axis(Axis(0), 0);
                    assert_close(&format!("{what}: {state}"), got.into_dyn(), want, kept.atol, kept.rtol);
                }
            }
            read += 1;
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(read >= 38, "{read} files");
}

/// The layers are those that the framework had, not a pile of parts.
#[test]
fn exported_files_become_the_layers_of_the_framework() {
    let layers = |name: &str| -> Vec<&'static str> {
        let model = open(&golden().join("onnx").join(name));
        model.layers().iter().map(Layer::class).collect()
    };
    for kind in ["dynamo", "script"] {
        let of = |name: &str| layers(&format!("torch_{name}_{kind}.onnx"));
        assert_eq!(of("last"), ["LSTM", "Dense"]);
        assert_eq!(of("gru_stack"), ["Bidirectional", "Bidirectional", "Dense"]);
        assert_eq!(of("dropout"), ["LSTM", "LSTM", "LSTM", "Dense"]);
        assert_eq!(of("tokens"), ["Embedding", "LSTM", "Dense"]);
        assert_eq!(of("hidden_both"), ["Bidirectional", "Bidirectional", "Dense"]);
        assert_eq!(of("last_both"), ["Bidirectional", "LastStep", "Dense"]);
        assert_eq!(of("batch_norm"), ["LSTM", "BatchNormalization", "Dense"]);
        assert_eq!(of("layer_norm_steps"), ["LSTM", "LayerNormalization", "Dense"]);
        assert_eq!(of("bare"), ["LSTM", "LSTM", "Activation"]);
    }
    assert_eq!(layers("keras_lstm.onnx"), ["LSTM", "LSTM", "Dense"]);
    assert_eq!(layers("keras_bidirectional_last.onnx"), ["Bidirectional", "Dense"]);
    assert_eq!(layers("keras_sum.onnx"), ["Bidirectional", "LSTM", "Dense"]);
    assert_eq!(layers("keras_tokens.onnx"), ["Embedding", "LSTM", "Dense"]);
    assert_eq!(layers("keras_flatten.onnx"), ["LSTM", "Flatten", "Dense"]);
    assert_eq!(layers("keras_encoder.onnx"), ["LSTM", "RepeatVector", "LSTM", "Dense"]);
    assert_eq!(layers("keras_hard_silu.onnx"), ["LSTM", "Dense", "Dense"]);
    let table = open(&golden().join("onnx/keras_hard_silu.onnx")).to_string();
    assert!(table.contains("hard_sigmoid") && table.contains("hard_silu"), "{table}");
}

/// What the file has otherwise is told.
#[test]
fn what_stands_otherwise_in_a_file_is_noted() {
    let notes = |name: &str| open(&golden().join("onnx").join(name)).notes().join("\n");
    assert!(notes("torch_time_major_script.onnx").contains("is (time_steps, batch, features)"));
    assert!(notes("torch_gru_stack_static.onnx").contains("fixes batch 3 and time_steps 7"));
    assert_eq!(notes("torch_last_script.onnx"), "");
    assert!(notes("onnx_lstm_sequence_lens.onnx").contains("Sequences::with_lengths"));
    assert!(notes("onnx_lstm_initial_state.onnx").contains("run_from"));
}

/// The golden model files: their weights, and what they give.
#[test]
fn golden_models_have_the_weights_and_give_the_values() {
    let devices = quiet_devices();
    for (case, names) in [
        ("onnx_hand", &["onnx_hand.onnx"][..]),
        (
            "torch_bilstm",
            &[
                "torch_bilstm.static.onnx",
                "torch_bilstm.dynamic.onnx",
                "torch_bilstm.torchscript.onnx",
            ],
        ),
    ] {
        let bytes = fs::read(golden().join(format!("models/{case}.case.safetensors"))).expect("the case");
        let case = Case::from_bytes(&bytes).expect("a case");
        let tolerance = case.tolerance["y"];
        for name in names {
            let model = open(&golden().join("models").join(name));
            has_weights(&model, &case, name);
            let Input::Values(x) = case.input("x").expect("x") else {
                panic!("x of tokens")
            };
            for device in &devices {
                let output = model
                    .on(device)
                    .expect("a runner")
                    .run(&Sequences::from(&x))
                    .expect("a run");
                let want = case.f32("y").expect("y").view();
                let what = format!("{name} on {}", device.name());
                assert_close(&what, output.values(), want, tolerance.atol, tolerance.rtol);
            }
        }
    }
}

fn has_weights(model: &Model, case: &Case, name: &str) {
    let same = |path: &str, want: ArrayD<f32>| {
        let parameter = model.parameters().get(path).expect("a weight");
        assert_same_bits(&format!("{name}: {path}"), parameter.values(), want.view());
    };
    let f32_2 = |tensor: &str| case.f32_2(tensor).expect("a tensor");
    if case.name == "onnx_hand" {
        let w: Array3<f32> = case
            .f32("W")
            .expect("W")
            .clone()
            .into_dimensionality()
            .expect("three axes");
        let units = 8;
        let order = [0, 2, 3, 1].map(|gate| w.slice(ndarray::s![0, gate * units..(gate + 1) * units, ..]));
        let kernel = concatenate(Axis(0), &order).expect("gates").reversed_axes();
        same("lstm/kernel", kernel.as_standard_layout().into_owned().into_dyn());
        same(
            "dense/kernel",
            f32_2("dense_w")
                .reversed_axes()
                .as_standard_layout()
                .into_owned()
                .into_dyn(),
        );
        same("dense/bias", case.f32("dense_b").expect("a bias").clone());
        return;
    }
    for (layer, place) in [("bidirectional", 0), ("bidirectional_1", 1)] {
        for (direction, end) in [("forward_layer", ""), ("backward_layer", "_reverse")] {
            let turned = |tensor: &str| {
                let tensor = f32_2(&format!("lstm.{tensor}_l{place}{end}"));
                tensor.reversed_axes().as_standard_layout().into_owned().into_dyn()
            };
            same(&format!("{layer}/{direction}/kernel"), turned("weight_ih"));
            same(&format!("{layer}/{direction}/recurrent_kernel"), turned("weight_hh"));
        }
    }
    same(
        "dense/kernel",
        f32_2("linear.weight")
            .reversed_axes()
            .as_standard_layout()
            .into_owned()
            .into_dyn(),
    );
}

/// Every attribute of the operators, through a file: outputs and final states of ONNX Runtime.
#[test]
fn golden_cases_as_files_give_their_values() {
    let devices = quiet_devices();
    let paths = files("onnx", "onnx_");
    assert_eq!(paths.len(), 15);
    for path in paths {
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        let bytes = fs::read(golden().join(format!("cases/{name}.safetensors"))).expect("the case");
        let case = Case::from_bytes(&bytes).expect("a case");
        let model = open(&path);
        for device in &devices {
            of_operator(&case, &model, device);
        }
    }
}

fn of_operator(case: &Case, model: &Model, device: &Device) {
    let batch_first = case.header["node"]["attributes"]["layout"] == 1;
    let three = |name: &str| -> Array3<f32> {
        case.f32(name)
            .expect(name)
            .clone()
            .into_dimensionality()
            .expect("three axes")
    };
    // (batch, time_steps, features), and the states of each direction (directions, batch, units)
    let turned = |array: Array3<f32>| {
        if batch_first {
            array.permuted_axes([1, 0, 2])
        } else {
            array
        }
    };
    let x = if batch_first {
        three("x")
    } else {
        three("x").permuted_axes([1, 0, 2])
    };
    let mut sequences = Sequences::from(x.as_standard_layout().into_owned());
    if let Some(Tensor::I32(lengths)) = case.tensors.get("sequence_lens") {
        let lengths: Vec<usize> = lengths.iter().map(|&length| length as usize).collect();
        sequences = sequences.with_lengths(&lengths).expect("lengths");
    }
    let runner = model.on(device).expect("a runner");
    let mut states = runner.zero_state(sequences.batch());
    for (place, state) in states.iter_mut().enumerate() {
        if case.has("initial_h") {
            let initial = turned(three("initial_h"));
            state.hidden_mut().assign(&initial.index_axis(Axis(0), place));
        }
        if case.has("initial_c") {
            let initial = turned(three("initial_c"));
            state
                .cell_mut()
                .expect("a cell state")
                .assign(&initial.index_axis(Axis(0), place));
        }
    }
    let output = runner.run_from(&sequences, &mut states).expect("a run");
    let what = |tensor: &str| format!("{}: {tensor} on {}", case.name, device.name());
    let y = case
        .f32("y")
        .expect("y")
        .clone()
        .into_dimensionality::<Ix4>()
        .expect("four axes");
    // (batch, time_steps, directions, units)
    let y = if batch_first { y } else { y.permuted_axes([2, 0, 1, 3]) };
    let directions: Vec<_> = y.axis_iter(Axis(2)).collect();
    let y = concatenate(Axis(2), &directions).expect("directions");
    let tolerance = case.tolerance["y"];
    assert_close(
        &what("y"),
        output.values(),
        y.view().into_dyn(),
        tolerance.atol,
        tolerance.rtol,
    );
    for (name, cell) in [("h_n", false), ("c_n", true)] {
        if !case.has(name) {
            continue;
        }
        let want = turned(three(name));
        let tolerance = case.tolerance[name];
        assert_eq!(output.states().len(), want.len_of(Axis(0)), "{}", what(name));
        for (state, want) in output.states().iter().zip(want.outer_iter()) {
            let got = if cell {
                state.cell().expect("a cell state")
            } else {
                state.hidden()
            };
            assert_close(
                &what(name),
                got.into_dyn(),
                want.into_dyn(),
                tolerance.atol,
                tolerance.rtol,
            );
        }
    }
}
