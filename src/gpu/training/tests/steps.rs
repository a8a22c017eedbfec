//! Steps of the optimiser by themselves.

use ndarray::Array3;

use super::super::buffers::Buffers;
use super::super::recorder::{Matrix, Recorder};
use super::super::update::{self, Tensors};
use super::*;
use crate::gpu::device::buffer::Use;
use crate::gpu::workgroups::FOLDED;
use crate::layer::dense::Dense;
use crate::optimizer::{Rule, Update};

/// A step of descent of weights that are zero, or of these; then the flag that says that anything is not finite.
fn step(gpu: &Gpu, gradient: &[f32], weights: Option<&[f32]>) -> (Vec<f32>, bool) {
    let count = gradient.len();
    let update = Update {
        scale: 1.0,
        limit: f32::INFINITY,
        coupled_decay: 0.0,
        weight_decay: 0.0,
        learning_rate: 0.5,
        rule: Rule::Descent { rate: 0.5 },
    };
    let mut buffers = Buffers::default();
    let mut recorder = Recorder::new(gpu, &mut buffers, 1).unwrap();
    let gradients = recorder.upload(("gradient", 0), gradient).unwrap();
    let new_weights = recorder.buffer(("new", 0), count).unwrap();
    let [slots, new_slots, not_finite] =
        ["slots", "new slots", "flag"].map(|name| recorder.zeros((name, 0), 4).unwrap());
    let weights = match weights {
        Some(weights) => recorder.upload(("weights", 0), weights).unwrap(),
        None => recorder.zeros(("weights", 0), count).unwrap(),
    };
    let tensors = Tensors {
        gradient: &gradients,
        weights: Matrix::tight(&weights, count),
        count,
        width: count,
        slots: &slots,
        new_weights: &new_weights,
        new_slots: &new_slots,
        not_finite: &not_finite,
    };
    update::record(&mut recorder, &update, &tensors);
    let bytes = 4 * count as u64;
    let [staging, flag] = [bytes, 4].map(|bytes| gpu.make_buffer("read", bytes, Use::Readback));
    let last = &mut recorder.commands.last;
    last.copy(&new_weights, 0..bytes, &staging, 0);
    last.copy(&not_finite, 0..4, &flag, 0);
    let submission = recorder.submit().unwrap();
    let wanted = [(&staging, bytes), (&flag, 4)];
    let mut read = pollster::block_on(mapped::read::<f32>(gpu, &wanted, Some(submission))).unwrap();
    let is_raised = read.pop().unwrap()[0].to_bits() == 1;
    (read.pop().unwrap(), is_raised)
}

/// A tensor that needs more workgroups than one dimension of a dispatch has, value by value and in fours.
#[test]
fn huge_tensors_are_changed_to_the_last_value() {
    /// Beyond 65,535 workgroups of 256 values.
    const VALUES: usize = 65_600 * 256 + 3;
    for gpu in gpus() {
        for (count, folded) in [(VALUES, u32::MAX), (10 * 1024 + 4, 4)] {
            let gradient: Vec<f32> = (0..count).map(|place| (place % 8191) as f32).collect();
            FOLDED.set(folded);
            let (new, is_raised) = step(gpu, &gradient, None);
            FOLDED.set(u32::MAX);
            let mut both = new.iter().zip(&gradient);
            let wrong = both.position(|(new, gradient)| *new != -0.5 * gradient);
            assert_eq!((new.len(), wrong, is_raised), (count, None, false));
        }
    }
}

/// One gradient or one new weight among others, wherever it stands.
#[test]
fn each_value_is_judged() {
    for gpu in gpus() {
        for (count, place) in (0..8).map(|place| (8, place)).chain([(7, 0), (7, 6)]) {
            for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                let mut gradient = vec![1.0; count];
                let mut weights = vec![0.0; count];
                gradient[place] = bad;
                assert!(step(gpu, &gradient, None).1, "gradient {place} of {count} is {bad}");
                weights[place] = bad;
                assert!(
                    step(gpu, &vec![1.0; count], Some(&weights)).1,
                    "weight {place} of {count} is {bad}"
                );
            }
        }
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
