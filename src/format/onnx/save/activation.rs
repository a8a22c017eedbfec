//! Activations as nodes, and by the names that ONNX has for them in its recurrent operators.

use super::attributes::{float, int};
use super::writer::{Writer, unsupported};
use crate::activation::Activation;
use crate::error::Result;

/// What turns this into ONNX's hard sigmoid.
const SLOPE: f32 = 1.0 / 6.0;

/// A name with alpha and beta, where the function has them.
pub(super) type Named = (&'static str, Option<f32>, Option<f32>);

/// The activation of a recurrent operator.
pub(super) fn named(class: &str, activation: Activation) -> Result<Named> {
    Ok(match activation {
        Activation::Tanh => ("Tanh", None, None),
        Activation::Sigmoid => ("Sigmoid", None, None),
        Activation::Relu => ("Relu", None, None),
        Activation::Softplus => ("Softplus", None, None),
        Activation::Softsign => ("Softsign", None, None),
        Activation::Linear => ("Affine", Some(1.0), Some(0.0)),
        Activation::HardSigmoid => ("HardSigmoid", Some(SLOPE), Some(0.5)),
        Activation::HardSigmoidKeras2 => ("HardSigmoid", Some(0.2), Some(0.5)),
        Activation::HardSigmoidWith { alpha, beta } => ("HardSigmoid", Some(alpha), Some(beta)),
        Activation::Elu => ("Elu", Some(1.0), None),
        Activation::EluWith { alpha } => ("Elu", Some(alpha), None),
        Activation::LeakyRelu => ("LeakyRelu", Some(0.2), None),
        Activation::LeakyReluWith { alpha } => ("LeakyRelu", Some(alpha), None),
        Activation::ThresholdedRelu { alpha } => ("ThresholdedRelu", Some(alpha), None),
        Activation::Affine { alpha, beta } => ("Affine", Some(alpha), Some(beta)),
        Activation::ScaledTanh { alpha, beta } => ("ScaledTanh", Some(alpha), Some(beta)),
        other => {
            let option = format!("the activation {other}");
            return Err(unsupported(
                class,
                option,
                "use one that ONNX's recurrent operators have, as tanh or relu",
            ));
        }
    })
}

impl Writer<'_> {
    /// The activation of what the last layer gives.
    pub(super) fn activation(&mut self, class: &str, activation: Activation) -> Result<()> {
        let limits = |writer: &mut Self, low: f32, high: f32| {
            let number = writer.graph.initializer.len();
            let low = writer.floats(&format!("low_{number}"), &[], &[low]);
            let high = writer.floats(&format!("high_{number}"), &[], &[high]);
            writer.apply("Clip", &[&low, &high], vec![])
        };
        self.value = match activation {
            Activation::Linear => return Ok(()),
            Activation::Silu => {
                let share = self.apply("Sigmoid", &[], vec![]);
                self.apply("Mul", &[&share], vec![])
            }
            Activation::Exponential => self.apply("Exp", &[], vec![]),
            Activation::HardSilu => self.apply("HardSwish", &[], vec![]),
            Activation::Celu => self.apply("Celu", &[], vec![]),
            Activation::Selu => self.apply("Selu", &[], vec![]),
            Activation::Gelu => self.apply("Gelu", &[], vec![]),
            Activation::Mish => self.apply("Mish", &[], vec![]),
            Activation::Softmax => self.apply("Softmax", &[], vec![int("axis", -1)]),
            Activation::LogSoftmax => self.apply("LogSoftmax", &[], vec![int("axis", -1)]),
            Activation::Relu6 => limits(self, 0.0, 6.0),
            Activation::HardTanh => limits(self, -1.0, 1.0),
            Activation::HardShrink => self.apply("Shrink", &[], vec![float("lambd", 0.5), float("bias", 0.0)]),
            Activation::SoftShrink => self.apply("Shrink", &[], vec![float("lambd", 0.5), float("bias", 0.5)]),
            Activation::Affine { .. } | Activation::ScaledTanh { .. } => {
                let option = format!("the activation {activation}");
                return Err(unsupported(class, option, "use it inside of a recurrent layer"));
            }
            other => {
                let (operator, alpha, beta) = named(class, other)?;
                let parameters = [("alpha", alpha), ("beta", beta)];
                let attributes = parameters
                    .into_iter()
                    .filter_map(|(name, value)| Some(float(name, value?)));
                self.apply(operator, &[], attributes.collect())
            }
        };
        Ok(())
    }
}
