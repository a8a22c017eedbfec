//! Activations by their names in ONNX, with alpha and beta.

use super::Activation;
use crate::error::{Error, Result};

/// The names that ONNX has for the activations of its RNN, GRU and LSTM.
const NAMES: [&str; 11] = [
    "Relu",
    "Tanh",
    "Sigmoid",
    "Affine",
    "LeakyRelu",
    "ThresholdedRelu",
    "ScaledTanh",
    "HardSigmoid",
    "Elu",
    "Softsign",
    "Softplus",
];

impl Activation {
    /// The activation that ONNX calls `name` in the attribute `activations` of RNN, GRU and LSTM (opset 1 to 22), with what
    /// `activation_alpha` and `activation_beta` hold for this function. As in ONNX Runtime the case does not matter.
    ///
    /// | name | function | alpha | beta |
    /// |---|---|---|---|
    /// | `Relu`, `Tanh`, `Sigmoid`, `Softsign`, `Softplus` | those of Keras | - | - |
    /// | `LeakyRelu` | x for x ≥ 0, else alpha · x | 0.01 | - |
    /// | `Elu` | x for x ≥ 0, else alpha · (eˣ - 1) | 1 | - |
    /// | `HardSigmoid` | min(max(alpha · x + beta, 0), 1) | 0.2 | 0.5 |
    /// | `ThresholdedRelu` | x for x > alpha, else 0 | needed | - |
    /// | `Affine` | alpha · x + beta | needed | needed |
    /// | `ScaledTanh` | alpha · tanh(beta · x) | needed | needed |
    ///
    /// A number in the table is ONNX's default, taken for `None`. The default of `ThresholdedRelu` is 1 in ONNX's text and 0 in ONNX
    /// Runtime 1.32; `Affine` and `ScaledTanh` have none in ONNX's text, and ONNX Runtime takes 0, which makes every value 0.
    /// So these three are refused without their parameters.
    ///
    /// # Errors
    ///
    /// [`Error::Value`] for an unknown name, for a parameter that the function has not or lacks, and for one that is infinite or NaN.
    ///
    /// ```
    /// use cellstate::Activation;
    ///
    /// let activation = Activation::from_onnx("HardSigmoid", Some(0.25), None)?;
    /// assert_eq!(activation, Activation::HardSigmoidWith { alpha: 0.25, beta: 0.5 });
    /// assert_eq!(Activation::from_onnx("tanh", None, None)?, Activation::Tanh);
    /// assert!(Activation::from_onnx("Tanh", Some(2.0), None).is_err());
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    pub fn from_onnx(name: &str, alpha: Option<f32>, beta: Option<f32>) -> Result<Self> {
        let Some(known) = NAMES.iter().copied().find(|known| known.eq_ignore_ascii_case(name)) else {
            return Err(Error::Value {
                argument: "activation".to_owned(),
                expected: format!("one of {}", NAMES.join(", ")),
                found: format!("{name:?}"),
                repair: "use one of these, which are ONNX's; Activation::from_name reads Keras's names".to_owned(),
            });
        };
        let given = |parameter: &str, value: Option<f32>, default: Option<f32>| {
            value.or(default).ok_or_else(|| needed(known, parameter))
        };
        let (activation, takes) = match known {
            "Relu" => (Self::Relu, 0),
            "Tanh" => (Self::Tanh, 0),
            "Sigmoid" => (Self::Sigmoid, 0),
            "Softsign" => (Self::Softsign, 0),
            "Softplus" => (Self::Softplus, 0),
            "LeakyRelu" => {
                let alpha = given("alpha", alpha, Some(0.01))?;
                (Self::LeakyReluWith { alpha }, 1)
            }
            "Elu" => {
                let alpha = given("alpha", alpha, Some(1.0))?;
                (Self::EluWith { alpha }, 1)
            }
            "ThresholdedRelu" => {
                let alpha = given("alpha", alpha, None)?;
                (Self::ThresholdedRelu { alpha }, 1)
            }
            "HardSigmoid" => {
                let (alpha, beta) = (given("alpha", alpha, Some(0.2))?, given("beta", beta, Some(0.5))?);
                (Self::HardSigmoidWith { alpha, beta }, 2)
            }
            "ScaledTanh" => {
                let (alpha, beta) = (given("alpha", alpha, None)?, given("beta", beta, None)?);
                (Self::ScaledTanh { alpha, beta }, 2)
            }
            _ => {
                let (alpha, beta) = (given("alpha", alpha, None)?, given("beta", beta, None)?);
                (Self::Affine { alpha, beta }, 2)
            }
        };
        for (parameter, value, number) in [("alpha", alpha, 1), ("beta", beta, 2)] {
            if let Some(value) = value.filter(|_| takes < number) {
                return Err(not_taken(known, parameter, value));
            }
        }
        activation.checked()
    }
}

fn needed(name: &str, parameter: &str) -> Error {
    Error::Value {
        argument: format!("{parameter} of the activation {name}"),
        expected: "a finite number".to_owned(),
        found: "none".to_owned(),
        repair: format!("give {parameter}: ONNX and ONNX Runtime do not agree on a default"),
    }
}

fn not_taken(name: &str, parameter: &str, value: f32) -> Error {
    Error::Value {
        argument: format!("{parameter} of the activation {name}"),
        expected: format!("none, for {name} has no {parameter}"),
        found: value.to_string(),
        repair: format!("leave {parameter} out; ONNX lists it only for the functions that have it"),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn names_of_onnx_bring_their_defaults() {
        use super::Activation as A;
        for (name, alpha, beta, want) in [
            ("Relu", None, None, A::Relu),
            ("TANH", None, None, A::Tanh),
            ("sigmoid", None, None, A::Sigmoid),
            ("Softsign", None, None, A::Softsign),
            ("Softplus", None, None, A::Softplus),
            ("Affine", Some(2.0), Some(0.5), A::Affine { alpha: 2.0, beta: 0.5 }),
            ("LeakyRelu", None, None, A::LeakyReluWith { alpha: 0.01 }),
            ("leakyrelu", Some(0.3), None, A::LeakyReluWith { alpha: 0.3 }),
            ("ThresholdedRelu", Some(0.0), None, A::ThresholdedRelu { alpha: 0.0 }),
            (
                "ScaledTanh",
                Some(1.7),
                Some(0.6),
                A::ScaledTanh { alpha: 1.7, beta: 0.6 },
            ),
            ("HardSigmoid", None, None, A::HardSigmoidWith { alpha: 0.2, beta: 0.5 }),
            (
                "HardSigmoid",
                None,
                Some(0.4),
                A::HardSigmoidWith { alpha: 0.2, beta: 0.4 },
            ),
            ("Elu", None, None, A::EluWith { alpha: 1.0 }),
        ] {
            assert_eq!(A::from_onnx(name, alpha, beta).unwrap(), want, "{name}");
        }
        for (name, alpha, beta, hint) in [
            ("Selu", None, None, "one of Relu, Tanh, Sigmoid"),
            ("leaky_relu", None, None, "Activation::from_name reads Keras's"),
            ("Affine", Some(1.0), None, "give beta"),
            ("ScaledTanh", None, None, "give alpha"),
            ("ThresholdedRelu", None, None, "give alpha"),
            ("Tanh", Some(1.0), None, "leave alpha out"),
            ("Elu", None, Some(0.0), "leave beta out"),
        ] {
            let error = A::from_onnx(name, alpha, beta).unwrap_err();
            assert!(matches!(error, Error::Value { .. }), "{name}: {error:?}");
            assert!(error.to_string().contains(hint), "{name}: {error}");
        }
    }
}
