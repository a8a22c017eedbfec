//! The layers as Keras's configurations.

use serde_json::{Value, json};

use super::load::Kept;
use super::save::serialized;
use crate::activation::Activation;
use crate::cell::{Cell, Rule};
use crate::error::{Error, Result};
use crate::layer::Layer;
use crate::layer::bidirectional::{Bidirectional, MergeMode};
use crate::layer::recurrent::{Recurrent, RecurrentOptions};
use crate::layer::stacked::StackedRnnCells;
use crate::parameters::Role;

/// The class that a layer has in Keras's files.
pub(super) fn class_of(layer: &Layer) -> Result<&'static str> {
    Ok(match layer {
        Layer::StackedRnnCells(_) => "RNN",
        Layer::Activation(activation) => match function(*activation, "Activation")? {
            Function::Name(_) => "Activation",
            Function::Layer(class, _) => class,
        },
        Layer::LastStep(_) => {
            return Err(unsupported(
                layer.class(),
                "the last step as a layer of its own",
                "call `return_sequences(false)` on the recurrent layer before it",
            ));
        }
        Layer::EndMask(_) => {
            return Err(unsupported(
                layer.class(),
                "a mask that ends between layers",
                "leave the layer out, if the model is to run as in Keras 3.15; .safetensors keeps it",
            ));
        }
        layer => layer.class(),
    })
}

/// The options of a layer, without its name.
pub(super) fn layer_config(layer: &Layer, kept: Option<&Kept<'_>>, last: bool) -> Result<Value> {
    let has = |role: Role| {
        let parameters = kept
            .into_iter()
            .flat_map(|kept| &kept.parts)
            .flat_map(|part| &part.parameters);
        parameters.into_iter().any(|parameter| parameter.role() == role)
    };
    Ok(match layer {
        Layer::Masking(masking) => json!({ "mask_value": masking.mask_value() }),
        Layer::Embedding(embedding) => json!({
            "input_dim": embedding.input_dim(),
            "output_dim": embedding.output_dim(),
            "mask_zero": embedding.masks_zero(),
        }),
        Layer::Recurrent(layer) => recurrent_config(layer, last)?,
        Layer::Bidirectional(layer) => bidirectional_config(layer, last)?,
        Layer::StackedRnnCells(stack) => stack_config(stack, last)?,
        Layer::RepeatVector(repeat) => json!({ "n": repeat.n() }),
        Layer::Dense(dense) => json!({
            "units": dense.units(),
            "activation": activation_value(dense.activation_kind(), "Dense")?,
            "use_bias": has(Role::Bias),
        }),
        Layer::Activation(activation) => match function(*activation, "Activation")? {
            Function::Name(name) => json!({ "activation": name }),
            Function::Layer(_, config) => config,
        },
        Layer::Dropout(dropout) if dropout.is_spatial() => json!({ "rate": dropout.rate(), "dtype": "float32" }),
        Layer::Dropout(dropout) => json!({ "rate": dropout.rate() }),
        Layer::BatchNormalization(layer) => json!({
            "axis": -1,
            "epsilon": layer.epsilon_value(),
            "scale": has(Role::Gamma),
            "center": has(Role::Beta),
        }),
        Layer::LayerNormalization(layer) => json!({
            "axis": -1,
            "epsilon": layer.epsilon_value(),
            "scale": has(Role::Gamma),
            "center": has(Role::Beta),
        }),
        Layer::Flatten(_) => json!({ "data_format": "channels_last" }),
        Layer::Reshape(reshape) => json!({ "target_shape": reshape.to_shape() }),
        Layer::LastStep(_) | Layer::EndMask(_) => return Err(Error::defect("a layer that Keras has not")),
    })
}

fn unsupported(layer: &str, option: impl Into<String>, instead: &str) -> Error {
    Error::Unsupported {
        layer: layer.to_owned(),
        option: format!("{} in a file of Keras", option.into()),
        instead: instead.to_owned(),
    }
}

fn recurrent_config(layer: &Recurrent, last: bool) -> Result<Value> {
    let mut config = cell_config(layer)?;
    say_sequence(&mut config, layer.class(), layer.options, last)?;
    Ok(config)
}

fn say_sequence(config: &mut Value, class: &str, options: RecurrentOptions, last: bool) -> Result<()> {
    if options.return_state && last {
        return Err(unsupported(
            class,
            "return_state(true), which gives a Sequential several outputs,",
            "leave it out: `Runner::run_from` gives the states of all layers",
        ));
    }
    if options.go_backwards && options.return_sequences && options.input_order {
        return Err(unsupported(
            class,
            "input_order(true)",
            "leave it out: Keras gives the outputs as the layer ran; or use a Bidirectional",
        ));
    }
    config["return_sequences"] = json!(options.return_sequences);
    config["return_state"] = json!(false);
    config["go_backwards"] = json!(options.go_backwards);
    config["zero_output_for_mask"] = json!(options.zero_output_for_mask);
    Ok(())
}

fn stack_config(stack: &StackedRnnCells, last: bool) -> Result<Value> {
    let cell = |cell: &Recurrent| Ok(serialized(cell_class(&cell.cell), cell_config(cell)?));
    let cells = stack.cells().iter().map(cell).collect::<Result<Vec<Value>>>()?;
    let mut config = json!({ "cell": serialized("StackedRNNCells", json!({ "cells": cells })) });
    say_sequence(&mut config, "RNN(StackedRNNCells)", stack.options(), last)?;
    Ok(config)
}

fn bidirectional_config(layer: &Bidirectional, last: bool) -> Result<Value> {
    let direction = |layer: &Recurrent, name: &str, backwards: bool| -> Result<Value> {
        let mut config = recurrent_config(layer, last)?;
        config["name"] = json!(name);
        config["go_backwards"] = json!(backwards);
        Ok(serialized(layer.class(), config))
    };
    Ok(json!({
        "merge_mode": match layer.merge() {
            MergeMode::Concat => Some("concat"),
            MergeMode::Sum => Some("sum"),
            MergeMode::Multiply => Some("mul"),
            MergeMode::Average => Some("ave"),
            MergeMode::Separate => None,
        },
        "layer": direction(layer.forward(), "forward_layer", false)?,
        "backward_layer": direction(layer.backward(), "backward_layer", true)?,
    }))
}

fn cell_class(cell: &Cell) -> &'static str {
    match cell.rule {
        Rule::Lstm(_) => "LSTMCell",
        Rule::Gru(_) => "GRUCell",
        Rule::SimpleRnn(_) => "SimpleRNNCell",
    }
}

/// What a cell has; what Keras's has not is refused.
fn cell_config(layer: &Recurrent) -> Result<Value> {
    let class = layer.class();
    let refuse = |is: bool, option: &str| match is {
        true => Err(unsupported(
            class,
            option,
            "use .safetensors or .onnx, or a layer without the option",
        )),
        false => Ok(()),
    };
    refuse(layer.cell.clip().is_some(), "clip")?;
    let mut config = json!({ "units": layer.units(), "use_bias": layer.use_bias });
    let (activation, recurrent) = match layer.cell.rule {
        Rule::Lstm(options) => {
            refuse(options.peepholes, "peepholes(true)")?;
            refuse(options.input_forget, "input_forget(true)")?;
            refuse(options.projection.is_some(), "projection")?;
            refuse(
                options.output_activation != options.activation,
                "an output_activation of its own",
            )?;
            (options.activation, Some(options.recurrent_activation))
        }
        Rule::Gru(options) => {
            config["reset_after"] = json!(options.reset_after);
            (options.activation, Some(options.recurrent_activation))
        }
        Rule::SimpleRnn(options) => (options.activation, None),
    };
    config["activation"] = activation_value(activation, class)?;
    if let Some(recurrent) = recurrent {
        config["recurrent_activation"] = activation_value(recurrent, class)?;
    }
    Ok(config)
}

/// An activation in Keras: a name, or a layer with its options.
enum Function {
    Name(&'static str),
    Layer(&'static str, Value),
}

fn function(activation: Activation, class: &str) -> Result<Function> {
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

fn activation_value(activation: Activation, class: &str) -> Result<Value> {
    Ok(match function(activation, class)? {
        Function::Name(name) => json!(name),
        Function::Layer(class, mut config) => {
            config["name"] = json!("activation");
            serialized(class, config)
        }
    })
}
