//! What Keras gives in training where its recurrent layers leave out what these do: golden/recurrent_dropout.json, which
//! golden/recurrent_dropout.py makes.

use std::path::Path;

use ndarray::{Array3, IxDyn};
use serde_json::Value;

use super::*;
use crate::layer::gru::Gru;
use crate::layer::lstm::Lstm;
use crate::layer::simple_rnn::SimpleRnn;

pub(crate) const NOISE: Option<Noise> = Some(Noise { seed: 9, batch: 4 });

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

/// A case of the page.
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) model: Model,
    x: Array3<f32>,
    mask: Array2<bool>,
    page: Value,
}

pub(crate) fn cases() -> Vec<Case> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/recurrent_dropout.json");
    let page: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let cases = page["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 15);
    let case = |case: &Value| Case {
        name: format!("{}, {}, {}", case["class"], case["dropout"], case["recurrent_dropout"]),
        model: model(case),
        x: array(&case["x"]).into_dimensionality().unwrap(),
        mask: Array2::from_shape_fn((3, 5), |(sequence, step)| case["mask"][sequence][step] == true),
        page: case.clone(),
    };
    cases.iter().map(case).collect()
}

impl Case {
    pub(crate) fn input(&self) -> Input<'_> {
        Input::Values(self.x.view())
    }

    pub(crate) fn flow(&self) -> Arc<Flow> {
        Arc::new(Flow::in_training(self.model.plan(), self.input(), Some(self.mask.view())).unwrap())
    }

    pub(crate) fn upstream(&self) -> Upstream {
        Upstream {
            outputs: vec![array(&self.page["upstream"])],
            states: None,
        }
    }

    /// Compares outputs and gradients with those of Keras.
    pub(crate) fn judge(&self, output: &Output, gradients: PlanGradients) {
        let (name, page) = (&self.name, &self.page);
        close(name, &output.values, &page["output"]);
        let wanted = page["gradients"].as_array().unwrap();
        assert_eq!(gradients.parameters.len(), wanted.len(), "{name}");
        for ((path, got), wanted) in gradients.parameters.iter().zip(wanted) {
            close(&format!("{name}, {path}"), got, wanted);
        }
        let of_input = gradients.input.unwrap().into_dyn();
        close(&format!("{name}, the input"), &of_input, &page["input_gradient"]);
    }
}

#[test]
fn recurrent_layers_train_as_in_keras() {
    for case in cases() {
        let (flow, plan) = (case.flow(), Arc::clone(case.model.plan()));
        let mut training = CpuTraining::new(plan, &Settings::new(), "CPU".into()).unwrap();
        let mut output = Output::default();
        training.forward(&flow, case.input(), None, NOISE, &mut output).unwrap();
        let gradients = training.backward(&flow, case.input(), &case.upstream(), true).unwrap();
        case.judge(&output, gradients);
    }
}
