//! The library against the golden values: every case, on the CPU and on every GPU adapter asked for.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

#[path = "support/devices.rs"]
mod devices;
#[path = "support/models.rs"]
#[allow(dead_code, reason = "each test binary uses a part of this")]
mod models;
mod support;

use std::panic::{AssertUnwindSafe, catch_unwind};

use cellstate::{Activation, Dense, Device, Lstm, LstmWeights, Sequences};
use ndarray::Array2;
use serde_json::Value;
use support::{
    golden::{self, Case},
    initial_weights,
    judge::{Closeness, compare},
    layers::{Chain, LayerSpec, Refusal},
    play::play,
};

/// What is known and left to later work. (Classes of layers: `Refusal::NotYet`.)
const KINDS_NOT_YET: [&str; 3] = ["gradient", "training", "model"];
const FRAMEWORKS_NOT_YET: [&str; 2] = ["torch", "onnxruntime"];

/// The lines of the report, and what failed.
#[derive(Debug, Default)]
struct Report {
    runs: usize,
    not_yet: usize,
    failures: Vec<String>,
}

impl Report {
    /// One run of a case, on one device.
    fn run(&mut self, case: &str, device: &str, verdict: impl FnOnce() -> Result<Closeness, Refusal>) {
        let verdict = catch_unwind(AssertUnwindSafe(verdict));
        let verdict = verdict.unwrap_or_else(|_| Err(Refusal::Cannot("the library panicked".to_owned())));
        match verdict {
            Ok(closeness) => {
                self.runs += 1;
                println!("{case:<44} {device:<40} {closeness}");
            }
            Err(Refusal::NotYet(what)) => {
                self.not_yet += 1;
                println!("{case:<44} {device:<40} not yet: {what}");
            }
            Err(Refusal::Cannot(message)) => {
                self.runs += 1;
                println!("{case:<44} {device:<40} FAILED: {message}");
                self.failures.push(format!("{case} on {device}: {message}"));
            }
        }
    }
}

#[test]
fn every_case_on_every_device() {
    let cases = golden::cases();
    let devices = devices::devices();
    let mut report = Report::default();
    for case in &cases {
        let kind = case.kind.as_str();
        let name = case.name.as_str();
        if FRAMEWORKS_NOT_YET.contains(&case.framework.as_str()) {
            let what = format!("framework {}", case.framework);
            report.run(name, "-", || Err(Refusal::NotYet(what)));
        } else if case.framework != "keras" {
            let what = format!("framework {}", case.framework);
            report.run(name, "-", || Err(Refusal::Cannot(what)));
        } else if KINDS_NOT_YET.contains(&kind) {
            report.run(name, "-", || Err(Refusal::NotYet(format!("kind {kind}"))));
        } else {
            match kind {
                "forward" | "stateful" => match Chain::from_case(case) {
                    Err(refusal) => report.run(name, "-", || Err(refusal)),
                    Ok(chain) => {
                        for device in &devices {
                            report.run(name, &device.name(), || forward(case, &chain, device));
                        }
                    }
                },
                "activations" => activations(case, &devices, &mut report),
                "init" => report.run(name, "host", || init(case)),
                other => report.run(name, "-", || Err(Refusal::Cannot(format!("kind {other}")))),
            }
        }
    }
    println!(
        "{} cases, {} runs, {} failed; {} cases not yet",
        cases.len(),
        report.runs,
        report.failures.len(),
        report.not_yet
    );
    let failures = report.failures;
    assert!(
        failures.is_empty(),
        "{} runs failed:\n{}",
        failures.len(),
        failures.join("\n")
    );
    assert!(report.runs > 0, "no case was run");
}

/// `forward` and `stateful`.
fn forward(case: &Case, chain: &Chain, device: &Device) -> Result<Closeness, Refusal> {
    let initial = chain.initial_states(case)?;
    let stateful = case.kind == "stateful";
    let mut library = models::Library::new(&chain.layers, device, initial, stateful)?;
    Ok(play(case, chain, &mut library)?)
}

/// Each activation as that of a Dense layer whose kernel is the identity.
fn activations(case: &Case, devices: &[Device], report: &mut Report) {
    let names = case.header["names"].as_array().cloned().unwrap_or_default();
    if names.is_empty() {
        report.run(&case.name, "-", || Err(Refusal::Cannot("no `names`".to_owned())));
    }
    for name in names.iter().filter_map(Value::as_str) {
        for device in devices {
            report.run(&format!("{} {name}", case.name), &device.name(), || {
                activation(case, name, device)
            });
        }
    }
}

fn activation(case: &Case, name: &str, device: &Device) -> Result<Closeness, Refusal> {
    let text = |error: cellstate::Error| error.to_string();
    let x = case.f32_2("x")?;
    let (rows, features) = x.dim();
    let dense = Dense::new(features, features)
        .activation(Activation::from_name(name).map_err(text)?)
        .with_weights(Array2::eye(features), None)
        .map_err(text)?;
    let x = x
        .into_shape_with_order((1, rows, features))
        .map_err(|error| error.to_string())?;
    let output = dense.on(device).map_err(text)?.run(&Sequences::from(x)).map_err(text)?;
    let got = output.values().to_owned().into_shape_with_order(vec![rows, features]);
    let got = got.map_err(|error| error.to_string())?;
    let tensor = format!("y.{name}");
    let tolerance = case
        .tolerance
        .get(&tensor)
        .ok_or(format!("{tensor} has no tolerance"))?;
    Ok(compare(
        got.view(),
        case.f32(&tensor)?.view(),
        tolerance.atol,
        tolerance.rtol,
    )?)
}

/// Fresh weights meet the rules, whatever the seed; the same seed gives the same weights, another seed others.
fn init(case: &Case) -> Result<Closeness, Refusal> {
    let chain = Chain::from_case(case)?;
    let [LayerSpec::Recurrent { cell, .. }] = chain.layers.as_slice() else {
        return Err(Refusal::Cannot("init of anything but one LSTM".to_owned()));
    };
    let forget = case.header["layers"][0]["config"]["unit_forget_bias"].as_bool();
    let forget = forget.ok_or("unit_forget_bias is not given".to_owned())?;
    let draw = |seed: Option<u64>| -> Result<LstmWeights, Refusal> {
        let lstm = Lstm::new(cell.features(), cell.units()).unit_forget_bias(forget);
        let lstm = match seed {
            Some(seed) => lstm.seed(seed),
            None => lstm,
        };
        let weights = lstm.weights().map_err(|error| error.to_string())?;
        let bias = weights.bias.as_ref().ok_or("no bias".to_owned())?;
        initial_weights::check(case, &weights.kernel, &weights.recurrent_kernel, bias)?;
        Ok(weights)
    };
    let default = draw(None)?;
    if draw(None)?.kernel != default.kernel {
        return Err(Refusal::Cannot(
            "two layers with the same seed have other weights".to_owned(),
        ));
    }
    let (one, two) = (draw(Some(1))?, draw(Some(2))?);
    if one.kernel == two.kernel || one.recurrent_kernel == two.recurrent_kernel {
        return Err(Refusal::Cannot("two seeds give the same weights".to_owned()));
    }
    Ok(Closeness::default())
}
