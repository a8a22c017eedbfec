//! Teams on a GPU, run by a software adapter with the numbers of a GPU: what happens when a workgroup does not come, the numbers of every form,
//! and that a workspace has room for every launch.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use ndarray::{Array2, Array3};

use super::*;
use crate::flow::{Flow, Input, Ran};
use crate::gpu::GpuModel;
use crate::gpu::device::adapter::Adapter;
use crate::gpu::recording::{Batch, Initial};
use crate::gpu::stage::interface::HostReads;
use crate::gpu::strategy::numbers::H200;
use crate::gpu::strategy::team_launches::EXCHANGE_OF_GPU;
use crate::gpu::strategy::team_shape::Shape;
use crate::gpu::strategy::{team_parts, team_wide, team_wide_shape};
use crate::gpu::weights::{Form as WeightForm, class_of};
use crate::layer::bidirectional::Bidirectional;
use crate::layer::gru::Gru;
use crate::layer::lstm::Lstm;
use crate::layer::simple_rnn::SimpleRnn;
use crate::model::Model;
use crate::output::Output;
use crate::settings::{Precision, Settings, Strategy};
use crate::state::State;

/// The adapters on which workgroups may wait for each other, each with a device that no other test has: aborted teams are
/// counted.
fn adapters() -> Vec<Gpu> {
    let open = |adapter: &Adapter| pollster::block_on(adapter.open_another()).unwrap();
    let mut gpus: Vec<Gpu> = pollster::block_on(Adapter::all()).iter().map(open).collect();
    gpus.retain(|gpu| match Spin::of(gpu) {
        Ok(_) => true,
        Err(why) => {
            println!("skipped: {}: {why}", gpu.name());
            false
        }
    });
    gpus
}

fn lstm(units: usize) -> Model {
    let lstm = Lstm::new(3, units).return_sequences(true).seed(5);
    Model::builder().add(Bidirectional::new(lstm)).build().unwrap()
}

fn on(gpu: &Gpu, model: &Model, strategy: Strategy) -> GpuModel {
    with(gpu, model, &Settings::new().strategy(strategy))
}

fn with(gpu: &Gpu, model: &Model, settings: &Settings) -> GpuModel {
    pollster::block_on(GpuModel::new(gpu.clone(), model.plan().clone(), settings)).unwrap()
}

/// Sequences of different length if asked for: then positions shrink from step to step.
fn run(gpu: &GpuModel, (batch, time_steps): (usize, usize), is_masked: bool) -> Ran {
    let values = Array3::from_shape_fn((batch, time_steps, 3), |(a, b, c)| {
        ((a * 7 + b * 3 + c) % 11) as f32 / 11.0 - 0.5
    });
    let length = |sequence: usize| time_steps - sequence * 3 % time_steps.max(1);
    let mask = Array2::from_shape_fn((batch, time_steps), |(sequence, step)| step < length(sequence));
    let input = Input::Values(values.view());
    let flow = Arc::new(Flow::new(&gpu.plan, input, is_masked.then(|| mask.view())).unwrap());
    let batch = Batch {
        flow: &flow,
        input,
        initial: Initial::Zeros,
        reads: HostReads::outputs_and(true),
    };
    pollster::block_on(gpu.run(batch, &mut Output::default())).unwrap()
}

fn cells(model: &Model) -> Cells<'_> {
    let cell = &model.plan().cells[0].cell;
    Cells {
        cell,
        directions: model.plan().cells.len(),
        form: WeightForm::Full,
        first_k: 0,
        kernel_width: class_of(cell),
        numbers: Some(H200),
    }
}

fn team(gpu: &Gpu, model: &Model) -> MadeTeam {
    MadeTeam::make(gpu, &cells(model), Spin::of(gpu).unwrap(), H200).unwrap()
}

/// The same model by this make of a team.
fn by(gpu: &Gpu, model: &Model, team: MadeTeam) -> GpuModel {
    in_place(on(gpu, model, Strategy::Step), team) // which makes no other team
}

fn in_place(mut on: GpuModel, team: MadeTeam) -> GpuModel {
    on.asked.strategy = Some((Strategy::Team, "a test"));
    let recurrence = Arc::get_mut(&mut on.weights.recurrences[0]).unwrap();
    recurrence.replace(Strategy::Team, Box::new(team));
    on
}

fn far(got: &Ran, want: &Ran) -> bool {
    let differs = |got: f32, want: f32| got.is_nan() || (got - want).abs() > 1e-5;
    let outputs = got.outputs.iter().zip(&want.outputs);
    let mut states = got.states.iter().zip(&want.states);
    let hidden = |(got, want): (&State, &State)| {
        let values = got
            .hidden()
            .into_iter()
            .zip(want.hidden())
            .any(|(&got, &want)| differs(got, want));
        let cells = got.cell().into_iter().flatten().zip(want.cell().into_iter().flatten());
        values || cells.into_iter().any(|(&got, &want)| differs(got, want))
    };
    got.rows_run != want.rows_run
        || outputs
            .flat_map(|(got, want)| got.iter().zip(want))
            .any(|(&got, &want)| differs(got, want))
        || states.any(hidden)
}

/// A workgroup that never comes: the run is given up, made again by steps, says so, and nothing of the first attempt is given
/// out.
#[test]
fn a_run_whose_team_is_not_complete_is_run_again_and_says_so() {
    for gpu in adapters() {
        let model = lstm(21);
        let want = run(&on(&gpu, &model, Strategy::Step), (9, 40), false);
        assert!(!want.was_replayed);
        let all = team(&gpu, &model).candidates.makes;
        let of = |shader: &str| {
            all.iter()
                .copied()
                .find(|make| make.shader().name == shader && make.rows() == 4)
        };
        let makes = [team_parts::SHADER.name, team_wide::SHADER.name].map(of);
        let mut aborted = 0;
        for make in makes.into_iter().flatten() {
            let mut team = team(&gpu, &model);
            team.missing = 1;
            team.most_polls = Some(1000);
            team.candidates.only(make);
            let teams = by(&gpu, &model, team);
            for _ in 0..2 {
                let got = run(&teams, (9, 40), false);
                aborted += 1;
                assert_eq!(gpu.counters().aborted_teams(), aborted);
                assert!(got.was_replayed);
                assert_eq!(got.rows_run, want.rows_run);
                assert!(got.outputs == want.outputs, "the replay has the bits of step");
                assert!(got.states == want.states);
            }
        }
    }
}

/// Teams of each height whose sums go through workgroup memory: units, slice, parts, rows.
const PARTS: [[usize; 4]; 5] = [
    [7, 4, 2, 1],
    [16, 8, 4, 2],
    [60, 32, 2, 4],
    [13, 8, 1, 8],
    [40, 24, 12, 4],
];

/// Teams whose sums stay in a subgroup, with one group, two and more: units, slice, rows of a group, rows.
const WIDE: [[usize; 4]; 6] = [
    [7, 4, 1, 1],
    [16, 8, 2, 2],
    [60, 32, 2, 4],
    [13, 8, 4, 4],
    [40, 24, 1, 2],
    [100, 56, 1, 4],
];

/// The makes above for a model of so many units.
fn makes(gpu: &Gpu) -> Vec<(usize, Make)> {
    let parts = PARTS.map(|[units, slice, parts, rows]| {
        let shape = Shape {
            rows,
            units,
            slice,
            parts,
        };
        (units, Make::Parts(shape))
    });
    let wide = |lanes_of_subgroup: u32| {
        WIDE.map(|[units, slice, group, rows]| {
            let shape = team_wide_shape::Shape {
                rows,
                units,
                slice,
                lanes_of_subgroup: lanes_of_subgroup as usize,
                group,
            };
            (units, Make::Wide(shape))
        })
    };
    let wide = gpu.lanes_of_subgroup().map(wide).into_iter().flatten();
    parts.into_iter().chain(wide).collect()
}

/// A make for the size class of a model.
fn of_class(make: Make, model: &Model) -> Make {
    let units = class_of(&model.plan().cells[0].cell);
    match make {
        Make::Parts(shape) => Make::Parts(Shape { units, ..shape }),
        Make::Wide(shape) => Make::Wide(team_wide_shape::Shape { units, ..shape }),
    }
}

/// Every cell, with positions that shrink, in teams of each make of which several do not fit at once; and twice, with the same bits.
#[test]
fn teams_of_every_make_give_the_numbers_of_step() {
    for gpu in adapters().into_iter().filter(|gpu| Spin::of(gpu).unwrap().in_software) {
        for (number, (units, make)) in makes(&gpu).into_iter().enumerate() {
            let gru = || Gru::new(3, units).return_sequences(true).seed(6);
            let rnn = || SimpleRnn::new(3, units).return_sequences(true).seed(7);
            let other = match number % 2 {
                0 => Model::builder().add(gru()),
                _ => Model::builder().add(Bidirectional::new(rnn())),
            };
            for model in [lstm(units), other.build().unwrap()] {
                let mut team = team(&gpu, &model);
                team.candidates.only(of_class(make, &model));
                let teams = by(&gpu, &model, team);
                let steps = on(&gpu, &model, Strategy::Step);
                for (size, is_masked) in [((5, 9), false), ((9, 14), true)] {
                    let want = run(&steps, size, is_masked);
                    let run_whole = || {
                        (0..5)
                            .map(|_| run(&teams, size, is_masked))
                            .find(|ran| !ran.was_replayed)
                    };
                    let what = format!("{units} units, {make:?}, {size:?}");
                    let whole = [run_whole(), run_whole()].map(|ran| ran.unwrap_or_else(|| panic!("{what}: replayed")));
                    assert!(!far(&whole[0], &want), "{what}");
                    assert!(whole[0].outputs == whole[1].outputs, "{what}: two runs, the same bits");
                    assert!(whole[0].states == whole[1].states, "{what}: two runs, the same bits");
                }
            }
        }
    }
}

/// Weights that are halves are read as such, by both texts.
#[test]
fn halves_give_the_numbers_of_step() {
    for gpu in adapters().into_iter().filter(|gpu| Spin::of(gpu).unwrap().in_software) {
        let model = lstm(13);
        let settings = Settings::new().strategy(Strategy::Step).precision(Precision::Relaxed);
        let want = run(&with(&gpu, &model, &settings), (5, 9), true);
        let full = run(&on(&gpu, &model, Strategy::Step), (5, 9), true);
        assert!(far(&full, &want), "halves are not what they were made of");
        let cells = Cells {
            form: WeightForm::Half,
            ..cells(&model)
        };
        for (_, make) in makes(&gpu).into_iter().filter(|&(units, _)| units == 13) {
            let mut team = MadeTeam::make(&gpu, &cells, Spin::of(&gpu).unwrap(), H200).unwrap();
            team.candidates.only(of_class(make, &model));
            let teams = in_place(with(&gpu, &model, &settings), team);
            let ran = (0..5).map(|_| run(&teams, (5, 9), true)).find(|ran| !ran.was_replayed);
            assert!(!far(&ran.unwrap(), &want), "{make:?}");
        }
    }
}

/// A launch without steps counts, and ends even if there are far more workgroups than run at the same time.
#[test]
fn the_probe_counts_who_came() {
    for gpu in adapters() {
        let model = lstm(21);
        let team = team(&gpu, &model);
        let count = |workgroups| {
            pollster::block_on(residency::resident(
                &gpu,
                team.shader,
                &team.pipeline,
                (workgroups, 2000),
            ))
            .unwrap()
        };
        assert_eq!(count(1), 1);
        let came = count(200);
        println!("{}: {came} of 200 workgroups ran at the same time", gpu.name());
        assert!((1..=200).contains(&came));
        if team.candidates.spin.in_software {
            let threads = std::thread::available_parallelism().unwrap().get();
            assert!(came <= threads.max(16), "{came} workgroups, {threads} threads");
        }
    }
}

/// Where too few workgroups run at the same time no team is taken, though it was asked for, and nothing is lost.
#[test]
fn a_gpu_on_which_no_team_fits_runs_by_another_strategy() {
    for gpu in adapters() {
        let model = lstm(21);
        let mut team = team(&gpu, &model);
        team.candidates.spin.most_members = 1;
        team.candidates.spin.in_software = true;
        let teams = by(&gpu, &model, team);
        let want = run(&on(&gpu, &model, Strategy::Step), (3, 10), false);
        let got = run(&teams, (3, 10), false);
        assert!(!far(&got, &want) && !got.was_replayed);
        assert!(teams.weights.recurrences[0].can(Strategy::Team, Some(3)).is_err());
    }
}

/// A batch for which there are too few workgroups is run by another strategy, and no other batch is.
#[test]
fn what_fails_for_a_batch_fails_for_no_other() {
    for gpu in adapters() {
        let model = lstm(21);
        let team = team(&gpu, &model);
        team.lock().forms.insert(3, None);
        let teams = by(&gpu, &model, team);
        for (batch, by_teams) in [(3, false), (2, true), (3, false)] {
            let want = run(&on(&gpu, &model, Strategy::Step), (batch, 10), false);
            assert!(!far(&run(&teams, (batch, 10), false), &want), "{batch} sequences");
            let (_, strategies) = teams.explain(batch, 10).unwrap();
            assert_eq!(strategies == [Strategy::Team], by_teams, "{batch} sequences");
        }
        let measured = pollster::block_on(teams.tune(3, 10)).unwrap();
        let mut candidates = measured.layers().iter().flat_map(|layer| &layer.candidates);
        assert!(candidates.all(|candidate| candidate.strategy != Strategy::Team));
    }
}

/// The first run of a size takes what it was told to, whatever is counted meanwhile.
#[test]
fn counting_takes_no_memory_of_a_run() {
    for gpu in adapters() {
        let model = lstm(21);
        let spin = Spin {
            in_software: false,
            ..Spin::of(&gpu).unwrap()
        };
        for size in [(9, 40), (1, 40), (70, 3), (3, 0)] {
            let mut team = MadeTeam::make(&gpu, &cells(&model), spin, H200).unwrap();
            team.most_polls = Some(1000); // in software a team without turns may never get to its end
            let teams = by(&gpu, &model, team);
            let told = teams.memory(size.0, size.1).unwrap();
            let before = gpu.counters().bytes();
            run(&teams, size, false);
            assert_eq!(gpu.counters().bytes() - before, told, "{size:?}");
        }
    }
}

/// In every workspace each batch that it may hold has room, whatever its mask: for its words and its dispatches.
#[test]
fn a_workspace_has_room_for_every_launch() {
    for gpu in adapters() {
        for units in [1, 21, 100] {
            let team = team(&gpu, &lstm(units));
            for batch in [1, 2, 3, 8, 9, 33, 100] {
                let (make, most_teams) = team.decided(batch).unwrap();
                for most_teams in [1, 3, most_teams, 100_000] {
                    let (teams, steps) = team.candidates.launch(make, most_teams, batch);
                    assert!(teams * make.words() * steps <= EXCHANGE_OF_GPU);
                    for time_steps in [1, 100, 100_000] {
                        let words = steps.min(time_steps) * teams * make.words();
                        assert!(words <= team.candidates.words(batch, time_steps));
                    }
                    for active in 1..=batch {
                        let rounds = make.rounds(teams, 2, active);
                        assert!(rounds <= make.rounds(teams, 2, batch));
                    }
                }
                assert!(team.exchange_bytes(batch, 100_000).unwrap() <= 4 * EXCHANGE_OF_GPU as u64);
            }
        }
    }
}

/// By the numbers of an H200 a team beats a dispatch for each step where it was measured to.
#[test]
fn estimates_are_in_order() {
    for gpu in adapters() {
        let team = team(&gpu, &lstm(100));
        let seconds = |positions, steps, rows| {
            let work = Work { positions, steps, rows };
            team.seconds(work).unwrap()
        };
        let all = [seconds(1, 100, 100), seconds(1, 1000, 1000), seconds(64, 1000, 64_000)];
        assert!(
            all.iter().all(|seconds| seconds.is_finite() && *seconds > 0.0),
            "{all:?}"
        );
        assert!(all[0] < all[1] && all[1] < all[2], "{all:?}");
        assert!(seconds(64, 1000, 32_000) < 0.7 * all[2], "lengths of half");
    }
}
