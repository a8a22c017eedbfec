//! Who speaks? A classifier of utterances of 7 to 29 frames, trained with masks and without: padding that counts as speech makes it learn
//! more slowly and guess worse, and is computed for nothing.
//!
//! `cargo run --release --example classify -- --help`

mod plot;
mod vowels;

use std::error::Error;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use cellstate::{Activation, Adam, Dense, Device, Fit, Lstm, Metric, Model, SparseCategoricalCrossentropy, Trainer};

use vowels::{FEATURES, SPEAKERS, Utterances};

const HELP: &str = "\
Trains a classifier of speakers on sequences of very different lengths, with masks and without.

    cargo run --release --example classify -- [--device NAME] [--svg FILE]

    --device NAME   auto (the best GPU there is, else the CPU), cpu (the default: this network is small), list (says what there is),
                    or a part of an adapter's name
    --svg FILE      where to draw the accuracies (default: classify.svg)
    --help          this text";

const UNITS: usize = 32;
const EPOCHS: usize = 30;
const BATCH: usize = 32;
const RATE: f64 = 3e-3;
/// Each training is made with these seeds, and the accuracies are means.
const SEEDS: [u64; 3] = [1, 2, 3];

/// What came of the trainings with masks, or of those without.
#[derive(Clone, Debug, Default)]
struct Outcome {
    /// Behind each epoch, on utterances that training has not seen, the mean over the seeds.
    accuracies: Vec<f64>,
    took: Duration,
}

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
    let (mut device, mut svg) = ("cpu".to_owned(), "classify.svg".to_owned());
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let value = || format!("{argument}: expected a value after it, got nothing; --help says more");
        match argument.as_str() {
            "--device" => device = arguments.next().ok_or_else(value)?,
            "--svg" => svg = arguments.next().ok_or_else(value)?,
            "--help" | "-h" => {
                println!("{HELP}");
                return Ok(());
            }
            other => return Err(format!("expected --device, --svg or --help, got {other:?}; --help says more").into()),
        }
    }
    let device = match device.as_str() {
        "list" => {
            println!("cpu");
            Device::adapters().iter().for_each(|name| println!("{name}"));
            return Ok(());
        }
        "auto" => Device::auto(),
        "cpu" => Device::cpu(),
        name => Device::named(name)?,
    };
    let [training, test] = Utterances::read()?;
    describe(&training, &test, &device);
    let masked = train(&training, &test, true, &device)?;
    let plain = train(&training, &test, false, &device)?;
    report(&masked, &plain);
    std::fs::write(&svg, plot::draw(&masked.accuracies, &plain.accuracies)?)
        .map_err(|error| format!("{svg}: cannot be written: {error}"))?;
    println!("\ndrawn in {svg}");
    Ok(())
}

fn describe(training: &Utterances, test: &Utterances, device: &Device) {
    println!("device     {}", device.name());
    for (name, utterances) in [("training", training), ("test", test)] {
        let sequences = utterances.sequences();
        let (lengths, steps) = (sequences.lengths(), sequences.batch() * sequences.time_steps());
        println!(
            "{name:<10} {} utterances of {} to {} frames: {} frames, {} with padding",
            lengths.len(),
            lengths.iter().min().unwrap_or(&0),
            lengths.iter().max().unwrap_or(&0),
            lengths.iter().sum::<usize>(),
            steps
        );
    }
}

/// Trains with each seed.
fn train(training: &Utterances, test: &Utterances, masked: bool, device: &Device) -> Result<Outcome, Box<dyn Error>> {
    let (data, judged) = (training.examples(masked)?, test.examples(masked)?);
    let mut outcome = Outcome {
        accuracies: vec![0.0; EPOCHS],
        took: Duration::ZERO,
    };
    for seed in SEEDS {
        let model = Model::builder()
            .add(Lstm::new(FEATURES, UNITS).seed(seed))
            .add(
                Dense::new(UNITS, SPEAKERS)
                    .activation(Activation::Softmax)
                    .seed(seed + 100),
            )
            .build()?;
        if seed == SEEDS[0] && masked {
            println!("\n{model}\n");
        }
        let trainer = Trainer::new(model, device, SparseCategoricalCrossentropy::new(), Adam::new(RATE))?;
        let mut trainer = trainer.metrics([Metric::accuracy()]).seed(seed);
        let start = Instant::now();
        let history = trainer.fit(&data, Fit::epochs(EPOCHS).batch_size(BATCH).validation_data(&judged))?;
        outcome.took += start.elapsed();
        for (sum, accuracy) in outcome.accuracies.iter_mut().zip(history.values("val_accuracy")) {
            *sum += accuracy / SEEDS.len() as f64;
        }
    }
    Ok(outcome)
}

fn report(masked: &Outcome, plain: &Outcome) {
    println!("accuracy on the test, mean of {} trainings", SEEDS.len());
    println!("  epoch   with masks   without");
    for epoch in (0..EPOCHS).filter(|epoch| (epoch + 1) % 5 == 0 || *epoch == 0) {
        let percent = |outcome: &Outcome| 100.0 * outcome.accuracies[epoch];
        println!(
            "  {:5}   {:8.1} %   {:5.1} %",
            epoch + 1,
            percent(masked),
            percent(plain)
        );
    }
    let seconds = |outcome: &Outcome| outcome.took.as_secs_f64() / SEEDS.len() as f64;
    println!("  took    {:8.1} s   {:5.1} s", seconds(masked), seconds(plain));
}
