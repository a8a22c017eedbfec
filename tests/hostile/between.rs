//! What stands between other layers: Activation, Dropout, normalisations, Flatten, Reshape, LastStep.

use cellstate::{
    Activation, BatchNormalization, BatchNormalizationWeights, Bidirectional, Dense, Device, Dropout, Error, Flatten,
    LastStep, Layer, LayerNormalization, LayerNormalizationWeights, Lstm, Masking, MergeMode, Model, RepeatVector,
    Reshape, Sequences,
};
use ndarray::{Array1, Array3, array};

use super::{devices::devices, refused};

const WRONG: [usize; 3] = [0, (1 << 23) + 1, usize::MAX];

fn build<const COUNT: usize>(layers: [Layer; COUNT]) -> cellstate::Result<Model> {
    let builder = layers
        .into_iter()
        .fold(Model::builder(), |builder, layer| builder.add(layer));
    builder.build()
}

fn sequences(features: usize, units: usize) -> Layer {
    Lstm::new(features, units).return_sequences(true).into()
}

#[test]
fn sizes_of_nothing_and_of_everything() {
    for wrong in WRONG {
        let found = wrong.to_string();
        let text = "features of the BatchNormalization";
        refused!(
            build([BatchNormalization::new(wrong).into()]),
            Error::Value { .. },
            text,
            &found,
            "real size"
        );
        refused!(BatchNormalization::new(wrong).weights(), Error::Value { .. }, text);
        let text = "features of the LayerNormalization";
        refused!(
            build([LayerNormalization::new(wrong).into()]),
            Error::Value { .. },
            text,
            &found
        );
        refused!(LayerNormalization::new(wrong).weights(), Error::Value { .. }, text);
        for flatten in [Flatten::new(wrong, 4), Flatten::new(4, wrong)] {
            refused!(build([flatten.into()]), Error::Value { .. }, "of the Flatten", &found);
        }
        for shapes in [
            [[wrong, 4], [4, 4]],
            [[4, wrong], [4, 4]],
            [[4, 4], [wrong, 4]],
            [[4, 4], [4, wrong]],
        ] {
            let reshape = Reshape::new(shapes[0], shapes[1]);
            refused!(
                build([reshape.into()]),
                Error::Value { .. },
                "the Reshape layer",
                &found
            );
        }
    }
    refused!(
        build([Flatten::new(1 << 12, 1 << 12).into()]),
        Error::Value { .. },
        "time_steps · features"
    );
    let many = Reshape::new([1 << 12, 1 << 12], [1 << 12, 1 << 12]);
    refused!(build([many.into()]), Error::Value { .. }, "values of a sequence");
    let other = Reshape::new([6, 4], [5, 5]);
    refused!(
        build([other.into()]),
        Error::Value { .. },
        "24",
        "[5, 5], which has 25",
        "product"
    );
}

#[test]
fn options_that_make_no_sense() {
    for rate in [-0.1, 1.5, f32::NAN, f32::INFINITY] {
        let text = rate.to_string();
        refused!(
            build([Dropout::new(rate).into(), Dense::new(2, 1).into()]),
            Error::Value { .. },
            "rate",
            &text,
            "0.2 for 20 %"
        );
    }
    for epsilon in [0.0, -1e-3, f32::NAN, f32::INFINITY] {
        let batch = BatchNormalization::new(2).epsilon(epsilon);
        refused!(
            build([batch.into()]),
            Error::Value { .. },
            "epsilon of the BatchNormalization",
            "above 0",
            "0.001"
        );
        let rows = LayerNormalization::new(2).epsilon(epsilon);
        refused!(
            rows.weights(),
            Error::Value { .. },
            "epsilon of the LayerNormalization",
            "0.00001 PyTorch's"
        );
    }
    let infinite = Activation::LeakyReluWith { alpha: f32::INFINITY };
    refused!(
        build([Dense::new(2, 1).into(), infinite.into()]),
        Error::Value { .. },
        "alpha",
        "finite"
    );
}

fn weights(variance: Array1<f32>) -> BatchNormalizationWeights {
    BatchNormalizationWeights {
        gamma: Some(array![1.0, 2.0]),
        beta: None,
        moving_mean: array![0.0, 0.0],
        moving_variance: variance,
    }
}

#[test]
fn weights_that_are_none() {
    let layer = || BatchNormalization::new(2);
    refused!(
        layer().with_weights(weights(array![1.0])),
        Error::Size { .. },
        "moving_variance",
        "[2]",
        "[1]"
    );
    refused!(
        layer().with_weights(weights(array![1.0, f32::NAN])),
        Error::NotFinite { .. },
        "moving_variance",
        "[1]"
    );
    refused!(
        layer().with_weights(weights(array![1.0, -0.5])),
        Error::Value { .. },
        "-0.5 for feature 1",
        "moving_mean, moving_variance"
    );
    for (gamma, beta) in [(Some(array![1.0]), None), (None, Some(array![1.0, 2.0, 3.0]))] {
        let weights = LayerNormalizationWeights { gamma, beta };
        refused!(
            LayerNormalization::new(2).with_weights(weights),
            Error::Size { .. },
            "of the LayerNormalization",
            "(features)"
        );
    }
    // a mean and a scale that together are no number of f32
    let far = BatchNormalizationWeights {
        gamma: Some(array![1e30, 1.0]),
        moving_mean: array![1e30, 0.0],
        ..weights(array![1.0, 1.0])
    };
    refused!(
        build([layer().with_weights(far).unwrap().into()]),
        Error::Value { .. },
        "shift of feature 0",
        "training"
    );
    let mut model = build([layer().into()]).unwrap();
    let before = model.parameters().clone();
    let negative = array![1.0, -1.0].into_dyn();
    refused!(
        model.replace_parameter("batch_normalization/moving_variance", negative),
        Error::Value { .. },
        "-1 for feature 1"
    );
    assert_eq!(model.parameters(), &before);
    model
        .replace_parameter("batch_normalization/gamma", array![2.0, 0.0].into_dyn())
        .unwrap();
    let paths: Vec<&str> = model.parameters().iter().map(|parameter| parameter.path()).collect();
    let names = ["gamma", "beta", "moving_mean", "moving_variance"];
    assert_eq!(paths, names.map(|name| format!("batch_normalization/{name}")));
}

#[test]
fn neighbours_that_do_not_fit() {
    let last = || Layer::from(Lstm::new(2, 4));
    refused!(
        build([last(), LastStep::new().into()]),
        Error::Chain { position: 1, .. },
        "LastStep",
        "leave the LastStep out"
    );
    refused!(
        build([LastStep::new().into(), Dense::new(2, 1).into()]),
        Error::Chain { position: 0, .. },
        "how many features"
    );
    refused!(
        build([last(), Dropout::new(0.5).spatial(true).into()]),
        Error::Chain { .. },
        "SpatialDropout1D",
        "return_sequences(true)"
    );
    refused!(
        build([last(), Flatten::new(2, 4).into()]),
        Error::Chain { .. },
        "2 time steps",
        "a single time step",
        "take 1"
    );
    refused!(
        build([last(), Reshape::new([2, 2], [4, 1]).into()]),
        Error::Chain { .. },
        "2 time steps",
        "take 1"
    );
    let repeated = [last(), RepeatVector::new(3).into(), Reshape::new([4, 4], [2, 8]).into()];
    refused!(
        build(repeated),
        Error::Chain { position: 2, .. },
        "4 time steps",
        "3 time steps",
        "take 3"
    );
    let again = [
        sequences(2, 4),
        Reshape::new([4, 4], [2, 8]).into(),
        Flatten::new(4, 8).into(),
    ];
    refused!(
        build(again),
        Error::Chain { position: 2, .. },
        "4 time steps",
        "2 time steps"
    );
    for layer in [
        Layer::from(BatchNormalization::new(5)),
        LayerNormalization::new(5).into(),
        Flatten::new(3, 5).into(),
        Reshape::new([3, 5], [5, 3]).into(),
    ] {
        refused!(
            build([sequences(2, 4), layer]),
            Error::Features { .. },
            "5",
            "4 features"
        );
    }
    let apart = Bidirectional::new(Lstm::new(2, 4).return_sequences(true)).merge_mode(MergeMode::Separate);
    for layer in [
        Layer::from(Activation::Relu),
        Dropout::new(0.5).into(),
        LastStep::new().into(),
        Flatten::new(3, 4).into(),
    ] {
        refused!(
            build([apart.clone().into(), layer]),
            Error::Chain { position: 1, .. },
            "Separate"
        );
    }
    refused!(
        build([Masking::new(0.0).into(), Activation::Relu.into()]),
        Error::Value { .. },
        "how many features",
        "Activation"
    );
    assert!(build([Dropout::new(0.5).into(), Masking::new(0.0).into()]).is_ok());
}

#[test]
fn batches_of_other_time_steps() {
    let models = || {
        [
            build([sequences(2, 4), Flatten::new(7, 4).into()]),
            build([
                Activation::Tanh.into(),
                Reshape::new([7, 2], [2, 7]).into(),
                Lstm::new(7, 3).into(),
            ]),
            // a section of its own, behind one that runs
            build([sequences(2, 4), Masking::new(0.5).into(), Flatten::new(7, 4).into()]),
        ]
    };
    for device in devices() {
        for model in models() {
            let runner = model.unwrap().on(&device).unwrap();
            for time_steps in [0, 1, 6, 8] {
                let batch = Array3::from_elem((3, time_steps, 2), 0.25);
                let found = time_steps.to_string();
                let run = runner.run(&Sequences::from(&batch));
                refused!(run, Error::Size { .. }, "time steps", "7", &found, "pad or cut");
                refused!(runner.explain(3, time_steps), Error::Size { .. }, "7");
                if runner.gpu().is_some() {
                    refused!(runner.gpu_memory(3, time_steps), Error::Size { .. }, "7");
                    refused!(runner.workspace(3, time_steps), Error::Size { .. }, "7");
                }
                let mut states = runner.zero_state(3);
                refused!(
                    runner.run_from(&Sequences::from(&batch), &mut states),
                    Error::Size { .. },
                    "7"
                );
                assert_eq!(states, runner.zero_state(3));
            }
            let batch = Array3::from_elem((3, 7, 2), 0.25);
            assert_eq!(runner.run(&Sequences::from(&batch)).unwrap().values().len() % 3, 0);
            let none = Array3::zeros((0, 7, 2));
            assert_eq!(runner.run(&Sequences::from(&none)).unwrap().values().len(), 0);
        }
    }
}

/// Zeros and NaN come out where they go in, a row of equal values becomes beta, and a NaN stays in its row.
#[test]
fn values_that_are_strange() {
    let x = array![
        [[0.0, 0.0, 0.0], [f32::NAN, 1.0, 2.0], [3.0, 3.0, 3.0]],
        [[1.0, 2.0, 3.0], [-1.0, -1.0, -1.0], [2.0, 2.0, 2.0]]
    ];
    for device in devices() {
        let normalized = LayerNormalization::new(3)
            .on(&device)
            .unwrap()
            .run(&Sequences::from(&x))
            .unwrap();
        let normalized = normalized.sequences().unwrap();
        for ((sequence, step, _), value) in normalized.indexed_iter() {
            assert_eq!(
                value.is_nan(),
                (sequence, step) == (0, 1),
                "{}: {normalized}",
                device.name()
            );
            if (sequence, step) != (0, 1) && (sequence, step) != (1, 0) {
                assert!(value.abs() < 1e-4, "{}", device.name());
            }
        }
        let scaled = BatchNormalization::new(3)
            .on(&device)
            .unwrap()
            .run(&Sequences::from(&x))
            .unwrap();
        let nan = scaled.values().iter().filter(|value| value.is_nan()).count();
        assert_eq!(nan, 1, "{}", device.name());
    }
}

/// Layers that do nothing in inference give their input to the bit, alone too.
#[test]
fn dropout_is_nothing() {
    let x = Array3::from_shape_fn((3, 5, 2), |(i, j, k)| (i * 7 + j * 3 + k) as f32 - 9.0);
    let model = build([Dropout::new(0.5).into(), Dropout::new(0.1).spatial(true).into()]).unwrap();
    for device in devices() {
        let output = model.on(&device).unwrap().run(&Sequences::from(&x)).unwrap();
        assert_eq!(output.sequences().unwrap(), x);
    }
    assert_eq!(model.features(), None);
    assert_eq!(
        model.on(&Device::cpu()).unwrap().explain(3, 5).unwrap().strategies(),
        []
    );
}
