//! A training step of a shape, forward, backward and an update by Adam: compared with the CPU path, then timed beside a pass forward.

use std::time::{Duration, Instant};

use cellstate::{
    Adam, Device, Examples, Gradients, Loss, Model, Output, Sequences, Settings, States, Strategy, Trainer, Upstream,
};
use ndarray::Array3;
use serde_json::{Value, json};

use crate::busy::Busy;
use crate::layer::{Layer, lstm};
use crate::row::{Timings, milliseconds, refused, summary, times};
use crate::rule::{Outcome, Problem, Shape, TRAINING_STEPS};

/// How far a gradient may lie from the CPU's, as a part of the largest of its weight: sums over all rows, in another order.
const TOLERANCE: f64 = 1e-4;

/// How far the loss may lie from that of a pass forward, as a part of it.
const TOLERANCE_OF_LOSS: f64 = 1e-4;

/// What of a shape is trained on the CPU, too.
const CUT: (usize, usize) = (4, 24);

/// A problem with what its outputs should be, on a device.
struct Training {
    trainer: Trainer,
    input: Array3<f32>,
    targets: Array3<f32>,
    lengths: Option<Vec<usize>>,
}

impl Training {
    fn new(device: &Device, settings: &Settings, problem: &Problem) -> Outcome<Self> {
        let Shape {
            batch,
            time_steps,
            features,
            units,
        } = problem.shape;
        let model = Model::builder().add(lstm(problem)?).build()?;
        Ok(Self {
            trainer: Trainer::with_settings(model, device, Loss::MeanSquaredError, Adam::pytorch(1e-3), settings)?,
            input: Array3::from_shape_vec((batch, time_steps, features), problem.input.clone())?,
            targets: Array3::from_shape_vec((batch, time_steps, units), problem.targets())?,
            lengths: problem.lengths.clone(),
        })
    }

    fn step(&mut self) -> Outcome<f64> {
        let examples = Examples::new(sequences(&self.input, self.lengths.as_deref())?, &self.targets)?;
        Ok(self.trainer.train_on_batch(&examples)?)
    }

    /// Several steps, between which the weights stay where they are; their time counts for one.
    fn steps(&mut self) -> Outcome<Option<Duration>> {
        const STEPS: u32 = 4;
        let examples = Examples::new(sequences(&self.input, self.lengths.as_deref())?, &self.targets)?;
        let began = Instant::now();
        self.trainer.train_on_batches((0..STEPS).map(|_| &examples))?;
        Ok(Some(began.elapsed() / STEPS))
    }

    /// The gradients of half the sum of squared errors.
    fn gradients(&mut self) -> Outcome<Gradients> {
        let targets = &self.targets;
        let upstream = |output: &Output, _: &States| {
            let values = output.values();
            let of_step = |(place, value): (ndarray::IxDyn, &f32)| (place, *value);
            let mut gradient = values.to_owned();
            for (place, value) in values.indexed_iter().map(of_step) {
                // padded steps are zero, and count for nothing
                gradient[&place] = if value == 0.0 {
                    0.0
                } else {
                    value - targets[[place[0], place[1], place[2]]]
                };
            }
            Upstream::new(gradient)
        };
        let sequences = sequences(&self.input, self.lengths.as_deref())?;
        Ok(self.trainer.gradients(&sequences, None, upstream)?)
    }
}

fn sequences<'a>(input: &'a Array3<f32>, lengths: Option<&[usize]>) -> cellstate::Result<Sequences<'a>> {
    let sequences = Sequences::from(input);
    match lengths {
        Some(lengths) => sequences.with_lengths(lengths),
        None => Ok(sequences),
    }
}

/// What there is to say of the training of a shape.
pub(crate) fn measure(
    device: &Device,
    (shape, with_lengths): (Shape, bool),
    (timings, busy): (Timings, Option<&Busy>),
) -> Outcome<Value> {
    let mut said = match compared(device, shape, with_lengths) {
        Ok(said) => said,
        Err(error) => return refused(error),
    };
    if said["right"] != true {
        return Ok(said);
    }
    let problem = Problem::new(shape, with_lengths);
    let layer = Layer::new(device, &Settings::new(), &problem)?;
    let began = Instant::now();
    let mut training = Training::new(device, &Settings::new(), &problem)?;
    said["memory"] = training.trainer.memory(shape.batch, shape.time_steps)?.into();
    let expected = loss(&problem, &layer.run()?)?;
    let first = training.step()?;
    said["first_step_ms"] = milliseconds(began.elapsed()).into();
    said["loss"] = json!({"found": first, "expected": expected});
    said["right"] = is_right(first, expected).into();
    if said["right"] != true {
        return Ok(said);
    }
    for _ in 1..TRAINING_STEPS {
        training.step()?;
    }
    let learned = training.trainer.model().on(device)?;
    let output = learned.run(&sequences(&training.input, training.lengths.as_deref())?)?;
    let digest = problem.digest(output.values().as_slice().ok_or("the output has gaps")?);
    said["sum"] = digest.sum.into();
    said["weighted"] = digest.weighted.into();
    said["samples"] = json!(digest.samples);
    if let Some(busy) = busy {
        busy.keep(timings.warm)?;
    }
    let began = crate::now();
    let mut output = Output::default();
    layer.run_into(&mut output)?;
    let forward = times(timings.seconds, || timed(|| Ok(layer.run_into(&mut output)?)))?;
    let steps = times(timings.seconds, || training.steps())?;
    let alone = times(timings.seconds, || timed(|| training.step().map(|_| ())))?;
    said["timed"] = json!([began, crate::now()]);
    said["forward_ms"] = summary(forward);
    said["training_ms"] = summary(steps);
    said["training_alone_ms"] = summary(alone);
    drop(training); // the next one needs as much memory
    match step_by_step(device, &problem, timings) {
        Ok((first, steps)) => {
            said["right"] = is_right(first, expected).into();
            said["training_by_step_ms"] = summary(steps);
        }
        // what was measured before is not lost
        Err(error) => said["by_step_failed"] = error.to_string().into(),
    }
    Ok(said)
}

/// The same with the time steps one by one, forward and backward, which every GPU can do: the first loss, and the times.
fn step_by_step(device: &Device, problem: &Problem, timings: Timings) -> Outcome<(f64, Vec<Duration>)> {
    let mut training = Training::new(device, &Settings::new().strategy(Strategy::Step), problem)?;
    let first = training.step()?;
    training.step()?;
    Ok((first, times(timings.seconds, || training.steps())?))
}

/// Whether the first loss of a training is that of a pass forward.
fn is_right(loss: f64, expected: f64) -> bool {
    (loss - expected).abs() / expected <= TOLERANCE_OF_LOSS
}

fn timed(call: impl FnOnce() -> Outcome<()>) -> Outcome<Option<Duration>> {
    let began = Instant::now();
    call()?;
    Ok(Some(began.elapsed()))
}

/// The gradients of a cut shape against those of the CPU path, and whether they have the same bits again.
fn compared(device: &Device, shape: Shape, with_lengths: bool) -> Outcome<Value> {
    let cut = Shape {
        batch: shape.batch.min(CUT.0),
        time_steps: shape.time_steps.min(CUT.1),
        ..shape
    };
    let problem = Problem::new(cut, with_lengths);
    let settings = Settings::new();
    let expected = Training::new(&Device::cpu(), &settings, &problem)?.gradients()?;
    let mut training = Training::new(device, &settings, &problem)?;
    let found = training.gradients()?;
    let mut most = 0.0_f64;
    for (path, expected) in expected.parameters() {
        let found = found.get(path)?;
        let largest = expected
            .iter()
            .fold(0.0_f64, |most, &value| most.max(f64::from(value).abs()));
        for (&found, &expected) in found.iter().zip(expected) {
            let apart = (f64::from(found) - f64::from(expected)).abs() / largest.max(f64::MIN_POSITIVE);
            most = larger(most, apart);
        }
    }
    Ok(json!({
        "difference": if most.is_finite() { Some(most) } else { None },
        "right": most <= TOLERANCE,
        "repeats": training.gradients()? == found,
        "strategy": "",
    }))
}

/// The larger one, and NaN where either is: a comparison that met NaN once stays wrong.
fn larger(one: f64, other: f64) -> f64 {
    if one.is_nan() || other <= one { one } else { other }
}

/// The mean squared error of a pass forward, over the steps that count.
fn loss(problem: &Problem, output: &Output) -> Outcome<f64> {
    let Shape { time_steps, units, .. } = problem.shape;
    let (values, targets) = (output.sequences()?, problem.targets());
    let (mut sum, mut count) = (0.0_f64, 0_usize);
    for (row, of_row) in values.outer_iter().enumerate() {
        for (step, of_step) in of_row.outer_iter().enumerate().take(problem.length(row)) {
            let begin = (row * time_steps + step) * units;
            let targets = targets.get(begin..begin + units).ok_or("a target")?;
            sum += of_step
                .iter()
                .zip(targets)
                .map(|(value, target)| f64::from(value - target).powi(2))
                .sum::<f64>();
            count += units;
        }
    }
    Ok(sum / count as f64)
}
