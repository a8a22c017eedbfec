//! The strategy team, asked for by name: the numbers of the CPU path, whatever the machine does meanwhile. A busy one may
//! keep a workgroup waiting for too long; then the run is made again, and its numbers are the same.

use cellstate::{Bidirectional, Device, Error, Gpu, Lstm, Model, Sequences, Settings, Strategy};
use ndarray::Array3;

use super::{adapters as own, devices};

/// (features, units, batch, time_steps): units that no two workgroups share evenly, positions past a tile, and more steps and
/// tiles than a launch has.
const SIZES: [(usize, usize, usize, usize); 8] = [
    (3, 1, 2, 5),
    (2, 2, 1, 1),
    (5, 3, 3, 17),
    (4, 65, 9, 12),
    (3, 129, 2, 40),
    (7, 257, 1, 9),
    (2, 20, 33, 6),
    (1, 160, 8, 1100),
];

/// Every adapter, and whether it has to be able to.
fn adapters() -> Vec<(Device, bool)> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let is_able = |gpu: &Gpu| gpu.info().driver == "llvmpipe" && !gpu.info().driver_info.starts_with("Mesa 22.");
    let able = |device: &Device| device.gpu().is_some_and(is_able) && threads > 1;
    let gpus = devices::devices().into_iter().filter(|device| device.gpu().is_some());
    gpus.map(|device| (device.clone(), able(&device))).collect()
}

fn models(features: usize, units: usize) -> [Model; 2] {
    let lstm = Lstm::new(features, units).return_sequences(true).seed(3);
    [
        Model::builder().add(lstm.clone()).build().unwrap(),
        Model::builder().add(Bidirectional::new(lstm)).build().unwrap(),
    ]
}

#[test]
fn teams_give_the_numbers_of_the_cpu() {
    for (device, able) in adapters() {
        for (features, units, batch, time_steps) in SIZES {
            for model in models(features, units) {
                let name = format!(
                    "{}: {features} features, {units} units, ({batch}, {time_steps})",
                    device.name()
                );
                let teams = match model.on_with(&device, &Settings::new().strategy(Strategy::Team)) {
                    Ok(teams) => teams,
                    Err(Error::Unsupported { option, .. }) if !able => {
                        println!("skipped: {option}");
                        continue;
                    }
                    Err(error) => panic!("{name}: {error}"),
                };
                let cpu = model.on(&Device::cpu()).unwrap();
                let values = Array3::from_shape_fn((batch, time_steps, features), |(sequence, step, feature)| {
                    ((sequence * 31 + step * 7 + feature * 3) % 17) as f32 / 8.0 - 1.0
                });
                let lengths: Vec<usize> = (0..batch)
                    .map(|sequence| (sequence * 5 + 3) % (time_steps + 1))
                    .collect();
                let full = Sequences::from(values);
                for batch_of in [full.clone(), full.clone().with_lengths(&lengths).unwrap()] {
                    let mut states = cpu.zero_state(batch);
                    for (number, state) in states.iter_mut().enumerate() {
                        state.hidden_mut().fill(0.25);
                        state.cell_mut().unwrap().fill(0.5 - number as f32);
                    }
                    let mut on_cpu = states.clone();
                    let got = teams.run_from(&batch_of, &mut states).unwrap();
                    let want = cpu.run_from(&batch_of, &mut on_cpu).unwrap();
                    assert_eq!(got.rows_run(), want.rows_run(), "{name}");
                    let far = |got: f32, want: f32| got.is_nan() || want.is_nan() || (got - want).abs() > 2e-5;
                    let wrong = got
                        .values()
                        .iter()
                        .zip(want.values())
                        .filter(|&(&got, &want)| far(got, want))
                        .count();
                    assert_eq!(wrong, 0, "{name}: outputs");
                    for (got, want) in states.iter().zip(on_cpu.iter()) {
                        assert!(
                            !got.hidden()
                                .iter()
                                .zip(want.hidden())
                                .any(|(&got, &want)| far(got, want)),
                            "{name}: h"
                        );
                        assert!(
                            !got.cell()
                                .unwrap()
                                .iter()
                                .zip(want.cell().unwrap())
                                .any(|(&got, &want)| far(got, want)),
                            "{name}: c"
                        );
                    }
                }
            }
        }
        if let Some(gpu) = device.gpu() {
            println!(
                "{}: {} runs were made twice",
                gpu.name(),
                gpu.counters().aborted_teams()
            );
        }
    }
}

/// Two workgroups of which none can go on without the other do get to the end. A single attempt may fail where the machine has
/// much else to do, five in a row do not.
#[test]
fn teams_get_to_the_end() {
    for (device, _) in adapters().into_iter().filter(|(_, able)| *able) {
        for (features, units, batch, time_steps) in SIZES {
            for model in models(features, units) {
                let teams = model
                    .on_with(&device, &Settings::new().strategy(Strategy::Team))
                    .unwrap();
                let counters = teams.gpu().unwrap().counters();
                let input = Sequences::from(Array3::from_elem((batch, time_steps, features), 0.5));
                let is_through = (0..5).any(|_| {
                    let before = counters.aborted_teams();
                    teams.run(&input).unwrap();
                    counters.aborted_teams() == before
                });
                assert!(is_through, "{}: {units} units, ({batch}, {time_steps})", device.name());
            }
        }
    }
}

/// What teams need on the GPU is told beforehand, and made once.
#[test]
fn teams_take_the_memory_that_is_told() {
    for adapter in own::adapters() {
        let opened = own::open_alone(&adapter);
        for model in models(3, 70) {
            let Ok(runner) = model.on_with(&opened.device, &Settings::new().strategy(Strategy::Team)) else {
                continue;
            };
            let counters = runner.gpu().unwrap().counters();
            for (batch, time_steps) in [(9, 30), (1, 400), (3, 0)] {
                let told = runner.gpu_memory(batch, time_steps).unwrap();
                let before = counters.bytes();
                let input = Sequences::from(Array3::zeros((batch, time_steps, 3)));
                let mut runs = (0..2).map(|_| {
                    runner.run(&input).unwrap();
                    counters.bytes() - before
                });
                let taken = runs.next();
                assert!(
                    taken == told || taken == Some(0),
                    "({batch}, {time_steps}): {told:?}, {taken:?}"
                );
                assert_eq!(runs.next(), taken, "the second run of a size makes nothing");
            }
        }
    }
}
