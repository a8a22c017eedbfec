//! What Keras gives in training where its recurrent layers leave out what these do: golden/recurrent_dropout.json, which
//! golden/recurrent_dropout.py makes.

use std::path::Path;

use ndarray::{Array3, IxDyn};
use serde_json::Value;

use super::*;
use crate::layer::gru::Gru;
use crate::layer::lstm::Lstm;
use crate::layer::simple_rnn::SimpleRnn;

const NOISE: Option<Noise> = Some(Noise { seed: 9, batch: 4 });

fn array(value: &Value) -> ArrayD<f32> {
    let list = |key: &str| value[key].as_array().unwrap().iter();
    let shape: Vec<usize> = list("shape").map(|size| size.as_u64().unwrap() as usize).collect();
    let values = list("values").map(|number| number.as_f64().unwrap() as f32);
    ArrayD::from_shape_vec(IxDyn(&shape), values.collect()).unwrap()
}

/// The layer of a case, with its weights.
fn model(case: &Value) -> Model {
    let rate = |option: &str| case[option].as_f64().unwrap() as f32;
    let (one, other) = (rate("dropout"), rate("recurrent_dropout"));
    let lstm = || {
        Lstm::new(3, 6)
            .dropout(one)
            .recurrent_dropout(other)
            .return_sequences(true)
    };
    let builder = Model::builder();
    let builder = match case["class"].as_str().unwrap() {
        "LSTM" => builder.add(lstm()),
        "GRU" => {
            let gru = Gru::new(3, 6).reset_after(case["reset_after"] == true);
            builder.add(gru.dropout(one).recurrent_dropout(other).return_sequences(true))
        }
        "SimpleRNN" => {
            let rnn = SimpleRnn::new(3, 6).dropout(one).recurrent_dropout(other);
            builder.add(rnn.return_sequences(true))
        }
        _ => builder.add(Bidirectional::new(lstm())),
    };
    let mut model = builder.build().unwrap();
    let paths: Vec<String> = model
        .parameters()
        .iter()
        .map(|weight| weight.path().to_owned())
        .collect();
    let weights = case["weights"].as_array().unwrap();
    assert_eq!(paths.len(), weights.len());
    for (path, weight) in paths.iter().zip(weights) {
        model.replace_parameter(path, array(weight)).unwrap();
    }
    model
}

#[track_caller]
fn close(name: &str, got: &ArrayD<f32>, wanted: &Value) {
    let wanted = array(wanted);
    assert_eq!(got.shape(), wanted.shape(), "{name}");
    for (number, (got, wanted)) in got.iter().zip(&wanted).enumerate() {
        let error = (got - wanted).abs();
        assert!(
            error <= 2e-5 * wanted.abs().max(1.0),
            "{name}, value {number}: {got}, Keras has {wanted}"
        );
    }
}

#[test]
fn recurrent_layers_train_as_in_keras() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/recurrent_dropout.json");
    let page: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let cases = page["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 15);
    for case in cases {
        let name = format!("{}, {}, {}", case["class"], case["dropout"], case["recurrent_dropout"]);
        let model = model(case);
        let x: Array3<f32> = array(&case["x"]).into_dimensionality().unwrap();
        let mask = Array2::from_shape_fn((3, 5), |(sequence, step)| case["mask"][sequence][step] == true);
        let input = Input::Values(x.view());
        let flow = Arc::new(Flow::in_training(model.plan(), input, Some(mask.view())).unwrap());
        let mut training = CpuTraining::new(Arc::clone(model.plan()), &Settings::new(), "CPU".into()).unwrap();
        let mut output = Output::default();
        training.forward(&flow, input, None, NOISE, &mut output).unwrap();
        close(&name, &output.values, &case["output"]);
        let upstream = Upstream {
            outputs: vec![array(&case["upstream"])],
            states: None,
        };
        let gradients = training.backward(&flow, input, &upstream, true).unwrap();
        let wanted = case["gradients"].as_array().unwrap();
        assert_eq!(gradients.parameters.len(), wanted.len(), "{name}");
        for ((path, got), wanted) in gradients.parameters.iter().zip(wanted) {
            close(&format!("{name}, {path}"), got, wanted);
        }
        let of_input = gradients.input.unwrap().into_dyn();
        close(&format!("{name}, the input"), &of_input, &case["input_gradient"]);
    }
}
