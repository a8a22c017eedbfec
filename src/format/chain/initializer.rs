//! An initialiser as JSON: its name, with the numbers that it has.

use serde_json::{Value, json};

use super::fields::{Fields, number_of};
use crate::error::Result;
use crate::layer::initializer::Initializer;

pub(super) fn write(initializer: Initializer) -> Value {
    let name = initializer.name();
    match initializer {
        Initializer::RandomUniform { min, max } => json!({"name": name, "min": number_of(min), "max": number_of(max)}),
        Initializer::RandomNormal { mean, deviation } | Initializer::TruncatedNormal { mean, deviation } => {
            json!({"name": name, "mean": number_of(mean), "deviation": number_of(deviation)})
        }
        Initializer::Orthogonal { gain } | Initializer::Identity { gain } => {
            json!({"name": name, "gain": number_of(gain)})
        }
        Initializer::Constant(value) => json!({"name": name, "value": number_of(value)}),
        _ => Value::from(name),
    }
}

/// The initialiser under a key.
pub(super) fn read(fields: &mut Fields<'_>, key: &str, absent: Initializer) -> Result<Initializer> {
    match fields.optional(key) {
        None => Ok(absent),
        Some(Value::String(name)) => Initializer::from_name(&name),
        Some(value) => {
            let mut parts = Fields::new(value, format!("{key} of {}", fields.place()), fields.file)?;
            let name = parts.text("name", None)?;
            let initializer = match name.as_str() {
                "constant" => Initializer::Constant(parts.number("value", None)?),
                name => with_numbers(Initializer::from_name(name)?, &mut parts)?,
            };
            parts.finish()?;
            Ok(initializer)
        }
    }
}

fn with_numbers(initializer: Initializer, parts: &mut Fields<'_>) -> Result<Initializer> {
    Ok(match initializer {
        Initializer::RandomUniform { min, max } => Initializer::RandomUniform {
            min: parts.number("min", Some(min))?,
            max: parts.number("max", Some(max))?,
        },
        Initializer::RandomNormal { mean, deviation } => Initializer::RandomNormal {
            mean: parts.number("mean", Some(mean))?,
            deviation: parts.number("deviation", Some(deviation))?,
        },
        Initializer::TruncatedNormal { mean, deviation } => Initializer::TruncatedNormal {
            mean: parts.number("mean", Some(mean))?,
            deviation: parts.number("deviation", Some(deviation))?,
        },
        Initializer::Orthogonal { gain } => Initializer::Orthogonal {
            gain: parts.number("gain", Some(gain))?,
        },
        Initializer::Identity { gain } => Initializer::Identity {
            gain: parts.number("gain", Some(gain))?,
        },
        other => other,
    })
}
