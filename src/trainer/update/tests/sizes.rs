//! Steps of tensors of many values: more than a workgroup does, and gradients of more than one chunk.

use super::*;

/// One value less, as many, and one more than a workgroup of the step does, and than a chunk of a gradient has; then several chunks.
pub(super) const VALUES: [usize; 7] = [255, 256, 257, 4095, 4096, 4097, 3 * 4096 + 5];

/// For networks that read one feature of each step, and give one.
pub(super) fn examples_of_one_number() -> Examples<'static, 'static> {
    let number = |(row, step, _)| (1 + row + step) as f32;
    let sequences = Sequences::from(Array3::from_shape_fn((3, 2, 1), number));
    Examples::new(sequences, Array3::<f32>::ones((3, 2, 1))).unwrap()
}

#[test]
fn tensors_of_every_size_are_changed_as_on_the_host() {
    let optimizers: [(&str, Optimizer); 3] = [
        ("clipnorm", Sgd::new(0.5).clipnorm(1.0).into()),
        ("global_clipnorm", Sgd::new(0.5).global_clipnorm(1.5).into()),
        ("adam", Adam::new(0.01).clipnorm(1.0).into()),
    ];
    for device in devices() {
        for values in VALUES {
            let builder = Model::builder().add(Dense::new(1, values)).add(Dense::new(values, 1));
            let mut model = builder.build().unwrap();
            // the gradients of the last values are the largest
            let weight = |(place, _)| 0.02 + (place as f32 / values as f32).powi(8);
            let kernel = Array2::from_shape_fn((values, 1), weight).into_dyn();
            model.replace_parameter("dense_1/kernel", kernel).unwrap();
            let batch = examples_of_one_number();
            for (name, optimizer) in optimizers.clone() {
                let new = || Trainer::new(model.clone(), &device, Loss::MeanSquaredError, optimizer.clone()).unwrap();
                let (mut there, mut here) = (new(), new().offload_optimizer(true));
                there.train_on_batch(&batch).unwrap();
                here.train_on_batch(&batch).unwrap();
                assert!(there.away.slots && !here.away.slots);
                assert_alike(&there, &here, &format!("{name}, {values} values"));
            }
        }
    }
}

/// Squares that overflow, and squares that vanish: the norm is what it is.
#[test]
fn norms_of_huge_and_tiny_gradients_are_those_of_the_host() {
    for device in devices() {
        let cases = [
            ("huge", Sgd::new(0.5).clipnorm(0.1), examples(1e25)),
            (
                "tiny",
                Sgd::new(5e29).clipnorm(1e-31),
                examples(1.0).with_weights(&[1e-25; BATCH]).unwrap(),
            ),
        ];
        for (name, optimizer, batch) in cases {
            let (mut there, mut here) = (trainer(&device, optimizer.clone()), on_host(&device, optimizer));
            for trainer in [&mut there, &mut here] {
                trainer.train_on_batch(&batch).unwrap();
            }
            assert!(there.away.slots, "{name}");
            assert_alike(&there, &here, name);
        }
    }
}
