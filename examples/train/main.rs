//! Trains the network of `examples/forecast` from nothing, on any GPU or the CPU: first from Keras's weights over Keras's batches, to say by
//! how much the losses differ; then with weights of its own, noise and dropout. Draws the losses and the forecasts beside Keras's.
//!
//! `cargo run --release --example train -- --help`

mod arguments;
#[path = "../forecast/history.rs"]
#[allow(dead_code, reason = "a part of it is for the other example")]
mod history;
mod keras;
#[path = "../forecast/network.rs"]
#[allow(dead_code, reason = "a part of it is for the other example")]
mod network;
mod plot;
mod progress;
#[path = "../forecast/report.rs"]
#[allow(dead_code, reason = "a part of it is for the other example")]
mod report;
#[path = "../forecast/series.rs"]
#[allow(dead_code, reason = "a part of it is for the other example")]
mod series;
mod stretches;

use std::cell::{Cell, RefCell};
use std::error::Error;
use std::process::ExitCode;
use std::time::Instant;

use cellstate::{AdamW, CosineDecay, Dense, Device, Dropout, Fit, Loss, Lstm, Model, Trainer};
use ndarray::Array2;

use arguments::Arguments;
use history::{HORIZON, History, Scaling, batch};
use keras::Keras;
use progress::Progress;
use series::Series;
use stretches::{Batch, FEATURES};

/// The last year that training sees.
const LAST_SEEN: i32 = 1958;
const UNITS: usize = 32;
const BATCH: usize = 32;
/// How many stretches an epoch has.
const STRETCHES: usize = 1024;
const EPOCHS: usize = 5;
const RATE: f64 = 4e-3;
const DECAY: f64 = 1e-3;
const DROPOUT: f32 = 0.4;

/// The largest difference from the losses of Keras that float32 arithmetic explains.
const TOLERANCE: f64 = 1e-5;

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
    let device = match arguments.device.as_str() {
        "auto" => Device::auto(),
        "cpu" => Device::cpu(),
        name => Device::named(name)?,
    };
    println!("device  {}\n", device.name());
    let (series, scaling, keras) = (Series::sunspots()?, network::scaling()?, Keras::read()?);
    let seen = seen(&series);

    let compared = compare(&keras, &seen, scaling, &device)?;
    let (model, first_batch, losses) = train(&arguments, &seen, scaling, &device)?;

    let save = arguments.save.display();
    model.save(&arguments.save)?;
    println!("saved in {save}");
    let histories = History::cut(&series);
    let sequences = batch(&series, &histories, scaling)?;
    let unscaled = |scaled: Array2<f32>| scaled.mapv(|value| scaling.undo(value));
    let forecasts = unscaled(model.on(&device)?.run(&sequences)?.last());
    let of_keras = unscaled(network::keras_forecasts()?);
    let networks = [("this network", &forecasts), ("the one trained in Keras", &of_keras)];
    report::print_errors(&series, &histories, &networks);

    let drawing = plot::Drawing {
        series: &series,
        histories: &histories,
        forecasts: [&forecasts, &of_keras],
        compared: [&compared, &keras.losses.iter().copied().collect::<Vec<f64>>()],
        losses: [&losses, &keras.forecast_losses.to_vec()],
        first_batch,
    };
    let svg = arguments.svg.display();
    std::fs::write(&arguments.svg, drawing.draw()?).map_err(|error| format!("{svg}: cannot be written: {error}"))?;
    println!("\ndrawn in {svg}");
    Ok(())
}

/// The values of the years that training sees.
fn seen(series: &Series) -> Vec<f64> {
    let years = (LAST_SEEN - series.first_year + 1) as usize;
    series
        .values
        .iter()
        .take(years)
        .map(|value| f64::from(*value))
        .collect()
}

/// Trains from Keras's weights over Keras's batches, without anything random, and says by how much the losses differ. Gives the loss
/// of each batch.
fn compare(keras: &Keras, seen: &[f64], scaling: Scaling, device: &Device) -> Result<Vec<f64>, Box<dyn Error>> {
    let data = Batch::new(seen, &keras.stretches, scaling);
    let optimizer = AdamW::new(RATE).weight_decay(DECAY).clipnorm(1.0);
    let mut trainer = Trainer::new(keras.initial()?, device, Loss::MeanAbsoluteError, optimizer)?;
    let losses = RefCell::new(Vec::new());
    let (epochs, batches) = keras.losses.dim();
    let fit = Fit::epochs(epochs)
        .batch_size(keras.stretches.len() / batches)
        .shuffle(false);
    let fit = fit.on_batch(|report| losses.borrow_mut().push(report.loss));
    trainer.fit(&data.examples()?, fit)?;
    let losses = losses.into_inner();

    println!("losses from the same weights over the same batches (Keras in float64)");
    println!("  epoch       Keras        here   difference   Keras's own in float32");
    let mean = |losses: &[f64]| losses.iter().sum::<f64>() / batches as f64;
    let mut largest: f64 = 0.0;
    for (epoch, (want, rounded)) in keras
        .losses
        .rows()
        .into_iter()
        .zip(keras.losses_float32.rows())
        .enumerate()
    {
        let here = losses.get(epoch * batches..(epoch + 1) * batches);
        let here = here.ok_or("expected a loss for every batch, got fewer")?;
        let (want, got, rounded) = (
            want.mean().unwrap_or(f64::NAN),
            mean(here),
            rounded.mean().unwrap_or(f64::NAN),
        );
        let difference = (got - want).abs();
        // a NaN must not be lost in a comparison
        largest = if difference <= largest { largest } else { difference };
        let epoch = epoch + 1;
        println!(
            "  {epoch:5}  {want:.8}  {got:.8}     {difference:.1e}      {:.1e}",
            (rounded - want).abs()
        );
    }
    println!();
    match largest <= TOLERANCE {
        true => Ok(losses),
        false => {
            Err(format!("expected losses within {TOLERANCE:e} of Keras's, got a difference of {largest:e}").into())
        }
    }
}

/// Trains from nothing, or goes on. Gives the network for forecasts, the number of the first batch from 1, and the losses of all from there on.
fn train(
    arguments: &Arguments,
    seen: &[f64],
    scaling: Scaling,
    device: &Device,
) -> Result<(Model, usize, Vec<f64>), Box<dyn Error>> {
    let data = Batch::draw(seen, STRETCHES, scaling, arguments.seed);
    let model = Model::builder()
        .add(Lstm::new(FEATURES, UNITS).return_sequences(true).seed(arguments.seed))
        .add(Dropout::new(DROPOUT))
        .add(Dense::new(UNITS, HORIZON).seed(arguments.seed + 1))
        .build()?;
    let steps = (EPOCHS * STRETCHES / BATCH) as u64;
    let optimizer = AdamW::new(CosineDecay::new(RATE, steps));
    let optimizer = optimizer.weight_decay(DECAY).clipnorm(1.0);
    let trainer = Trainer::new(model, device, Loss::MeanAbsoluteError, optimizer)?;
    let mut trainer = trainer.seed(arguments.seed);
    println!("{}\n", trainer.model());

    let (progress, losses) = (Progress::new()?, RefCell::new(Vec::new()));
    let first = Cell::new(None);
    let mut fit = Fit::epochs(EPOCHS)
        .batch_size(BATCH)
        .stop_flag(progress::ctrl_c()?)
        .on_batch(|report| {
            let number = (report.epoch - 1) * report.batches + report.batch;
            first.set(first.get().or(Some(number)));
            losses.borrow_mut().push(report.loss);
            progress.shows(report);
        })
        .on_epoch(|epoch| {
            let report = epoch.report();
            let (number, loss, seconds) = (report.number(), report.training().loss(), report.seconds());
            progress.says(&format!(
                "epoch {number}/{}: loss {loss:.4}, {seconds:.1} s",
                epoch.epochs()
            ));
        });
    if let Some(checkpoint) = &arguments.checkpoint {
        fit = fit.checkpoint(checkpoint).resume(checkpoint.exists());
    }
    let start = Instant::now();
    let history = trainer.fit(&data.examples()?, fit)?;
    progress.ends();
    println!(
        "trained in {:.1?}, ended by {:?}\n",
        start.elapsed(),
        history.ended_by()
    );
    Ok((trainer.into_model(), first.get().unwrap_or(1), losses.into_inner()))
}
