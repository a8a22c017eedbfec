//! The layers as Keras's configurations.

use serde_json::{Value, json};

use super::cells::{cell_class, cell_config};
use super::load::Kept;
use super::serialized::{Function, activation_value, function, serialized, unsupported};
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
            "momentum": layer.momentum_value(),
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
        Layer::TimeDistributed(_) => return Err(Error::defect("a layer that holds others")),
    })
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
