//! `Runner::run_into` gives what `run` gives, bit for bit, in memory that is there already; and large arrays, which several
//! threads carry to the GPU and back, arrive as they were.

use cellstate::{Bidirectional, Dense, Device, Embedding, Error, Lstm, MergeMode, Model, Output, Runner, Sequences};
use ndarray::{Array2, Array3, ArrayView3, CowArray, s};

use super::devices::devices;
use super::models::sequences;
use super::zoo::kinds;

fn numbers(shape: (usize, usize, usize)) -> Array3<f32> {
    Array3::from_shape_fn(shape, |(b, t, f)| ((b * 31 + t * 7 + f * 3) % 101) as f32 / 50.0 - 1.0)
}

/// Where the values lie.
fn memory(output: &Output) -> [Option<*const f32>; 2] {
    [
        Some(output.values().as_ptr()),
        output.backward().map(|values| values.as_ptr()),
    ]
}

#[test]
fn it_gives_what_run_gives_whatever_was_there() {
    const SIZES: [(usize, usize); 7] = [(4, 9), (4, 9), (2, 9), (4, 3), (0, 5), (2, 0), (4, 9)];
    for device in devices() {
        let mut of_all_models = Output::default();
        for kind in kinds(3, 5) {
            let on = kind.on(&device);
            let mut output = Output::default();
            for (seed, &(batch, time_steps)) in SIZES.iter().enumerate() {
                let batch = kind.batch(batch, time_steps, seed as u64);
                let batch = sequences(&batch.input, batch.mask.as_ref()).unwrap();
                let want = on.runner().run(&batch).unwrap();
                for output in [&mut output, &mut of_all_models] {
                    on.runner().run_into(&batch, output).unwrap();
                    assert_eq!(*output, want, "{}, {:?}", kind.name, SIZES[seed]);
                }
            }
        }
    }
}

#[test]
fn an_output_of_the_same_shape_stays_where_it_is() {
    let separate = Bidirectional::new(Lstm::new(3, 5).return_sequences(true)).merge_mode(MergeMode::Separate);
    let models = [
        Model::builder().add(Lstm::new(3, 5)),
        Model::builder().add(Lstm::new(3, 5).return_sequences(true)),
        Model::builder().add(separate),
    ];
    for device in devices() {
        for model in &models {
            let runner = model.clone().build().unwrap().on(&device).unwrap();
            let mut output = Output::default();
            let mut run = |shape| {
                runner.run_into(&Sequences::from(numbers(shape)), &mut output).unwrap();
                (memory(&output), output.values().shape()[0])
            };
            let first = run((4, 9, 3));
            assert_eq!(run((4, 9, 3)), first, "{}", device.name());
            assert_eq!(run((2, 9, 3)).1, 2);
        }
    }
}

#[test]
fn after_an_error_the_output_is_as_it_was() {
    for device in devices() {
        let lstm = Lstm::new(3, 5).return_sequences(true).on(&device).unwrap();
        let tokens = Model::builder()
            .add(Embedding::new(9, 3))
            .add(Lstm::new(3, 5).return_sequences(true));
        let tokens = tokens.build().unwrap().on(&device).unwrap();
        let mut output = lstm.run(&Sequences::from(numbers((4, 9, 3)))).unwrap();
        let (before, memory_before) = (output.clone(), memory(&output));
        // more steps than there may be: a view that repeats one value
        let one = numbers((1, 1, 3));
        let endless = one.broadcast((1 << 20, 1 << 20, 3)).unwrap();
        let (narrow, no_token) = (numbers((4, 9, 2)), Array2::<i32>::from_elem((4, 9), 9));
        let wrong: [(&Runner, Sequences<'_>); 4] = [
            (&lstm, Sequences::from(&narrow)),
            (&lstm, Sequences::from(&no_token)),
            (&lstm, Sequences::from(CowArray::from(endless))),
            (&tokens, Sequences::from(&no_token)),
        ];
        for (runner, batch) in &wrong {
            let error = runner.run_into(batch, &mut output).unwrap_err();
            assert!(!matches!(error, Error::Defect { .. }), "{error}");
            assert_eq!((&output, memory(&output)), (&before, memory_before), "{error}");
        }
    }
}

/// What several threads share: some megabytes, rows with and without padding behind them, all steps and some, and an array
/// that does not lie in order.
#[test]
fn large_arrays_arrive_as_they_were() {
    let mut reversed = numbers((300, 40, 52));
    reversed.invert_axis(ndarray::Axis(0));
    for device in devices() {
        for features in [50, 52] {
            // nothing but the way: each value is one of the input or 0
            let kernel = Array2::from_shape_fn((features, 41), |(from, to)| f32::from(u8::from(from == to)));
            let way = Dense::new(features, 41).with_weights(kernel, None).unwrap();
            let runner = way.on(&device).unwrap();
            let check = |values: ArrayView3<'_, f32>, lengths: Option<&[usize]>| {
                let mut batch = Sequences::from(CowArray::from(values));
                if let Some(lengths) = lengths {
                    batch = batch.with_lengths(lengths).unwrap();
                }
                let mut output = Output::default();
                for _ in 0..2 {
                    runner.run_into(&batch, &mut output).unwrap();
                    assert_eq!(
                        output.sequences().unwrap(),
                        values.slice(s![.., .., ..41]),
                        "{}",
                        device.name()
                    );
                }
            };
            let values = reversed.slice(s![.., .., ..features]);
            check(values, None);
            let in_order = values.as_standard_layout();
            check(in_order.view(), None);
            check(in_order.view(), Some(&[40; 300]));
        }
    }
}

/// The same for an LSTM, whose rows are not in the order of the input.
#[test]
fn large_batches_with_lengths_give_what_the_cpu_gives() {
    let lengths: Vec<usize> = (0..300).map(|sequence| sequence * 7 % 41).collect();
    let values = numbers((300, 40, 50));
    let lstm = Lstm::new(50, 41).return_sequences(true);
    let batch = || Sequences::from(&values).with_lengths(&lengths).unwrap();
    let want = lstm.on(&Device::cpu()).unwrap().run(&batch()).unwrap();
    for device in devices() {
        let runner = lstm.on(&device).unwrap();
        let run = runner.run(&batch()).unwrap();
        let mut into = want.clone();
        runner.run_into(&batch(), &mut into).unwrap();
        assert_eq!(into, run);
        let near = |(one, other): (&f32, &f32)| (one - other).abs() <= 1e-5; // never NaN
        assert!(run.values().iter().zip(want.values()).all(near), "{}", device.name());
    }
}
