//! Teams on a software adapter: what happens when a workgroup does not come, and that a workspace has room for every launch.
//! That teams give the right numbers is tested with the other strategies, and in tests/gpu/team.rs.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

use ndarray::{Array2, Array3};

use super::*;
use crate::flow::{Flow, Input, Ran};
use crate::gpu::GpuModel;
use crate::gpu::device::adapter::Adapter;
use crate::gpu::recording::{Batch, Initial};
use crate::gpu::stage::interface::HostReads;
use crate::gpu::states::GpuStates;
use crate::gpu::strategy::team_launches::EXCHANGE;
use crate::gpu::weights::{Form, class_of};
use crate::layer::bidirectional::Bidirectional;
use crate::layer::lstm::Lstm;
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

fn model(units: usize) -> Model {
    let lstm = Lstm::new(3, units).return_sequences(true).seed(5);
    Model::builder().add(Bidirectional::new(lstm)).build().unwrap()
}

fn on(gpu: &Gpu, model: &Model, strategy: Strategy) -> GpuModel {
    let settings = Settings::new().strategy(strategy);
    pollster::block_on(GpuModel::new(gpu.clone(), model.plan().clone(), &settings)).unwrap()
}

fn run(gpu: &GpuModel, batch: usize, time_steps: usize) -> Ran {
    run_from(gpu, (batch, time_steps), Initial::Zeros)
}

fn run_from(gpu: &GpuModel, (batch, time_steps): (usize, usize), initial: Initial<'_>) -> Ran {
    let values = Array3::from_shape_fn((batch, time_steps, 3), |(a, b, c)| {
        ((a * 7 + b * 3 + c) % 11) as f32 / 11.0 - 0.5
    });
    let input = Input::Values(values.view());
    let flow = Arc::new(Flow::new(&gpu.plan, input, None).unwrap());
    let batch = Batch {
        flow: &flow,
        input,
        initial,
        reads: HostReads::outputs_and(true),
    };
    pollster::block_on(gpu.run(batch, &mut Output::default())).unwrap()
}

/// What both directions of a model are made ready for.
fn cells(model: &Model) -> Cells<'_> {
    Cells {
        cell: &model.plan().cells[0].cell,
        directions: 2,
        form: Form::Full,
        first_k: 0,
        kernel_width: class_of(&model.plan().cells[0].cell),
        numbers: None,
    }
}

/// The same model by this make of a team.
fn by(gpu: &Gpu, model: &Model, team: KeptTeam) -> GpuModel {
    let mut on = on(gpu, model, Strategy::Team);
    let recurrence = Arc::get_mut(&mut on.weights.recurrences[0]).unwrap();
    recurrence.replace(Strategy::Team, Box::new(team));
    on
}

/// A workgroup that never comes: the run is given up, made again by steps, and nothing of the first attempt is given out.
#[test]
fn a_run_whose_team_is_not_complete_is_run_again() {
    for gpu in adapters() {
        let model = model(21);
        let want = run(&on(&gpu, &model, Strategy::Step), 9, 40);
        assert_eq!(gpu.counters().aborted_teams(), 0);
        let team = KeptTeam {
            missing: 1,
            most_polls: 1000,
            ..KeptTeam::make(&gpu, &cells(&model), Spin::of(&gpu).unwrap()).unwrap()
        };
        let teams = by(&gpu, &model, team);
        for aborted in 1..3 {
            let got = run(&teams, 9, 40);
            assert_eq!(gpu.counters().aborted_teams(), aborted);
            assert_eq!(got.rows_run, want.rows_run);
            assert!(got.outputs == want.outputs, "the replay has the bits of step");
            for (got, want) in got.states.iter().zip(&want.states) {
                assert!(got == want);
            }
        }
    }
}

/// States on the GPU are as they were for the second attempt, and are left as it leaves them.
#[test]
fn a_run_that_is_made_again_begins_with_the_same_states_on_the_gpu() {
    for gpu in adapters() {
        let model = model(21);
        let cells = &model.plan().cells;
        let given = |cell: usize| {
            let values = Array2::from_shape_fn((9, 21), |(row, unit)| ((row * 5 + unit + cell) % 7) as f32 / 7.0);
            State::with_cell(values.clone(), values).unwrap()
        };
        let given = [given(0), given(1)];
        let states = || pollster::block_on(GpuStates::make(&gpu, 9, cells, Some(&given))).unwrap();
        let read = |states: &GpuStates| pollster::block_on(states.read_async()).unwrap();
        let team = KeptTeam {
            missing: 1,
            most_polls: 1000,
            ..KeptTeam::make(&gpu, &self::cells(&model), Spin::of(&gpu).unwrap()).unwrap()
        };
        let (step, teams) = (on(&gpu, &model, Strategy::Step), by(&gpu, &model, team));
        let (want, got) = (states(), states());
        for aborted in 1..3 {
            let [want_ran, got_ran] =
                [(&step, &want), (&teams, &got)].map(|(on, states)| run_from(on, (9, 30), Initial::Gpu(states)));
            assert_eq!(gpu.counters().aborted_teams(), aborted);
            assert!(got_ran.was_replayed && got_ran.outputs == want_ran.outputs);
            assert!(read(&got) == read(&want) && *read(&got) != given);
        }
    }
}

/// As on a GPU, where the invocations of a unit share its sum and a tile serves before and after the step.
#[test]
fn a_sum_in_parts_is_the_same() {
    for gpu in adapters() {
        for (units, batch, parts) in [(21, 9, 3), (21, 1, 2), (40, 3, 8), (7, 2, 2)] {
            let model = model(units);
            let want = run(&on(&gpu, &model, Strategy::Step), batch, 30);
            let slice = units.div_ceil(2);
            let shape = Shape {
                members: 2,
                slice,
                workgroup: Workgroup {
                    width: slice.next_multiple_of(8),
                    parts,
                    weights: units.div_ceil(parts).next_multiple_of(4),
                },
            };
            let team = KeptTeam::of_shape(&gpu, &cells(&model), Spin::of(&gpu).unwrap(), shape);
            let teams = by(&gpu, &model, team.unwrap());
            let is_through = (0..5).any(|_| {
                let before = gpu.counters().aborted_teams();
                let got = run(&teams, batch, 30);
                for (got, want) in got.outputs.iter().zip(&want.outputs) {
                    let far = got.iter().zip(want).any(|(got, want)| (got - want).abs() > 1e-5);
                    assert!(!far, "{units} units in {parts} parts");
                }
                gpu.counters().aborted_teams() == before
            });
            assert!(is_through, "{units} units in {parts} parts");
        }
    }
}

/// Waiting ends even if all workgroups but few wait for such that cannot start, because there are too many of them.
#[test]
fn teams_larger_than_the_gpu_end() {
    for gpu in adapters()
        .iter()
        .filter(|gpu| Spin::of(gpu).is_ok_and(|spin| spin.in_software))
    {
        let model = model(64);
        let want = run(&on(gpu, &model, Strategy::Step), 2, 20);
        let mut team = KeptTeam::make(gpu, &cells(&model), Spin::of(gpu).unwrap()).unwrap();
        // the same make, but of 8 workgroups; the machine may have as many threads
        team.shape = Shape {
            members: 8,
            slice: 8,
            ..team.shape
        };
        team.most_polls = 1000;
        let got = run(&by(gpu, &model, team), 2, 20);
        for (got, want) in got.outputs.iter().zip(&want.outputs) {
            assert!(got.iter().zip(want).all(|(got, want)| (got - want).abs() < 1e-5));
        }
    }
}

/// In every workspace each batch that it may hold has room, whatever its mask: for its words and its dispatches.
#[test]
fn a_workspace_has_room_for_every_launch() {
    for gpu in adapters() {
        for units in [1, 21, 130] {
            for most_teams in [1, 3] {
                let team = KeptTeam {
                    most_teams,
                    ..KeptTeam::make(&gpu, &cells(&model(units)), Spin::of(&gpu).unwrap()).unwrap()
                };
                for batch in [1, 2, 3, 8, 9, 33] {
                    let launch = team.launch(batch);
                    for active in 1..=batch {
                        let teams = team.teams(active);
                        let words = teams.min(launch.teams) * team.rows(active) * units;
                        assert!(words <= launch.step_words, "{active} of {batch}");
                        assert!(teams.div_ceil(launch.teams) <= team.teams(batch).div_ceil(launch.teams));
                        assert!(team.rows(active) * teams >= active * team.directions);
                    }
                    assert!(team.exchange_bytes(batch, 100_000).unwrap() <= 4 * EXCHANGE as u64);
                }
            }
        }
    }
}

/// The members of a team have all the units.
#[test]
fn shapes() {
    for units in [1, 3, 64, 65, 96, 128, 200, 256, 512] {
        let shape = Shape::of(units, 2, 256).unwrap();
        assert!(
            shape.slice <= shape.workgroup.width && shape.workgroup.weights >= units,
            "{shape:?}"
        );
        assert!(
            shape.slice * shape.members >= units && shape.slice * (shape.members - 1) < units,
            "{shape:?}"
        );
    }
    assert_eq!(Shape::of(512, 1, 256), None);
    assert_eq!(Shape::of(513, 2, 256), None);
}
