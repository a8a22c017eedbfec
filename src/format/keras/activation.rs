//! Activations as configurations give them: a name, nothing, a function or a layer.

use serde_json::Value;

use super::config::{Config, Object, shown};
use super::version::Version;
use crate::activation::Activation;
use crate::error::{Error, Result};

/// The activation of an option; where the file does not say it, `default`; where it says `null`, linear.
pub(super) fn of_option(
    config: &Config<'_>,
    option: &'static str,
    default: Activation,
    version: &Version,
) -> Result<Activation> {
    match config.value(option) {
        None if config.says(option) => Ok(Activation::Linear),
        None => Ok(default),
        Some(Value::String(name)) => named(config, name, version),
        Some(value) => match Object::of(value) {
            Some(object) => of_object(config, option, &object, version),
            None => Err(config.wrong(option, "the name of an activation, or an object", value)),
        },
    }
}

fn named(config: &Config<'_>, name: &str, version: &Version) -> Result<Activation> {
    match name {
        // the function of Keras 3 has another slope
        "hard_sigmoid" if version.is_before_3() => Ok(Activation::HardSigmoidKeras2),
        // a name of this crate, not of Keras
        "hard_sigmoid_keras2" => Err(custom(config, name)),
        _ => Activation::from_name(name).map_err(|error| match error {
            Error::Unsupported { option, instead, .. } => config.unsupported(format!("activation {option}"), instead),
            _ => custom(config, name),
        }),
    }
}

fn custom(config: &Config<'_>, name: &str) -> Error {
    config.unsupported(
        format!("the activation {name:?}, which Keras does not have"),
        "use an activation of Keras; cellstate cannot run Python's functions",
    )
}

fn of_object(config: &Config<'_>, option: &'static str, object: &Object<'_>, version: &Version) -> Result<Activation> {
    if object.class == "function"
        && !object.is_custom()
        && let Some(name) = object.config.as_str()
    {
        return named(config, name, version);
    }
    let Some(options) = object.options().filter(|_| !object.is_custom()) else {
        return Err(custom(config, &shown(object.config)));
    };
    let inner = Config::new(
        config.file,
        format!("{} ({option} of {})", object.title(), config.layer),
        options,
    );
    inner.pass_over(&["dtype"]);
    match of_layer(object.class, &inner, version)? {
        Some(activation) => Ok(activation),
        None => Err(config.unsupported(format!("{option} {:?}", object.class), "use an activation by its name")),
    }
}

/// The activation that a layer of activation is, or `None` if the class is none.
pub(super) fn of_layer(class: &str, config: &Config<'_>, version: &Version) -> Result<Option<Activation>> {
    let activation = match class {
        "Activation" => of_option(config, "activation", Activation::Linear, version)?,
        "ReLU" => relu(config)?,
        "LeakyReLU" => {
            // Keras 2 calls the slope alpha
            let option = if config.says("alpha") {
                "alpha"
            } else {
                "negative_slope"
            };
            Activation::LeakyReluWith {
                alpha: config.real(option, 0.3)?,
            }
        }
        "ELU" => match config.real("alpha", 1.0)? {
            1.0 => Activation::Elu,
            alpha => Activation::EluWith { alpha },
        },
        "ThresholdedReLU" => Activation::ThresholdedRelu {
            alpha: config.real("theta", 1.0)?,
        },
        "Softmax" => {
            let axis = config.value("axis");
            let is_last = |axis: &Value| match axis.as_array().map(Vec::as_slice) {
                Some([one]) => one.as_i64() == Some(-1),
                Some(_) => false,
                None => axis.as_i64() == Some(-1),
            };
            if !axis.is_none_or(is_last) {
                return Err(config.unsupported(
                    format!("axis = {}", axis.map_or_else(String::new, shown)),
                    "put axis=-1: softmax over the features of each step",
                ));
            }
            Activation::Softmax
        }
        _ => return Ok(None),
    };
    config.finish()?;
    Ok(Some(activation))
}

/// `ReLU(max_value, negative_slope, threshold)`, where one of this crate's functions is it.
fn relu(config: &Config<'_>) -> Result<Activation> {
    let slope = config.real("negative_slope", 0.0)?;
    let threshold = config.real("threshold", 0.0)?;
    let most = match config.value("max_value") {
        None => None,
        Some(_) => Some(config.real("max_value", 0.0)?),
    };
    match (slope, threshold, most) {
        (0.0, 0.0, None) => Ok(Activation::Relu),
        (0.0, 0.0, Some(6.0)) => Ok(Activation::Relu6),
        (alpha, 0.0, None) => Ok(Activation::LeakyReluWith { alpha }),
        (0.0, alpha, None) => Ok(Activation::ThresholdedRelu { alpha }),
        _ => Err(config.unsupported(
            match most {
                Some(most) => format!("max_value {most} with negative_slope {slope} and threshold {threshold}"),
                None => format!("negative_slope {slope} with threshold {threshold}"),
            },
            "use relu, relu6, or ReLU with one of negative_slope and threshold alone",
        )),
    }
}
