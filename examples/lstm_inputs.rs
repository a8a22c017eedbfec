//! What are the inputs of an LSTM? Three axes: (batch, time_steps, features). This runs them, masks them, and shows
//! what each usual mistake says.
//!
//! `cargo run --example lstm_inputs`

use std::error::Error;

use cellstate::{Device, Embedding, Lstm, Masking, Model, Output, Sequences};
use ndarray::{Array2, Array3, Array4, Axis, array, s};

type Outcome = Result<(), Box<dyn Error>>;

fn main() -> Outcome {
    let device = Device::auto();
    println!("running on {}", device.name());
    one_sequence(&device)?;
    several_features(&device)?;
    different_lengths(&device)?;
    a_value_as_mask(&device)?;
    wrong_shapes(&device)?;
    wrong_masks()?;
    wrong_kinds(&device)?;
    an_empty_batch(&device)
}

fn one_sequence(device: &Device) -> Outcome {
    heading("One sequence", "LSTM(32)(tf.random.normal((1, 10, 1)))");
    let input = waves(1, 10, 1);
    let lstm = Lstm::new(1, 32);
    print_input(&input);
    print_last(&lstm.on(device)?.run(&Sequences::from(&input))?);
    println!("with return_sequences, one output for each step:");
    let output = lstm.return_sequences(true).on(device)?.run(&Sequences::from(&input))?;
    let (batch, time_steps, units) = output.sequences()?.dim();
    println!("output  (batch {batch}, time_steps {time_steps}, units {units})");
    Ok(())
}

fn several_features(device: &Device) -> Outcome {
    heading(
        "Three sequences of two features",
        "LSTM(64)(tf.random.normal((3, 20, 2)))",
    );
    let input = waves(3, 20, 2);
    print_input(&input);
    print_last(&Lstm::new(2, 64).on(device)?.run(&Sequences::from(&input))?);
    println!("The layer is told how many features there are; batch and time_steps may differ from run to run.");
    Ok(())
}

fn different_lengths(device: &Device) -> Outcome {
    heading(
        "Sequences of 15, 10 and 12 steps",
        "LSTM(64)(pad_sequences(.., padding=\"post\"), mask=mask)",
    );
    let sequences = [wave(0, 15, 1), wave(1, 10, 1), wave(2, 12, 1)];
    let padded = Sequences::pad(sequences.iter().map(|sequence| sequence.view()))?;
    let runner = Lstm::new(1, 64).on(device)?;
    let masked = runner.run(&padded)?.last();
    let values = padded.values().ok_or("padded numbers are numbers")?;
    println!(
        "input   {:?}, of which {:?} steps are real",
        values.dim(),
        padded.lengths()
    );
    let unmasked = runner.run(&Sequences::from(values))?.last();
    println!("largest difference from running a sequence alone, without padding:");
    for (index, sequence) in sequences.iter().enumerate() {
        let alone = runner
            .run(&Sequences::from(sequence.view().insert_axis(Axis(0))))?
            .last();
        println!(
            "  {:2} steps  with the mask {:.0e}   without {:.0e}",
            sequence.nrows(),
            difference(&masked.slice(s![index..=index, ..]).to_owned(), &alone),
            difference(&unmasked.slice(s![index..=index, ..]).to_owned(), &alone)
        );
    }
    println!("Without the mask the LSTM reads the zeros as measurements: nothing fails, the numbers are just wrong.");
    println!("(Keras pads before unless told padding=\"post\"; `Padding` has both. `mask_zero` belongs to Embedding.)");
    Ok(())
}

fn a_value_as_mask(device: &Device) -> Outcome {
    heading("A value that says \"padding\"", "Sequential([Masking(0.0), LSTM(64)])");
    let mut values = Array3::zeros((1, 6, 1));
    values.slice_mut(s![0, ..4, 0]).assign(&array![0.5, 0.0, -0.5, 1.0]);
    println!("four real readings, one of them 0, and two steps of padding: 0.5 0 -0.5 1 | 0 0");
    let model = Model::builder().add(Masking::new(0.0)).add(Lstm::new(1, 64)).build()?;
    let by_value = model.on(device)?.run(&Sequences::from(&values))?.last();
    let by_length = Lstm::new(1, 64)
        .on(device)?
        .run(&Sequences::from(&values).with_lengths(&[4])?)?
        .last();
    println!(
        "steps that count: {:?} by value, [4] by length",
        Sequences::from(&values).with_mask_value(0.0)?.lengths()
    );
    println!(
        "the results differ by {:.0e}: Masking(0.0) also drops the reading that is 0.",
        difference(&by_value, &by_length)
    );
    println!("Mask with a value that no reading can have, or better with lengths.");
    Ok(())
}

fn wrong_shapes(device: &Device) -> Outcome {
    heading("Wrong shapes", "ValueError: expected ndim=3, found ndim=2");
    mistake("two axes", Sequences::try_from(Array2::<f32>::zeros((20, 2))))?;
    mistake(
        "four axes, one expand_dims too many",
        Sequences::try_from(Array4::<f32>::zeros((3, 20, 2, 1))),
    )?;
    let runner = Lstm::new(2, 64).on(device)?;
    mistake(
        "time_steps and features swapped",
        runner.run(&Sequences::from(waves(3, 2, 20))),
    )?;
    mistake(
        "three features for a layer of two",
        runner.run(&Sequences::from(waves(3, 20, 3))),
    )
}

fn wrong_masks() -> Outcome {
    heading("Wrong masks", "LSTM(64)(x, mask=mask)");
    let input = waves(3, 15, 1);
    let batch = || Sequences::from(&input);
    mistake("a length beyond the time axis", batch().with_lengths(&[15, 10, 99]))?;
    mistake("two lengths for three sequences", batch().with_lengths(&[15, 10]))?;
    mistake(
        "a mask for 14 steps of 15",
        batch().with_mask(Array2::from_elem((3, 14), true)),
    )
}

fn wrong_kinds(device: &Device) -> Outcome {
    heading(
        "Words and numbers",
        "Sequential([Embedding(100, 8, mask_zero=True), LSTM(64)])",
    );
    let tokens = array![[5, 17, 3, 0], [8, 2, 0, 0]];
    mistake(
        "tokens into an LSTM",
        Lstm::new(1, 64).on(device)?.run(&Sequences::from(&tokens)),
    )?;
    let embedding = Embedding::new(100, 8).mask_zero(true);
    mistake(
        "numbers into an Embedding",
        embedding.clone().on(device)?.run(&Sequences::from(waves(2, 4, 1))),
    )?;
    let model = Model::builder().add(embedding).add(Lstm::new(8, 64)).build()?;
    println!("right: tokens (batch 2, time_steps 4) without a feature axis -> Embedding -> LSTM");
    print_last(&model.on(device)?.run(&Sequences::from(&tokens))?);
    Ok(())
}

fn an_empty_batch(device: &Device) -> Outcome {
    heading("No sequences at all", "tf.zeros((0, 10, 1)), an error in Keras");
    print_last(&Lstm::new(1, 32).on(device)?.run(&Sequences::from(waves(0, 10, 1)))?);
    println!("is allowed: a program whose queue happens to be empty need not treat it as a special case.");
    Ok(())
}

fn heading(title: &str, keras: &str) {
    println!("\n== {title}\n   Keras: {keras}");
}

fn print_input(input: &Array3<f32>) {
    let (batch, time_steps, features) = input.dim();
    println!("input   (batch {batch}, time_steps {time_steps}, features {features})");
}

fn print_last(output: &Output) {
    let last = output.last();
    println!("output  (batch {}, units {})", last.nrows(), last.ncols());
}

/// Prints what a mistake says; that it says nothing would be a mistake too.
fn mistake<T>(what: &str, result: cellstate::Result<T>) -> Outcome {
    match result {
        Ok(_) => Err(format!("{what}: expected an error, got none").into()),
        Err(error) => {
            println!("{what}:\n    {error}");
            Ok(())
        }
    }
}

/// Sequences to look at: sine waves, each with its own phase.
fn waves(batch: usize, time_steps: usize, features: usize) -> Array3<f32> {
    let mut waves = Array3::zeros((batch, time_steps, features));
    waves
        .outer_iter_mut()
        .enumerate()
        .for_each(|(row, mut target)| target.assign(&wave(row, time_steps, features)));
    waves
}

fn wave(row: usize, time_steps: usize, features: usize) -> Array2<f32> {
    Array2::from_shape_fn((time_steps, features), |(step, feature)| {
        (0.5 * step as f32 + (row + feature) as f32).sin()
    })
}

fn difference(left: &Array2<f32>, right: &Array2<f32>) -> f32 {
    left.iter()
        .zip(right)
        .fold(0.0, |largest, (left, right)| largest.max((left - right).abs()))
}
