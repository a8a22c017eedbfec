//! The recurrent layers, their cells and their wrappers.

use ndarray::Axis;
use serde_json::Value;

use super::activation;
use super::cells::{Said, of_class};
use super::chain::Node;
use super::config::{Config, Object, short, trains_with};
use super::layers::{inner, matrix};
use super::names::Numbered;
use super::reader::Reader;
use super::weights::Wanted;
use crate::activation::Activation;
use crate::cell::{Cell, CellWeights};
use crate::error::{Error, Result};
use crate::layer::Layer;
use crate::layer::bidirectional::{Bidirectional, MergeMode};
use crate::layer::recurrent::{DropoutRates, Recurrent, RecurrentOptions};
use crate::layer::stacked::StackedRnnCells;

/// Options that act in training alone, or on how Keras runs a layer.
const PASSED_OVER: &[&str] = &["seed", "unroll", "implementation", "use_cudnn", "unit_forget_bias"];

impl<'a> Reader<'a> {
    pub(super) fn recurrent(&mut self, node: &Node<'a>, config: &Config<'a>, last: bool) -> Result<Layer> {
        let gives_states = last.then_some(node.step.gives_states);
        let layer: Layer = match node.object.class {
            "Bidirectional" => self.bidirectional(node, config, gives_states)?.into(),
            "RNN" => {
                let cells = cells(config)?;
                let options = self.sequence_options(config, gives_states)?;
                match cells {
                    Cells::One(cell) => {
                        let cell_config = inner(config, cell)?;
                        let mut layer = self.cell(node, &cell_config, cell.class, "cell")?;
                        cell_config.finish()?;
                        layer.options = options;
                        Layer::Recurrent(layer)
                    }
                    Cells::Stack(cells) => self.stack(node, config, &cells, options)?.into(),
                }
            }
            class => {
                let options = self.sequence_options(config, gives_states)?;
                let mut layer = self.cell(node, config, &format!("{class}Cell"), "cell")?;
                layer.options = options;
                Layer::Recurrent(layer)
            }
        };
        let (sequences, width) = match &layer {
            Layer::Recurrent(layer) => (layer.options.return_sequences, layer.output_width()),
            Layer::StackedRnnCells(stack) => (stack.options().return_sequences, stack.output_width()),
            Layer::Bidirectional(layer) => (layer.forward().options.return_sequences, layer.width()),
            _ => return Err(Error::defect("a recurrent layer")),
        };
        self.shape.width = Some(width);
        if !sequences {
            (self.shape.sequences, self.shape.time_steps) = (false, None);
        }
        Ok(layer)
    }

    /// The options of the sequence. States are returned only where the file says that they are outputs: in front of another layer,
    /// and where the model has one output, Keras drops them.
    fn sequence_options(&mut self, config: &Config<'a>, gives_states: Option<bool>) -> Result<RecurrentOptions> {
        config.pass_over(PASSED_OVER);
        if config.flag("time_major", false)? {
            return Err(config.unsupported(
                "time_major = true",
                "build the model with time_major=False and give it (batch, time_steps, features)",
            ));
        }
        if config.flag("stateful", false)? {
            self.note(format!(
                "Layer {} is stateful: here each run begins at zero; `Runner::run_from` carries states on.",
                config.layer
            ));
        }
        let return_state = config.flag("return_state", false)?;
        let options = RecurrentOptions {
            return_sequences: config.flag("return_sequences", false)?,
            return_state: return_state && gives_states == Some(true),
            go_backwards: config.flag("go_backwards", false)?,
            zero_output_for_mask: config.flag("zero_output_for_mask", false)?,
            input_order: false,
        };
        if options.return_state {
            self.note(format!(
                "The states of layer {} are outputs of the model: `Output::states` has them.",
                config.layer
            ));
        }
        Ok(options)
    }

    fn stack(
        &mut self,
        node: &Node<'a>,
        config: &Config<'a>,
        cells: &[Object<'a>],
        options: RecurrentOptions,
    ) -> Result<StackedRnnCells> {
        let mut numbered = Numbered::default();
        let mut layers = Vec::new();
        for cell in cells {
            let cell_config = inner(config, *cell)?;
            let part = format!("cell/cells/{}", numbered.next(cell.class));
            layers.push(self.cell(node, &cell_config, cell.class, &part)?);
            cell_config.finish()?;
            self.shape.width = layers.last().map(Recurrent::output_width);
        }
        let stack = StackedRnnCells::new(layers)
            .return_sequences(options.return_sequences)
            .return_state(options.return_state)
            .go_backwards(options.go_backwards)
            .zero_output_for_mask(options.zero_output_for_mask);
        Ok(stack)
    }

    fn bidirectional(
        &mut self,
        node: &Node<'a>,
        config: &Config<'a>,
        gives_states: Option<bool>,
    ) -> Result<Bidirectional> {
        config.refuse("weights", "save the model again: its weights stand beside the layers")?;
        config.pass_over(&[
            "num_constants",
            "return_sequences",
            "return_state",
            "stateful",
            "zero_output_for_mask",
        ]);
        let missing = || config.wrong("layer", "a recurrent layer", &Value::Null);
        let forward = config.object("layer")?.ok_or_else(missing)?;
        let backward = config.object("backward_layer")?;
        let says_backward = backward.is_some();
        let shape = self.shape;
        let mut directions = Vec::new();
        for (direction, object) in [
            ("forward_layer", forward),
            ("backward_layer", backward.unwrap_or(forward)),
        ] {
            let inner_config = inner(config, object)?;
            self.shape = shape;
            let mut layer = self.direction(node, &inner_config, object, direction, gives_states)?;
            let turned = direction == "backward_layer" && says_backward;
            if layer.options.go_backwards != turned {
                return Err(inner_config.unsupported(
                    format!("go_backwards = {} of the {direction}", layer.options.go_backwards),
                    "let the forward layer go forwards and the backward layer backwards",
                ));
            }
            // the wrapper turns it, and decides what masked steps give
            layer.options.go_backwards = false;
            layer.options.zero_output_for_mask = false;
            directions.push(layer);
        }
        let (Some(backward), Some(forward)) = (directions.pop(), directions.pop()) else {
            return Err(Error::defect("two directions"));
        };
        let merge = match config.value("merge_mode") {
            None if config.says("merge_mode") => MergeMode::Separate,
            None => MergeMode::Concat,
            Some(mode) => match mode.as_str() {
                Some("concat") => MergeMode::Concat,
                Some("sum") => MergeMode::Sum,
                Some("mul") => MergeMode::Multiply,
                Some("ave") => MergeMode::Average,
                _ => return Err(config.wrong("merge_mode", "concat, sum, mul, ave or null", mode)),
            },
        };
        Ok(Bidirectional::new(forward).backward_layer(backward).merge_mode(merge))
    }

    fn direction(
        &mut self,
        node: &Node<'a>,
        config: &Config<'a>,
        object: Object<'a>,
        direction: &str,
        gives_states: Option<bool>,
    ) -> Result<Recurrent> {
        self.note_dtype(config)?;
        let options = self.sequence_options(config, gives_states)?;
        let part = format!("{direction}/cell");
        let mut layer = match object.class {
            "LSTM" | "GRU" | "SimpleRNN" => self.cell(node, config, &format!("{}Cell", object.class), &part)?,
            "RNN" => match cells(config)? {
                Cells::One(cell) => {
                    let cell_config = inner(config, cell)?;
                    let layer = self.cell(node, &cell_config, cell.class, &part)?;
                    cell_config.finish()?;
                    layer
                }
                Cells::Stack(_) => {
                    return Err(config.unsupported(
                        "several cells in a Bidirectional",
                        "stack Bidirectional layers of one cell each",
                    ));
                }
            },
            other => {
                return Err(config.unsupported(
                    format!("the class {other:?} in a Bidirectional"),
                    "use LSTM, GRU, SimpleRNN or RNN",
                ));
            }
        };
        config.finish()?;
        layer.options = options;
        Ok(layer)
    }

    /// A cell with its weights.
    fn cell(&mut self, node: &Node<'a>, config: &Config<'a>, class: &str, part: &str) -> Result<Recurrent> {
        config.pass_over(PASSED_OVER);
        self.note_dtype(config)?;
        let units = config.size("units")?;
        let use_bias = config.flag("use_bias", true)?;
        let activation = activation::of_option(config, "activation", Activation::Tanh, &self.version)?;
        let said = Said {
            features: self.shape.width.unwrap_or(1),
            units,
            activation,
            recurrent_activation: match class {
                "SimpleRNNCell" => Activation::Linear,
                _ => activation::of_option(config, "recurrent_activation", Activation::Sigmoid, &self.version)?,
            },
            reset_after: class == "GRUCell" && self.reset_after(node, config, part)?,
        };
        let mut layer = of_class(class, said).ok_or_else(|| {
            config.unsupported(
                format!("the cell {:?}", short(class)),
                "use LSTMCell, GRUCell or SimpleRNNCell",
            )
        })?;
        let wanted = wanted_of_cell(&layer.cell, self.shape.width, use_bias);
        let mut tensors = self.take(node, part, &wanted)?.into_iter();
        let kernel = matrix(tensors.next())?;
        layer.cell.features = kernel.nrows();
        let recurrent_kernel = matrix(tensors.next())?.into_shared();
        let bias = tensors.next().map(|bias| match bias.ndim() {
            1 => matrix(Some(bias.insert_axis(Axis(0)))),
            _ => matrix(Some(bias)),
        });
        let weights = CellWeights {
            kernel: kernel.into_shared(),
            recurrent_kernel,
            bias: bias.transpose()?.map(ndarray::ArrayBase::into_shared),
            peepholes: None,
            projection: None,
        };
        layer.dropout = DropoutRates {
            input: rate(config, "dropout")?,
            recurrent: rate(config, "recurrent_dropout")?,
        };
        layer.take_weights(weights, self.file.range)?;
        Ok(layer)
    }

    /// Where the file does not say it, the bias does: one row of it, or two.
    fn reset_after(&mut self, node: &Node<'a>, config: &Config<'a>, part: &str) -> Result<bool> {
        if config.says("reset_after") || !self.version.is_before_3() {
            return config.flag("reset_after", true);
        }
        config.pass_over(&["reset_after"]);
        let rank = self.weights.rank(&Self::place(node, part), "bias")?;
        let reset_after = rank == Some(2);
        self.note(format!(
            "The configuration of layer {} does not say reset_after; {}.",
            config.layer,
            match rank {
                Some(_) => format!("its bias says {reset_after}"),
                None => "false was taken, the default of Keras before TensorFlow 2".to_owned(),
            }
        ));
        Ok(reset_after)
    }
}

/// A rate as Keras takes it: what is beyond 0 and 1 is 0 or 1. A gate of which nothing would stay leaves out nothing there, and here.
fn rate(config: &Config<'_>, option: &'static str) -> Result<f32> {
    let rate = config.number(option, 0.0)?;
    Ok(if trains_with(rate) { rate as f32 } else { 0.0 })
}

/// The cells of an RNN.
enum Cells<'a> {
    One(Object<'a>),
    Stack(Vec<Object<'a>>),
}

fn cells<'a>(config: &Config<'a>) -> Result<Cells<'a>> {
    let value = config.value("cell").unwrap_or(&Value::Null);
    let wrong = || config.wrong("cell", "a cell, or a list of cells", value);
    let objects = |list: &'a Value| -> Result<Vec<Object<'a>>> {
        let list = list.as_array().ok_or_else(wrong)?;
        list.iter().map(|cell| Object::of(cell).ok_or_else(wrong)).collect()
    };
    if value.is_array() {
        return Ok(Cells::Stack(objects(value)?));
    }
    let object = Object::of(value).ok_or_else(wrong)?;
    if object.class != "StackedRNNCells" || object.is_custom() {
        return Ok(Cells::One(object));
    }
    let stack = inner(config, object)?;
    if stack.flag("reverse_state_order", false)? {
        return Err(stack.unsupported("reverse_state_order = true", "leave reverse_state_order out"));
    }
    stack.pass_over(&["dtype"]);
    let cells = stack.value("cells").unwrap_or(&Value::Null);
    let cells = objects(cells)?;
    stack.finish()?;
    Ok(Cells::Stack(cells))
}

/// The tensors of a cell, in Keras's order. The features may be open.
fn wanted_of_cell(cell: &Cell, features: Option<usize>, use_bias: bool) -> Vec<Wanted> {
    let (gates, units) = (cell.gates(), cell.units);
    let columns = gates.saturating_mul(units);
    let [kernel, recurrent, bias, biases] = match gates {
        1 => ["(features, units)", "(units, units)", "(units)", "(2, units)"],
        3 => ["(features, 3·units)", "(units, 3·units)", "(3·units)", "(2, 3·units)"],
        _ => ["(features, 4·units)", "(units, 4·units)", "(4·units)", "(2, 4·units)"],
    };
    let mut wanted = vec![
        Wanted {
            role: "kernel",
            axes: kernel,
            shape: vec![features, Some(columns)],
        },
        Wanted {
            role: "recurrent_kernel",
            axes: recurrent,
            shape: vec![Some(units), Some(columns)],
        },
    ];
    if use_bias {
        let (axes, shape) = match cell.bias_rows() {
            1 => (bias, vec![Some(columns)]),
            rows => (biases, vec![Some(rows), Some(columns)]),
        };
        wanted.push(Wanted {
            role: "bias",
            axes,
            shape,
        });
    }
    wanted
}
