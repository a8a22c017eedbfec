//! Which mask a recurrent layer gets: the caller's, or that of a layer before it. Keras 3.15's rules where it has one.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

#[path = "support/devices.rs"]
mod devices;

use cellstate::{
    Activation, BatchNormalization, Bidirectional, Dense, Device, Embedding, EndMask, Flatten, LastStep, Layer,
    LayerNormalization, Lstm, Masking, Model, Output, RepeatVector, Reshape, Sequences,
};
use devices::devices;
use ndarray::{Array2, Array3, ArrayD, Axis, array, s};

fn run(layers: &[Layer], sequences: &Sequences<'_>, device: &Device) -> Output {
    let builder = layers
        .iter()
        .cloned()
        .fold(Model::builder(), |builder, layer| builder.add(layer));
    builder.build().unwrap().on(device).unwrap().run(sequences).unwrap()
}

fn values(output: &Output) -> ArrayD<f32> {
    output.values().to_owned()
}

fn tokens() -> Array2<i32> {
    array![[3, 0, 2, 1], [1, 2, 0, 0]]
}

#[test]
fn a_mask_of_the_caller_goes_through_an_embedding_that_makes_none() {
    let layers = [Embedding::new(4, 3).into(), Lstm::new(3, 5).into()];
    let batch = Sequences::from(tokens()).with_lengths(&[4, 2]).unwrap();
    for device in devices() {
        let output = run(&layers, &batch, &device);
        assert_eq!(output.rows_run(), 6);
        let alone = run(&layers, &Sequences::from(array![[1, 2]]), &device);
        let difference = (&output.last().row(1) - &alone.last().row(0)).mapv(f32::abs);
        assert!(difference.iter().all(|&error| error <= 1e-6), "{difference}");
    }
}

#[test]
fn mask_zero_takes_the_place_of_the_mask_of_the_caller() {
    let layers = [Embedding::new(4, 3).mask_zero(true).into(), Lstm::new(3, 5).into()];
    let plain = Sequences::from(tokens());
    let masked = Sequences::from(tokens()).with_lengths(&[1, 1]).unwrap();
    for device in devices() {
        let (plain, masked) = (run(&layers, &plain, &device), run(&layers, &masked, &device));
        assert_eq!((plain.rows_run(), masked.rows_run()), (5, 5));
        assert_eq!(values(&plain), values(&masked));
    }
}

#[test]
fn a_masking_layer_takes_the_place_of_the_mask_of_the_caller() {
    let layers = [Masking::new(0.0).into(), Lstm::new(1, 5).into()];
    let x = array![[[0.5], [0.0], [0.25]], [[0.0], [0.0], [0.75]]];
    let masked = Sequences::from(&x).with_lengths(&[2, 1]).unwrap();
    for device in devices() {
        let output = run(&layers, &masked, &device);
        assert_eq!(output.rows_run(), 3);
        assert_eq!(values(&output), values(&run(&layers, &Sequences::from(&x), &device)));
    }
}

#[test]
fn a_mask_goes_through_dense_and_its_padding_is_not_computed() {
    let layers = [
        Dense::new(2, 3).into(),
        Lstm::new(3, 5).return_sequences(true).into(),
        Dense::new(5, 2).into(),
    ];
    let mut x = Array3::from_shape_fn((2, 4, 2), |(i, j, k)| (i + 2 * j + 3 * k) as f32 * 0.1);
    let batch = Sequences::from(&x).with_lengths(&[4, 1]).unwrap().into_owned();
    x.slice_mut(s![1, 1.., ..]).fill(f32::NAN);
    let spoiled = Sequences::from(&x).with_lengths(&[4, 1]).unwrap();
    for device in devices() {
        let (clean, spoiled) = (run(&layers, &batch, &device), run(&layers, &spoiled, &device));
        assert_eq!(clean.rows_run(), 5);
        assert_eq!(values(&clean), values(&spoiled));
        // a masked step shows the Dense layer's value for the output before it, as in Keras
        let sequences = clean.sequences().unwrap();
        assert_eq!(sequences.slice(s![1, 1, ..]), sequences.slice(s![1, 0, ..]));
    }
}

/// What works on rows leaves the steps out that nobody reads behind it; what takes all steps, or the last one, reads them.
#[test]
fn padding_is_read_where_a_layer_takes_every_step() {
    let x = Array3::from_shape_fn((3, 5, 2), |(i, j, k)| (i + 2 * j + 3 * k) as f32 * 0.1);
    let mut spoiled = x.clone();
    spoiled.slice_mut(s![1, 1.., ..]).fill(f32::NAN);
    let of = |x: &Array3<f32>| Sequences::from(x).with_lengths(&[5, 1, 4]).unwrap().into_owned();
    let rows: [Layer; 3] = [
        BatchNormalization::new(2).into(),
        LayerNormalization::new(2).epsilon(0.1).into(),
        Activation::Softmax.into(),
    ];
    let lstm = |features, units| Lstm::new(features, units).return_sequences(true);
    for device in devices() {
        for layer in &rows {
            let layers = [
                layer.clone(),
                lstm(2, 4).into(),
                layer_behind(layer),
                Lstm::new(4, 3).into(),
            ];
            let [clean, dirty] = [&x, &spoiled].map(|x| run(&layers, &of(x), &device));
            assert_eq!(clean.rows_run(), 2 * 10);
            assert_eq!(values(&clean), values(&dirty), "{}", device.name());
        }
        // the Dense layer's value of what stands in the padding
        for last in [LastStep::new().into(), Layer::from(Flatten::new(5, 3))] {
            let layers = [Dense::new(2, 3).into(), last];
            let [with, without] = [of(&x), Sequences::from(&x).into_owned()].map(|batch| run(&layers, &batch, &device));
            assert_eq!(values(&with), values(&without), "{}", device.name());
            let dirty = run(&layers, &of(&spoiled), &device);
            assert!(dirty.values().iter().any(|value| value.is_nan()), "{}", device.name());
        }
        // behind a recurrent layer the padding has the output before it
        let layers = [lstm(2, 4).into(), LastStep::new().into()];
        let last = run(&layers, &of(&spoiled), &device);
        assert_eq!(values(&last), values(&run(&[Lstm::new(2, 4).into()], &of(&x), &device)));
    }
}

/// The same layer for four features.
fn layer_behind(layer: &Layer) -> Layer {
    match layer {
        Layer::BatchNormalization(_) => BatchNormalization::new(4).into(),
        Layer::LayerNormalization(_) => LayerNormalization::new(4).epsilon(0.1).into(),
        other => other.clone(),
    }
}

/// Behind an EndMask every step is run, with what the layer before gives where the mask left a step out, as in Keras 3.16.
#[test]
fn a_mask_that_ends_is_seen_by_nobody_behind() {
    let x = Array3::from_shape_fn((3, 6, 2), |(b, t, f)| ((b * 5 + t * 3 + f) % 7) as f32 / 7.0 - 0.5);
    let mask = array![
        [true, true, true, true, true, true],
        [false, false, true, false, true, false],
        [false, false, false, false, false, false],
    ];
    let lstm = |features, units| Lstm::new(features, units).return_sequences(true);
    let first: [Layer; 4] = [
        lstm(2, 4).into(),
        lstm(2, 4).zero_output_for_mask(true).into(),
        lstm(2, 4).go_backwards(true).into(),
        Bidirectional::new(lstm(2, 2)).into(),
    ];
    let behind: [Layer; 3] = [
        Dense::new(4, 5).into(),
        lstm(5, 3).into(),
        Lstm::new(3, 2).go_backwards(true).into(),
    ];
    for device in devices() {
        for first in &first {
            let masked = Sequences::from(&x).with_mask(mask.clone()).unwrap();
            let chain: Vec<Layer> = [first.clone(), EndMask::new().into()]
                .into_iter()
                .chain(behind.clone())
                .collect();
            let whole = run(&chain, &masked, &device);
            let before = run(std::slice::from_ref(first), &masked, &device)
                .sequences()
                .unwrap()
                .to_owned();
            // the parts draw the same weights where the layers in front of them keep their places
            let parts: Model = chain
                .iter()
                .cloned()
                .fold(Model::builder(), |builder, layer| builder.add(layer))
                .build()
                .unwrap();
            let mut alone: Model = behind
                .iter()
                .cloned()
                .fold(Model::builder(), |builder, layer| builder.add(layer))
                .build()
                .unwrap();
            let names = [
                ("dense", "dense"),
                ("lstm", lstm_behind(first)),
                ("lstm_1", next_lstm(first)),
            ];
            for (own, of_chain) in names {
                for parameter in alone
                    .clone()
                    .parameters()
                    .iter()
                    .filter(|parameter| parameter.path().split('/').next() == Some(own))
                {
                    let role = parameter.path().rsplit('/').next().unwrap();
                    let values = parts
                        .parameters()
                        .get(&format!("{of_chain}/{role}"))
                        .unwrap()
                        .values()
                        .to_owned();
                    alone.replace_parameter(parameter.path(), values).unwrap();
                }
            }
            let wanted = alone.on(&device).unwrap().run(&Sequences::from(&before)).unwrap();
            let difference = (&values(&whole) - &values(&wanted)).mapv(f32::abs);
            assert!(
                difference.iter().all(|&error| error <= 1e-6),
                "{}: {difference}",
                device.name()
            );
        }
    }
}

/// What the LSTMs behind a first layer are called.
fn lstm_behind(first: &Layer) -> &'static str {
    if first.class() == "LSTM" { "lstm_1" } else { "lstm" }
}

fn next_lstm(first: &Layer) -> &'static str {
    if first.class() == "LSTM" { "lstm_2" } else { "lstm_1" }
}

/// A single step is a step: behind Masking and RepeatVector(1) the output keeps its axis of time.
#[test]
fn one_repeated_step_keeps_its_axis() {
    let layers: [Layer; 4] = [
        Lstm::new(1, 3).into(),
        Masking::new(0.0).into(),
        RepeatVector::new(1).into(),
        Lstm::new(3, 2).return_sequences(true).into(),
    ];
    let without = [layers[0].clone(), layers[2].clone(), layers[3].clone()];
    let batch = Sequences::from(array![[[0.5], [0.25]], [[1.0], [0.75]]]);
    for device in devices() {
        let output = run(&layers, &batch, &device);
        assert_eq!(output.values().shape(), [2, 1, 2]);
        assert_eq!(run(&without, &batch, &device).values().shape(), [2, 1, 2]);
        assert_eq!(run(&layers[..2], &batch, &device).values().shape(), [2, 3]);
        assert_eq!(run(&layers[..3], &batch, &device).values().shape(), [2, 1, 3]);
        let last = run(&layers[..2], &batch, &device);
        let repeated: [Layer; 3] = [layers[0].clone(), layers[1].clone(), RepeatVector::new(4).into()];
        let repeated = run(&repeated, &batch, &device);
        assert_eq!(repeated.values().shape(), [2, 4, 3]);
        for step in repeated.values().axis_iter(Axis(1)) {
            assert_eq!(step, last.values());
        }
        let reshape = |to| Layer::from(Reshape::new([1, 3], to));
        for (layer, shape) in [
            (reshape([1, 3]), vec![2, 1, 3]),
            (reshape([3, 1]), vec![2, 3, 1]),
            (Flatten::new(1, 3).into(), vec![2, 3]),
            (Activation::Relu.into(), vec![2, 3]),
        ] {
            for masks in [false, true] {
                let mut layers = vec![layers[0].clone(), Masking::new(0.0).into(), layer.clone()];
                if !masks {
                    layers.remove(1);
                }
                assert_eq!(run(&layers, &batch, &device).values().shape(), shape, "{layer:?}");
            }
        }
    }
}
