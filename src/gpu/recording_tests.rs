//! What `rows_run` counts: strategies that run too little or too much are found out by it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

use ndarray::{Array2, Array3};

use super::*;
use crate::gpu::device::Gpu;
use crate::gpu::device::adapter::Adapter;
use crate::gpu::shader::{Pipeline, Shader};
use crate::gpu::stage::interface::HostReads;
use crate::gpu::strategy::chunk::Chunk;
use crate::gpu::strategy::entry::{Cells, Group, Ready};
use crate::gpu::strategy::list;
use crate::gpu::weights::{Form, class_of};
use crate::layer::bidirectional::Bidirectional;
use crate::layer::lstm::Lstm;
use crate::model::Model;
use crate::settings::Settings;

const LENGTHS: [usize; 5] = [7, 2, 5, 0, 7];
const STEPS: usize = 9;

/// What is done wrong, and whether that is more than is to be done.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Mistake {
    Nothing,
    DropsTheLastStep,
    DropsTheFirstStep,
    DropsAPosition,
    RunsAStepTwice,
    RunsPadding,
}

use Mistake::*;

/// A strategy with a mistake.
#[derive(Debug)]
struct Mistaken {
    ready: Box<dyn Ready>,
    mistake: Mistake,
}

impl Ready for Mistaken {
    fn binds(&self) -> (&'static Shader, &Pipeline) {
        self.ready.binds()
    }

    fn suits(&self, gpu: &Gpu, positions: usize) -> Option<&'static str> {
        self.ready.suits(gpu, positions)
    }

    fn exchange_bytes(&self, batch: usize, time_steps: usize) -> Option<u64> {
        self.ready.exchange_bytes(batch, time_steps)
    }

    fn dispatches(&self, positions: usize, steps: usize) -> usize {
        2 * self.ready.dispatches(positions, steps)
    }

    fn record(&self, commands: &mut Commands, group: &Group, chunk: &Chunk<'_>) {
        let steps = chunk.steps.clone();
        let mut with = |steps, starts: &[u32], lengths: &[u32]| {
            let chunk = Chunk {
                steps,
                starts,
                lengths,
                ..chunk.clone()
            };
            self.ready.record(commands, group, &chunk);
        };
        let running = chunk.lengths.iter().filter(|&&length| length > 0).count();
        match self.mistake {
            Nothing => with(steps, chunk.starts, chunk.lengths),
            DropsTheLastStep => with(steps.start..steps.end - 1, chunk.starts, chunk.lengths),
            DropsTheFirstStep => with(steps.start + 1..steps.end, chunk.starts, chunk.lengths),
            DropsAPosition => {
                // the last of those that run is taken for one without a step
                let mut lengths = chunk.lengths.to_vec();
                lengths.truncate(running - 1);
                with(steps, &starts_of(&lengths), &lengths);
            }
            RunsAStepTwice => {
                with(steps.start..steps.start + 1, chunk.starts, chunk.lengths);
                with(steps, chunk.starts, chunk.lengths);
            }
            RunsPadding => {
                let longest = chunk.lengths.iter().max().copied().unwrap_or(0);
                let lengths = vec![longest; chunk.lengths.len()];
                with(steps, &starts_of(&lengths), &lengths);
            }
        }
    }
}

/// For each step the row of position 0, and one more for the end.
fn starts_of(lengths: &[u32]) -> Vec<u32> {
    let longest = lengths.iter().max().copied().unwrap_or(0);
    let mut starts = vec![0];
    for step in 0..longest {
        let active = lengths.iter().filter(|&&length| length > step).count() as u32;
        starts.push(starts[step as usize] + active);
    }
    starts
}

/// The rows that a recording counts of strategies that make a mistake.
fn counted(gpu: &Gpu, model: &Model, settings: &Settings, mistake: Mistake) -> Option<usize> {
    let mut made = pollster::block_on(GpuModel::new(gpu.clone(), model.plan().clone(), settings)).ok()?;
    let strategy = settings.wanted_strategy().unwrap();
    let entry = list::ALL.into_iter().find(|entry| entry.name == strategy).unwrap();
    let cells = Cells {
        cell: &model.plan().cells[0].cell,
        directions: 2,
        form: Form::Full,
        first_k: 0,
        kernel_width: class_of(&model.plan().cells[0].cell),
        numbers: None,
    };
    let ready = (entry.prepare)(gpu, &cells).unwrap();
    let recurrence = Arc::get_mut(&mut made.weights.recurrences[0]).unwrap();
    recurrence.replace(strategy, Box::new(Mistaken { ready, mistake }));

    let values = Array3::from_elem((LENGTHS.len(), STEPS, 3), 0.5);
    let mask = Array2::from_shape_fn((LENGTHS.len(), STEPS), |(row, step)| step < LENGTHS[row]);
    let input = Input::Values(values.view());
    let flow = Arc::new(Flow::new(model.plan(), input, Some(mask.view())).unwrap());
    let batch = Batch {
        flow: &flow,
        input,
        initial: Initial::Zeros,
        reads: HostReads::outputs_and(false),
    };
    let workspace = pollster::block_on(made.workspace(input.size())).unwrap();
    let recording = made.stage(workspace, batch, made.asked).unwrap();
    Some(recording.commands.rows_run())
}

/// Nothing is submitted: what is counted is what was recorded.
#[test]
fn the_rows_of_a_recording_are_those_of_its_dispatches() {
    let lstm = Lstm::new(3, 5).return_sequences(true);
    let model = Model::builder().add(Bidirectional::new(lstm)).build().unwrap();
    let valid = 2 * LENGTHS.iter().sum::<usize>();
    for adapter in pollster::block_on(Adapter::all()) {
        let gpu = pollster::block_on(adapter.open_another()).unwrap();
        for entry in list::ALL {
            let settings = Settings::new().strategy(entry.name);
            let counted = |mistake| counted(&gpu, &model, &settings, mistake);
            let Some(rows) = counted(Nothing) else {
                println!("skipped: {} by {}", gpu.name(), entry.name);
                continue;
            };
            assert_eq!(rows, valid, "{}", entry.name);
            for mistake in [DropsTheLastStep, DropsTheFirstStep, DropsAPosition] {
                assert!(counted(mistake).unwrap() < valid, "{}: {mistake:?}", entry.name);
            }
            for mistake in [RunsAStepTwice, RunsPadding] {
                assert!(counted(mistake).unwrap() > valid, "{}: {mistake:?}", entry.name);
            }
        }
    }
}
