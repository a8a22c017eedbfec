//! Objects and activations as Keras serializes them.

use serde_json::{Value, json};

use crate::activation::Activation;
use crate::error::{Error, Result};

/// An object of Keras.
pub(super) fn serialized(class: &str, mut config: Value) -> Value {
    if config.get("dtype").is_none() {
        config["dtype"] = policy();
    }
    json!({ "module": "keras.layers", "class_name": class, "config": config, "registered_name": null })
}

pub(super) fn policy() -> Value {
    json!({
        "module": "keras",
        "class_name": "DTypePolicy",
        "config": { "name": "float32" },
        "registered_name": null,
    })
}

pub(super) fn unsupported(layer: &str, option: impl Into<String>, instead: &str) -> Error {
    Error::Unsupported {
        layer: layer.to_owned(),
        option: format!("{} in a file of Keras", option.into()),
        instead: instead.to_owned(),
    }
}

/// An activation in Keras: a name, or a layer with its options.
pub(super) enum Function {
    Name(&'static str),
    Layer(&'static str, Value),
}

pub(super) fn function(activation: Activation, class: &str) -> Result<Function> {
    Ok(match activation {
        Activation::LeakyReluWith { alpha } => Function::Layer("LeakyReLU", json!({ "negative_slope": alpha })),
        Activation::EluWith { alpha } => Function::Layer("ELU", json!({ "alpha": alpha })),
        Activation::ThresholdedRelu { alpha } => Function::Layer("ReLU", json!({ "threshold": alpha })),
        Activation::HardSigmoidKeras2
        | Activation::Affine { .. }
        | Activation::ScaledTanh { .. }
        | Activation::HardSigmoidWith { .. } => {
            return Err(unsupported(
                class,
                format!("the activation {activation}"),
                "use .safetensors or .onnx, or an activation that Keras 3 has",
            ));
        }
        named => Function::Name(named.name()),
    })
}

pub(super) fn activation_value(activation: Activation, class: &str) -> Result<Value> {
    Ok(match function(activation, class)? {
        Function::Name(name) => json!(name),
        Function::Layer(class, mut config) => {
            config["name"] = json!("activation");
            serialized(class, config)
        }
    })
}
