//! The weights of a model by name: listed, read and replaced.

use cellstate::{Dense, Device, Error, Lstm, Masking, Model, Output, Sequences};
use ndarray::{Array1, Array2, ArrayD, Axis, IxDyn, s};

use super::devices::devices;
use super::models::model;
use super::refused;
use super::support::{
    cell_kinds::CellKind,
    layers::{LayerSpec, Merge, RecurrentOptions},
    random::Random,
};

const STATEFUL: RecurrentOptions = RecurrentOptions {
    return_sequences: true,
    return_state: true,
    go_backwards: false,
    zero_output_for_mask: false,
};

const SEQUENCES: RecurrentOptions = RecurrentOptions {
    return_state: false,
    ..STATEFUL
};

/// Models with weights in every place, all for tokens below 7; the seed draws the weights.
fn chains(seed: u64) -> Vec<(Vec<LayerSpec>, Vec<&'static str>)> {
    let random = &mut Random::new(seed);
    let mut cell = |kind: CellKind, features, units| kind.cell(random, features, units);
    let both = LayerSpec::Bidirectional {
        forward: cell(CellKind::Lstm, 3, 4),
        backward: cell(CellKind::Gru, 3, 4),
        options: SEQUENCES,
        merge: Merge::Sum,
    };
    let stacked = LayerSpec::StackedCells {
        cells: vec![
            cell(CellKind::GruResetBefore, 3, 5),
            cell(CellKind::AllOptions, 5, 4),
            cell(CellKind::SimpleRnn, 4, 2),
        ],
        options: STATEFUL,
    };
    let alone = |cell, options| LayerSpec::Recurrent { cell, options };
    let grus = [
        alone(cell(CellKind::Gru, 3, 4), SEQUENCES),
        alone(cell(CellKind::Gru, 4, 2), STATEFUL),
    ];
    let lstm = alone(cell(CellKind::Lstm, 3, 4), SEQUENCES);
    let embedding = |random: &mut Random| LayerSpec::Embedding {
        embeddings: random.array2((7, 3), 1.0),
        mask_zero: false,
    };
    let dense = |random: &mut Random, features| LayerSpec::Dense {
        kernel: random.array2((features, 2), 0.7),
        bias: Some(random.array1(2, 0.5)),
        activation: "tanh".to_owned(),
    };
    let [first, second] = grus;
    vec![
        (
            vec![embedding(random), both, dense(random, 4)],
            vec![
                "embedding/embeddings",
                "bidirectional/forward_layer/kernel",
                "bidirectional/forward_layer/recurrent_kernel",
                "bidirectional/forward_layer/bias",
                "bidirectional/backward_layer/kernel",
                "bidirectional/backward_layer/recurrent_kernel",
                "bidirectional/backward_layer/bias",
                "dense/kernel",
                "dense/bias",
            ],
        ),
        (
            vec![embedding(random), stacked],
            vec![
                "embedding/embeddings",
                "rnn/cells_0/kernel",
                "rnn/cells_0/recurrent_kernel",
                "rnn/cells_0/bias",
                "rnn/cells_1/kernel",
                "rnn/cells_1/recurrent_kernel",
                "rnn/cells_1/bias",
                "rnn/cells_1/peepholes",
                "rnn/cells_1/projection",
                "rnn/cells_2/kernel",
                "rnn/cells_2/recurrent_kernel",
                "rnn/cells_2/bias",
            ],
        ),
        (
            vec![embedding(random), first, second],
            vec![
                "embedding/embeddings",
                "gru/kernel",
                "gru/recurrent_kernel",
                "gru/bias",
                "gru_1/kernel",
                "gru_1/recurrent_kernel",
                "gru_1/bias",
            ],
        ),
        (
            vec![embedding(random), lstm, dense(random, 4)],
            vec![
                "embedding/embeddings",
                "lstm/kernel",
                "lstm/recurrent_kernel",
                "lstm/bias",
                "dense/kernel",
                "dense/bias",
            ],
        ),
    ]
}

fn batch() -> Sequences<'static> {
    let tokens = Array2::from_shape_fn((3, 6), |(row, step)| ((3 * row + 5 * step + step * step) % 7) as i32);
    Sequences::from(tokens).with_lengths(&[6, 2, 5]).unwrap()
}

fn run(model: &Model, device: &Device) -> Output {
    model.on(device).unwrap().run(&batch()).unwrap()
}

#[test]
fn every_weight_has_its_path() {
    for (layers, paths) in chains(1) {
        let model = model(&layers).unwrap();
        let listed: Vec<&str> = model.parameters().iter().map(|parameter| parameter.path()).collect();
        assert_eq!(listed, paths);
        for path in paths {
            let parameter = model.parameters().get(path).unwrap();
            assert!(path.ends_with(parameter.role().name()), "{path}");
        }
        let layers = model.layers().iter();
        let count: usize = layers.map(|layer| layer.parameter_count()).sum();
        assert_eq!(model.parameters().count(), count);
    }
}

/// A model whose weights are replaced one by one is the model built with them, to the bit; what was made before keeps the old ones.
#[test]
fn replaced_weights_are_those_of_a_model_built_with_them() {
    for ((old, _), (new, _)) in chains(1).into_iter().zip(chains(2)) {
        for device in devices() {
            let (mut changing, wanted) = (model(&old).unwrap(), model(&new).unwrap());
            let (runner, before) = (changing.on(&device).unwrap(), changing.clone());
            let old_output = runner.run(&batch()).unwrap();
            for parameter in wanted.parameters().iter() {
                let values = parameter.values().to_owned();
                changing.replace_parameter(parameter.path(), values).unwrap();
            }
            assert_eq!(changing.parameters(), wanted.parameters());
            let output = run(&changing, &device);
            assert_eq!(output, run(&wanted, &device), "{}", device.name());
            assert_ne!(output.values(), old_output.values(), "{}", device.name());
            assert_eq!(runner.run(&batch()).unwrap(), old_output, "{}", device.name());
            assert_eq!(run(&before, &device), old_output, "{}: a clone", device.name());
        }
    }
}

#[test]
fn every_weight_alone_changes_the_output() {
    let device = Device::cpu();
    for ((old, paths), (new, _)) in chains(1).into_iter().zip(chains(2)) {
        let (old, new) = (model(&old).unwrap(), model(&new).unwrap());
        let before = run(&old, &device);
        for path in paths {
            let mut changed = old.clone();
            let values = new.parameters().get(path).unwrap().values().to_owned();
            changed.replace_parameter(path, values).unwrap();
            assert_ne!(run(&changed, &device).values(), before.values(), "{path}");
        }
    }
}

/// Values in any memory order are read by their indices.
#[test]
fn views_of_any_layout_replace_a_weight() {
    let device = Device::cpu();
    let mut model = model(&chains(1)[3].0).unwrap();
    let kernel = model.parameters().get("lstm/kernel").unwrap().values().to_owned();
    let before = run(&model, &device);
    let transposed = kernel.t().as_standard_layout().into_owned().reversed_axes();
    assert!(!transposed.is_standard_layout());
    let mut wide = ArrayD::from_elem(IxDyn(&[6, 16]), f32::NAN);
    wide.slice_mut(s![..;-2, ..]).assign(&kernel);
    for values in [transposed, wide.slice_move(s![..;-2, ..]).into_dyn()] {
        model.replace_parameter("lstm/kernel", values).unwrap();
        assert_eq!(run(&model, &device), before);
    }
}

#[test]
fn paths_that_are_none() {
    let mut model = model(&chains(1)[0].0).unwrap();
    let before = model.clone();
    let long = "kernel/".repeat(100_000);
    for path in [
        "",
        "/",
        "kernel",
        "bidirectional",
        "bidirectional/kernel",
        "bidirectional/forward_layer/kernel/",
        "/dense/kernel",
        "dense/Kernel",
        "dense_1/kernel",
        "dense/kernel\0",
        "dense\\kernel",
        &long,
    ] {
        let expected = "bidirectional/forward_layer/recurrent_kernel";
        refused!(
            model.parameters().get(path),
            Error::Value { .. },
            "path",
            expected,
            ".iter()"
        );
        let values = Array2::zeros((4, 2)).into_dyn();
        refused!(
            model.replace_parameter(path, values),
            Error::Value { .. },
            "path",
            expected
        );
    }
    assert_eq!(model.parameters(), before.parameters());
    let mut none = Model::builder().add(Masking::new(0.0)).build().unwrap();
    assert!(none.parameters().is_empty());
    let values = Array1::zeros(1).into_dyn();
    refused!(
        none.replace_parameter("masking/mask_value", values),
        Error::Value { .. },
        "no weights"
    );
}

#[test]
fn the_list_of_paths_in_a_message_has_an_end() {
    let layers = (0..100).map(|_| Lstm::new(2, 2).return_sequences(true));
    let builder = layers.fold(Model::builder(), |builder, layer| builder.add(layer));
    let model = builder.build().unwrap();
    assert!(model.parameters().get("lstm_99/bias").is_ok());
    let message = model.parameters().get("lstm_100/bias").unwrap_err().to_string();
    assert!(message.len() < 1000 && message.contains('…'), "{message}");
}

#[test]
fn values_that_do_not_fit() {
    let device = Device::cpu();
    let mut model = model(&chains(1)[2].0).unwrap();
    let (before, output) = (model.clone(), run(&model, &device));
    let shapes: [&[usize]; 8] = [&[], &[0], &[48], &[12, 4], &[4, 11], &[4, 12, 1], &[1, 4, 12], &[0, 12]];
    for shape in shapes {
        let values = ArrayD::zeros(IxDyn(shape));
        let found = format!("{shape:?}");
        refused!(
            model.replace_parameter("gru/recurrent_kernel", values),
            Error::Size { .. },
            "gru/recurrent_kernel",
            "[4, 12]",
            found
        );
    }
    let transposed = ArrayD::zeros(IxDyn(&[12, 4]));
    refused!(
        model.replace_parameter("gru/recurrent_kernel", transposed),
        Error::Size { .. },
        "swapped",
        "reversed_axes"
    );
    // the bias of an LSTM or of reset_after(false) for that of reset_after(true), which has two rows
    let one_row = ArrayD::zeros(IxDyn(&[12]));
    refused!(
        model.replace_parameter("gru/bias", one_row),
        Error::Size { .. },
        "[2, 12]",
        "[12]"
    );
    for wrong in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        for parameter in before.parameters().iter() {
            let mut values = parameter.values().to_owned();
            *values.iter_mut().last().unwrap() = wrong;
            let last: Vec<usize> = values.shape().iter().map(|length| length - 1).collect();
            refused!(
                model.replace_parameter(parameter.path(), values),
                Error::NotFinite { .. },
                parameter.path(),
                format!("{last:?}")
            );
        }
    }
    // nothing of what was refused is left behind
    assert_eq!(model.parameters(), before.parameters());
    assert_eq!(run(&model, &device), output);
}

/// The weights that a model drew are those of its parameters: with them in place of its own, another model is the same.
#[test]
fn drawn_weights_can_be_carried_over() {
    let device = Device::cpu();
    let build = |seed| {
        let lstm = Lstm::new(3, 4).seed(seed).return_sequences(true);
        Model::builder().add(lstm).add(Dense::new(4, 2)).build().unwrap()
    };
    let (one, mut other) = (build(1), build(2));
    assert_ne!(one.parameters(), other.parameters());
    for parameter in one.parameters() {
        let values = parameter.values().to_owned();
        other.replace_parameter(parameter.path(), values).unwrap();
    }
    let x = Sequences::from(Random::new(3).array3((2, 5, 3), 1.0));
    let [want, got] = [&one, &other].map(|model| model.on(&device).unwrap().run(&x).unwrap());
    assert_eq!(got, want);
    assert_eq!(got.values().len_of(Axis(2)), 2);
}
