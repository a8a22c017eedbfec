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
#[path = "support/runs.rs"]
mod runs;
mod support;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use cellstate::Device;
use support::{
    golden::{self, Case},
    judge::Closeness,
    layers::Refusal,
    not_yet::NotYet,
};

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
        let failure = runs::failure(&verdict, listed);
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
            report.run(case, &case.name, "host", || runs::init(case));
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
    models::assert_not_replayed();
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
    for run in runs::of(case) {
        let verdict = || pollster::block_on(run.verdict(case, device));
        report.run(case, &run.name, &device.name(), verdict);
    }
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
