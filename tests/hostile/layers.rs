//! Lstm, Dense, Embedding and initialisers.

use cellstate::{Dense, Device, Embedding, Error, Initializer, Lstm, Model};
use ndarray::{Array1, Array2};

use super::refused;

const WRONG: [usize; 3] = [0, (1 << 23) + 1, usize::MAX];

#[test]
fn sizes_of_nothing_and_of_everything() {
    let device = Device::cpu();
    for wrong in WRONG {
        for (features, units) in [(wrong, 4), (4, wrong), (wrong, wrong)] {
            let what = if features == 4 {
                "units of the LSTM"
            } else {
                "features of the LSTM"
            };
            let lstm = Lstm::new(features, units);
            refused!(
                lstm.on(&device),
                Error::Value { .. },
                what,
                "real size",
                wrong.to_string()
            );
            refused!(lstm.weights(), Error::Value { .. }, what);
            let (kernel, recurrent) = (Array2::zeros((4, 16)), Array2::zeros((4, 16)));
            refused!(
                lstm.clone().with_weights(kernel, recurrent, None),
                Error::Value { .. },
                what
            );
            let what = what.replace("LSTM", "Dense layer");
            let dense = Dense::new(features, units);
            refused!(dense.on(&device), Error::Value { .. }, &what, "real size");
            refused!(dense.weights(), Error::Value { .. }, &what);
            refused!(
                dense.clone().with_weights(Array2::zeros((4, 4)), None),
                Error::Value { .. },
                &what
            );
            let what = if features == 4 {
                "output_dim of the Embedding"
            } else {
                "input_dim of the Embedding"
            };
            let embedding = Embedding::new(features, units);
            refused!(embedding.on(&device), Error::Value { .. }, what, "real size");
            refused!(embedding.embeddings(), Error::Value { .. }, what);
            refused!(
                embedding.clone().with_embeddings(Array2::zeros((4, 4))),
                Error::Value { .. },
                what
            );
        }
    }
}

/// What an LSTM of 5 units says of a bias of this length.
fn given_message(length: usize) -> String {
    let (kernel, recurrent_kernel) = (Array2::zeros((3, 20)), Array2::zeros((5, 20)));
    let given = Lstm::new(3, 5).with_weights(kernel, recurrent_kernel, Some(Array1::zeros(length)));
    given.unwrap_err().to_string()
}

#[test]
fn weights_of_another_shape() {
    let lstm = Lstm::new(3, 5);
    let kernel = || Array2::<f32>::zeros((3, 20));
    let recurrent = || Array2::<f32>::zeros((5, 20));
    let bias = || Some(Array1::<f32>::zeros(20));
    for shape in [(3, 19), (4, 20), (0, 0), (3, 0), (1, 60)] {
        let given = lstm.clone().with_weights(Array2::zeros(shape), recurrent(), bias());
        refused!(
            given,
            Error::Size { .. },
            "kernel",
            "(features, 4·units) = [3, 20]",
            "get_weights()"
        );
    }
    let transposed = lstm.clone().with_weights(Array2::zeros((20, 3)), recurrent(), bias());
    refused!(transposed, Error::Size { .. }, "reversed_axes()", "[20, 3]");
    for shape in [(3, 20), (5, 5), (20, 20)] {
        let given = lstm.clone().with_weights(kernel(), Array2::zeros(shape), bias());
        refused!(
            given,
            Error::Size { .. },
            "recurrent_kernel",
            "(units, 4·units) = [5, 20]"
        );
    }
    let transposed = lstm.clone().with_weights(kernel(), Array2::zeros((20, 5)), bias());
    refused!(transposed, Error::Size { .. }, "recurrent_kernel", "reversed_axes()");
    for length in [0, 5, 40] {
        let given = lstm
            .clone()
            .with_weights(kernel(), recurrent(), Some(Array1::zeros(length)));
        refused!(given, Error::Size { .. }, "bias", "(4·units) = [20]");
        let from_pytorch = given_message(length).contains("LstmWeights::from_pytorch(w_ih, w_hh, b_ih, b_hh)");
        assert_eq!(from_pytorch, length == 40, "{length}"); // the two biases of PyTorch, one behind the other
    }
    let dense = Dense::new(3, 5);
    let transposed = dense.clone().with_weights(Array2::zeros((5, 3)), None);
    refused!(
        transposed,
        Error::Size { .. },
        "kernel",
        "(features, units) = [3, 5]",
        "reversed_axes()"
    );
    let given = dense
        .clone()
        .with_weights(Array2::zeros((3, 5)), Some(Array1::zeros(3)));
    refused!(given, Error::Size { .. }, "bias", "(units) = [5]");
    let table = Embedding::new(7, 2).with_embeddings(Array2::zeros((2, 7)));
    refused!(
        table,
        Error::Size { .. },
        "embeddings",
        "(input_dim, output_dim) = [7, 2]",
        "reversed_axes()"
    );
}

#[test]
fn weights_that_are_no_numbers() {
    for wrong in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let spoiled = |shape: (usize, usize), place: [usize; 2]| {
            let mut weights = Array2::zeros(shape);
            weights[place] = wrong;
            weights
        };
        let lstm = || Lstm::new(3, 5);
        let (kernel, recurrent) = (Array2::zeros((3, 20)), Array2::zeros((5, 20)));
        let given = lstm().with_weights(spoiled((3, 20), [1, 17]), recurrent.clone(), None);
        refused!(
            given,
            Error::NotFinite { .. },
            "kernel of the ",
            "at [1, 17]",
            wrong.to_string(),
            "earlier epoch"
        );
        let given = lstm().with_weights(kernel.clone(), spoiled((5, 20), [4, 19]), None);
        refused!(given, Error::NotFinite { .. }, "recurrent_kernel of the ", "at [4, 19]");
        let mut bias = Array1::zeros(20);
        bias[3] = wrong;
        let given = lstm().with_weights(kernel.clone(), recurrent.clone(), Some(bias));
        refused!(given, Error::NotFinite { .. }, "bias of the ", "at [3]");
        // the index is that of the array as it is seen, however it lies in memory
        let given = lstm().with_weights(spoiled((20, 3), [17, 1]).reversed_axes(), recurrent, None);
        refused!(given, Error::NotFinite { .. }, "kernel of the ", "at [1, 17]");
        let given = Dense::new(3, 5).with_weights(spoiled((3, 5), [2, 0]), None);
        refused!(given, Error::NotFinite { .. }, "kernel of the ", "at [2, 0]");
        let given = Embedding::new(3, 5).with_embeddings(spoiled((3, 5), [0, 4]));
        refused!(given, Error::NotFinite { .. }, "embeddings of the ", "at [0, 4]");
    }
}

#[test]
fn a_bias_that_is_wanted_and_missing() {
    let lstm = Lstm::new(3, 5)
        .with_weights(Array2::zeros((3, 20)), Array2::zeros((5, 20)), None)
        .unwrap();
    assert_eq!(lstm.weights().unwrap().bias, None);
    let wanted = lstm.use_bias(true);
    refused!(wanted.weights(), Error::Value { .. }, "use_bias", "with_weights");
    refused!(
        wanted.on(&Device::cpu()),
        Error::Value { .. },
        "use_bias",
        "give a bias"
    );
    let dense = Dense::new(3, 5).with_weights(Array2::zeros((3, 5)), None).unwrap();
    refused!(
        dense.use_bias(true).on(&Device::cpu()),
        Error::Value { .. },
        "use_bias",
        "give a bias"
    );
    // a bias that is not wanted is left out
    let bias = Some(Array1::ones(20));
    let lstm = Lstm::new(3, 5)
        .with_weights(Array2::zeros((3, 20)), Array2::zeros((5, 20)), bias)
        .unwrap();
    assert_eq!(lstm.use_bias(false).weights().unwrap().bias, None);
}

#[test]
fn initialisers_without_sense() {
    let (nan, infinity) = (f32::NAN, f32::INFINITY);
    let wrong = [
        (Initializer::Constant(nan), "value"),
        (Initializer::Constant(infinity), "value"),
        (Initializer::Orthogonal { gain: nan }, "gain"),
        (Initializer::Identity { gain: infinity }, "gain"),
        (Initializer::RandomUniform { min: nan, max: 1.0 }, "min"),
        (Initializer::RandomUniform { min: 0.0, max: nan }, "max"),
        (Initializer::RandomUniform { min: 1.0, max: -1.0 }, "min"),
        (
            Initializer::RandomNormal {
                mean: nan,
                deviation: 1.0,
            },
            "mean",
        ),
        (
            Initializer::RandomNormal {
                mean: 0.0,
                deviation: -1.0,
            },
            "deviation",
        ),
        (
            Initializer::TruncatedNormal {
                mean: 0.0,
                deviation: nan,
            },
            "deviation",
        ),
        (
            Initializer::TruncatedNormal {
                mean: 0.0,
                deviation: infinity,
            },
            "deviation",
        ),
        // finite themselves, but what they draw is not
        (
            Initializer::RandomNormal {
                mean: 0.0,
                deviation: f32::MAX,
            },
            "parameters",
        ),
        (
            Initializer::TruncatedNormal {
                mean: f32::MAX,
                deviation: f32::MAX,
            },
            "parameters",
        ),
    ];
    for (initializer, parameter) in wrong {
        let what = format!("{initializer}.{parameter}");
        let lstm = || Lstm::new(30, 50);
        let repair = format!("correct {parameter}");
        refused!(
            lstm().kernel_initializer(initializer).weights(),
            Error::Value { .. },
            &what,
            &repair
        );
        refused!(
            lstm().recurrent_initializer(initializer).on(&Device::cpu()),
            Error::Value { .. },
            &what,
            &repair
        );
        if !matches!(
            initializer,
            Initializer::Orthogonal { .. } | Initializer::Identity { .. }
        ) {
            refused!(
                lstm().bias_initializer(initializer).weights(),
                Error::Value { .. },
                &what,
                &repair
            );
        }
        let dense = Dense::new(30, 50).kernel_initializer(initializer);
        refused!(Model::builder().add(dense).build(), Error::Value { .. }, &what, &repair);
        refused!(
            Embedding::new(30, 50).initializer(initializer).embeddings(),
            Error::Value { .. },
            &what,
            &repair
        );
    }
    let widest = Initializer::RandomUniform {
        min: f32::MIN,
        max: f32::MAX,
    };
    let weights = Lstm::new(3, 5).kernel_initializer(widest).weights().unwrap();
    assert!(weights.kernel.iter().all(|value| value.is_finite()));
}

/// Keras has a `ValueError` there: a bias has no rows and columns.
#[test]
fn a_bias_has_one_axis() {
    let cpu = Device::cpu();
    for initializer in [
        Initializer::Orthogonal { gain: 1.0 },
        Initializer::Identity { gain: 1.0 },
    ] {
        let lstm = Lstm::new(3, 5).bias_initializer(initializer);
        let what = "bias_initializer of the LSTM";
        let repair = "Initializer::Zeros";
        refused!(lstm.weights(), Error::Value { .. }, what, initializer.name(), repair);
        refused!(lstm.on(&cpu), Error::Value { .. }, what, repair);
        refused!(
            lstm.clone().unit_forget_bias(false).weights(),
            Error::Value { .. },
            what
        );
        let dense = Dense::new(3, 5).bias_initializer(initializer);
        let what = "bias_initializer of the Dense layer";
        refused!(dense.weights(), Error::Value { .. }, what, repair);
        refused!(dense.on(&cpu), Error::Value { .. }, what, repair);
        // as in Keras: what has no bias draws none
        assert_eq!(lstm.use_bias(false).weights().unwrap().bias, None);
        assert_eq!(dense.use_bias(false).weights().unwrap().bias, None);
    }
}
