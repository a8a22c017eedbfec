//! Reads the layers of a Keras case, with every option of every `config`.

use ndarray::{Array1, Axis};
use serde_json::{Map, Value};

use super::{
    cells::{CellSpec, LstmOptions, Rule},
    golden::Case,
    layers::{Chain, LayerSpec, Merge, RecurrentOptions, Refusal},
};

/// The layers of a Keras case with their weights.
pub(crate) fn chain(case: &Case) -> Result<Chain, Refusal> {
    let layers = case.header.get("layers").and_then(Value::as_array);
    let layers = layers.ok_or("the case has no `layers`".to_owned())?;
    let mut chain = Chain {
        layers: Vec::new(),
        prefixes: Vec::new(),
    };
    for layer in layers {
        let prefix = layer["prefix"].as_str().ok_or("a layer has no prefix".to_owned())?;
        chain.layers.push(layer_from(case, layer, prefix)?);
        chain.prefixes.push(prefix.to_owned());
    }
    Ok(chain)
}

/// The options of a `config`. Each must be asked for, so none is passed over in silence.
struct Config<'a> {
    class: &'a str,
    options: Map<String, Value>,
}

impl<'a> Config<'a> {
    fn of(layer: &'a Value) -> Result<Self, Refusal> {
        let class = layer["class"].as_str().ok_or("a layer has no class".to_owned())?;
        let known = ["class", "config", "layer", "backward_layer", "cells", "from", "prefix"];
        let fields = layer.as_object().ok_or("a layer is not an object".to_owned())?;
        if let Some(other) = fields.keys().find(|key| !known.contains(&key.as_str())) {
            return Err(Refusal::Cannot(format!("{class}: unknown field {other}")));
        }
        let options = layer.get("config").and_then(Value::as_object).cloned();
        Ok(Self {
            class,
            options: options.unwrap_or_default(),
        })
    }

    fn take(&mut self, option: &str) -> Result<Value, Refusal> {
        let value = self.options.remove(option);
        value.ok_or_else(|| Refusal::Cannot(format!("{}: {option} is not given", self.class)))
    }

    fn wrong(&self, option: &str, value: &Value) -> Refusal {
        Refusal::Cannot(format!("{}: {option}={value} cannot be run", self.class))
    }

    fn bool(&mut self, option: &str) -> Result<bool, Refusal> {
        let value = self.take(option)?;
        value.as_bool().ok_or_else(|| self.wrong(option, &value))
    }

    fn activation(&mut self, option: &str) -> Result<String, Refusal> {
        match self.take(option)? {
            Value::Null => Ok("linear".to_owned()),
            Value::String(name) => Ok(name),
            other => Err(self.wrong(option, &other)),
        }
    }

    fn number(&mut self, option: &str) -> Result<f32, Refusal> {
        let value = self.take(option)?;
        let number = value.as_f64().map(|number| number as f32);
        number.ok_or_else(|| self.wrong(option, &value))
    }

    /// An option that repeats a size of the weights.
    fn size(&mut self, option: &str, of_weights: usize) -> Result<(), Refusal> {
        let value = self.take(option)?;
        if value.as_u64() == Some(of_weights as u64) {
            return Ok(());
        }
        Err(Refusal::Cannot(format!(
            "{}: {option}={value}, but the weights say {of_weights}",
            self.class
        )))
    }

    fn recurrent(&mut self) -> Result<RecurrentOptions, Refusal> {
        let unroll = self.bool("unroll")?;
        // Whether a layer is stateful is said by how it is called.
        self.bool("stateful")?;
        let options = RecurrentOptions {
            return_sequences: self.bool("return_sequences")?,
            return_state: self.bool("return_state")?,
            go_backwards: self.bool("go_backwards")?,
            zero_output_for_mask: self.bool("zero_output_for_mask")?,
        };
        // Unrolled, a layer gives the same, but for this defect of Keras: the mask is not turned round.
        if unroll && options.go_backwards && options.zero_output_for_mask {
            return Err(self.wrong("unroll", &Value::Bool(unroll)));
        }
        Ok(options)
    }

    /// The cell of a layer or cell class: `LSTM` and `LSTMCell` have the same options.
    fn cell(&mut self, case: &Case, prefix: &str) -> Result<CellSpec, Refusal> {
        let rule = match self.class {
            "LSTM" | "LSTMCell" => Rule::Lstm(LstmOptions::default()),
            "GRU" | "GRUCell" => Rule::Gru {
                reset_after: self.bool("reset_after")?,
            },
            "SimpleRNN" | "SimpleRNNCell" => Rule::SimpleRnn,
            class => return Err(Refusal::Cannot(format!("cell class {class}"))),
        };
        let bias = if rule == (Rule::Gru { reset_after: true }) {
            self.weight_if("use_bias", case, &format!("{prefix}bias"), Case::f32_2)?
        } else {
            let bias = self.bias(case, prefix)?;
            bias.map(|bias| bias.insert_axis(Axis(0)))
        };
        let activation = self.activation("activation")?;
        let recurrent_activation = match rule {
            Rule::SimpleRnn => "linear".to_owned(),
            _ => self.activation("recurrent_activation")?,
        };
        if matches!(rule, Rule::Lstm(_)) {
            // The weights are given, so how the bias would have been drawn changes nothing.
            self.bool("unit_forget_bias")?;
        }
        let cell = CellSpec {
            rule,
            kernel: case.f32_2(&format!("{prefix}kernel"))?,
            recurrent_kernel: case.f32_2(&format!("{prefix}recurrent_kernel"))?,
            bias,
            activation,
            recurrent_activation,
            clip: None,
        };
        self.size("units", cell.units())?;
        Ok(cell)
    }

    fn bias(&mut self, case: &Case, prefix: &str) -> Result<Option<Array1<f32>>, Refusal> {
        self.weight_if("use_bias", case, &format!("{prefix}bias"), Case::f32_1)
    }

    /// A weight that is there if an option says so.
    fn weight_if<T>(
        &mut self,
        option: &str,
        case: &Case,
        name: &str,
        read: fn(&Case, &str) -> Result<T, String>,
    ) -> Result<Option<T>, Refusal> {
        match (self.bool(option)?, case.has(name)) {
            (true, _) => Ok(Some(read(case, name)?)),
            (false, false) => Ok(None),
            (false, true) => Err(Refusal::Cannot(format!("{option}=false, but {name} is there"))),
        }
    }

    /// Every option must have been taken.
    fn finish(self) -> Result<(), Refusal> {
        match self.options.iter().next() {
            None => Ok(()),
            Some((option, value)) => Err(self.wrong(option, value)),
        }
    }
}

fn layer_from(case: &Case, layer: &Value, prefix: &str) -> Result<LayerSpec, Refusal> {
    let mut config = Config::of(layer)?;
    let spec = match config.class {
        "LSTM" | "GRU" | "SimpleRNN" => LayerSpec::Recurrent {
            options: config.recurrent()?,
            cell: config.cell(case, prefix)?,
        },
        "RNN" => rnn_from(case, layer, prefix, &mut config)?,
        "Bidirectional" => {
            let merge = match config.take("merge_mode")? {
                Value::Null => Merge::Separate,
                value => match value.as_str() {
                    Some("concat") => Merge::Concat,
                    Some("sum") => Merge::Sum,
                    Some("mul") => Merge::Multiply,
                    Some("ave") => Merge::Average,
                    _ => return Err(config.wrong("merge_mode", &value)),
                },
            };
            // Without a backward layer of its own, that is a copy of the forward layer.
            let own = layer.get("backward_layer").unwrap_or(&layer["layer"]);
            let forward = layer_from(case, &layer["layer"], &format!("{prefix}forward."))?;
            let backward = layer_from(case, own, &format!("{prefix}backward."))?;
            match (forward, backward) {
                (LayerSpec::Recurrent { cell: forward, options }, LayerSpec::Recurrent { cell: backward, .. }) => {
                    LayerSpec::Bidirectional {
                        forward,
                        backward,
                        options,
                        merge,
                    }
                }
                _ => {
                    let inner = layer["layer"]["class"].clone();
                    return Err(config.wrong("layer", &inner));
                }
            }
        }
        "Masking" => {
            let value = config.take("mask_value")?;
            let number = value.as_f64().ok_or_else(|| config.wrong("mask_value", &value))?;
            LayerSpec::Masking {
                mask_value: number as f32,
            }
        }
        "Embedding" => {
            let embeddings = case.f32_2(&format!("{prefix}embeddings"))?;
            config.size("input_dim", embeddings.nrows())?;
            config.size("output_dim", embeddings.ncols())?;
            LayerSpec::Embedding {
                mask_zero: config.bool("mask_zero")?,
                embeddings,
            }
        }
        "RepeatVector" => {
            let value = config.take("n")?;
            let n = value.as_u64().ok_or_else(|| config.wrong("n", &value))?;
            LayerSpec::RepeatVector { n: n as usize }
        }
        "Dense" => {
            let kernel = case.f32_2(&format!("{prefix}kernel"))?;
            config.size("units", kernel.ncols())?;
            LayerSpec::Dense {
                bias: config.bias(case, prefix)?,
                activation: config.activation("activation")?,
                kernel,
            }
        }
        "Activation" | "Dropout" | "SpatialDropout1D" | "BatchNormalization" | "LayerNormalization" | "Flatten"
        | "Reshape" | "LastStep" => without_cells(case, layer, prefix, &mut config)?,
        // The same Dense for every time step: what Dense does to three axes anyway.
        "TimeDistributed" if layer["layer"]["class"] == "Dense" => layer_from(case, &layer["layer"], prefix)?,
        class => return Err(Refusal::Cannot(format!("layer class {class}"))),
    };
    config.finish()?;
    Ok(spec)
}

/// What normalises, activates, or changes the shape.
fn without_cells(case: &Case, layer: &Value, prefix: &str, config: &mut Config<'_>) -> Result<LayerSpec, Refusal> {
    let weight = |name: &str| format!("{prefix}{name}");
    let from = || -> Result<[usize; 2], Refusal> {
        let size = |place: usize| layer["from"][place].as_u64().map(|size| size as usize);
        let both = size(0)
            .zip(size(1))
            .ok_or("a layer does not say what it reads".to_owned())?;
        Ok([both.0, both.1])
    };
    Ok(match config.class {
        "Activation" => LayerSpec::Activation {
            activation: config.activation("activation")?,
        },
        "Dropout" | "SpatialDropout1D" => LayerSpec::Dropout {
            rate: config.number("rate")?,
            spatial: config.class == "SpatialDropout1D",
        },
        "BatchNormalization" => LayerSpec::BatchNormalization {
            gamma: config.weight_if("scale", case, &weight("gamma"), Case::f32_1)?,
            beta: config.weight_if("center", case, &weight("beta"), Case::f32_1)?,
            mean: case.f32_1(&weight("moving_mean"))?,
            variance: case.f32_1(&weight("moving_variance"))?,
            epsilon: config.number("epsilon")?,
            // (cases that train nothing do not say)
            momentum: config.number("momentum").unwrap_or(0.99),
        },
        "LayerNormalization" => LayerSpec::LayerNormalization {
            features: from()?[1],
            gamma: config.weight_if("scale", case, &weight("gamma"), Case::f32_1)?,
            beta: config.weight_if("center", case, &weight("beta"), Case::f32_1)?,
            epsilon: config.number("epsilon")?,
        },
        "Flatten" => LayerSpec::Reshape {
            from: from()?,
            to: None,
        },
        "Reshape" => {
            let target = config.take("target_shape")?;
            let size = |place: usize| target[place].as_u64().map(|size| size as usize);
            let to = size(0).zip(size(1)).map(|(steps, width)| [steps, width]);
            LayerSpec::Reshape {
                from: from()?,
                to: Some(to.ok_or_else(|| config.wrong("target_shape", &target))?),
            }
        }
        _ => LayerSpec::LastStep,
    })
}

/// `RNN` over one cell is a layer, over several it is stacked cells.
fn rnn_from(case: &Case, layer: &Value, prefix: &str, config: &mut Config<'_>) -> Result<LayerSpec, Refusal> {
    let options = config.recurrent()?;
    let list = layer["cells"].as_array().ok_or("RNN: no cells".to_owned())?;
    let mut cells = Vec::new();
    for (position, cell) in list.iter().enumerate() {
        let mut config = Config::of(cell)?;
        let inner = match list.len() {
            1 => prefix.to_owned(),
            _ => format!("{prefix}cells{position}."),
        };
        cells.push(config.cell(case, &inner)?);
        config.finish()?;
    }
    Ok(match <[CellSpec; 1]>::try_from(cells) {
        Ok([cell]) => LayerSpec::Recurrent { cell, options },
        Err(cells) => LayerSpec::StackedCells { cells, options },
    })
}
