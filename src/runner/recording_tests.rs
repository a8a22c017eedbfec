//! Recordings: several in one encoder, whatever is in them, give what each gives alone.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

use std::sync::Arc;

use ndarray::{Array2, Array3};

use crate::cpu::CpuModel;
use crate::error::Error;
use crate::flow::{Flow, Input, Ran};
use crate::gpu::GpuModel;
use crate::gpu::device::adapter::Adapter;
use crate::gpu::device::{Gpu, MOST_PARAMS};
use crate::gpu::recording::{Batch, Recording};
use crate::gpu::sizes::{Keep, Sizes};
use crate::gpu::stage::interface::Ends;
use crate::gpu::stage::interface::HostReads;
use crate::gpu::workspace::Workspace;
use crate::layer::bidirectional::Bidirectional;
use crate::layer::dense::Dense;
use crate::layer::lstm::Lstm;
use crate::model::Model;
use crate::output::Output;
use crate::recent::ForSize;
use crate::settings::{Settings, Strategy};
use crate::state::State;

/// Every adapter: on the floor, where parameters are in a uniform, and with all that it has, immediates among it.
fn gpus() -> Vec<Gpu> {
    let mut gpus = Vec::new();
    for adapter in pollster::block_on(Adapter::all()) {
        for features in [wgpu::Features::empty(), wgpu::Features::IMMEDIATES] {
            if !adapter.features().contains(features) {
                continue;
            }
            let has_immediates = !features.is_empty();
            let limits = wgpu::Limits {
                max_immediate_size: if has_immediates { MOST_PARAMS } else { 0 },
                ..wgpu::Limits::default()
            };
            let gpu = pollster::block_on(adapter.open_with(limits, features)).unwrap();
            assert_eq!(gpu.has_immediates(), has_immediates);
            gpus.push(gpu);
        }
    }
    gpus
}

fn model() -> Model {
    let lstm = |features, units| Lstm::new(features, units).return_sequences(true).seed(3);
    let builder = Model::builder().add(Dense::new(3, 4)).add(lstm(4, 5));
    builder
        .add(Bidirectional::new(lstm(5, 6)))
        .add(lstm(12, 5))
        .add(lstm(5, 8))
        .add(lstm(8, 5))
        .add(Dense::new(5, 2))
        .build()
        .unwrap()
}

/// A batch: its values and its mask, and the states in which it begins.
struct Play {
    values: Array3<f32>,
    mask: Option<Array2<bool>>,
    states: Option<Vec<State>>,
    flow: Arc<Flow>,
}

impl Play {
    fn new(model: &Model, (batch, time_steps): (usize, usize), seed: usize) -> Self {
        let value = |place: usize| ((place * 7 + seed * 31) % 23) as f32 / 11.5 - 1.0;
        let values = Array3::from_shape_fn((batch, time_steps, 3), |(b, t, f)| value(b * 100 + t * 3 + f));
        let mask = Array2::from_shape_fn((batch, time_steps), |(b, t)| (b + t * seed) % 4 != 3);
        let mask = (seed > 0).then_some(mask);
        let state = |units| {
            State::with_cell(
                Array2::from_shape_fn((batch, units), |(b, u)| value(b * 10 + u)),
                Array2::from_shape_fn((batch, units), |(b, u)| value(b * 20 + u)),
            )
            .unwrap()
        };
        let states = model.plan().cells.iter().map(|cell| state(cell.units())).collect();
        let input = Input::Values(values.view());
        let flow = Flow::new(model.plan(), input, mask.as_ref().map(|mask| mask.view()));
        Self {
            flow: Arc::new(flow.unwrap()),
            values,
            mask,
            states: (seed % 2 == 1).then_some(states),
        }
    }

    fn batch(&self) -> Batch<'_, '_> {
        Batch {
            flow: &self.flow,
            input: Input::Values(self.values.view()),
            initial: self.states.as_deref().into(),
            reads: HostReads::outputs_and(true),
        }
    }

    /// Whether a run gave what the CPU gives.
    #[track_caller]
    fn check(&self, model: &Model, ran: &Ran, name: &str) {
        let cpu = CpuModel::new(model.plan().clone(), &Settings::new(), "CPU".into()).unwrap();
        let (batch, _, _) = self.values.dim();
        let zeros = || {
            model
                .plan()
                .cells
                .iter()
                .map(|cell| State::zeros(batch, cell.cell.state_widths()).unwrap())
                .collect()
        };
        let mut states: Vec<State> = self.states.clone().unwrap_or_else(zeros);
        let mut want = Output::default();
        cpu.run(
            &self.flow,
            Input::Values(self.values.view()),
            Some(&mut states),
            &mut want,
        )
        .unwrap();
        let near = |(got, want): (&f32, &f32)| (got - want).abs() <= 1e-5; // never NaN
        assert_eq!(ran.outputs[0].shape(), want.values.shape(), "{name}");
        let mut pairs = ran.outputs[0].iter().zip(&want.values);
        assert!(pairs.all(near), "{name}: outputs");
        for (number, (got, want)) in ran.states.iter().zip(&states).enumerate() {
            let arrays = got.arrays().zip(want.arrays());
            let mut pairs = arrays.flat_map(|(got, want)| got.iter().zip(want));
            assert!(pairs.all(near), "{name}: state {number}");
        }
        assert_eq!(ran.states.len(), states.len(), "{name}");
        assert_eq!(ran.rows_run, want.rows_run, "{name}: {:?}", self.mask);
    }
}

/// Other inputs, other masks, other lengths, other states, of one model in one encoder and one submission; and encoding sends
/// nothing to the queue: what was staged is enough, even if the encoders are filled in another order.
#[test]
fn several_recordings_in_one_encoder_do_not_disturb_each_other() {
    for gpu in gpus() {
        let model = model();
        for strategy in [Strategy::Step, Strategy::Solo] {
            let settings = Settings::new().strategy(strategy);
            let made = pollster::block_on(GpuModel::new(gpu.clone(), model.plan().clone(), &settings)).unwrap();
            let sizes = [(3, 7), (3, 7), (2, 9), (1, 1), (3, 7)];
            let plays: Vec<Play> = (sizes.into_iter().zip(0..))
                .map(|(size, seed)| Play::new(&model, size, seed))
                .collect();
            for round in 0..2 {
                let stage = |play: &Play| {
                    let workspace = pollster::block_on(made.workspace(play.batch().input.size())).unwrap();
                    made.stage(workspace, play.batch(), made.asked).unwrap()
                };
                let recordings: Vec<Recording> = plays.iter().map(stage).collect();
                let mut encoder = gpu.encoder("test");
                match round {
                    0 => recordings.iter().for_each(|recording| recording.encode(&mut encoder)),
                    _ => recordings
                        .iter()
                        .rev()
                        .for_each(|recording| recording.encode(&mut encoder)),
                }
                let submission = gpu.queue().submit([encoder.finish()]);
                for (number, (play, recording)) in plays.iter().zip(&recordings).enumerate() {
                    let mut earlier = Output::default();
                    let ran = made.collect(recording, play.batch(), Some(submission.clone()), &mut earlier);
                    let ran = pollster::block_on(ran).unwrap().unwrap();
                    let name = format!("{}, {strategy}, round {round}, recording {number}", gpu.name());
                    play.check(&model, &ran, &name);
                }
                for (recording, play) in recordings.into_iter().zip(&plays) {
                    made.keep_workspace(recording.into_workspace(), play.batch().input.size());
                }
            }
        }
    }
}

/// A workspace that keeps the rows of all stages gives the same bits, and is larger.
#[test]
fn keeping_all_rows_changes_nothing_but_the_memory() {
    for gpu in gpus() {
        let model = model();
        let made = pollster::block_on(GpuModel::new(gpu.clone(), model.plan().clone(), &Settings::new())).unwrap();
        let size = (3, 7);
        let mut totals = Vec::new();
        let mut all = Vec::new();
        for keep in [Keep::Nothing, Keep::All] {
            let sizes = Sizes::new(&gpu, (model.plan(), &made.weights), size, (keep, Ends::Host)).unwrap();
            totals.push(sizes.total());
            let before = gpu.counters().bytes();
            let workspace = Workspace::make(&gpu, &made.weights, &sizes, false).unwrap();
            assert_eq!(gpu.counters().bytes() - before, sizes.total());
            let mut workspace = ForSize::new(size, workspace);
            // the second run finds in the shared buffers what the first one left there: no numbers
            let mut spoilt = Play::new(&model, size, 1);
            spoilt.values.fill(f32::NAN);
            for play in [spoilt, Play::new(&model, size, 3)] {
                let recording = made.stage(workspace, play.batch(), made.asked).unwrap();
                let mut encoder = gpu.encoder("test");
                recording.encode(&mut encoder);
                let submission = gpu.queue().submit([encoder.finish()]);
                let mut earlier = Output::default();
                let ran = pollster::block_on(made.collect(&recording, play.batch(), Some(submission), &mut earlier));
                let ran = ran.unwrap().unwrap();
                workspace = recording.into_workspace();
                if play.values.iter().all(|value| value.is_finite()) {
                    play.check(&model, &ran, &format!("{}, {keep:?}", gpu.name()));
                    all.push(ran.outputs);
                }
            }
        }
        assert!(totals[0] < totals[1], "{totals:?}");
        assert_eq!(all[0], all[1]);
    }
}

/// The device goes between any two parts of a run: an error at the end, and never a panic.
#[test]
fn a_device_that_is_lost_between_two_parts_is_an_error() {
    for adapter in pollster::block_on(Adapter::all()) {
        for place in 0..4 {
            let gpu = pollster::block_on(adapter.open_another()).unwrap();
            let model = model();
            let made = pollster::block_on(GpuModel::new(gpu.clone(), model.plan().clone(), &Settings::new())).unwrap();
            let play = Play::new(&model, (3, 7), 1);
            let lose_at = |here: usize| {
                if here == place {
                    gpu.device().destroy();
                }
            };
            let workspace = pollster::block_on(made.workspace((3, 7))).unwrap();
            lose_at(0);
            let staged = || made.stage(workspace, play.batch(), made.asked);
            let recording = match pollster::block_on(gpu.guarded("staging", staged)) {
                Ok(recording) => recording,
                Err(error) => {
                    assert!(place == 0 && matches!(error, Error::Gpu { .. }), "{error}");
                    continue;
                }
            };
            assert_ne!(place, 0, "staged on a lost device");
            lose_at(1);
            let mut encoder = gpu.encoder("test");
            recording.encode(&mut encoder);
            lose_at(2);
            let submission = gpu.queue().submit([encoder.finish()]);
            lose_at(3);
            let mut earlier = Output::default();
            let ran = made.collect(&recording, play.batch(), Some(submission), &mut earlier);
            let error = pollster::block_on(ran).unwrap_err();
            assert!(matches!(error, Error::Gpu { .. }), "{error}");
            assert!(error.to_string().contains("rebuild"), "{place}: {error}");
        }
    }
}
