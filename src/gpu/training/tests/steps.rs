//! Steps of the optimiser by themselves.

use ndarray::Array3;

use super::super::buffers::Buffers;
use super::super::recorder::{Matrix, Recorder};
use super::super::update::{self, Tensors};
use super::*;
use crate::gpu::device::buffer::Use;
use crate::layer::dense::Dense;
use crate::optimizer::{Rule, Update};

/// A tensor that needs more workgroups than one dimension of a dispatch has.
#[test]
fn huge_tensors_are_changed_to_the_last_value() {
    /// Beyond 65,535 workgroups of 256 values.
    const VALUES: usize = 65_600 * 256 + 3;
    let update = Update {
        scale: 1.0,
        limit: f32::INFINITY,
        coupled_decay: 0.0,
        weight_decay: 0.0,
        learning_rate: 0.5,
        rule: Rule::Descent { rate: 0.5 },
    };
    let gradient: Vec<f32> = (0..VALUES).map(|place| (place % 8191) as f32).collect();
    for gpu in gpus() {
        let mut buffers = Buffers::default();
        let mut recorder = Recorder::new(gpu, &mut buffers, 1).unwrap();
        let gradients = recorder.upload(("gradient", 0), &gradient).unwrap();
        let new_weights = recorder.buffer(("new", 0), VALUES).unwrap();
        let [slots, new_slots, not_finite] =
            ["slots", "new slots", "flag"].map(|name| recorder.zeros((name, 0), 1).unwrap());
        let weights = recorder.zeros(("weights", 0), VALUES).unwrap();
        let tensors = Tensors {
            gradient: &gradients,
            weights: Matrix::tight(&weights, VALUES),
            count: VALUES,
            width: VALUES,
            slots: &slots,
            new_weights: &new_weights,
            new_slots: &new_slots,
            not_finite: &not_finite,
        };
        update::record(&mut recorder, &update, &tensors);
        let staging = gpu.make_buffer("read", 4 * VALUES as u64, Use::Readback);
        recorder
            .commands
            .last
            .copy(&new_weights, 0..4 * VALUES as u64, &staging, 0);
        let submission = recorder.submit().unwrap();
        let wanted = [(&staging, 4 * VALUES as u64)];
        let read = pollster::block_on(mapped::read::<f32>(gpu, &wanted, Some(submission))).unwrap();
        let wrong = read[0]
            .iter()
            .zip(&gradient)
            .position(|(new, gradient)| *new != -0.5 * gradient);
        assert_eq!((read[0].len(), wrong), (VALUES, None));
    }
}

/// Where the weights of a step cannot take their place no pass runs, and none forgets them; those of the host end it.
#[test]
fn what_cannot_be_done_stays_to_be_done() {
    let model = Model::builder().add(Dense::new(3, 2)).build().unwrap();
    let plan = model.plan();
    let values = Array3::<f32>::zeros((2, 4, 3));
    let input = Input::Values(values.view());
    let flow = Arc::new(Flow::in_training(plan, input, None).unwrap());
    for gpu in own_gpus() {
        let settings = Settings::new();
        let made = GpuTraining::new(&gpu, Arc::clone(plan), &settings, Arc::from("GPU"));
        let mut training = pollster::block_on(made).unwrap();
        let [gone, to] = ["gone", "to"].map(|label| gpu.make_buffer(label, 16, Use::Storage));
        let mut recorder = Recorder::new(&gpu, &mut training.buffers, 0).unwrap();
        recorder.commands.last.copy(&gone, 0..16, &to, 0);
        training.owed = Some(Arc::new(recorder.recorded()));
        gone.destroy();
        let pass = |training: &mut GpuTraining| {
            let mut output = Output::default();
            pollster::block_on(training.forward(&flow, input, None, None, &mut output))
        };
        for _ in 0..2 {
            let failed = pass(&mut training);
            assert!(matches!(failed, Err(Error::Gpu { .. })), "{failed:?}");
            let failed = pollster::block_on(training.newest_weights());
            assert!(matches!(failed, Err(Error::Gpu { .. })), "{failed:?}");
        }
        pollster::block_on(training.set_plan(Arc::clone(plan))).unwrap();
        pass(&mut training).unwrap();
    }
}
