//! Forecasts sunspot numbers with an LSTM trained in Keras, on any GPU: histories of different lengths in one masked
//! batch, checked against what Keras gives, drawn as an SVG.
//!
//! `cargo run --release --example forecast -- --help`

mod arguments;
mod history;
#[allow(dead_code, reason = "a part of it is for the page in a browser")]
mod network;
mod plot;
mod report;
mod series;

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use cellstate::{Device, Model, Runner, Sequences};
use ndarray::Array2;

use arguments::Arguments;
use history::{History, Scaling, batch};
use series::Series;

/// The largest difference from Keras that float32 arithmetic explains, in scaled units.
const TOLERANCE: f32 = 1e-5;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse(std::env::args_os().skip(1))?;
    if arguments.help {
        println!("{}", arguments::HELP);
        return Ok(());
    }
    if arguments.device == "list" {
        println!("cpu");
        Device::adapters().iter().for_each(|name| println!("{name}"));
        return Ok(());
    }
    let series = match &arguments.csv {
        Some(path) => Series::open(path)?,
        None => Series::sunspots()?,
    };
    let (is_sunspots, scaling) = (arguments.csv.is_none(), network::scaling()?);
    let histories = History::cut(&series);

    let model = open()?;
    println!("{model}\n");
    let runner = model.on(&device(&arguments.device)?)?;
    let scaled = forecast(&runner, &batch(&series, &histories, scaling)?)?;
    let forecasts = scaled.mapv(|value| scaling.undo(value));

    report::print_forecasts(&series, &histories, &forecasts);
    report::print_errors(&series, &histories, &[("this network", &forecasts)]);
    if !is_sunspots {
        println!(
            "\nThe weights were trained on sunspots up to 1958: for another series this shows the path, not a forecast."
        );
    }
    let drawing = plot::draw(&series, &histories, &forecasts, is_sunspots)?;
    let svg = arguments.svg.display();
    std::fs::write(&arguments.svg, drawing).map_err(|error| format!("{svg}: cannot be written: {error}"))?;
    println!("\ndrawn in {svg}");
    if is_sunspots {
        compare_with_keras(&scaled, scaling)
    } else {
        Ok(())
    }
}

/// The trained network, as Keras saved it: a history of any length in, (batch, time_steps, 2); the 5 years after it out, (batch, 5).
fn open() -> cellstate::Result<Model> {
    Model::open(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/forecast/forecast.keras"))
}

fn device(name: &str) -> cellstate::Result<Device> {
    match name {
        "auto" => Ok(Device::auto()),
        "cpu" => Ok(Device::cpu()),
        name => Device::named(name),
    }
}

/// Runs the batch twice, the second time to see what a run costs once everything is in place.
fn forecast(runner: &Runner, batch: &Sequences<'_>) -> cellstate::Result<Array2<f32>> {
    let start = Instant::now();
    let output = runner.run(batch)?;
    let first = start.elapsed();
    let start = Instant::now();
    let again = runner.run(batch)?;
    let second = start.elapsed();

    let lengths = batch.lengths();
    let (shortest, longest) = (lengths.iter().min().unwrap_or(&0), lengths.iter().max().unwrap_or(&0));
    let forecasts = again.last();
    println!("device     {}", output.device());
    println!(
        "input      (batch {}, time_steps {}, features {})",
        batch.batch(),
        batch.time_steps(),
        batch.features().unwrap_or(0)
    );
    println!(
        "lengths    {shortest} to {longest}: {} of {} steps are run, the rest is padding",
        lengths.iter().sum::<usize>(),
        batch.batch() * batch.time_steps()
    );
    println!("output     (batch {}, years {})", forecasts.nrows(), forecasts.ncols());
    println!("first run  {first:.1?}, second {second:.1?}");
    Ok(forecasts)
}

fn compare_with_keras(scaled: &Array2<f32>, scaling: Scaling) -> Result<(), Box<dyn Error>> {
    let expected = network::keras_forecasts()?;
    let difference = report::largest_difference(scaled, &expected);
    let undone = |scaled: &Array2<f32>| scaled.mapv(|value| scaling.undo(value));
    println!(
        "largest difference from Keras: {difference:.1e} ({:.1e} sunspots)",
        report::largest_difference(&undone(scaled), &undone(&expected))
    );
    if difference <= TOLERANCE {
        return Ok(());
    }
    Err(format!("expected a difference from Keras of at most {TOLERANCE:e}, got {difference:e}").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_of_keras_has_the_same_weights() -> Result<(), Box<dyn Error>> {
        let (arrays, opened) = (network::model()?, open()?);
        assert_eq!(arrays.parameters().count(), opened.parameters().count());
        for (one, other) in arrays.parameters().iter().zip(opened.parameters().iter()) {
            assert_eq!((one.path(), one.values()), (other.path(), other.values()));
        }
        Ok(())
    }
}
