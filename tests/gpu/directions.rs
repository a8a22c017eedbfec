//! Both directions of a layer on the way back of a training, where a device sets narrow limits.

use cellstate::{
    Bidirectional, Device, Gradients, Loss, Lstm, Model, Output, Sequences, Sgd, States, Trainer, Upstream,
};
use ndarray::{Array3, ArrayD};

use super::adapters::{adapters, floor, open};
use super::support::{judge::assert_close, random::Random};

/// Both directions of an LSTM of 16 units.
fn trainer(device: &Device) -> Trainer {
    let lstm = Lstm::new(3, 16).return_sequences(true);
    let mut model = Model::builder().add(Bidirectional::new(lstm)).build().unwrap();
    let mut random = Random::new(5);
    let parameters = model.parameters().iter();
    let parameters: Vec<_> = parameters
        .map(|parameter| (parameter.path().to_owned(), parameter.values().shape().to_vec()))
        .collect();
    for (path, shape) in parameters {
        let values = ArrayD::from_shape_simple_fn(shape, || random.within(0.5));
        model.replace_parameter(&path, values).unwrap();
    }
    Trainer::new(model, device, Loss::MeanSquaredError, Sgd::new(0.1)).unwrap()
}

/// The gradients of a batch of sequences of several lengths.
fn gradients(trainer: &mut Trainer, (batch, time_steps): (usize, usize)) -> Gradients {
    let values = Array3::from_shape_fn((batch, time_steps, 3), |(row, step, feature)| {
        ((row * 7 + step * 3 + feature) % 13) as f32 / 13.0 - 0.4
    });
    let lengths: Vec<usize> = (0..batch).map(|row| time_steps - row * 5 % time_steps).collect();
    let sequences = Sequences::from(values).with_lengths(&lengths).unwrap();
    let upstream = |output: &Output, _: &States| Upstream::new(output.values().mapv(|value| value + 0.3));
    trainer.gradients(&sequences, None, upstream).unwrap()
}

/// Compares the gradients of a device with those of the CPU path.
#[track_caller]
fn check(there: &mut Trainer, size: (usize, usize)) {
    let given = gradients(there, size);
    let wanted = gradients(&mut trainer(&Device::cpu()), size);
    for ((path, given), (_, wanted)) in given.parameters().zip(wanted.parameters()) {
        assert_close(path, given, wanted, 1e-5, 1e-4);
    }
}

/// They go back in the same dispatches, with buffers twice as large, only where a binding holds these.
#[test]
fn where_they_do_not_fit_together_they_go_back_one_after_the_other() {
    for adapter in adapters() {
        let limits = wgpu::Limits {
            max_storage_buffer_binding_size: 40 << 10,
            ..floor()
        };
        let opened = open(&adapter, limits);
        let mut there = trainer(&opened.device);
        // a row of the lanes of a direction has 256 bytes, and there are 8 before the first step
        let (together, apart) = ((8, 9), (8, 10));
        let told = [together, apart].map(|(batch, steps)| there.memory(batch, steps).unwrap());
        assert!(told[0] > told[1], "{told:?}");
        for size in [together, apart, together] {
            check(&mut there, size);
        }
        opened.assert_quiet();
    }
}
