//! The layers of a case as plain data: what both the reference and the library are built from.

use ndarray::{Array1, Array2};
use serde_json::{Map, Value};

use super::golden::Case;

/// Why a case is not run.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Refusal {
    /// Something of later work.
    NotYet(String),
    /// Something that nobody expected: a failure, with the option's name.
    Cannot(String),
}

impl From<String> for Refusal {
    fn from(message: String) -> Self {
        Self::Cannot(message)
    }
}

/// One LSTM cell with its weights, gate order i f g o.
#[derive(Clone, Debug)]
pub(crate) struct CellSpec {
    /// (features, 4 * units)
    pub(crate) kernel: Array2<f32>,
    /// (units, 4 * units)
    pub(crate) recurrent_kernel: Array2<f32>,
    /// (4 * units)
    pub(crate) bias: Option<Array1<f32>>,
    pub(crate) activation: String,
    pub(crate) recurrent_activation: String,
}

impl CellSpec {
    pub(crate) fn features(&self) -> usize {
        self.kernel.nrows()
    }

    pub(crate) fn units(&self) -> usize {
        self.recurrent_kernel.nrows()
    }
}

/// The options that say what comes out of a recurrent layer, and in which order it runs.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RecurrentOptions {
    pub(crate) return_sequences: bool,
    pub(crate) return_state: bool,
    pub(crate) go_backwards: bool,
    pub(crate) zero_output_for_mask: bool,
}

/// Hidden and cell of one state, (batch, units) each.
pub(crate) type StatePair = (Array2<f32>, Array2<f32>);

/// How the outputs of both directions are put together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Merge {
    Concat,
    Sum,
    Multiply,
    Average,
    Separate,
}

impl Merge {
    pub(crate) const ALL: [Self; 5] = [Self::Concat, Self::Sum, Self::Multiply, Self::Average, Self::Separate];
}

/// One layer.
#[allow(
    clippy::large_enum_variant,
    reason = "a handful of them, and no box in the way of a pattern"
)]
#[derive(Clone, Debug)]
pub(crate) enum LayerSpec {
    Lstm {
        cell: CellSpec,
        options: RecurrentOptions,
    },
    StackedCells {
        cells: Vec<CellSpec>,
        options: RecurrentOptions,
    },
    /// `options` are those of the forward layer; the backward layer goes the other way.
    Bidirectional {
        forward: CellSpec,
        backward: CellSpec,
        options: RecurrentOptions,
        merge: Merge,
    },
    Masking {
        mask_value: f32,
    },
    Embedding {
        embeddings: Array2<f32>,
        mask_zero: bool,
    },
    Dense {
        kernel: Array2<f32>,
        bias: Option<Array1<f32>>,
        activation: String,
    },
}

impl LayerSpec {
    /// What stands before `h_n`, `c_n`, `initial_h` and `initial_c` for each state of the layer, in order.
    pub(crate) fn state_prefixes(&self) -> Vec<String> {
        match self {
            Self::Lstm { .. } => vec![String::new()],
            Self::StackedCells { cells, .. } => (0..cells.len()).map(|i| format!("cells{i}.")).collect(),
            Self::Bidirectional { .. } => vec!["forward.".to_owned(), "backward.".to_owned()],
            Self::Masking { .. } | Self::Embedding { .. } | Self::Dense { .. } => Vec::new(),
        }
    }

    /// The cells of the layer, one for each state.
    pub(crate) fn cells(&self) -> Vec<&CellSpec> {
        match self {
            Self::Lstm { cell, .. } => vec![cell],
            Self::StackedCells { cells, .. } => cells.iter().collect(),
            Self::Bidirectional { forward, backward, .. } => vec![forward, backward],
            Self::Masking { .. } | Self::Embedding { .. } | Self::Dense { .. } => Vec::new(),
        }
    }
}

/// A chain of layers, each with the prefix of its tensors.
#[derive(Clone, Debug)]
pub(crate) struct Chain {
    pub(crate) layers: Vec<LayerSpec>,
    pub(crate) prefixes: Vec<String>,
}

impl Chain {
    /// The layers of a Keras case with their weights.
    pub(crate) fn from_case(case: &Case) -> Result<Self, Refusal> {
        let layers = case.header.get("layers").and_then(Value::as_array);
        let layers = layers.ok_or("the case has no `layers`".to_owned())?;
        let mut chain = Self {
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

    /// The initial states of the case for the first layer, one (hidden, cell) for each of its cells; none if the case has
    /// none.
    pub(crate) fn initial_states(&self, case: &Case) -> Result<Vec<StatePair>, String> {
        let (Some(first), Some(prefix)) = (self.layers.first(), self.prefixes.first()) else {
            return Err("the case has no layers".to_owned());
        };
        let given = case.roles.values().filter(|role| *role == "initial_state").count();
        if given == 0 {
            return Ok(Vec::new());
        }
        let mut states = Vec::new();
        for inner in first.state_prefixes() {
            let tensor = |name: &str| case.f32_2(&format!("{prefix}{inner}{name}"));
            states.push((tensor("initial_h")?, tensor("initial_c")?));
        }
        if given != 2 * states.len() {
            return Err(format!("{given} initial state tensors for {} cells", states.len()));
        }
        Ok(states)
    }
}

/// The options of a `config`. Each must be asked for, so none is passed over in silence.
struct Config<'a> {
    class: &'a str,
    options: Map<String, Value>,
}

impl<'a> Config<'a> {
    fn of(layer: &'a Value) -> Result<Self, Refusal> {
        let class = layer["class"].as_str().ok_or("a layer has no class".to_owned())?;
        let known = ["class", "config", "layer", "cells", "prefix"];
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
        let unroll = self.take("unroll")?;
        if unroll != false {
            return Err(self.wrong("unroll", &unroll));
        }
        // Whether a layer is stateful is said by how it is called.
        self.bool("stateful")?;
        Ok(RecurrentOptions {
            return_sequences: self.bool("return_sequences")?,
            return_state: self.bool("return_state")?,
            go_backwards: self.bool("go_backwards")?,
            zero_output_for_mask: self.bool("zero_output_for_mask")?,
        })
    }

    fn cell(&mut self, case: &Case, prefix: &str) -> Result<CellSpec, Refusal> {
        let cell = CellSpec {
            kernel: case.f32_2(&format!("{prefix}kernel"))?,
            recurrent_kernel: case.f32_2(&format!("{prefix}recurrent_kernel"))?,
            bias: self.bias(case, prefix)?,
            activation: self.activation("activation")?,
            recurrent_activation: self.activation("recurrent_activation")?,
        };
        self.size("units", cell.units())?;
        // The weights are given, so how the bias would have been drawn changes nothing.
        self.bool("unit_forget_bias")?;
        Ok(cell)
    }

    fn bias(&mut self, case: &Case, prefix: &str) -> Result<Option<Array1<f32>>, Refusal> {
        let name = format!("{prefix}bias");
        match (self.bool("use_bias")?, case.has(&name)) {
            (true, _) => Ok(Some(case.f32_1(&name)?)),
            (false, false) => Ok(None),
            (false, true) => Err(Refusal::Cannot(format!("use_bias=false, but {name} is there"))),
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
        "LSTM" => LayerSpec::Lstm {
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
            let directions = ["forward.", "backward."].map(|inner| {
                let prefix = format!("{prefix}{inner}");
                layer_from(case, &layer["layer"], &prefix)
            });
            let [forward, backward] = directions;
            match (forward?, backward?) {
                (LayerSpec::Lstm { cell: forward, options }, LayerSpec::Lstm { cell: backward, .. }) => {
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
        "Dense" => {
            let kernel = case.f32_2(&format!("{prefix}kernel"))?;
            config.size("units", kernel.ncols())?;
            LayerSpec::Dense {
                bias: config.bias(case, prefix)?,
                activation: config.activation("activation")?,
                kernel,
            }
        }
        // The same Dense for every time step: what Dense does to three axes anyway.
        "TimeDistributed" if layer["layer"]["class"] == "Dense" => layer_from(case, &layer["layer"], prefix)?,
        class @ ("GRU" | "SimpleRNN") => return Err(Refusal::NotYet(class.to_owned())),
        class => return Err(Refusal::Cannot(format!("layer class {class}"))),
    };
    config.finish()?;
    Ok(spec)
}

/// `RNN` over one cell is a layer, over several it is stacked cells.
fn rnn_from(case: &Case, layer: &Value, prefix: &str, config: &mut Config<'_>) -> Result<LayerSpec, Refusal> {
    let options = config.recurrent()?;
    let list = layer["cells"].as_array().ok_or("RNN: no cells".to_owned())?;
    let mut cells = Vec::new();
    for (position, cell) in list.iter().enumerate() {
        let mut config = Config::of(cell)?;
        match config.class {
            "LSTMCell" => {}
            class @ ("GRUCell" | "SimpleRNNCell") => {
                return Err(Refusal::NotYet(class.to_owned()));
            }
            class => return Err(Refusal::Cannot(format!("cell class {class}"))),
        }
        let inner = match list.len() {
            1 => prefix.to_owned(),
            _ => format!("{prefix}cells{position}."),
        };
        cells.push(config.cell(case, &inner)?);
        config.finish()?;
    }
    Ok(match <[CellSpec; 1]>::try_from(cells) {
        Ok([cell]) => LayerSpec::Lstm { cell, options },
        Err(cells) => LayerSpec::StackedCells { cells, options },
    })
}
