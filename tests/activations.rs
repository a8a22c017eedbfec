//! Every activation against Keras 3.15 (golden/cases/keras_activations.safetensors, golden/special_values.txt), and those with
//! parameters against ONNX Runtime.
#![allow(clippy::panic, reason = "tests fail by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use cellstate::{Activation, Dense, Device, Error, Lstm, Model, Sequences, Settings, Strategy};
use ndarray::{Array2, Array3, Axis, array};
use safetensors::SafeTensors;

#[path = "support/devices.rs"]
mod devices;
#[path = "support/drawn.rs"]
mod drawn;

type Failure = Box<dyn std::error::Error>;

/// No rounding of float32, for values up to 1 and beyond that for each 1.
const ROUNDING: f64 = 3e-7;

fn numbers(file: &SafeTensors<'_>, name: &str) -> Result<(Vec<usize>, Vec<f32>), Failure> {
    let tensor = file.tensor(name)?;
    let values = tensor
        .data()
        .as_chunks::<4>()
        .0
        .iter()
        .map(|bytes| f32::from_le_bytes(*bytes))
        .collect();
    Ok((tensor.shape().to_vec(), values))
}

#[test]
fn every_activation_is_that_of_keras() -> Result<(), Failure> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/cases/keras_activations.safetensors");
    let bytes = std::fs::read(path)?;
    let (_, header) = SafeTensors::read_metadata(&bytes)?;
    let case = header
        .metadata()
        .as_ref()
        .and_then(|entries| entries.get("case"))
        .ok_or("no case in the header")?;
    let case: serde_json::Value = serde_json::from_str(case)?;
    let file = SafeTensors::deserialize(&bytes)?;
    let (shape, x) = numbers(&file, "x")?;
    let width = *shape.last().ok_or("x has no axes")?;
    let names = case["names"].as_array().ok_or("no names")?;
    // one is Keras 2's
    assert_eq!(names.len() + 1, Activation::ALL.len());

    for name in names {
        let name = name.as_str().ok_or("a name that is no text")?;
        let tensor = format!("y.{name}");
        let bound = |kind: &str| case["tolerance"][&tensor][kind].as_f64().ok_or("no tolerance");
        let (absolute, relative) = (bound("atol")?, bound("rtol")?);
        let (_, want) = numbers(&file, &tensor)?;
        let mut got = x.clone();
        Activation::from_name(name)?.apply(&mut got, width);
        assert_eq!(got.len(), want.len(), "{name}");
        let mut largest = 0.0_f64;
        for ((x, got), want) in x.iter().zip(&got).zip(&want) {
            let (got, want) = (f64::from(*got), f64::from(*want));
            let error = (got - want).abs();
            // Negated, so that NaN fails.
            #[allow(clippy::neg_cmp_op_on_partial_ord, reason = "NaN must fail")]
            let wrong = !(error <= absolute + relative * want.abs());
            assert!(!wrong, "{name}({x}): expected {want}, got {got}");
            largest = largest.max(error / want.abs().max(1.0));
        }
        println!("{name:15} largest error {largest:.1e}");
        // Far below what the case allows: float32 rounding.
        assert!(largest < ROUNDING, "{name}: {largest}");
    }
    Ok(())
}

/// A function with its rows, and what each row becomes.
struct Function {
    activation: Activation,
    width: usize,
    x: Vec<f32>,
    want: Vec<f32>,
}

/// golden/special_values.txt.
struct Table {
    names: BTreeSet<String>,
    /// By what stands before the numbers.
    functions: BTreeMap<String, Function>,
}

fn list(text: &str) -> Result<Vec<f32>, Failure> {
    Ok(text.split(',').map(str::parse).collect::<Result<_, _>>()?)
}

fn table() -> Result<Table, Failure> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/special_values.txt");
    let (mut names, mut functions) = (BTreeSet::new(), BTreeMap::new());
    for line in std::fs::read_to_string(path)?.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (key, activation, x, want) = match words[..] {
            ["#", ..] => continue,
            ["name", name] => {
                names.insert(name.to_owned());
                continue;
            }
            // the true value, where Keras lost it
            ["value", name, x, want] | ["value", name, x, _, want] | ["row", name, x, want] => {
                (name.to_owned(), Activation::from_name(name)?, x, want)
            }
            ["onnx", name, alpha, beta, x, want] => {
                let given = |text: &str| (text != "-").then(|| text.parse()).transpose();
                let activation = Activation::from_onnx(name, given(alpha)?, given(beta)?)?;
                (format!("onnx {name} {alpha} {beta}"), activation, x, want)
            }
            _ => return Err(format!("special_values.txt: {line}").into()),
        };
        let (x, want) = (list(x)?, list(want)?);
        assert_eq!(x.len(), want.len(), "{line}");
        let function = functions.entry(key).or_insert_with(|| Function {
            activation,
            width: x.len(),
            x: Vec::new(),
            want: Vec::new(),
        });
        function.x.extend(x);
        function.want.extend(want);
    }
    Ok(Table { names, functions })
}

/// Whether a value is the one wanted: NaN where NaN is wanted, the same infinity, or a number next to it.
fn is_wanted(got: f32, want: f32, rounding: f64) -> bool {
    if want.is_nan() || want.is_infinite() {
        return got.is_nan() == want.is_nan() && (want.is_nan() || got == want);
    }
    got.is_finite() && (f64::from(got) - f64::from(want)).abs() <= rounding * f64::from(want).abs().max(1.0)
}

fn check(name: &str, function: &Function, got: &[f32], rounding: f64) {
    assert_eq!(got.len(), function.want.len(), "{name}");
    let rows = function.x.chunks(function.width);
    for ((x, got), want) in rows
        .zip(got.chunks(function.width))
        .zip(function.want.chunks(function.width))
    {
        let fits = got.iter().zip(want).all(|(got, want)| is_wanted(*got, *want, rounding));
        assert!(fits, "{name}({x:?}): expected {want:?}, got {got:?}");
    }
}

#[test]
fn the_comparison_refuses_what_it_must() {
    let (nan, infinity) = (f32::NAN, f32::INFINITY);
    for (got, want) in [
        (nan, 0.0),
        (0.0, nan),
        (infinity, nan),
        (nan, infinity),
        (-infinity, infinity),
        (f32::MAX, infinity),
        (infinity, f32::MAX),
        (1.000_001, 1.0),
        (1e-6, 0.0),
    ] {
        assert!(!is_wanted(got, want, ROUNDING), "{got} for {want}");
    }
    for (got, want) in [
        (nan, nan),
        (-infinity, -infinity),
        (-0.0, 0.0),
        (1.000_000_1, 1.0),
        (1e-45, 0.0),
    ] {
        assert!(is_wanted(got, want, ROUNDING), "{got} for {want}");
    }
}

#[test]
fn special_values_are_those_of_keras_and_onnx() -> Result<(), Failure> {
    let table = table()?;
    assert_eq!(table.functions.len(), 27 + 16);
    for (name, function) in &table.functions {
        let mut got = function.x.clone();
        function.activation.apply(&mut got, function.width);
        check(name, function, &got, ROUNDING);
    }
    Ok(())
}

/// As the activation of a Dense layer that hands on its input. No exceptions: lavapipe keeps infinities and NaN.
#[test]
fn special_values_are_the_same_on_every_device() -> Result<(), Failure> {
    let table = table()?;
    for device in devices::devices() {
        // what WGSL's exp may be off by
        let rounding = if device.gpu().is_some() { 1e-5 } else { ROUNDING };
        for (number, (name, function)) in table.functions.iter().enumerate() {
            if device.gpu().is_some() && !drawn::is_drawn(number, 3) {
                continue;
            }
            if function.width == 1 {
                let dense = Dense::new(1, 1).activation(function.activation);
                let dense = dense.with_weights(array![[1.0]], None)?;
                let x = Array3::from_shape_vec((1, function.x.len(), 1), function.x.clone())?;
                let output = dense.on(&device)?.run(&Sequences::from(&x))?;
                let got: Vec<f32> = output.sequences()?.iter().copied().collect();
                check(&format!("{}: {name}", device.name()), function, &got, rounding);
                continue;
            }
            // weights are finite and an infinity times 0 is NaN, so that a sum that overflows makes the infinities of a row
            let (rows, wanted) = (function.x.chunks(function.width), function.want.chunks(function.width));
            for (row, want) in rows.zip(wanted) {
                let width = function.width;
                let kernel = Array2::from_shape_fn((2, width), |(k, column)| match (k, row[column]) {
                    (0, x) if x.is_nan() => 2.0,
                    (1, x) if x.is_nan() => -2.0,
                    (0, x) if x.is_infinite() => 2.0 * x.signum(),
                    _ => 0.0,
                });
                let bias = row.iter().map(|x| if x.is_finite() { *x } else { 0.0 }).collect();
                let dense = Dense::new(2, width).activation(function.activation);
                let dense = dense.with_weights(kernel, Some(bias))?;
                let x = Array3::from_elem((2, 1, 2), f32::MAX);
                let output = dense.on(&device)?.run(&Sequences::from(&x))?;
                for got in output.last().axis_iter(Axis(0)) {
                    let fits = got.iter().zip(want).all(|(got, want)| is_wanted(*got, *want, rounding));
                    assert!(fits, "{}: {name}({row:?}): expected {want:?}, got {got}", device.name());
                }
            }
        }
    }
    Ok(())
}

/// Every strategy; the CPU has none, and takes what it takes by itself.
fn settings(device: &Device) -> Vec<Settings> {
    let named = Strategy::ALL.iter().map(|&strategy| Settings::new().strategy(strategy));
    match device.gpu() {
        Some(_) => named.collect(),
        None => vec![Settings::new()],
    }
}

/// The one unit of the issue, by each strategy of each device.
#[test]
fn hard_sigmoid_of_keras_2_and_of_keras_3_in_a_cell() -> Result<(), Failure> {
    for device in devices::devices() {
        for (recurrent_activation, want) in [
            (Activation::HardSigmoidKeras2, 0.671_756_4),
            (Activation::from_onnx("HardSigmoid", None, None)?, 0.671_756_4),
            (Activation::HardSigmoid, 0.587_584_4),
        ] {
            let lstm = Lstm::new(1, 1)
                .recurrent_activation(recurrent_activation)
                .use_bias(false)
                .with_weights(array![[1.0; 4]], array![[0.5; 4]], None)?;
            let model = Model::builder().add(lstm).build()?;
            let mut runs = 0;
            for settings in settings(&device) {
                let Ok(runner) = model.on_with(&device, &settings) else {
                    continue; // a strategy that this device cannot have
                };
                let output = runner.run(&Sequences::from(array![[[1.0], [-0.5], [2.0]]]))?;
                let got = output.last()[[0, 0]];
                let name = format!("{}: {recurrent_activation}, {settings:?}", device.name());
                assert!(is_wanted(got, want, 1e-6), "{name}: expected {want}, got {got}");
                runs += 1;
            }
            assert!(runs > 0, "{}", device.name());
        }
    }
    Ok(())
}

/// The shaders take alpha and beta as the CPU does, in each place of a cell, row-wise functions beside them too.
#[test]
fn parameters_reach_every_strategy() -> Result<(), Failure> {
    let x = Array3::from_shape_fn((3, 5, 2), |(row, step, feature)| {
        ((row * 10 + step * 2 + feature) as f32 * 0.7).sin() * 2.0
    });
    let pairs = [
        (
            Activation::ScaledTanh { alpha: 1.7, beta: 0.6 },
            Activation::HardSigmoidWith { alpha: 0.25, beta: 0.4 },
        ),
        (
            Activation::EluWith { alpha: 0.7 },
            Activation::Affine { alpha: 0.3, beta: 0.1 },
        ),
        (
            Activation::LeakyReluWith { alpha: 0.3 },
            Activation::ThresholdedRelu { alpha: 0.2 },
        ),
        (
            Activation::Softmax,
            Activation::HardSigmoidWith { alpha: 0.25, beta: 0.4 },
        ),
        (Activation::ScaledTanh { alpha: 1.7, beta: 0.6 }, Activation::Softmax),
    ];
    for (activation, recurrent_activation) in pairs {
        let lstm = Lstm::new(2, 9)
            .activation(activation)
            .recurrent_activation(recurrent_activation)
            .return_sequences(true);
        let model = Model::builder().add(lstm).build()?;
        let want = model.on(&Device::cpu())?.run(&Sequences::from(&x))?;
        let want = want.sequences()?;
        for device in devices::devices().iter().skip(1) {
            for settings in settings(device) {
                let Ok(runner) = model.on_with(device, &settings) else {
                    continue;
                };
                let output = runner.run(&Sequences::from(&x))?;
                for (got, want) in output.sequences()?.iter().zip(want.iter()) {
                    let name = format!("{activation}, {recurrent_activation}, {settings:?}");
                    assert!(is_wanted(*got, *want, 1e-5), "{name}: expected {want}, got {got}");
                }
            }
        }
    }
    Ok(())
}

#[test]
fn layers_refuse_parameters_that_are_not_finite() {
    let wrong = Activation::EluWith { alpha: f32::NAN };
    let refused = |made: cellstate::Result<cellstate::Runner>| match made {
        Err(error @ Error::Value { .. }) => assert!(error.to_string().contains("alpha"), "{error}"),
        other => panic!("{other:?}"),
    };
    refused(Dense::new(1, 1).activation(wrong).on(&Device::cpu()));
    refused(Lstm::new(1, 1).activation(wrong).on(&Device::cpu()));
    refused(Lstm::new(1, 1).recurrent_activation(wrong).on(&Device::cpu()));
}

/// Every name of Keras is known: done, or refused with what to use instead; and no name that Keras has not is taken for one of its.
#[test]
fn every_name_of_keras_is_known() -> Result<(), Failure> {
    let names = table()?.names;
    assert_eq!(names.len(), 32);
    let mut refused = Vec::new();
    for name in &names {
        match Activation::from_name(name) {
            Ok(_) => {}
            Err(error @ Error::Unsupported { .. }) => {
                assert!(error.to_string().contains("use "), "{error}");
                refused.push(name.as_str());
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(refused, ["glu", "sparsemax", "threshold"]);
    let own = Activation::ALL
        .iter()
        .filter(|activation| !names.contains(activation.name()));
    assert_eq!(own.collect::<Vec<_>>(), [&Activation::HardSigmoidKeras2]);
    Ok(())
}
