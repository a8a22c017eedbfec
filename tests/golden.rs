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

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use cellstate::{Activation, Dense, Device, Error, Lstm, LstmWeights, Sequences};
use models::{Library, OnDevice};
use ndarray::Array2;
use serde_json::Value;
use support::{
    cells::Rule,
    golden::{self, Case},
    initial_weights,
    judge::{Closeness, compare},
    layers::{LayerSpec, Refusal, playable},
    not_yet::NotYet,
    play::play,
};

/// The kinds of cases that need more than a run.
const KINDS_NOT_YET: [&str; 3] = ["gradient", "training", "model"];

/// What was run, what was not, and what failed.
#[derive(Debug)]
struct Report {
    not_yet: NotYet,
    /// The runs on each device.
    runs: BTreeMap<String, usize>,
    failures: Vec<String>,
}

impl Report {
    /// One run of a case, on one device.
    fn run(&mut self, case: &Case, what: &str, device: &str, verdict: impl FnOnce() -> Result<Closeness, Refusal>) {
        let verdict = catch_unwind(AssertUnwindSafe(verdict));
        let verdict = verdict.unwrap_or_else(|_| Err(Refusal::Cannot("the library panicked".to_owned())));
        let listed = self.not_yet.reason(&case.name, device);
        let failure = match (&verdict, listed) {
            (Ok(_), Some(_)) => Some("runs now: take its line out of golden/not_yet.txt".to_owned()),
            (Err(Refusal::NotYet(why)), None) => Some(format!("is not run and not in golden/not_yet.txt: {why}")),
            (Err(Refusal::Cannot(message)), _) => Some(message.clone()),
            _ => None,
        };
        let said = match (&verdict, &failure, listed) {
            (_, Some(failure), _) => format!("FAILED: {failure}"),
            (Ok(closeness), None, _) => closeness.to_string(),
            (Err(_), None, reason) => format!("not yet: {}", reason.unwrap_or_default()),
        };
        println!("{what:<44} {device:<40} {said}");
        if verdict.is_ok() {
            *self.runs.entry(device.to_owned()).or_default() += 1;
        }
        self.failures
            .extend(failure.map(|failure| format!("{what} on {device}: {failure}")));
    }
}

#[test]
fn every_case_on_every_device() {
    let cases = golden::cases();
    let devices = devices::devices();
    let mut report = Report {
        not_yet: NotYet::read(),
        runs: BTreeMap::new(),
        failures: Vec::new(),
    };
    report.failures.extend(report.not_yet.unknown(&cases));
    for case in &cases {
        for device in &devices {
            on(case, device, &mut report);
        }
        if case.kind == "init" {
            report.run(case, &case.name, "host", || init(case));
        }
    }
    // Counted another way than run: a case that slipped through the loop above would be missing here.
    for device in &devices {
        let listed = |case: &&Case| report.not_yet.reason(&case.name, &device.name()).is_none();
        let wanted: usize = cases.iter().filter(listed).map(runs_of).sum();
        let got = report.runs.get(&device.name()).copied().unwrap_or_default();
        println!("{got} runs on {}", device.name());
        if got != wanted {
            let failure = format!("{got} runs on {}, expected {wanted}", device.name());
            report.failures.push(failure);
        }
    }
    let failures = report.failures;
    assert!(
        failures.is_empty(),
        "{} failures among {} cases:\n{}",
        failures.len(),
        cases.len(),
        failures.join("\n")
    );
}

/// How often a case is run on each device.
fn runs_of(case: &Case) -> usize {
    match case.kind.as_str() {
        "activations" => case.header["names"].as_array().map_or(0, Vec::len),
        "init" => 0,
        _ => 1,
    }
}

fn on(case: &Case, device: &Device, report: &mut Report) {
    let (name, device_name) = (case.name.as_str(), device.name());
    match case.kind.as_str() {
        "forward" | "stateful" => report.run(case, name, &device_name, || forward(case, device)),
        "activations" => activations(case, device, report),
        "init" => {}
        kind if KINDS_NOT_YET.contains(&kind) => {
            report.run(case, name, &device_name, || {
                Err(Refusal::NotYet(format!("kind {kind}")))
            });
        }
        other => report.run(case, name, &device_name, || {
            Err(Refusal::Cannot(format!("kind {other}")))
        }),
    }
}

/// `forward` and `stateful`.
fn forward(case: &Case, device: &Device) -> Result<Closeness, Refusal> {
    let (case, chain) = playable(case)?;
    let on_device = OnDevice::new(&chain.layers, device).map_err(|error| match error {
        Error::Unsupported { .. } => Refusal::NotYet(error.to_string()),
        _ => Refusal::Cannot(error.to_string()),
    })?;
    Ok(play(&case, &chain, &mut Library::of(on_device, &case, &chain)?)?)
}

/// The report fails where it must, and only there.
#[test]
fn a_case_is_run_or_listed_and_not_both() {
    let cases = golden::cases();
    let case = &cases[0];
    let of = |line: &str, device: &str, verdict: Result<Closeness, Refusal>| {
        let mut report = Report {
            not_yet: NotYet::from_text(&line.replace("CASE", &case.name)),
            runs: BTreeMap::new(),
            failures: Vec::new(),
        };
        report.run(case, &case.name, device, || verdict);
        (report.failures.len(), report.runs.values().sum::<usize>())
    };
    let ok = || Ok(Closeness::default());
    let not_yet = || Err(Refusal::NotYet("later".to_owned()));
    let wrong = || Err(Refusal::Cannot("wrong".to_owned()));
    assert_eq!(of("# CASE | everywhere | a comment", "CPU", ok()), (0, 1));
    assert_eq!(of("", "CPU", not_yet()), (1, 0));
    assert_eq!(of("", "CPU", wrong()), (1, 0));
    assert_eq!(of("CASE | everywhere | why", "CPU", ok()), (1, 1));
    assert_eq!(of("CASE | everywhere | why", "CPU", not_yet()), (0, 0));
    assert_eq!(of("CASE | everywhere | why", "CPU", wrong()), (1, 0));
    assert_eq!(of("CASE | GPU | why", "CPU", ok()), (0, 1));
    assert_eq!(of("CASE | GPU | why", "CPU", not_yet()), (1, 0));
    assert_eq!(of("CASE | GPU | why", "an adapter", ok()), (1, 1));
    assert_eq!(of("CASE | GPU | why", "an adapter", not_yet()), (0, 0));
    assert_eq!(of("CASEs | everywhere | why", "CPU", not_yet()), (1, 0));
    let panics = catch_unwind(AssertUnwindSafe(|| {
        of("", "CPU", ok()).0 + of("CASE | nowhere | why", "CPU", ok()).0
    }));
    assert!(panics.is_err());
    if std::env::var_os("CELLSTATE_GOLDEN").is_none() {
        let twice = format!("{0} | GPU | a\n{0} | GPU | b\nno_case | GPU | c", case.name);
        assert_eq!(NotYet::from_text(&twice).unknown(&cases).len(), 3);
    }
}

/// The table of the cases is that of the files: a file that is lost is missed.
#[test]
fn every_case_is_in_the_table() {
    if std::env::var_os("CELLSTATE_GOLDEN").is_some() {
        return;
    }
    let page = include_str!("../golden/README.md");
    let (_, table) = page.split_once("## Cases").expect("a table of the cases");
    let rows = table.lines().filter_map(|line| line.strip_prefix("| "));
    let mut rows: Vec<[&str; 2]> = rows
        .filter_map(|row| {
            let mut cells = row.split(" | ");
            Some([cells.next()?, cells.next()?])
        })
        .skip_while(|[case, _]| *case == "case" || *case == "---")
        .collect();
    rows.sort_unstable();
    let cases = golden::cases();
    let files: Vec<[&str; 2]> = cases.iter().map(|case| [&*case.name, &*case.kind]).collect();
    assert_eq!(rows, files);
}

/// Each activation as that of a Dense layer whose kernel is the identity.
fn activations(case: &Case, device: &Device, report: &mut Report) {
    let names = case.header["names"].as_array().cloned().unwrap_or_default();
    if names.is_empty() {
        report.run(case, &case.name, &device.name(), || {
            Err(Refusal::Cannot("no `names`".to_owned()))
        });
    }
    for name in names.iter().filter_map(Value::as_str) {
        let what = format!("{} {name}", case.name);
        report.run(case, &what, &device.name(), || activation(case, name, device));
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
    let (_, chain) = playable(case)?;
    let cell = match chain.layers.as_slice() {
        [LayerSpec::Recurrent { cell, .. }] if matches!(cell.rule, Rule::Lstm(_)) => cell,
        _ => return Err(Refusal::Cannot("init of anything but one LSTM".to_owned())),
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
