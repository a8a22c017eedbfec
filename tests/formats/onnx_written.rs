//! Models written as ONNX: what is read back gives the same bits, and `golden/onnx_written.py` asks ONNX Runtime about the files.

use cellstate::{
    Activation, BatchNormalization, BatchNormalizationWeights, Bidirectional, Dense, Dropout, Embedding, Error,
    Flatten, Gru, Initializer, LastStep, Layer, LayerNormalization, LayerNormalizationWeights, Lstm, Masking,
    MergeMode, Model, RepeatVector, Reshape, Sequences, SimpleRnn, StackedRnnCells,
};
use ndarray::{Array1, Array2, Array3};

use super::devices::quiet_devices;
use super::drawn::is_drawn;
use super::onnx_kept::{folder, keep};
use super::support::judge::assert_same_bits;

pub(crate) const FEATURES: usize = 3;
const STEPS: usize = 7;
const BATCH: usize = 4;

/// Weights in which no gate is like another.
const DRAWN: Initializer = Initializer::RandomUniform { min: -0.7, max: 0.7 };

pub(crate) fn lstm(features: usize, units: usize) -> Lstm {
    let layer = Lstm::new(features, units).unit_forget_bias(false).seed(units as u64);
    layer
        .kernel_initializer(DRAWN)
        .recurrent_initializer(DRAWN)
        .bias_initializer(DRAWN)
}

pub(crate) fn gru(features: usize, units: usize) -> Gru {
    let layer = Gru::new(features, units).seed(units as u64);
    layer
        .kernel_initializer(DRAWN)
        .recurrent_initializer(DRAWN)
        .bias_initializer(DRAWN)
}

pub(crate) fn rnn(features: usize, units: usize) -> SimpleRnn {
    let layer = SimpleRnn::new(features, units).seed(units as u64);
    layer
        .kernel_initializer(DRAWN)
        .recurrent_initializer(DRAWN)
        .bias_initializer(DRAWN)
}

pub(crate) fn dense(features: usize, units: usize) -> Dense {
    Dense::new(features, units)
        .kernel_initializer(DRAWN)
        .bias_initializer(DRAWN)
        .seed(9)
}

fn ramp(length: usize, from: f32) -> Array1<f32> {
    Array1::from_iter((0..length).map(|place| from + 0.3 * place as f32))
}

pub(crate) fn model(layers: impl IntoIterator<Item = Layer>) -> Model {
    let builder = layers
        .into_iter()
        .fold(Model::builder(), |builder, layer| builder.add(layer));
    builder.build().expect("a model")
}

fn peepholes() -> Lstm {
    let layer = lstm(FEATURES, 4).peepholes(true);
    let weights = layer.weights().expect("weights");
    let peepholes = Array2::from_shape_fn((3, 4), |(gate, unit)| 0.2 * gate as f32 - 0.1 * unit as f32 + 0.05);
    layer.with(weights.with_peepholes(peepholes)).expect("peepholes")
}

fn recurrent() -> Vec<(&'static str, Model)> {
    let hard = Activation::HardSigmoid;
    vec![
        (
            "lstm_last",
            model([
                lstm(FEATURES, 5).into(),
                dense(5, 2).activation(Activation::Sigmoid).into(),
            ]),
        ),
        (
            "lstm_states",
            model([lstm(FEATURES, 5).return_sequences(true).return_state(true).into()]),
        ),
        ("lstm_last_states", model([lstm(FEATURES, 5).return_state(true).into()])),
        (
            "lstm_backwards",
            model([lstm(FEATURES, 5).go_backwards(true).return_sequences(true).into()]),
        ),
        (
            "lstm_backwards_last",
            model([lstm(FEATURES, 5).go_backwards(true).into()]),
        ),
        (
            "lstm_backwards_in_order",
            model([
                lstm(FEATURES, 5)
                    .go_backwards(true)
                    .input_order(true)
                    .return_sequences(true)
                    .into(),
                lstm(5, 4).into(),
            ]),
        ),
        (
            "backwards_dense_last",
            model([
                lstm(FEATURES, 5).go_backwards(true).return_sequences(true).into(),
                dense(5, 2).into(),
                LastStep::new().into(),
            ]),
        ),
        (
            "lstm_options",
            model([lstm(FEATURES, 5)
                .activation(Activation::Relu)
                .recurrent_activation(hard)
                .output_activation(Activation::Softsign)
                .clip(0.8)
                .input_forget(true)
                .into()]),
        ),
        (
            "lstm_parameters",
            model([lstm(FEATURES, 5)
                .activation(Activation::LeakyRelu)
                .recurrent_activation(Activation::HardSigmoidKeras2)
                .output_activation(Activation::Linear)
                .return_sequences(true)
                .into()]),
        ),
        ("lstm_peepholes", model([peepholes().return_sequences(true).into()])),
        (
            "lstm_no_bias",
            model([lstm(FEATURES, 5).use_bias(false).return_sequences(true).into()]),
        ),
        (
            "gru_after",
            model([gru(FEATURES, 5).return_sequences(true).into(), gru(5, 4).into()]),
        ),
        (
            "gru_before",
            model([gru(FEATURES, 5).reset_after(false).clip(0.9).return_state(true).into()]),
        ),
        (
            "rnn",
            model([rnn(FEATURES, 5)
                .activation(Activation::Relu)
                .return_sequences(true)
                .into()]),
        ),
        (
            "bidirectional_stack",
            model([
                Bidirectional::new(lstm(FEATURES, 5).return_sequences(true)).into(),
                Bidirectional::new(gru(10, 4).return_sequences(true))
                    .merge_mode(MergeMode::Sum)
                    .into(),
                Bidirectional::new(rnn(4, 3)).merge_mode(MergeMode::Average).into(),
            ]),
        ),
        (
            "bidirectional_states",
            model([
                Bidirectional::new(lstm(FEATURES, 5).return_sequences(true))
                    .merge_mode(MergeMode::Multiply)
                    .into(),
                Bidirectional::new(lstm(5, 4).return_state(true))
                    .backward_layer(lstm(5, 4).return_state(true).seed(8).activation(Activation::Softsign))
                    .into(),
            ]),
        ),
        (
            "stacked_cells",
            model([StackedRnnCells::new([lstm(FEATURES, 5), lstm(5, 4)])
                .return_sequences(true)
                .into()]),
        ),
        (
            "stacked_cells_backwards",
            model([StackedRnnCells::new([gru(FEATURES, 5), gru(5, 4)])
                .go_backwards(true)
                .into()]),
        ),
    ]
}

fn others() -> Vec<(&'static str, Model)> {
    let batch_normalization = BatchNormalization::new(5)
        .epsilon(0.01)
        .with_weights(BatchNormalizationWeights {
            gamma: Some(ramp(5, 0.5)),
            beta: None,
            moving_mean: ramp(5, -1.0),
            moving_variance: ramp(5, 0.2),
        })
        .expect("weights");
    let layer_normalization = LayerNormalization::new(5)
        .with_weights(LayerNormalizationWeights {
            gamma: Some(ramp(5, 0.5)),
            beta: Some(ramp(5, -0.5)),
        })
        .expect("weights");
    let mut made = vec![
        (
            "tokens",
            model([
                Embedding::new(9, 3).into(),
                Dropout::new(0.2).into(),
                lstm(3, 5).into(),
                dense(5, 6).into(),
                Reshape::new([1, 6], [2, 3]).into(), // one row becomes steps
                BatchNormalization::new(3).into(),
            ]),
        ),
        (
            "encoder_decoder",
            model([
                lstm(FEATURES, 5).into(),
                RepeatVector::new(6).into(),
                lstm(5, 4).return_sequences(true).into(),
                dense(4, 2).into(),
            ]),
        ),
        (
            "normalized",
            model([
                lstm(FEATURES, 5).return_sequences(true).into(),
                batch_normalization.clone().into(),
                layer_normalization.into(),
                LastStep::new().into(),
                batch_normalization.into(),
                dense(5, 3).activation(Activation::Softmax).into(),
            ]),
        ),
        (
            "flat",
            model([
                lstm(FEATURES, 4).return_sequences(true).into(),
                Flatten::new(STEPS, 4).into(),
                dense(STEPS * 4, 2).into(),
            ]),
        ),
        (
            "reshaped",
            model([
                lstm(FEATURES, 4).return_sequences(true).into(),
                Reshape::new([STEPS, 4], [14, 2]).into(),
                gru(2, 3).into(),
            ]),
        ),
        (
            "alone",
            model([
                Activation::Gelu.into(),
                lstm(FEATURES, 4).into(),
                Activation::Tanh.into(),
            ]),
        ),
    ];
    let names = "tanh relu relu6 elu selu celu gelu silu mish softplus softsign exponential leaky_relu hard_shrink soft_shrink \
                 hard_sigmoid hard_silu hard_tanh hard_sigmoid_keras2 log_softmax";
    let activations = names
        .split_whitespace()
        .map(|name| Activation::from_name(name).expect("a name"));
    let chain = activations.map(|activation| Layer::from(dense(4, 4).activation(activation)));
    made.push((
        "activations",
        model(std::iter::once(Layer::from(lstm(FEATURES, 4))).chain(chain)),
    ));
    made
}

pub(crate) fn x() -> Array3<f32> {
    Array3::from_shape_fn((BATCH, STEPS, FEATURES), |(sequence, step, feature)| {
        ((sequence * 5 + step * 3 + feature * 7) % 11) as f32 * 0.3 - 1.4
    })
}

fn tokens() -> Array2<i32> {
    Array2::from_shape_fn((BATCH, STEPS), |(sequence, step)| {
        ((sequence * 4 + step * 5) % 9) as i32
    })
}

#[test]
fn what_is_written_and_read_gives_the_same_bits() {
    let devices = quiet_devices();
    for (place, (name, model)) in recurrent().into_iter().chain(others()).enumerate() {
        let path = folder().join(format!("{name}.onnx"));
        model.save(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
        let again = Model::open(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
        let bytes = again
            .to_bytes("again.onnx")
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let third = Model::from_bytes(&bytes, "again.onnx").unwrap_or_else(|error| panic!("{name}: {error}"));
        let input = match name {
            "tokens" => Sequences::from(tokens()),
            _ => Sequences::from(x()),
        };
        // the CPU is the first
        let asked = if is_drawn(place, 2) { devices.len() } else { 1 };
        for (number, device) in devices.iter().take(asked).enumerate() {
            let run = |model: &Model| model.on(device).expect("a runner").run(&input).expect("a run");
            let (first, second, last) = (run(&model), run(&again), run(&third));
            let what = format!("{name} on {}", device.name());
            assert_same_bits(&what, second.values(), first.values());
            assert_same_bits(&what, last.values(), first.values());
            assert_eq!(first.states().len(), second.states().len(), "{what}");
            let mut outputs = vec![("output".to_owned(), first.values().to_owned())];
            for (place, (one, other)) in first.states().iter().zip(second.states()).enumerate() {
                assert_same_bits(&what, other.hidden().into_dyn(), one.hidden().into_dyn());
                outputs.push((format!("hidden_{place}"), one.hidden().to_owned().into_dyn()));
                if let (Some(one), Some(other)) = (one.cell(), other.cell()) {
                    assert_same_bits(&what, other.into_dyn(), one.into_dyn());
                    outputs.push((format!("cell_{place}"), one.to_owned().into_dyn()));
                }
            }
            if number == 0 {
                keep(name, &input, None, &outputs);
            }
        }
    }
}

#[test]
fn what_onnx_has_not_is_refused_by_name() {
    let refused = |layers: Vec<Layer>, wanted: &[&str]| {
        let error = model(layers)
            .to_bytes("x.onnx")
            .expect_err("something that ONNX has not");
        assert!(matches!(error, Error::Unsupported { .. }), "{error}");
        let message = error.to_string();
        for text in wanted {
            assert!(message.contains(text), "{text:?} is not in: {message}");
        }
    };
    refused(vec![Masking::new(0.0).into(), lstm(3, 4).into()], &["Masking", "mask"]);
    refused(
        vec![Embedding::new(9, 3).mask_zero(true).into(), lstm(3, 4).into()],
        &["mask_zero"],
    );
    refused(vec![lstm(3, 4).projection(2).into()], &["LSTM", "projection"]);
    refused(
        vec![lstm(3, 4).activation(Activation::Softmax).into()],
        &["LSTM", "softmax"],
    );
    refused(
        vec![dense(3, 4).activation(Activation::Squareplus).into()],
        &["Dense", "squareplus"],
    );
    let separate = Bidirectional::new(lstm(3, 4)).merge_mode(MergeMode::Separate);
    refused(vec![separate.into()], &["Bidirectional", "Separate"]);
    let unlike = Bidirectional::new(lstm(3, 4)).backward_layer(lstm(3, 5));
    refused(vec![unlike.into()], &["Bidirectional", "directions"]);
}
