//! Opens a trained model of Keras, PyTorch or ONNX, says what it understood, runs it on a file or on random numbers, and says how far
//! the result is from what is expected.
//!
//! `cargo run --release --example predict -- --help`

mod arguments;
mod array;
mod compare;
mod input;
mod npy;
mod table;

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use cellstate::{Device, Model, Output, Runner};
use indicatif::ProgressBar;
use ndarray::{ArrayD, ArrayViewD, Axis, concatenate};

use arguments::Arguments;
use array::shape_text;
use compare::Difference;
use input::Input;

/// The sequences of a run: enough to keep a device busy, and few enough that memory does not grow with the file.
const SEQUENCES: usize = 256;

/// The rows of a result that are printed, and the values of a row.
const SHOWN: usize = 6;

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<ExitCode, Box<dyn Error>> {
    let arguments = Arguments::parse(std::env::args_os().skip(1))?;
    if arguments.help {
        println!("{}", arguments::HELP);
        return Ok(ExitCode::SUCCESS);
    }
    if arguments.device == "list" {
        println!("cpu");
        Device::adapters().iter().for_each(|name| println!("{name}"));
        return Ok(ExitCode::SUCCESS);
    }
    let path = arguments
        .model
        .as_deref()
        .ok_or("expected a model file, got none; --help says more")?;
    let model = Model::open(path)?;
    println!("{}\n\n{model}", path.display());
    for note in model.notes() {
        println!("note: {note}");
    }

    let input = match &arguments.input {
        Some(path) => Input::open(path, &model)?,
        None => {
            let seed = arguments.seed.unwrap_or(0);
            println!("\nno input is given: random numbers, seed {seed}");
            Input::random(&model, arguments.batch, arguments.time_steps, seed)?
        }
    };
    println!("\ninput   {}", shape_text(input.shape()));
    let runner = model.on(&device(&arguments.device)?)?;
    let result = predict(&runner, &input, arguments.lengths.as_deref())?;
    print_result(result.view());
    if let Some(path) = &arguments.output {
        write(path, result.view())?;
    }
    match &arguments.against {
        Some(path) => compare(path, result.view(), arguments.tolerance),
        None => Ok(ExitCode::SUCCESS),
    }
}

fn device(name: &str) -> cellstate::Result<Device> {
    match name {
        "auto" => Ok(Device::auto()),
        "cpu" => Ok(Device::cpu()),
        name => Device::named(name),
    }
}

/// Runs all sequences, some at a time, and puts the results together.
fn predict(runner: &Runner, input: &Input, lengths: Option<&[usize]>) -> Result<ArrayD<f32>, Box<dyn Error>> {
    let batch = input.batch();
    if let Some(lengths) = lengths {
        input.part(0..batch)?.with_lengths(lengths)?; // all at once, so that a message speaks of the whole batch
    }
    let bar = match batch > SEQUENCES {
        true => ProgressBar::new(batch as u64),
        false => ProgressBar::hidden(),
    };
    let start = Instant::now();
    let (mut results, mut rows_run, mut device) = (Vec::new(), 0, String::new());
    for begin in (0..batch.max(1)).step_by(SEQUENCES) {
        let rows = begin..batch.min(begin + SEQUENCES);
        bar.set_position(begin as u64);
        let part = input.part(rows.clone())?;
        let part = match lengths.and_then(|lengths| lengths.get(rows)) {
            Some(lengths) => part.with_lengths(lengths)?,
            None => part,
        };
        let output = runner.run(&part)?;
        rows_run += output.rows_run();
        device = output.device().to_owned();
        results.push(values(&output)?);
    }
    bar.finish_and_clear();
    println!("device  {device}");
    println!(
        "time    {:.1?}, with all that the first run prepares; {rows_run} steps of recurrent layers",
        start.elapsed()
    );
    let views: Vec<ArrayViewD<'_, f32>> = results.iter().map(|result| result.view()).collect();
    Ok(concatenate(Axis(0), &views)?)
}

/// The output; both directions side by side where they are not merged.
fn values(output: &Output) -> Result<ArrayD<f32>, ndarray::ShapeError> {
    let values = output.values();
    match output.backward() {
        Some(backward) => concatenate(Axis(values.ndim().saturating_sub(1)), &[values, backward]),
        None => Ok(values.to_owned()),
    }
}

/// The shape, and the first rows.
fn print_result(result: ArrayViewD<'_, f32>) {
    println!("output  {}\n", shape_text(result.shape()));
    let Some(axis) = result.ndim().checked_sub(1) else {
        return;
    };
    let rows = result.lanes(Axis(axis));
    for row in rows.into_iter().take(SHOWN) {
        let numbers: String = row.iter().take(SHOWN).map(|number| format!("{number:>14.7}")).collect();
        println!("{numbers}{}", if row.len() > SHOWN { "  …" } else { "" });
    }
    if result.lanes(Axis(axis)).into_iter().len() > SHOWN {
        println!("{:>14}", "…");
    }
}

fn write(path: &Path, result: ArrayViewD<'_, f32>) -> Result<(), Box<dyn Error>> {
    let bytes = match path.extension().is_some_and(|ending| ending == "npy") {
        true => npy::write(result),
        false => table::write(result)?,
    };
    std::fs::write(path, bytes).map_err(|error| {
        let path = path.display();
        format!(
            "--output {path}: expected a file that can be written, got: {error}; name one in a folder that is there"
        )
    })?;
    println!("\nwritten to {}", path.display());
    Ok(())
}

/// Prints the differences; a failure if any value is beyond the tolerance.
fn compare(path: &Path, result: ArrayViewD<'_, f32>, tolerance: f32) -> Result<ExitCode, Box<dyn Error>> {
    let expected = input::expected(path)?;
    let difference = Difference::between(result, expected.view(), tolerance)
        .map_err(|message| format!("--against {}: {message}", path.display()))?;
    println!(
        "\nlargest difference from {}: {:.1e}, relative {:.1e}",
        path.display(),
        difference.absolute,
        difference.relative
    );
    if difference.beyond == 0 {
        println!(
            "all {} values are within {tolerance:e} + {tolerance:e}·|expected|",
            difference.count
        );
        return Ok(ExitCode::SUCCESS);
    }
    if let Some((place, found, expected)) = difference.worst {
        println!("the largest is at {}: {found}, expected {expected}", shape_text(&place));
    }
    println!(
        "{} of {} values are beyond {tolerance:e} + {tolerance:e}·|expected|",
        difference.beyond, difference.count
    );
    Ok(ExitCode::FAILURE)
}
