//! Files of Keras that this crate writes. `golden/keras_opens.py` has Keras itself open them.

use std::fs;
use std::path::{Path, PathBuf};

use cellstate::{
    Activation, BatchNormalization, Bidirectional, Dense, Device, Dropout, Embedding, EndMask, Error, Flatten, Gru,
    LastStep, Layer, LayerNormalization, Lstm, Masking, MergeMode, Model, Recurrent, RepeatVector, Reshape, Sequences,
    SimpleRnn, StackedRnnCells,
};
use ndarray::{Array2, Array3, Array4, ArrayD, s};

use crate::keras::{drawn_anew, model_file};

/// Golden files of every layer and option.
const FILES: [&str; 17] = [
    "keras_masking_stack.keras",
    "keras_sentiment.keras",
    "keras_tagger.keras",
    "keras_more_gru.keras",
    "keras_more_simple_rnn.keras",
    "keras_more_two_ways.keras",
    "keras_more_separate.keras",
    "keras_more_cells.keras",
    "keras_more_activations.keras",
    "keras_more_norms.keras",
    "keras_more_shapes.keras",
    "keras_nested_tagger.keras",
    "keras_nested_masked.keras",
    "keras_nested_within.keras",
    "keras_nested_functional.keras",
    "keras_nested_handed_in.keras",
    "keras_nested_alone.keras",
];

fn build(layers: Vec<Layer>) -> Model {
    let builder = layers
        .into_iter()
        .fold(Model::builder(), |builder, layer| builder.add(layer));
    builder.build().unwrap()
}

/// Models that nobody has read from a file.
fn models() -> Vec<(&'static str, Model)> {
    let all = |recurrent: Recurrent| Bidirectional::new(recurrent).merge_mode(MergeMode::Average);
    let stack: [Recurrent; 3] = [
        Lstm::new(3, 4).into(),
        Gru::new(4, 5).reset_after(false).into(),
        Lstm::new(5, 2).into(),
    ];
    vec![
        ("drawn_lstm", build(vec![Lstm::new(3, 5).into()])),
        (
            "drawn_all",
            build(vec![
                Masking::new(-1.0).into(),
                Dropout::new(0.1).spatial(true).into(),
                all(Lstm::new(3, 4).return_sequences(true).into()).into(),
                Gru::new(4, 5)
                    .return_sequences(true)
                    .go_backwards(true)
                    .zero_output_for_mask(true)
                    .into(),
                SimpleRnn::new(5, 4)
                    .activation(Activation::LeakyReluWith { alpha: 0.25 })
                    .return_sequences(true)
                    .into(),
                BatchNormalization::new(4).scale(false).into(),
                LayerNormalization::new(4).center(false).epsilon(0.01).into(),
                Dropout::new(0.5).into(),
                Dense::new(4, 3)
                    .activation(Activation::EluWith { alpha: 0.5 })
                    .use_bias(false)
                    .into(),
                Activation::ThresholdedRelu { alpha: 0.125 }.into(),
                Activation::Mish.into(),
                StackedRnnCells::new(stack).into(),
                RepeatVector::new(6).into(),
                Reshape::new([6, 2], [3, 4]).into(),
                Flatten::new(3, 4).into(),
                Dense::new(12, 2).activation(Activation::Softmax).into(),
            ]),
        ),
        (
            "drawn_words",
            build(vec![
                Embedding::new(12, 4).mask_zero(true).into(),
                Bidirectional::new(Gru::new(4, 3))
                    .backward_layer(SimpleRnn::new(4, 3))
                    .merge_mode(MergeMode::Sum)
                    .into(),
                Dense::new(3, 1).activation(Activation::Sigmoid).into(),
            ]),
        ),
    ]
}

fn assert_same(one: &Model, other: &Model, what: &str) {
    assert_eq!(one.parameters(), other.parameters(), "{what}");
    let plain = |model: &Model| format!("{model}");
    assert_eq!(plain(one), plain(other), "{what}");
}

fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("cellstate-keras-{name}-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    folder
}

#[test]
fn a_round_trip_changes_no_bit() {
    let read = FILES.map(|file| (file, Model::open(model_file(file)).unwrap()));
    for (name, model) in read.into_iter().chain(models()) {
        let bytes = model
            .to_bytes("model.keras")
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let again = Model::from_bytes(&bytes, name).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_same(&again, &model, name);
        assert_eq!(again.to_bytes("model.keras").unwrap(), bytes, "{name}");
        let weights = model.to_bytes("model.weights.h5").unwrap();
        let mut loaded = drawn_anew(&model);
        loaded
            .load_weights_from_bytes(&weights, name)
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_same(&loaded, &model, name);
        // from the archive too
        let mut loaded = drawn_anew(&model);
        loaded.load_weights_from_bytes(&bytes, name).unwrap();
        assert_same(&loaded, &model, name);
    }
}

#[test]
fn a_file_on_disk_is_replaced() {
    let folder = folder("replaced");
    let path = folder.join("model.keras");
    fs::write(&path, "an old file").unwrap();
    let model = build(vec![Lstm::new(3, 5).into()]);
    model.save(&path).unwrap();
    assert_same(&Model::open(&path).unwrap(), &model, "on disk");
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
    let error = model.save(folder.join("nowhere/model.keras")).unwrap_err();
    assert!(matches!(error, Error::File { .. }), "{error}");
    let error = model.save(folder.join("model.h5")).unwrap_err();
    assert!(error.to_string().contains(".weights.h5"), "{error}");
    fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn what_keras_has_not_is_refused() {
    let lstm = || Lstm::new(3, 4);
    let refused: Vec<(&str, Vec<Layer>)> = vec![
        ("peepholes", vec![lstm().peepholes(true).into()]),
        ("clip", vec![lstm().clip(0.5).into()]),
        ("clip", vec![Gru::new(3, 4).clip(0.5).into()]),
        ("projection", vec![lstm().projection(2).into()]),
        ("input_forget", vec![lstm().input_forget(true).into()]),
        (
            "output_activation",
            vec![lstm().output_activation(Activation::Relu).into()],
        ),
        ("return_state", vec![lstm().return_state(true).into()]),
        (
            "hard_sigmoid_keras2",
            vec![lstm().recurrent_activation(Activation::HardSigmoidKeras2).into()],
        ),
        (
            "affine",
            vec![
                Dense::new(3, 4)
                    .activation(Activation::Affine { alpha: 2.0, beta: 1.0 })
                    .into(),
            ],
        ),
        (
            "last step",
            vec![lstm().return_sequences(true).into(), LastStep::new().into()],
        ),
        (
            "mask",
            vec![
                lstm().return_sequences(true).into(),
                EndMask::new().into(),
                Lstm::new(4, 2).into(),
            ],
        ),
        ("clip", vec![Bidirectional::new(lstm().clip(0.5)).into()]),
        ("clip", vec![StackedRnnCells::new([lstm().clip(0.5)]).into()]),
        ("features", vec![Masking::new(0.0).into()]),
    ];
    for (option, layers) in refused {
        let error = build(layers).to_bytes("model.keras").expect_err(option);
        assert!(matches!(error, Error::Unsupported { .. }), "{option}: {error:?}");
        assert!(error.to_string().contains(option), "{option}: {error}");
    }
}

#[test]
fn weights_of_another_model_change_nothing() {
    let file = build(vec![Lstm::new(3, 5).into(), Dense::new(5, 2).into()]);
    let bytes = file.to_bytes("model.weights.h5").unwrap();
    let others = [
        ("[3, 24]", vec![Lstm::new(3, 6).into(), Dense::new(6, 2).into()]),
        ("layers/dense/vars", vec![Layer::from(Lstm::new(3, 5))]),
        (
            "layers/dense_1/vars",
            vec![Lstm::new(3, 5).into(), Dense::new(5, 2).into(), Dense::new(2, 2).into()],
        ),
        (
            "layers/gru/cell/vars",
            vec![Gru::new(3, 5).into(), Dense::new(5, 2).into()],
        ),
        (
            "2 tensors",
            vec![Lstm::new(3, 5).use_bias(false).into(), Dense::new(5, 2).into()],
        ),
    ];
    for (wanted, layers) in others {
        let mut model = build(layers);
        let before = model.parameters().clone();
        let error = model
            .load_weights_from_bytes(&bytes, "other.weights.h5")
            .expect_err(wanted)
            .to_string();
        println!("{error}\n");
        assert!(
            error.contains(wanted) && error.contains("other.weights.h5"),
            "{wanted}: {error}"
        );
        assert_eq!(model.parameters(), &before);
    }
}

#[test]
fn layers_in_wrappers_and_by_themselves_are_not_mixed_up() {
    let model = Model::open(model_file("keras_more_norms.keras")).unwrap();
    let error = drawn_anew(&model)
        .load_weights(model_file("keras_more_norms.weights.h5"))
        .unwrap_err();
    assert!(error.to_string().contains("TimeDistributed"), "{error}");
}

/// Writes files for `golden/keras_opens.py` into the folder of `CELLSTATE_KERAS_FOLDER`: the models, their input and output.
#[test]
fn files_for_keras() {
    let Some(folder) = std::env::var_os("CELLSTATE_KERAS_FOLDER") else {
        println!("skipped: CELLSTATE_KERAS_FOLDER names no folder for the files that Keras is to open");
        return;
    };
    let read = FILES.map(|file| (file.trim_end_matches(".keras"), Model::open(model_file(file)).unwrap()));
    for (name, model) in read.into_iter().chain(models()) {
        write_for_keras(Path::new(&folder), name, &model);
    }
}

fn write_for_keras(folder: &Path, name: &str, model: &Model) {
    model.save(folder.join(format!("{name}.keras"))).unwrap();
    model.save(folder.join(format!("{name}.weights.h5"))).unwrap();
    let (input, x) = match model.layers().first() {
        Some(Layer::TimeDistributed(_)) => nested_input(model),
        _ => flat_input(model),
    };
    let output = model.on(&Device::cpu()).unwrap().run(&x).unwrap();
    let mut tensors = vec![("x", input), ("y", output.values().to_owned())];
    tensors.extend(output.backward().map(|backward| ("backward", backward.to_owned())));
    let bytes: Vec<(&str, Vec<usize>, Vec<u8>)> = tensors
        .iter()
        .map(|(name, values): &(&str, ArrayD<f32>)| {
            let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            (*name, values.shape().to_vec(), bytes)
        })
        .collect();
    let views = bytes.iter().map(|(name, shape, bytes)| {
        let view = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape.clone(), bytes).unwrap();
        (*name, view)
    });
    let file = safetensors::serialize(views, None).unwrap();
    fs::write(folder.join(format!("{name}.safetensors")), file).unwrap();
}

/// A number between -1 and 1.
fn number(index: usize) -> f32 {
    ((index * 37 + 11) % 101) as f32 / 50.0 - 1.0
}

fn flat_input(model: &Model) -> (ArrayD<f32>, Sequences<'static>) {
    let (batch, time_steps) = (3, 6);
    match model.features() {
        Some(features) => {
            let mut x = Array3::from_shape_fn((batch, time_steps, features), |(b, t, f)| number(b * 71 + t * 13 + f));
            x.slice_mut(s![1, 3.., ..]).fill(0.0);
            (x.clone().into_dyn(), Sequences::from(x))
        }
        None => {
            let mut x = Array2::from_shape_fn((batch, time_steps), |(b, t)| ((b * 5 + t * 3) % 9) as i32);
            x[[1, 5]] = 0;
            (x.mapv(|token| token as f32).into_dyn(), Sequences::from(x))
        }
    }
}

/// With a short word and one without characters.
fn nested_input(model: &Model) -> (ArrayD<f32>, Sequences<'static>) {
    let (batch, words, characters) = (3, 5, 6);
    match model.features() {
        Some(features) => {
            let index = |(b, w, c, f)| number(b * 71 + w * 29 + c * 13 + f);
            let mut x = Array4::from_shape_fn((batch, words, characters, features), index);
            x.slice_mut(s![1, 3.., 2.., ..]).fill(0.0);
            x.slice_mut(s![1, 4, .., ..]).fill(0.0);
            (x.clone().into_dyn(), Sequences::nested(x).unwrap())
        }
        None => {
            let index = |(b, w, c)| ((b * 5 + w * 2 + c * 3) % 9) as i32;
            let mut x = Array3::from_shape_fn((batch, words, characters), index);
            x.slice_mut(s![1, 3.., 2..]).fill(0);
            x.slice_mut(s![1, 4, ..]).fill(0);
            (
                x.mapv(|token| token as f32).into_dyn(),
                Sequences::nested_tokens(x).unwrap(),
            )
        }
    }
}
