//! `Runner::gpu_memory` says what a run will take, to the byte.

use cellstate::{
    Dense, Device, Error, Examples, Loss, Lstm, Masking, Model, RepeatVector, Sequences, Settings, Sgd, Trainer,
};
use ndarray::{Array2, Array3};

use super::adapters::{adapters, floor, open, open_with};
use super::models::OnDevice;
use super::zoo::kinds;

const SIZES: [(usize, usize); 6] = [(4, 9), (1, 1), (33, 17), (2, 0), (0, 5), (0, 0)];

#[test]
fn it_is_exactly_what_the_first_run_makes() {
    for adapter in adapters() {
        for (features, units) in [(3, 5), (8, 70)] {
            let opened = open(&adapter, floor());
            for kind in kinds(features, units) {
                for (batch, time_steps) in SIZES {
                    let gpu = kind.on(&opened.device); // a runner that has no buffers yet
                    let told = gpu.runner().gpu_memory(batch, time_steps).unwrap();
                    let before = opened.gpu.counters().bytes();
                    let input = kind.batch(batch, time_steps, 1);
                    gpu.run(&input.input, input.mask.as_ref()).unwrap();
                    let taken = opened.gpu.counters().bytes() - before;
                    assert_eq!(told, Some(taken), "{}: ({batch}, {time_steps})", kind.name);
                }
            }
        }
    }
}

/// A section has the time steps that a RepeatVector before it makes, and a last output is a single one.
#[test]
fn a_section_takes_what_its_own_time_steps_need() {
    let lstm = |features, return_sequences: bool| Lstm::new(features, 5).return_sequences(return_sequences);
    let behind_repeat_vector = Model::builder()
        .add(lstm(3, false))
        .add(RepeatVector::new(30))
        .add(Masking::new(0.0))
        .add(lstm(5, true));
    let behind_last = Model::builder()
        .add(lstm(3, false))
        .add(Masking::new(0.0))
        .add(Dense::new(5, 2));
    for adapter in adapters() {
        for builder in [&behind_repeat_vector, &behind_last] {
            let model = builder.clone().build().unwrap();
            for (batch, time_steps) in SIZES {
                let opened = open(&adapter, floor());
                let runner = model.on(&opened.device).unwrap();
                let told = runner.gpu_memory(batch, time_steps).unwrap();
                let before = opened.gpu.counters().bytes();
                let x = Sequences::from(Array3::from_elem((batch, time_steps, 3), 0.5));
                runner.run(&x).unwrap();
                let taken = opened.gpu.counters().bytes() - before;
                assert_eq!(told, Some(taken), "({batch}, {time_steps})");
            }
        }
    }
}

#[test]
fn time_stamps_take_theirs() {
    for adapter in adapters() {
        let opened = open_with(&adapter, floor(), wgpu::Features::TIMESTAMP_QUERY);
        for kind in kinds(3, 5) {
            let on = |timed| OnDevice::with(&kind.layers, &opened.device, &Settings::new().timed(timed)).unwrap();
            let (plain, timed) = (on(false), on(true));
            let [without, told] = [&plain, &timed].map(|gpu| gpu.runner().gpu_memory(4, 9).unwrap().unwrap());
            let before = opened.gpu.counters().bytes();
            let input = kind.batch(4, 9, 1);
            timed.run(&input.input, input.mask.as_ref()).unwrap();
            assert_eq!(told, opened.gpu.counters().bytes() - before, "{}", kind.name);
            let has_stamps = adapter.features().contains(wgpu::Features::TIMESTAMP_QUERY);
            assert_eq!(told > without, has_stamps, "{}", kind.name);
        }
    }
}

/// A large batch of a training does not hold its memory for ever.
#[test]
fn training_gives_a_large_batch_back() {
    let layers = || {
        Model::builder()
            .add(Lstm::new(3, 5))
            .add(Dense::new(5, 1))
            .build()
            .unwrap()
    };
    let batch = |rows: usize| {
        let x = Array3::from_elem((rows, 9, 3), 0.5);
        Examples::new(Sequences::from(x), Array2::<f32>::ones((rows, 1))).unwrap()
    };
    for adapter in adapters() {
        let opened = open(&adapter, floor());
        let mut trainer = Trainer::new(layers(), &opened.device, Loss::MeanSquaredError, Sgd::new(0.1)).unwrap();
        let mut taken = |rows: usize| {
            let before = opened.gpu.counters().bytes();
            trainer.train_on_batch(&batch(rows)).unwrap();
            opened.gpu.counters().bytes() - before
        };
        let large = taken(300);
        let (mut steps, mut small) = (0, 0);
        // what sets other weights takes the same in every step
        let usual = taken(3);
        while small <= usual {
            small = taken(3);
            steps += 1;
            assert!(steps < 40, "{small} bytes in each step, {large} in the first");
        }
        assert!(small < large / 4, "{small} bytes anew, {large} at first");
        opened.assert_quiet();
    }
}

#[test]
fn the_cpu_takes_none() {
    for kind in kinds(3, 5) {
        assert_eq!(
            kind.on(&Device::cpu()).runner().gpu_memory(4, 9),
            Ok(None),
            "{}",
            kind.name
        );
        assert_eq!(
            kind.on(&Device::cpu()).runner().gpu_memory(usize::MAX, 9),
            Ok(None),
            "{}",
            kind.name
        );
    }
}

/// The question costs nothing, however large the numbers are.
#[test]
fn what_does_not_fit_is_an_error_that_says_what_fits() {
    let sizes = [
        (1 << 27, 8),
        (8, 1 << 27),
        (1 << 31, 1 << 31),
        (usize::MAX, usize::MAX),
        (usize::MAX, 0),
        (0, usize::MAX),
    ];
    for adapter in adapters() {
        let opened = open(&adapter, floor());
        for kind in kinds(3, 5) {
            let gpu = kind.on(&opened.device);
            for (batch, time_steps) in sizes {
                let error = gpu.runner().gpu_memory(batch, time_steps).unwrap_err();
                assert!(matches!(error, Error::TooLarge { .. }), "{}: {error}", kind.name);
                let text = error.to_string();
                assert!(
                    text.contains("would fit") || text.contains("run_from"),
                    "{}: {text}",
                    kind.name
                );
            }
        }
        opened.assert_quiet();
    }
}
