//! One row of the table: a shape by one strategy in one precision, compared with the CPU path and then timed.

use std::str::FromStr;
use std::time::{Duration, Instant};

use cellstate::{Device, Error, Output, Precision, Settings, Strategy};
use ndarray::{ArrayView3, Axis};
use serde_json::{Value, json};

use crate::busy::Busy;
use crate::layer::Layer;
use crate::rule::Outcome;
use crate::rule::{Problem, Shape};
use crate::training;

/// How far a value may lie from the CPU's in full precision: outputs are below 1.
const TOLERANCE: f32 = 2e-5;
const TOLERANCE_RELAXED: f32 = 1e-3;

/// What the CPU may be asked to compute for the comparison, in floating point operations.
const AFFORDABLE: f64 = 2e10;

/// Calls that are timed at least and at most.
const CALLS: (usize, usize) = (3, 500);

#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    with_lengths: bool,
    /// Whether training steps are measured.
    trains: bool,
    strategy: Option<Strategy>,
    by_matrices: bool,
    precision: Precision,
}

impl FromStr for Row {
    type Err = Box<dyn std::error::Error>;

    fn from_str(text: &str) -> Outcome<Self> {
        let [mode, strategy, precision] = text.split('/').collect::<Vec<_>>()[..] else {
            return Err(format!("a row is MODE/STRATEGY/PRECISION, not {text}").into());
        };
        Ok(Self {
            with_lengths: match mode {
                "full" => false,
                "lengths" => true,
                _ => return Err(format!("the mode is full or lengths, not {mode}").into()),
            },
            strategy: match strategy {
                "chosen" | "matrix" | "training" => None,
                name => Some(name.parse()?),
            },
            by_matrices: strategy == "matrix",
            trains: strategy == "training",
            precision: match precision {
                "f32" => Precision::Full,
                "relaxed" => Precision::Relaxed,
                _ => return Err(format!("the precision is f32 or relaxed, not {precision}").into()),
            },
        })
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Timings {
    /// How long the GPU is kept busy before anything is timed.
    pub(crate) warm: Duration,
    /// How long each time is taken.
    pub(crate) seconds: Duration,
}

/// A shape on a device, with what its rows share.
pub(crate) struct Shaped {
    device: Device,
    shape: Shape,
    timings: Timings,
    busy: Option<Busy>,
    /// For `full` and `lengths`, once it is asked for.
    compared: [Option<Compared>; 2],
}

/// A problem, and what the CPU path says of some of its sequences.
struct Compared {
    problem: Problem,
    sequences: Vec<usize>,
    expected: Output,
}

impl Compared {
    fn new(shape: Shape, with_lengths: bool) -> Outcome<Self> {
        let problem = Problem::new(shape, with_lengths);
        let affordable = AFFORDABLE / (shape.operations() / shape.batch as f64);
        let count = (affordable as usize).clamp(1, shape.batch);
        let last = shape.batch - 1;
        // spread over the batch, the first and the last among them
        let sequences: Vec<usize> = match count {
            1 => vec![last],
            _ => (0..count).map(|number| number * last / (count - 1)).collect(),
        };
        let reference = Layer::new(&Device::cpu(), &Settings::new(), &problem.of_sequences(&sequences))?;
        let expected = reference.run()?;
        Ok(Self {
            problem,
            sequences,
            expected,
        })
    }

    /// The largest difference from the CPU path; infinite where there is a value that is no number.
    fn difference(&self, found: &ArrayView3<'_, f32>) -> Outcome<f32> {
        if !found.iter().all(|value| value.is_finite()) {
            return Ok(f32::INFINITY);
        }
        let expected = self.expected.sequences()?;
        let mut most = 0.0_f32;
        for (&sequence, expected) in self.sequences.iter().zip(expected.outer_iter()) {
            let found = found
                .axis_iter(Axis(0))
                .nth(sequence)
                .ok_or("the output has too few sequences")?;
            let differences = found
                .iter()
                .zip(&expected)
                .map(|(found, expected)| (found - expected).abs());
            most = differences.fold(most, f32::max);
        }
        Ok(most)
    }

    /// Runs a layer twice: how it is run, whether it is right, and whether it gives the same bits again.
    fn judge(&self, layer: &Layer, precision: Precision) -> Outcome<Value> {
        let began = Instant::now();
        let output = layer.run()?;
        let first = began.elapsed();
        let values = output.sequences()?;
        let difference = self.difference(&values)?;
        let tolerance = match precision {
            Precision::Full => TOLERANCE,
            _ => TOLERANCE_RELAXED,
        };
        let Shape { batch, time_steps, .. } = self.problem.shape;
        let explained = layer.runner.explain(batch, time_steps)?;
        let strategies: Vec<&str> = explained.strategies().iter().map(|strategy| strategy.name()).collect();
        let digest = self.problem.digest(values.as_slice().ok_or("the output has gaps")?);
        Ok(json!({
            "strategy": strategies.join(", "),
            "explain": explained.lines(),
            "first_run_ms": milliseconds(first),
            "difference": if difference.is_finite() { Some(difference) } else { None },
            "right": difference <= tolerance,
            "repeats": layer.run()?.values() == output.values(),
            "compared_sequences": self.sequences.len(),
            "sum": digest.sum,
            "weighted": digest.weighted,
            "samples": digest.samples,
        }))
    }
}

impl Shaped {
    pub(crate) fn new(device: Device, shape: Shape, timings: Timings) -> Outcome<Self> {
        let busy = match device.gpu() {
            None => return Err("that is the CPU; gpu_check measures GPUs".into()),
            Some(_) if timings.warm.is_zero() => None,
            Some(gpu) => Some(Busy::new(gpu)?),
        };
        Ok(Self {
            device,
            shape,
            timings,
            busy,
            compared: [None, None],
        })
    }

    /// What there is to say of a row; a strategy that cannot do it is no failure.
    pub(crate) fn measure(&mut self, row: Row) -> Outcome<Value> {
        if row.trains {
            let how = (self.timings, self.busy.as_ref());
            return training::measure(&self.device, (self.shape, row.with_lengths), how);
        }
        let compared = match &mut self.compared[usize::from(row.with_lengths)] {
            Some(made) => made,
            none => none.insert(Compared::new(self.shape, row.with_lengths)?),
        };
        let settings = Settings::new().precision(row.precision);
        let settings = match row.by_matrices {
            true => settings.matrices(true),
            false => settings,
        };
        let settings = match row.strategy {
            Some(strategy) => settings.strategy(strategy),
            None => settings,
        };
        let aborted = || self.device.gpu().map_or(0, |gpu| gpu.counters().aborted_teams());
        let (aborted_before, began) = (aborted(), Instant::now());
        let layer = match Layer::new(&self.device, &settings.clone().timed(true), &compared.problem) {
            Ok(layer) => layer,
            Err(error) => return refused(error),
        };
        let prepared = began.elapsed();
        let mut said = compared.judge(&layer, row.precision)?;
        said["prepare_ms"] = milliseconds(prepared).into();
        if said["right"] == true {
            let untimed = Layer::new(&self.device, &settings, &compared.problem)?;
            self.time(&layer, &untimed, &mut said)?;
        }
        said["aborted_teams"] = (aborted() - aborted_before).into();
        Ok(said)
    }

    fn time(&self, layer: &Layer, untimed: &Layer, said: &mut Value) -> Outcome<()> {
        let limit = self.timings.seconds;
        let mut recording = Vec::new();
        untimed.run()?; // makes its buffers
        if let Some(busy) = &self.busy {
            busy.keep(self.timings.warm)?;
        }
        let began = crate::now();
        let gpu = times(limit, || {
            // between two runs the host copies, and the GPU would fall asleep
            if let Some(busy) = &self.busy {
                busy.once()?;
            }
            let timing = layer.run()?.timing().ok_or("the run was not timed")?;
            recording.push(timing.recording);
            Ok(timing.gpu)
        })?;
        if let Some(busy) = &self.busy {
            busy.keep(self.timings.warm / 4)?;
        }
        let host = times(limit, || {
            let call = Instant::now();
            untimed.run()?;
            Ok(Some(call.elapsed()))
        })?;
        let mut output = Output::default();
        untimed.run_into(&mut output)?;
        let host_into = times(limit, || {
            let call = Instant::now();
            untimed.run_into(&mut output)?;
            Ok(Some(call.elapsed()))
        })?;
        said["timed"] = json!([began, crate::now()]);
        said["host_into_ms"] = summary(host_into);
        said["gpu_ms"] = summary(gpu);
        said["host_ms"] = summary(host);
        said["recording_ms"] = summary(recording);
        said["copy_ms"] = self.copy()?;
        Ok(())
    }

    /// What a plain copy of the input and the output takes, which is the least that a call from host to host may cost.
    fn copy(&self) -> Outcome<Value> {
        let Shape {
            batch,
            time_steps,
            features,
            units,
        } = self.shape;
        let from = vec![1.0_f32; batch * time_steps * (features + units)];
        let mut to = vec![0.0_f32; from.len()];
        let times = times(self.timings.seconds / 4, || {
            let call = Instant::now();
            to.copy_from_slice(std::hint::black_box(&from));
            std::hint::black_box(&mut to);
            Ok(Some(call.elapsed()))
        })?;
        Ok(summary(times))
    }
}

/// Calls until the time is used up. Calls that cannot say what they took leave nothing.
pub(crate) fn times(limit: Duration, mut call: impl FnMut() -> Outcome<Option<Duration>>) -> Outcome<Vec<Duration>> {
    let (began, mut taken, mut calls) = (Instant::now(), Vec::new(), 0);
    while calls < CALLS.0 || (calls < CALLS.1 && began.elapsed() < limit) {
        taken.extend(call()?);
        calls += 1;
    }
    Ok(taken)
}

pub(crate) fn summary(mut times: Vec<Duration>) -> Value {
    times.sort_unstable();
    match (times.get(times.len() / 2), times.first()) {
        (Some(&median), Some(&least)) => {
            json!({"median": milliseconds(median), "min": milliseconds(least), "count": times.len()})
        }
        _ => Value::Null,
    }
}

pub(crate) fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

pub(crate) fn refused(error: Box<dyn std::error::Error>) -> Outcome<Value> {
    match error.downcast_ref::<Error>() {
        Some(Error::Unsupported { option, .. }) => Ok(json!({"refused": option})),
        _ => Err(error),
    }
}
