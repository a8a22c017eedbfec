//! Outputs and targets of every size, every form and every certainty, judged by the GPU and by the host.

use std::collections::BTreeMap;

use super::judging::{both, check_alike, judged_there, learn_here, network, numbers, sequences};
use super::*;
use crate::gpu::workgroups::FOLDED;
use crate::loss::{BinaryCrossentropy, CategoricalCrossentropy, SparseCategoricalCrossentropy, Targets};

/// More and fewer features than a workgroup does, in dispatches of one axis and of two.
#[test]
fn outputs_of_every_size_are_judged_as_on_the_host() {
    for device in devices() {
        for width in [42, 43, 170, 171, 682, 683, 2500] {
            let model = Model::builder().add(Dense::new(1, width)).build().unwrap();
            // (that add up to about 1 for each step)
            let targets = Array3::from_shape_fn((3, 2, width), |(row, step, feature)| {
                ((row * 5 + step * 3 + feature * 2) % 7) as f32 / (3 * width) as f32
            });
            let batch = Examples::new(sizes::examples_of_one_number().sequences().clone(), targets).unwrap();
            for (loss, folded) in [
                (Loss::MeanSquaredError, u32::MAX),
                (Loss::MeanSquaredError, 2),
                (CategoricalCrossentropy::new().from_logits(true).into(), 4),
            ] {
                let [mut there, mut here] = both(&model, &device, loss, Sgd::new(0.01));
                FOLDED.set(folded);
                check_alike(
                    &mut there,
                    &mut here,
                    &batch,
                    &format!("{width} features, folded at {folded}"),
                );
                FOLDED.set(u32::MAX);
                assert_eq!(judged_there(&there), 1);
            }
        }
    }
}

/// Where a model is sure and right, loss and gradient are small numbers, and not what is left of large ones.
#[test]
fn sure_outputs_are_judged_as_on_the_host() {
    let sparse: Loss = SparseCategoricalCrossentropy::new().from_logits(true).into();
    let categorical: Loss = CategoricalCrossentropy::new().from_logits(true).into();
    let binary: Loss = BinaryCrossentropy::new().from_logits(true).into();
    let smoothed: Loss = BinaryCrossentropy::new().from_logits(true).label_smoothing(0.1).into();
    let one_hot = Array3::from_shape_fn((3, 2, 3), |(.., class)| f32::from(class == 1));
    let cases = [
        (
            "sparse",
            sparse,
            3,
            Examples::new(
                sizes::examples_of_one_number().sequences().clone(),
                Array2::<i32>::ones((3, 2)),
            ),
        ),
        (
            "categorical",
            categorical,
            3,
            Examples::new(sizes::examples_of_one_number().sequences().clone(), one_hot),
        ),
        (
            "binary",
            binary,
            1,
            Examples::new(
                sizes::examples_of_one_number().sequences().clone(),
                Array3::<f32>::ones((3, 2, 1)),
            ),
        ),
        (
            "smoothed",
            smoothed,
            1,
            Examples::new(
                sizes::examples_of_one_number().sequences().clone(),
                Array3::<f32>::ones((3, 2, 1)),
            ),
        ),
    ];
    for device in devices() {
        for (name, loss, width, batch) in &cases {
            for margin in [1.0, 10.0, 15.0, 20.0] {
                let mut model = Model::builder().add(Dense::new(1, *width)).build().unwrap();
                // (the first feature is 1 to 4)
                let kernel = Array2::from_shape_fn((1, *width), |(_, class)| match *width {
                    1 => margin,
                    _ => [0.0, margin, 0.3 * margin][class],
                });
                model.replace_parameter("dense/kernel", kernel.into_dyn()).unwrap();
                let [mut there, mut here] = both(&model, &device, *loss, Sgd::new(1.0).momentum(0.5));
                check_alike(
                    &mut there,
                    &mut here,
                    batch.as_ref().unwrap(),
                    &format!("{name}, margin {margin}"),
                );
                assert_eq!(judged_there(&there), 1, "{name}, margin {margin}");
            }
        }
    }
}

/// Every form of targets, a batch without time steps, and a penalty in the same step.
#[test]
fn targets_of_every_form_are_those_of_the_host() {
    let sparse: Loss = SparseCategoricalCrossentropy::new().from_logits(true).into();
    let plain = |targets: Targets<'static>| Examples::new(sequences(), targets).unwrap();
    let whole = Array3::from_shape_fn((BATCH, STEPS, 4), |(row, step, feature)| {
        ((row + step + feature) % 3) as i32
    });
    let of_one = Array2::from_shape_fn((BATCH, STEPS), |(row, step)| (row + step) as f32 / 7.0);
    let float_classes = Array2::from_shape_fn((BATCH, STEPS), |(row, step)| ((row + step) % 4) as f32);
    let none = Sequences::from(Array3::<f32>::zeros((BATCH, 0, 3)));
    let none = Examples::new(none, Array3::<f32>::zeros((BATCH, 0, 4))).unwrap();
    let cases = [
        ("whole numbers", Loss::MeanSquaredError, 4, plain(whole.into())),
        ("an axis less", Loss::MeanAbsoluteError, 1, plain(of_one.into())),
        (
            "an axis more",
            Loss::MeanSquaredError,
            5,
            plain(numbers(5, 1.0).insert_axis(ndarray::Axis(3)).into()),
        ),
        ("classes as floats", sparse, 4, plain(float_classes.into())),
        ("no time step", Loss::MeanSquaredError, 4, none),
    ];
    for device in devices() {
        for (name, loss, width, batch) in &cases {
            let [mut there, mut here] = both(&network(*width), &device, *loss, Adam::new(0.01).global_clipnorm(0.3));
            for trainer in [&mut there, &mut here] {
                trainer.regularizers([Regularizer::l2(0.01).on(Role::Kernel)]).unwrap();
            }
            for _ in 0..2 {
                check_alike(&mut there, &mut here, batch, name);
                assert!(
                    (there.train_on_batch(batch).unwrap() - learn_here(&mut here, batch, &BTreeMap::new())).abs()
                        < 1e-5
                );
            }
            assert_eq!([judged_there(&there), judged_there(&here)], [4, 0], "{name}");
        }
    }
}

/// Of several wrong targets the first is said, as on the host, and a weight before it.
#[test]
fn the_first_wrong_target_is_said() {
    for device in devices() {
        let steps = 200;
        let ones = Sequences::from(Array3::<f32>::ones((BATCH, steps, 3)));
        let mut targets = Array3::<f32>::ones((BATCH, steps, 5));
        targets[(1, 3, 2)] = f32::NAN;
        targets[(4, 120, 0)] = f32::INFINITY;
        let batch = Examples::new(ones, targets).unwrap();
        let mut trainer = Trainer::new(network(5), &device, Loss::MeanSquaredError, Sgd::new(0.1)).unwrap();
        let said = trainer.train_on_batch(&batch).unwrap_err().to_string();
        assert!(said.contains("[1, 3, 2]"), "{said}");
    }
}
