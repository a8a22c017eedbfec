//! Models that run in sections: a Masking behind a layer that computes, with a RepeatVector on either side of it.

use cellstate::{Dense, Device, Gru, Layer, Lstm, Masking, Model, RepeatVector, Runner, Sequences, SimpleRnn};
use ndarray::{Array3, Axis};

use super::devices::devices;
use super::support::random::Random;

fn on(layers: &[Layer], device: &Device) -> Runner {
    let layers = layers.iter().cloned();
    let builder = layers.fold(Model::builder(), |builder, layer| builder.add(layer));
    builder.build().unwrap().on(device).unwrap()
}

fn batch() -> Array3<f32> {
    Random::new(1).array3((3, 4, 2), 1.0)
}

/// A mask of single values is gone behind a RepeatVector: with one that masks nothing the values are those without it.
#[test]
fn a_section_may_begin_with_single_values_that_are_repeated() {
    let masking: Layer = Masking::new(-9.0).into();
    let first: Layer = SimpleRnn::new(2, 5).into();
    let repeated: Layer = RepeatVector::new(3).into();
    let last: [Vec<Layer>; 4] = [
        vec![],
        vec![masking.clone()],
        vec![Gru::new(5, 4).return_sequences(true).into()],
        vec![Dense::new(5, 4).into(), Lstm::new(4, 2).into()],
    ];
    for device in devices() {
        for rest in &last {
            let chain = |middle: &[Layer]| [std::slice::from_ref(&first), middle, rest].concat();
            let without = on(&chain(std::slice::from_ref(&repeated)), &device);
            let with = on(&chain(&[masking.clone(), repeated.clone()]), &device);
            let [want, got] = [&without, &with].map(|runner| runner.run(&Sequences::from(batch())).unwrap());
            assert_eq!(got.values(), want.values(), "{}: {rest:?}", device.name());
            assert!(got.values().len_of(Axis(got.values().ndim() - 1)) > 0);
        }
    }
}

/// What a section is run over is what the one before gives, however long the input is.
#[test]
fn what_is_said_of_a_later_section_is_said_of_its_own_time_steps() {
    let first: [Layer; 2] = [Lstm::new(2, 3).into(), RepeatVector::new(50).into()];
    let second: [Layer; 2] = [Masking::new(0.0).into(), Gru::new(3, 2).into()];
    let third: [Layer; 3] = [
        Masking::new(0.0).into(),
        RepeatVector::new(7).into(),
        SimpleRnn::new(2, 2).into(),
    ];
    for device in devices() {
        let runner = on(&[&first[..], &second, &third].concat(), &device);
        for time_steps in [4, 60] {
            let told = runner.gpu_memory(3, time_steps).unwrap();
            assert_eq!(told.is_some(), device.gpu().is_some());
            let Some(gpu) = device.gpu() else { continue };
            let before = gpu.counters().bytes();
            let input = Random::new(1).array3((3, time_steps, 2), 1.0);
            runner.run(&Sequences::from(input)).unwrap();
            assert_eq!(told, Some(gpu.counters().bytes() - before), "{}", device.name());
            runner.release_memory();
        }
    }
}
