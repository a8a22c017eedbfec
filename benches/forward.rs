//! The forward run of one LSTM: `forward/<path>/<batch>x<time_steps>x<features>x<units>`, and `…/lengths` with sequences
//! of every length.
//!
//! A call takes the input on the host and gives the output at every step on the host, so the path `gpu` is with upload
//! and readback. `gpu-resident` is what the GPU's own time stamps say of the same call: the work alone, on buffers that stay
//! there. `gpu-recording` is what it costs the host to record one dispatch for every time step and submit them.
//! `gpu-overhead` is a call less the GPU's work: what the host adds, copies to and from the GPU included. A line says how that
//! compares with one plain copy of the same input and output from memory to memory. Throughput counts the valid steps of all
//! sequences. Each result is checked before it is timed: the CPU's against plain loops in f64,
//! the GPU's against the CPU's.
//!
//! - `CELLSTATE_BENCH_ADAPTER=llvmpipe` names an adapter; without it the path `gpu` is run on a real GPU or not at all
//! - `CELLSTATE_BENCH_ALL=1` runs the largest shapes on the CPU and on software adapters too

#[path = "peers/layer.rs"]
mod layer;
#[path = "peers/rule.rs"]
mod rule;

use std::env;
use std::hint::black_box;
use std::process::exit;
use std::time::{Duration, Instant};

use cellstate::{Device, Output, Settings, Strategy};
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, SamplingMode, Throughput};
use ndarray::Array2;

use layer::Layer;
use rule::{Outcome, Problem, SHAPES, Shape};

/// How far an output may lie from the f64 loops, and the GPU's from the CPU's: outputs are below 1.
const TOLERANCE: f64 = 2e-5;

/// The steps that the f64 loops compute of a sequence.
const CHECKED_STEPS: usize = 12;

/// The calls of which the line of `gpu-overhead` gives the median.
const OVERHEAD_CALLS: usize = 31;

/// One step of one sequence, as a program that streams has it: next to no work, so what remains is the call.
const STREAM: Shape = Shape::new(1, 1, 64, 128);

/// What a call may cost outside of a real GPU unless `CELLSTATE_BENCH_ALL` is set, in floating point operations.
const AFFORDABLE_ON_CPU: f64 = 1e11;
const AFFORDABLE_IN_SOFTWARE: f64 = 1e10;

/// A device with its part of the ids, and what is measured there.
struct Path {
    name: &'static str,
    device: Device,
    measured: Measured,
    affordable: f64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Measured {
    /// The whole call.
    Call,
    /// The GPU's work, by its time stamps.
    Resident,
    /// The host's recording of one dispatch for each step.
    Recording,
    /// The whole call, less the GPU's work.
    Overhead,
}

impl Measured {
    fn settings(self) -> Settings {
        match self {
            Self::Call => Settings::new(),
            Self::Resident | Self::Overhead => Settings::new().timed(true),
            Self::Recording => Settings::new().timed(true).strategy(Strategy::Step),
        }
    }
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("forward");
    for path in paths().unwrap_or_else(|error| fail(&error.to_string())) {
        let stream = (path.measured == Measured::Overhead).then_some(STREAM);
        for shape in stream.into_iter().chain(SHAPES) {
            if shape.operations() > path.affordable {
                println!(
                    "forward/{}/{shape}: left out, set CELLSTATE_BENCH_ALL=1 to run it",
                    path.name
                );
                continue;
            }
            for with_lengths in [false, true] {
                if with_lengths && shape.batch * shape.time_steps == 1 {
                    continue; // there is nothing to leave out
                }
                bench(&mut group, &path, shape, with_lengths);
            }
        }
    }
    group.finish();
    criterion.final_summary();
}

fn paths() -> Outcome<Vec<Path>> {
    let all = env::var_os("CELLSTATE_BENCH_ALL").is_some();
    let affordable = |most: f64| if all { f64::INFINITY } else { most };
    let mut paths = vec![Path {
        name: "cpu",
        device: Device::cpu(),
        measured: Measured::Call,
        affordable: affordable(AFFORDABLE_ON_CPU),
    }];
    let named = env::var("CELLSTATE_BENCH_ADAPTER").ok();
    let device = match &named {
        Some(name) => Device::named(name)?,
        None => Device::auto(),
    };
    match device.gpu() {
        Some(gpu) => {
            println!("gpu: {}, {} {}", gpu.name(), gpu.info().driver, gpu.info().driver_info);
            let in_software = gpu.info().device_type == wgpu::DeviceType::Cpu;
            let most = if in_software {
                affordable(AFFORDABLE_IN_SOFTWARE)
            } else {
                f64::INFINITY
            };
            let measured = [
                ("gpu", Measured::Call),
                ("gpu-resident", Measured::Resident),
                ("gpu-recording", Measured::Recording),
                ("gpu-overhead", Measured::Overhead),
            ];
            paths.extend(measured.map(|(name, measured)| Path {
                name,
                device: device.clone(),
                measured,
                affordable: most,
            }));
        }
        None => {
            println!("gpu: left out, there is no real GPU; CELLSTATE_BENCH_ADAPTER=llvmpipe names a software adapter")
        }
    }
    Ok(paths)
}

fn bench(group: &mut BenchmarkGroup<'_, WallTime>, path: &Path, shape: Shape, with_lengths: bool) {
    let parameter = if with_lengths {
        format!("{shape}/lengths")
    } else {
        shape.to_string()
    };
    let id = format!("forward/{}/{parameter}", path.name);
    let rows = if with_lengths {
        shape.spread_lengths().iter().sum()
    } else {
        shape.batch * shape.time_steps
    };
    group
        .sample_size(10)
        .sampling_mode(SamplingMode::Flat)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .throughput(Throughput::Elements(rows as u64));
    // made when it is first run, since most are left out by a filter
    let mut made: Option<Layer> = None;
    group.bench_function(BenchmarkId::new(path.name, parameter), |bencher| {
        let layer = made.get_or_insert_with(|| {
            checked(path, shape, with_lengths).unwrap_or_else(|error| fail(&format!("{id}: {error}")))
        });
        let run = || layer.run().unwrap_or_else(|error| fail(&format!("{id}: {error}")));
        if path.measured == Measured::Call {
            return bencher.iter(run);
        }
        if path.measured == Measured::Overhead {
            let mut output = Output::default();
            return bencher.iter_custom(|times| (0..times).map(|_| or_fail(overhead(layer, &mut output))).sum());
        }
        bencher.iter_custom(|times| {
            let timed = || match (run().timing(), path.measured) {
                (Some(timing), Measured::Recording) => timing.recording,
                (Some(timing), _) => timing.gpu.unwrap_or_else(|| fail("the adapter takes no time stamps")),
                (None, _) => fail("the run was not timed"),
            };
            (0..times).map(|_| timed()).sum()
        });
    });
    if let Some(layer) = made.filter(|_| path.measured == Measured::Overhead) {
        println!("{id}: {}", or_fail(overhead_line(&layer)));
    }
}

fn or_fail<T>(outcome: Outcome<T>) -> T {
    outcome.unwrap_or_else(|error| fail(&error.to_string()))
}

/// Says what is wrong and ends: a bench has no other way out.
fn fail(message: &str) -> ! {
    eprintln!("{message}");
    exit(1)
}

/// What a call takes besides the GPU's work.
fn overhead(layer: &Layer, output: &mut Output) -> Outcome<Duration> {
    let start = Instant::now();
    layer.run_into(output)?;
    let call = start.elapsed();
    let timing = output.timing().and_then(|timing| timing.gpu);
    Ok(call.saturating_sub(timing.ok_or("the adapter takes no time stamps")?))
}

/// That beside a plain copy of the input and the output, in turn; all of them go to memory that is there already, but for
/// the call that takes new memory for its output.
fn overhead_line(layer: &Layer) -> Outcome<String> {
    let mut output = layer.run()?;
    let from = [layer.input.clone(), output.sequences()?.to_owned()];
    let mut to = from.clone();
    let (mut calls, mut new, mut copies) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..OVERHEAD_CALLS {
        calls.push(overhead(layer, &mut output)?);
        new.push(overhead(layer, &mut Output::default())?);
        let start = Instant::now();
        for (from, to) in black_box(&from).iter().zip(&mut to) {
            to.assign(from);
        }
        black_box(&mut to);
        copies.push(start.elapsed());
    }
    let [call, new, copy] = [calls, new, copies].map(|mut times| {
        times.sort_unstable();
        times[OVERHEAD_CALLS / 2]
    });
    let ratio = call.as_secs_f64() / copy.as_secs_f64();
    let megabytes = from.iter().map(|array| array.len() * size_of::<f32>()).sum::<usize>() as f64 * 1e-6;
    Ok(format!(
        "{call:.2?} besides the GPU's work ({new:.2?} with new memory for the output); a plain copy of {megabytes:.2} MB \
         takes {copy:.2?}: {ratio:.2} times that"
    ))
}

fn checked(path: &Path, shape: Shape, with_lengths: bool) -> Outcome<Layer> {
    let problem = Problem::new(shape, with_lengths);
    let layer = Layer::new(&path.device, &path.measured.settings(), &problem)?;
    let output = layer.run()?;
    let values = output.sequences()?;
    if path.device.gpu().is_some() {
        let reference = Layer::new(&Device::cpu(), &Settings::new(), &problem)?.run()?;
        for (found, expected) in values.iter().zip(reference.sequences()?) {
            compare("the CPU's result", f64::from(*found), f64::from(*expected))?;
        }
        return Ok(layer);
    }
    for row in [0, shape.batch / 2, shape.batch - 1] {
        let expected = first_steps(&problem, row);
        for ((step, unit), &expected) in expected.indexed_iter() {
            let found = values.get((row, step, unit)).ok_or("the output is too small")?;
            compare("f64 loops", f64::from(*found), expected)?;
        }
        let padding = values.outer_iter().nth(row).ok_or("the output has too few rows")?;
        for &found in padding.outer_iter().skip(problem.length(row)).flatten() {
            compare("zero at padded steps", f64::from(found), 0.0)?;
        }
    }
    Ok(layer)
}

fn compare(with: &str, found: f64, expected: f64) -> Outcome<()> {
    // a NaN is not near anything
    if (found - expected).abs() <= TOLERANCE {
        return Ok(());
    }
    Err(format!("the result differs from {with}: {found} instead of {expected}").into())
}

/// The outputs (step, unit) at the first valid steps of one sequence, by loops in f64.
fn first_steps(problem: &Problem, row: usize) -> Array2<f64> {
    let Shape {
        time_steps,
        features,
        units,
        ..
    } = problem.shape;
    let steps = problem.length(row).min(CHECKED_STEPS);
    let inputs = problem.input.chunks_exact(features).skip(row * time_steps).take(steps);
    let (mut hidden, mut cell) = (vec![0.0; units], vec![0.0; units]);
    let mut outputs = Array2::zeros((steps, units));
    for (input, mut output) in inputs.zip(outputs.outer_iter_mut()) {
        let mut gates: Vec<f64> = problem.bias.iter().copied().map(f64::from).collect();
        let input: Vec<f64> = input.iter().copied().map(f64::from).collect();
        add_product(&mut gates, &input, &problem.kernel);
        add_product(&mut gates, &hidden, &problem.recurrent_kernel);
        for unit in 0..units {
            let gate = |number: usize| gates.get(number * units + unit).copied().unwrap_or(f64::NAN);
            cell[unit] = sigmoid(gate(1)) * cell[unit] + sigmoid(gate(0)) * gate(2).tanh();
            hidden[unit] = sigmoid(gate(3)) * cell[unit].tanh();
            output[unit] = hidden[unit];
        }
    }
    outputs
}

/// `gates += values · matrix`
fn add_product(gates: &mut [f64], values: &[f64], matrix: &[f32]) {
    for (value, weights) in values.iter().zip(matrix.chunks_exact(gates.len())) {
        for (gate, &weight) in gates.iter_mut().zip(weights) {
            *gate += value * f64::from(weight);
        }
    }
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}
