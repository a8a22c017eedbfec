//! What the way back binds, kept from batch to batch, and nothing of it once its buffers are given up.

use ndarray::Array3;

use super::*;
use crate::gpu::device::buffer::Use;
use crate::layer::dense::Dense;
use crate::layer::dropout::Dropout;
use crate::layer::lstm::Lstm;
use crate::optimizer::{Adam, OptimizerState};

/// A batch of so many sequences and steps, forward and, unless it is only judged, backward.
fn run(training: &mut GpuTraining, (batch, steps): (usize, usize), (learns, keeps): (bool, bool)) -> PlanGradients {
    let plan = Arc::clone(&training.model.plan);
    let values = Array3::from_shape_fn((batch, steps, 3), |(row, step, feature)| {
        (row * 5 + step * 3 + feature) as f32 / 100.0
    });
    let input = Input::Values(values.view());
    let flow = Arc::new(Flow::in_training(&plan, input, None).unwrap());
    let mut output = Output::default();
    let noise = learns.then_some(Noise { seed: 1, batch: 2 });
    pollster::block_on(training.forward(&flow, input, None, noise, &mut output)).unwrap();
    if !learns {
        return PlanGradients::default();
    }
    let upstream = Upstream {
        outputs: vec![output.values],
        states: None,
    };
    let wants = Wants {
        keeps,
        sizes: keeps,
        ..Wants::default()
    };
    pollster::block_on(training.backward(&flow, input, &upstream, wants)).unwrap()
}

/// The buffers of the way back that live on a device, where its driver lets see them by their names.
fn live(gpu: &Gpu) -> Option<Vec<String>> {
    gpu.device().poll(wgpu::PollType::wait_indefinitely()).unwrap();
    let report = gpu.device().generate_allocator_report()?;
    let names = report.allocations.into_iter().map(|allocation| allocation.name);
    let mut names: Vec<String> = names.filter(|name| name.starts_with("cellstate.back.")).collect();
    names.sort();
    (!names.is_empty()).then_some(names)
}

/// As many as the trainer says that it has.
#[track_caller]
fn assert_live(gpu: &Gpu, training: &GpuTraining) {
    if let Some(found) = live(gpu) {
        let held = training
            .buffers
            .held()
            .map(|(name, _)| format!("cellstate.back.{}", name.0));
        let mut held: Vec<String> = held.collect();
        held.sort();
        assert_eq!(found, held);
    }
}

#[test]
fn groups_stay_as_long_as_their_buffers() {
    let builder = Model::builder()
        .add(Lstm::new(3, 6).return_sequences(true))
        .add(Dropout::new(0.3))
        .add(Dense::new(6, 2));
    let model = builder.build().unwrap();
    let (small, large, other) = ((3, 8), (5, 20), (4, 9));
    let learns = (true, false);
    for gpu in own_gpus() {
        let settings = Settings::new();
        let made = GpuTraining::new(&gpu, Arc::clone(model.plan()), &settings, Arc::from("GPU"));
        let mut training = pollster::block_on(made).unwrap();
        let groups = || gpu.counters().bind_groups();
        let first = run(&mut training, small, learns);
        run(&mut training, small, learns);
        let before = groups();
        let again = run(&mut training, small, learns);
        assert_eq!(
            groups(),
            before,
            "a batch like the one before binds what that has bound"
        );
        assert_eq!(again.parameters, first.parameters);
        let of_way = training.buffers.groups.len();
        assert!(of_way > 5);
        // larger buffers, and another workspace
        run(&mut training, large, learns);
        assert_eq!(training.buffers.groups.len(), of_way);
        assert_live(&gpu, &training);
        // judged by another one, which may be the last to use it
        run(&mut training, other, (false, false));
        assert_eq!(training.buffers.groups.len(), of_way, "the same workspace holds it");
        run(&mut training, (large.0 + 1, large.1), (false, false));
        assert_eq!(training.buffers.groups.len(), 0, "another workspace");
        assert_eq!(run(&mut training, small, learns).parameters, first.parameters);
        // a buffer that grows
        let lanes =
            |training: &mut GpuTraining, count| training.buffers.get(&gpu, ("lanes", 0), count, Use::Storage).unwrap();
        lanes(&mut training, 1);
        assert_eq!(training.buffers.groups.len(), of_way, "it is large enough");
        lanes(&mut training, 1 << 16);
        assert_eq!(training.buffers.groups.len(), 0, "a buffer that is replaced");
        run(&mut training, small, learns);
        // what steps have there is bound on the way back
        assert_eq!(training.buffers.groups.len(), of_way);
        let optimizer = OptimizerState::new(Adam::new(0.1).into(), model.parameters(), &[]).unwrap();
        assert!(pollster::block_on(training.begin_updates(&optimizer)).unwrap());
        run(&mut training, small, (true, true));
        assert!(training.buffers.groups.len() > of_way);
        training.forget_updates();
        assert_eq!(training.buffers.groups.len(), 0);
        run(&mut training, small, learns);
        training.release_memory();
        assert_eq!((training.buffers.groups.len(), live(&gpu)), (0, None));
        // nothing is held that would be given up for another workspace, while that is made: here it never is
        run(&mut training, small, learns);
        assert_eq!(training.buffers.groups.len(), of_way);
        gpu.device().destroy();
        let values = Array3::zeros((large.0 + 2, large.1 + 3, 3));
        let input = Input::Values(values.view());
        let flow = Arc::new(Flow::in_training(&training.model.plan, input, None).unwrap());
        let mut output = Output::default();
        pollster::block_on(training.forward(&flow, input, None, None, &mut output)).unwrap_err();
        assert_eq!(training.buffers.groups.len(), 0);
    }
}
