//! Sound from many microphones in chunks of 10 ms, each chunk going on from the states that the chunk before has left: how long a chunk
//! takes, on the CPU with `States`, and on the GPU with `GpuStates`, which stay there.
//!
//! ```sh
//! cargo run --release --example streaming
//! cargo run --release --example streaming -- --device nvidia --streams 64 --chunks 1000
//! ```
//!
//! A chunk is 4 time steps of 40 features, as a filter bank makes them of 10 ms of sound. The network is an LSTM of 64 units with a `Dense`
//! layer. What is timed is all that a program waits for: from the chunk in an array of the host to the output in another. Chunks are run
//! as fast as they can be, and a stream that ends would be reset by `reset_row` or `reset_rows`. At the end all chunks are compared with one call
//! for the whole.

use std::error::Error;
use std::time::{Duration, Instant};

use cellstate::{Dense, Device, Lstm, Model, Output, Runner, Sequences};
use ndarray::{Array3, ArrayView3, Axis, concatenate, s};

const HELP: &str = "\
Measures how long a chunk of 10 ms of sound takes, on the CPU and on a GPU.

    cargo run --release --example streaming -- [--device NAME] [--streams N] [--chunks N]

    --device NAME   auto (the best GPU there is; the default), cpu (no GPU), or a part of an adapter's name
    --streams N     the microphones, each with a state of its own (default: 16)
    --chunks N      the chunks of 10 ms (default: 100, a second of sound)
    --help          this text";

/// The time steps of a chunk, and the features of each.
const STEPS: usize = 4;
const FEATURES: usize = 40;

/// All sound is in memory at once: 1 GiB of it at most.
const MOST_VALUES: usize = 1 << 28;

type Outcome<T> = Result<T, Box<dyn Error>>;

struct Arguments {
    device: String,
    streams: usize,
    chunks: usize,
}

impl Arguments {
    /// Those of the command line; `None` where only the help is wanted.
    fn parse(mut arguments: impl Iterator<Item = String>) -> Outcome<Option<Self>> {
        let mut parsed = Self {
            device: "auto".to_owned(),
            streams: 16,
            chunks: 100,
        };
        while let Some(name) = arguments.next() {
            if name == "--help" || name == "-h" {
                return Ok(None);
            }
            if !["--device", "--streams", "--chunks"].contains(&name.as_str()) {
                return Err(format!("expected --device, --streams, --chunks or --help, got {name:?}").into());
            }
            let value = arguments.next();
            let value =
                value.ok_or_else(|| format!("{name}: expected a value after it, got nothing; --help says more"))?;
            let number = || match value.parse() {
                Ok(number) if number > 0 => Ok(number),
                _ => Err(format!("{name}: expected a number from 1 on, got {value:?}")),
            };
            match name.as_str() {
                "--device" => parsed.device = value,
                "--streams" => parsed.streams = number()?,
                _ => parsed.chunks = number()?,
            }
        }
        Ok(Some(parsed))
    }
}

fn main() -> Outcome<()> {
    let Some(arguments) = Arguments::parse(std::env::args().skip(1))? else {
        println!("{HELP}");
        return Ok(());
    };
    let model = Model::builder()
        .add(Lstm::new(FEATURES, 64).return_sequences(true))
        .add(Dense::new(64, 8))
        .build()?;
    let sound = sound(arguments.streams, arguments.chunks)?;
    println!(
        "{} streams, {} chunks of {STEPS} steps of {FEATURES} features: 10 ms of sound each",
        arguments.streams, arguments.chunks
    );
    let mut devices = vec![Device::cpu()];
    match arguments.device.as_str() {
        "cpu" => {}
        "auto" => devices.extend(Some(Device::auto()).filter(|device| device.gpu().is_some())),
        name => devices.push(Device::named(name)?),
    }
    for device in &devices {
        measure(&model.on(device)?, sound.view())?;
    }
    if devices.len() == 1 && arguments.device != "cpu" {
        println!("\nThere is no GPU here; `--device llvmpipe` takes one in software, where that is installed.");
    }
    Ok(())
}

/// What a filter bank might make of so many chunks from each stream: waves that grow and fall, (batch, time_steps, features).
fn sound(streams: usize, chunks: usize) -> Outcome<Array3<f32>> {
    let most = MOST_VALUES / (STEPS * FEATURES);
    if streams.saturating_mul(chunks) > most {
        return Err(format!(
            "expected at most {most} chunks of all streams together, got {streams} streams with {chunks} each; take fewer of either"
        )
        .into());
    }
    let sound = |(stream, step, feature): (usize, usize, usize)| {
        let time = step as f32 / STEPS as f32;
        let beat = (time * (0.02 + 0.003 * stream as f32)).sin();
        beat * (time * 0.11 * (feature + 1) as f32 + stream as f32).cos()
    };
    Ok(Array3::from_shape_fn((streams, chunks * STEPS, FEATURES), sound))
}

/// Runs all chunks one by one and the whole at once, says how long they took, and compares them.
fn measure(runner: &Runner, sound: ArrayView3<'_, f32>) -> Outcome<()> {
    let warm = sound.slice(s![.., ..STEPS, ..]);
    let (mut times, mut outputs) = (Vec::new(), Vec::new());
    // the first chunk makes all buffers, so there is one before those that are timed, with states of its own
    let kept = if runner.gpu().is_some() {
        let run = |chunk: &Sequences<'_>, states: &mut _| runner.run_from_gpu(chunk, states);
        run(
            &Sequences::from(warm),
            &mut runner.zero_gpu_states(sound.len_of(Axis(0)))?,
        )?;
        let mut states = runner.zero_gpu_states(sound.len_of(Axis(0)))?;
        time_chunks(sound, (&mut times, &mut outputs), |chunk| run(chunk, &mut states))?;
        "states on the GPU"
    } else {
        let run = |chunk: &Sequences<'_>, states: &mut _| runner.run_from(chunk, states);
        run(
            &Sequences::from(warm),
            &mut runner.try_zero_state(sound.len_of(Axis(0)))?,
        )?;
        let mut states = runner.try_zero_state(sound.len_of(Axis(0)))?;
        time_chunks(sound, (&mut times, &mut outputs), |chunk| run(chunk, &mut states))?;
        "states of the host"
    };
    let all: Duration = times.iter().sum();
    times.sort_unstable();
    let rank = |percent: usize| times.get((times.len() * percent).div_ceil(100).saturating_sub(1));
    println!("\n{}, {kept}", runner.device().name());
    for (name, percent) in [("median", 50), ("99 %", 99), ("worst", 100)] {
        println!(
            "  {name:<8} {:>9.3} ms a chunk",
            milliseconds(*rank(percent).ok_or("no chunk was run")?)
        );
    }
    println!("  all      {:>9.3} ms, chunk by chunk", milliseconds(all));

    let whole = Sequences::from(sound);
    let mut at_once = runner.run(&whole)?; // makes all buffers
    let start = Instant::now();
    runner.run_into(&whole, &mut at_once)?;
    println!("  all      {:>9.3} ms, in one call", milliseconds(start.elapsed()));
    let chunks: Vec<_> = outputs.iter().map(Output::sequences).collect::<Result<_, _>>()?;
    let chunks = concatenate(Axis(1), &chunks)?;
    let difference = (&chunks - &at_once.sequences()?).mapv_into(f32::abs);
    // NaN is no small difference
    let largest = difference.fold(0.0, |most: f32, &value| if value <= most { most } else { value });
    match largest <= 1e-5 {
        true => println!("  both give the same, but for {largest:.0e}"),
        false => return Err(format!("chunks and whole: expected the same within 1e-5, got {largest:e} apart").into()),
    }
    Ok(())
}

/// Runs chunk by chunk, each timed from the array of the input to that of the output.
fn time_chunks(
    sound: ArrayView3<'_, f32>,
    (times, outputs): (&mut Vec<Duration>, &mut Vec<Output>),
    mut run: impl FnMut(&Sequences<'_>) -> cellstate::Result<Output>,
) -> Outcome<()> {
    for chunk in sound.axis_chunks_iter(Axis(1), STEPS) {
        let start = Instant::now();
        let output = run(&Sequences::from(chunk))?;
        times.push(start.elapsed());
        outputs.push(output);
    }
    Ok(())
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
