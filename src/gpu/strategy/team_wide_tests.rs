//! Teams for many positions, run by a software adapter with the numbers of a GPU: what happens when a workgroup does not come, the numbers of every form,
//! and that a workspace has room for every launch.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use ndarray::{Array2, Array3};

use super::*;
use crate::flow::{Flow, Input, Ran};
use crate::gpu::GpuModel;
use crate::gpu::device::adapter::Adapter;
use crate::gpu::recording::Batch;
use crate::gpu::strategy::numbers::H200;
use crate::gpu::weights::{Form as WeightForm, class_of};
use crate::layer::bidirectional::Bidirectional;
use crate::layer::gru::Gru;
use crate::layer::lstm::Lstm;
use crate::layer::simple_rnn::SimpleRnn;
use crate::model::Model;
use crate::output::Output;
use crate::settings::{Settings, Strategy};
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
    let settings = Settings::new().strategy(strategy);
    pollster::block_on(GpuModel::new(gpu.clone(), model.plan().clone(), &settings)).unwrap()
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
        states: None,
        wants_states: true,
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

fn team(gpu: &Gpu, model: &Model) -> WideTeam {
    WideTeam::make(gpu, &cells(model), Spin::of(gpu).unwrap(), H200).unwrap()
}

/// The same model by this make of a team.
fn by(gpu: &Gpu, model: &Model, team: WideTeam) -> GpuModel {
    let mut on = on(gpu, model, Strategy::Step); // which makes no other team
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
        let mut team = team(&gpu, &model);
        team.missing = 1;
        team.most_polls = Some(1000);
        let teams = by(&gpu, &model, team);
        for aborted in 1..3 {
            let got = run(&teams, (9, 40), false);
            assert_eq!(gpu.counters().aborted_teams(), aborted);
            assert!(got.was_replayed);
            assert_eq!(got.rows_run, want.rows_run);
            assert!(got.outputs == want.outputs, "the replay has the bits of step");
            assert!(got.states == want.states);
        }
    }
}

/// Every cell, with positions that shrink, by every way to share out rows and units; and twice, with the same bits.
#[test]
fn teams_of_every_make_give_the_numbers_of_step() {
    for gpu in adapters() {
        let spin = Spin::of(&gpu).unwrap();
        let lanes_of_subgroup = gpu.lanes_of_subgroup().unwrap() as usize;
        // (units, slice, own, taken, batches, groups, whether it asks ahead)
        let shapes = [
            (7, 4, 1, 1, 1, 1, false),
            (16, 8, 2, 2, 1, 2, true),
            (60, 32, 1, 4, 1, 2, true),
            (13, 8, 2, 4, 1, 1, false),
            (40, 24, 4, 1, 2, 1, false),
            (24, 16, 1, 8, 1, 1, false),
            (30, 16, 1, 2, 1, 4, true),
            (64, 32, 1, 2, 2, 2, false),
        ];
        for (number, (units, slice, own, taken, batches, groups, is_ahead)) in shapes.into_iter().enumerate() {
            let gru = || Gru::new(3, units).return_sequences(true).seed(6);
            let rnn = || SimpleRnn::new(3, units).return_sequences(true).seed(7);
            let other = match number % 2 {
                0 => Model::builder().add(gru()),
                _ => Model::builder().add(Bidirectional::new(rnn())),
            };
            for (name, model) in [("lstm", lstm(units)), ("other", other.build().unwrap())] {
                let mut team = team(&gpu, &model);
                if spin.in_software {
                    team.shapes = vec![Shape {
                        rows: taken * batches * groups,
                        units: class_of(&model.plan().cells[0].cell),
                        slice,
                        own,
                        lanes_of_subgroup,
                        taken,
                        batches,
                        tiles: groups.min(2),
                        is_ahead,
                        is_one_first: number % 3 == 0,
                    }];
                }
                let teams = by(&gpu, &model, team);
                let steps = on(&gpu, &model, Strategy::Step);
                for (size, is_masked) in [((5, 9), false), ((9, 14), true)] {
                    let want = run(&steps, size, is_masked);
                    let run_whole = || {
                        (0..5)
                            .map(|_| run(&teams, size, is_masked))
                            .find(|ran| !ran.was_replayed)
                    };
                    let whole = [run_whole(), run_whole()].map(|ran| ran.unwrap_or_else(|| panic!("{name}: replayed")));
                    let what = format!("{name}, {units} units, shape {number}, {size:?}");
                    assert!(!far(&whole[0], &want), "{what}");
                    assert!(whole[0].outputs == whole[1].outputs, "{what}: two runs, the same bits");
                    assert!(whole[0].states == whole[1].states, "{what}: two runs, the same bits");
                }
            }
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
            pollster::block_on(residency::resident(&gpu, &SHADER, &team.pipeline, (workgroups, 2000))).unwrap()
        };
        assert_eq!(count(1), 1);
        let came = count(200);
        println!("{}: {came} of 200 workgroups ran at the same time", gpu.name());
        assert!((1..=200).contains(&came));
        if team.spin.in_software {
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
        team.spin.most_members = 1;
        team.spin.in_software = true;
        let teams = by(&gpu, &model, team);
        let want = run(&on(&gpu, &model, Strategy::Step), (3, 10), false);
        let got = run(&teams, (3, 10), false);
        assert!(got.outputs == want.outputs && !got.was_replayed);
        assert!(teams.weights.recurrences[0].can(Strategy::Team).is_err());
    }
}

/// In every workspace each batch that it may hold has room, whatever its mask: for its words and its dispatches; and each row is run once.
#[test]
fn a_workspace_has_room_for_every_launch() {
    for gpu in adapters() {
        for units in [1, 21, 100] {
            let team = team(&gpu, &lstm(units));
            for batch in [1, 2, 3, 8, 9, 33, 100] {
                let (shape, most_teams) = team.shape(batch).unwrap();
                for most_teams in [1, 3, most_teams] {
                    let (teams, steps) = team.launch(shape, most_teams, batch);
                    let launches = WideLaunches {
                        pipeline: &team.pipeline,
                        shape,
                        teams,
                        steps,
                        most_polls: 1,
                        missing: 0,
                        directions: 2,
                        units,
                        kernel_width: units,
                    };
                    assert!(teams * shape.words() * steps <= EXCHANGE);
                    for active in 1..=batch {
                        let shares = launches.shares(active);
                        let mut runs = vec![0; active];
                        for share in &shares {
                            assert!(share.pace * share.directions.len() <= teams);
                            assert!(share.positions.len() <= share.pace * shape.rows);
                            share
                                .positions
                                .clone()
                                .for_each(|position| runs[position] += share.directions.len());
                        }
                        assert!(runs.iter().all(|&runs| runs == 2), "{shares:?}");
                        assert!(shares.len() <= launches.shares(batch).len());
                    }
                }
                assert!(team.exchange_bytes(batch, 100_000).unwrap() <= 4 * EXCHANGE as u64 + 16);
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
