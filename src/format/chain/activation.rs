//! An activation as JSON: its name, with alpha and beta where it has them.

use serde_json::{Value, json};

use super::fields::{Fields, number_of};
use crate::activation::Activation;
use crate::error::Result;

pub(super) fn write(activation: Activation) -> Value {
    let name = activation.name();
    match activation {
        Activation::Affine { alpha, beta }
        | Activation::ScaledTanh { alpha, beta }
        | Activation::HardSigmoidWith { alpha, beta } => {
            json!({"name": name, "alpha": number_of(alpha), "beta": number_of(beta)})
        }
        Activation::LeakyReluWith { alpha } | Activation::EluWith { alpha } | Activation::ThresholdedRelu { alpha } => {
            json!({"name": name, "alpha": number_of(alpha)})
        }
        _ => Value::from(name),
    }
}

/// The activation under a key, or what it is where it is left out.
pub(super) fn read(fields: &mut Fields<'_>, key: &str, absent: Option<Activation>) -> Result<Activation> {
    match fields.optional(key) {
        None => absent.ok_or_else(|| fields.wrong(key, "an activation", &Value::Null)),
        Some(Value::String(name)) => Activation::from_name(&name),
        Some(value) => {
            let mut parts = Fields::new(value, format!("{key} of {}", fields.place()), fields.file)?;
            let name = parts.text("name", None)?;
            let activation = with_parameters(&name, &mut parts)?;
            parts.finish()?;
            Ok(activation)
        }
    }
}

fn with_parameters(name: &str, parts: &mut Fields<'_>) -> Result<Activation> {
    let one = |parts: &mut Fields<'_>| parts.number("alpha", None);
    let two = |parts: &mut Fields<'_>| Ok((parts.number("alpha", None)?, parts.number("beta", None)?));
    Ok(match name {
        "affine" => two(parts).map(|(alpha, beta)| Activation::Affine { alpha, beta })?,
        "scaled_tanh" => two(parts).map(|(alpha, beta)| Activation::ScaledTanh { alpha, beta })?,
        "hard_sigmoid_with" => two(parts).map(|(alpha, beta)| Activation::HardSigmoidWith { alpha, beta })?,
        "leaky_relu_with" => one(parts).map(|alpha| Activation::LeakyReluWith { alpha })?,
        "elu_with" => one(parts).map(|alpha| Activation::EluWith { alpha })?,
        "thresholded_relu" => one(parts).map(|alpha| Activation::ThresholdedRelu { alpha })?,
        name => Activation::from_name(name)?,
    })
}
