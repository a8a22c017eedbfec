//! Models that run in sections: a Masking behind a layer that computes, with a RepeatVector on either side of it.

use cellstate::{Dense, Device, Error, Gru, Layer, Lstm, Masking, Model, RepeatVector, Runner, Sequences, SimpleRnn};
use ndarray::{Array3, Axis};

use super::devices::devices;
use super::refused;
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
    let second: [Layer; 2] = [Masking::new(0.0).into(), Gru::new(3, 2).return_sequences(true).into()];
    let third: [Layer; 2] = [Masking::new(0.0).into(), SimpleRnn::new(2, 2).into()];
    for device in devices() {
        let memory = |layers: &[Layer], time_steps| on(layers, &device).gpu_memory(3, time_steps).unwrap();
        for time_steps in [4, 60] {
            let told = memory(&[&first[..], &second, &third].concat(), time_steps);
            let apart = [memory(&first, time_steps), memory(&second, 50), memory(&third, 50)];
            let sum: Option<u64> = apart.into_iter().sum();
            assert_eq!(told, sum, "{}", device.name());
            assert_eq!(told.is_some(), device.gpu().is_some());
        }
    }
}

/// A layer of a later section has the number that it has in the model, and so has its state.
#[test]
fn layers_are_numbered_in_the_model_and_not_in_their_section() {
    let layers: [Layer; 5] = [
        Gru::new(2, 3).return_sequences(true).into(),
        Masking::new(0.0).into(),
        Gru::new(3, 4).return_sequences(true).into(),
        Masking::new(0.0).into(),
        Lstm::new(4, 3).into(),
    ];
    for device in devices() {
        let said = on(&layers, &device).explain(3, 4).unwrap().to_string();
        let names = match device.gpu() {
            None => ["GRU 0:", "GRU 1:", "LSTM 2:"],
            Some(_) => ["layer 0 (GRU", "layer 2 (GRU", "layer 4 (LSTM"],
        };
        for name in names {
            assert!(said.contains(name), "{name}: {said}");
        }
    }
}

/// Masking alone is held to the same number of steps as every other model, however it is asked.
#[test]
fn masking_alone_has_the_limits_of_every_model() {
    let one = Array3::<f32>::zeros((1, 1, 2));
    let claimed = Sequences::from(one.broadcast((1 << 33, 1, 2)).unwrap());
    for device in devices() {
        let runner = on(&[Masking::new(0.0).into()], &device);
        let mut states = runner.zero_state(1);
        refused!(runner.run(&claimed), Error::TooLarge { .. }, "run fewer sequences");
        refused!(
            runner.run_from(&claimed, &mut states),
            Error::TooLarge { .. },
            "run fewer sequences"
        );
        refused!(
            runner.explain(usize::MAX, usize::MAX),
            Error::TooLarge { .. },
            "run fewer sequences"
        );
        assert_eq!(
            runner.tune(3, 4).unwrap().to_string().contains("CPU"),
            device.gpu().is_none()
        );
    }
}
