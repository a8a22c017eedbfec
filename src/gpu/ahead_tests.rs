//! What was encoded ahead is taken where a run is like the one before, and nowhere else.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::sync::Arc;

use ndarray::{Array2, Array3};

use crate::flow::{Flow, Input};
use crate::gpu::GpuModel;
use crate::gpu::device::Gpu;
use crate::gpu::device::adapter::Adapter;
use crate::gpu::recording::Batch;
use crate::gpu::stage::interface::HostReads;
use crate::gpu::strategy::tuned::{Key, Tuned};
use crate::layer::lstm::Lstm;
use crate::model::Model;
use crate::output::Output;
use crate::settings::{Settings, Strategy};
use crate::state::State;

const SEQUENCES: usize = 4;
const STEPS: usize = 9;

struct Played {
    made: GpuModel,
    values: Array3<f32>,
}

impl Played {
    fn new(gpu: Gpu) -> Self {
        let model = Model::builder().add(Lstm::new(3, 5)).build().unwrap();
        Self {
            made: pollster::block_on(GpuModel::new(gpu, Arc::clone(model.plan()), &Settings::new())).unwrap(),
            values: Array3::from_shape_fn((SEQUENCES, STEPS, 3), |(b, t, f)| (b * 7 + t * 3 + f) as f32 / 50.0),
        }
    }

    /// The flow of a batch whose sequences have so many steps.
    fn flow(&self, steps: usize) -> Arc<Flow> {
        let mask = Array2::from_shape_fn((SEQUENCES, STEPS), |(_, step)| step < steps);
        let input = Input::Values(self.values.view());
        Arc::new(Flow::new(&self.made.plan, input, Some(mask.view())).unwrap())
    }

    fn batch<'a>(&'a self, flow: &'a Arc<Flow>, states: Option<&'a [State]>) -> Batch<'a, 'a> {
        Batch {
            flow,
            input: Input::Values(self.values.view()),
            initial: states.into(),
            reads: HostReads::outputs_and(states.is_some()),
        }
    }

    fn run(&self, batch: Batch<'_, '_>, times: usize) {
        for _ in 0..times {
            pollster::block_on(self.made.run(batch, &mut Output::default())).unwrap();
        }
    }

    /// Whether a batch would do what the run before did, and would find it encoded. The workspace is given up.
    fn finds(&self, batch: Batch<'_, '_>) -> (bool, bool) {
        let workspace = pollster::block_on(self.made.workspace(batch.input.size())).unwrap();
        let mut recording = self.made.stage(workspace, batch, self.made.asked).unwrap();
        let (is_repeated, encoded) = recording.take_ahead();
        (is_repeated, encoded.is_some())
    }

    /// Has a strategy be the fastest that was measured.
    fn remember(&self, strategy: Strategy) {
        let key = Key::new(
            &self.made.weights.recurrences[0],
            self.made.asked.precision,
            (SEQUENCES, STEPS),
        );
        self.made.gpu.shared::<Tuned>().remember(key, strategy);
    }
}

#[test]
fn only_a_run_like_the_one_before_finds_its_commands_encoded() {
    for adapter in pollster::block_on(Adapter::all()) {
        let played = Played::new(pollster::block_on(adapter.open_another()).unwrap());
        let (whole, short) = (played.flow(STEPS), played.flow(STEPS - 2));
        let (whole, short) = (played.batch(&whole, None), played.batch(&short, None));
        let states = [State::zeros(SEQUENCES, [5, 5].into_iter()).unwrap()];
        let from_states = played.batch(whole.flow, Some(&states));

        assert_eq!(played.finds(whole), (false, false), "nothing has run");
        played.run(whole, 1);
        assert_eq!(played.finds(whole), (true, false), "the first of its kind");
        played.run(whole, 2);
        assert_eq!(played.finds(whole), (true, true));
        for (what, other) in [("other lengths", short), ("states", from_states)] {
            played.run(whole, 3);
            assert_eq!(played.finds(other), (false, false), "{what}");
        }

        played.remember(Strategy::Step);
        played.run(whole, 3);
        assert_eq!(played.finds(whole), (true, true));
        played.run(whole, 3);
        played.remember(Strategy::Solo);
        assert_eq!(played.finds(whole), (false, false), "another strategy");
    }
}
