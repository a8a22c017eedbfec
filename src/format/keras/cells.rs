//! The cells of recurrent layers as Keras's configurations, and the layers that such a configuration means.

use serde_json::{Value, json};

use super::serialized::{activation_value, unsupported};
use crate::activation::Activation;
use crate::cell::{Cell, Rule};
use crate::error::Result;
use crate::layer::gru::Gru;
use crate::layer::lstm::Lstm;
use crate::layer::recurrent::Recurrent;
use crate::layer::simple_rnn::SimpleRnn;

/// What a configuration says of a cell.
#[derive(Clone, Copy, Debug)]
pub(super) struct Said {
    pub(super) features: usize,
    pub(super) units: usize,
    pub(super) activation: Activation,
    /// Of the gates; for a cell that has some.
    pub(super) recurrent_activation: Activation,
    /// For a cell that has such an option.
    pub(super) reset_after: bool,
}

/// The layer of one cell of a class, or `None` if there is no such class.
pub(super) fn of_class(class: &str, said: Said) -> Option<Recurrent> {
    let Said { features, units, .. } = said;
    Some(match class {
        "LSTMCell" => Lstm::new(features, units)
            .activation(said.activation)
            .recurrent_activation(said.recurrent_activation)
            .into(),
        "GRUCell" => Gru::new(features, units)
            .activation(said.activation)
            .recurrent_activation(said.recurrent_activation)
            .reset_after(said.reset_after)
            .into(),
        "SimpleRNNCell" => SimpleRnn::new(features, units).activation(said.activation).into(),
        _ => return None,
    })
}

/// The class of a cell in Keras.
pub(super) fn cell_class(cell: &Cell) -> &'static str {
    match cell.rule {
        Rule::Lstm(_) => "LSTMCell",
        Rule::Gru(_) => "GRUCell",
        Rule::SimpleRnn(_) => "SimpleRNNCell",
    }
}

/// What a cell has; what Keras's has not is refused.
pub(super) fn cell_config(layer: &Recurrent) -> Result<Value> {
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
    for (option, rate) in layer.dropout.named() {
        config[option] = json!(rate);
    }
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
