//! The nodes LSTM, GRU and RNN, with every attribute and input that the specification has.

use std::sync::Arc;

use ndarray::{ArcArray, ArrayView1, ArrayView2, Axis as Along, Ix1, Ix2, IxDyn};

use super::dense::by_its_name;
use super::node::{Node, in_node};
use super::operators::Inputs;
use super::reader::{Reader, Role, numbers};
use super::stage::{Kind, RecurrentNode};
use super::value::{Axis, Block, Data, Join, Pick, Tokens, Value};
use crate::activation::Activation;
use crate::cell::CellWeights;
use crate::error::Result;
use crate::layer::gru::{Gru, GruWeights};
use crate::layer::lstm::{Lstm, LstmWeights};
use crate::layer::recurrent::Recurrent;
use crate::layer::simple_rnn::{SimpleRnn, SimpleRnnWeights};

const ATTRIBUTES: [&str; 9] = [
    "activation_alpha",
    "activation_beta",
    "activations",
    "clip",
    "direction",
    "hidden_size",
    "layout",
    "input_forget",
    "linear_before_reset",
];

/// What a node says, besides its weights.
struct Options {
    directions: usize,
    reverse: bool,
    batch_first: bool,
    /// For each direction.
    activations: Vec<Vec<Activation>>,
    clip: Option<f32>,
    input_forget: bool,
    linear_before_reset: bool,
}

/// The weights of all directions: W and R have three axes, B and P two.
struct Weights {
    w: ArcArray<f32, IxDyn>,
    r: ArcArray<f32, IxDyn>,
    b: Option<ArcArray<f32, IxDyn>>,
    p: Option<ArcArray<f32, IxDyn>>,
    units: usize,
}

impl Reader<'_> {
    /// `Y`, `Y_h` and, of an LSTM, `Y_c`.
    pub(super) fn recurrent(&mut self, node: &Node<'_>, inputs: Inputs<'_>) -> Result<Vec<Value>> {
        let options = Options::of(node)?;
        let Value::Data(data) = node.input(inputs, 0)? else {
            return Err(node.no_chain("sequences that do not come of the model's input"));
        };
        let data = self.sequences(node, data, options.batch_first)?;
        let weights = self.weights(node, inputs, &options)?;
        let features = self
            .dims(&data)
            .last()
            .and_then(|dim| usize::try_from(dim.known()?).ok());
        let columns = weights.w.shape().last().copied().unwrap_or(0);
        if features.is_some_and(|features| features != columns) {
            let expected = format!("W for the {} features of X", features.unwrap_or(0));
            return Err(node.wrong(expected, format!("{:?}", weights.w.shape())));
        }
        self.initial_states(node, inputs)?;
        let lengths = lengths(node, inputs)?;
        let layers = (0..options.directions).map(|direction| layer(node, &options, &weights, direction));
        let layers = layers.collect::<Result<Vec<_>>>()?;
        let turned = data.turned && !self.sets_time(&data);
        let kind = Kind::Recurrent(RecurrentNode {
            layers,
            reverse: options.reverse,
            turned,
            lengths,
        });
        let stage = self.push(kind, Some(data.clone()), node.number);
        Ok(outputs(node, &options, (stage, weights.units), &data, turned))
    }

    /// The input with its axes in their places, and its time steps where one value for each sequence is run as one.
    fn sequences(&mut self, node: &Node<'_>, data: &Data, batch_first: bool) -> Result<Data> {
        if data.axes.len() != 3 || data.tokens != Tokens::No {
            return Err(node.no_chain(format!("sequences of {} axes", data.axes.len())));
        }
        let axis = |place: usize| data.axes.get(place).copied();
        let (time, batch) = if batch_first {
            (axis(1), axis(0))
        } else {
            (axis(0), axis(1))
        };
        self.bind(node, batch, Role::Batch)?;
        self.bind(node, time, Role::Time)?;
        self.bind(node, axis(2), Role::Features)?;
        if time == Some(Axis::One) && data.stage() != Some(0) {
            let made = self.stepwise(node, Kind::Repeat(1), data, data.width());
            return Ok(made);
        }
        Ok(data.clone())
    }

    fn weights(&mut self, node: &Node<'_>, inputs: Inputs<'_>, options: &Options) -> Result<Weights> {
        let gates = gates(node);
        let w = self.floats(node, node.input(inputs, 1)?, "W")?;
        let r = self.floats(node, node.input(inputs, 2)?, "R")?;
        let optional = |reader: &mut Self, place: usize, name: &str| match inputs.get(place) {
            Some(Some(value)) => reader.floats(node, value, name).map(Some),
            _ => Ok(None),
        };
        let b = optional(self, 3, "B")?;
        let p = match node.operator() {
            "LSTM" => optional(self, 7, "P")?,
            _ => None,
        };
        let units = r.shape().last().copied().unwrap_or(0);
        let features = w.shape().last().copied().unwrap_or(0);
        let times = |factor: usize| units.saturating_mul(factor);
        let directions = options.directions;
        let check = |name: &str, found: &[usize], expected: &[usize]| match found == expected {
            true => Ok(()),
            false => Err(node.wrong(format!("{name} of the shape {expected:?}"), format!("{found:?}"))),
        };
        if let Some(size) = node.int("hidden_size")?
            && usize::try_from(size) != Ok(units)
        {
            return Err(node.wrong(format!("hidden_size {units}, as R has it"), format!("{size}")));
        }
        check("W", w.shape(), &[directions, times(gates), features])?;
        check("R", r.shape(), &[directions, times(gates), units])?;
        if let Some(b) = &b {
            check("B", b.shape(), &[directions, times(2 * gates)])?;
        }
        if let Some(p) = &p {
            check("P", p.shape(), &[directions, times(3)])?;
        }
        self.take_room(node, w.len().saturating_add(r.len()))?;
        Ok(Weights { w, r, b, p, units })
    }

    /// Zeros are where a layer begins; those that come as an input are what `run_from` is given.
    fn initial_states(&mut self, node: &Node<'_>, inputs: Inputs<'_>) -> Result<()> {
        let states = if node.operator() == "LSTM" { 5..7 } else { 5..6 };
        for place in states {
            let refused = || {
                node.unsupported(
                    "initial states other than zero that are kept in the file",
                    "export the model without them, and give them to `run_from`",
                )
            };
            match inputs.get(place) {
                None | Some(None) => {}
                Some(Some(Value::Floats(floats))) if floats.array.iter().all(|&value| value == 0.0) => {}
                Some(Some(Value::Fill(fill))) if fill.value == 0.0 => {}
                Some(Some(Value::State(name))) => {
                    let name = super::node::shortened(name);
                    let note = format!("the file's input {name:?} gives initial states: give them to `run_from`");
                    if !self.notes.contains(&note) {
                        self.notes.push(note);
                    }
                }
                Some(Some(Value::Data(_))) => {
                    return Err(node.no_chain("initial states that the model works out itself (an encoder's, say)"));
                }
                Some(Some(_)) => return Err(refused()),
            }
        }
        Ok(())
    }
}

/// The input of the graph that gives lengths; constant ones have to be the whole time axis.
fn lengths(node: &Node<'_>, inputs: Inputs<'_>) -> Result<Option<Arc<str>>> {
    match inputs.get(4) {
        None | Some(None) => Ok(None),
        Some(Some(Value::Lengths(name))) => Ok(Some(name.clone())),
        Some(Some(value @ (Value::Integers(_) | Value::Fill(_)))) => {
            let found = numbers(node, value, "sequence_lens")?;
            Err(node.unsupported(
                format!(
                    "sequence_lens that are kept in the file, {:?}",
                    found.get(..8).unwrap_or(&found)
                ),
                "make them an input of the graph, and give them to `Sequences::with_lengths`",
            ))
        }
        Some(Some(_)) => Err(node.no_chain("sequence_lens that the model works out itself")),
    }
}

fn outputs(
    node: &Node<'_>,
    options: &Options,
    (stage, width): (usize, usize),
    data: &Data,
    turned: bool,
) -> Vec<Value> {
    let directions = if options.directions == 2 {
        Axis::Directions
    } else {
        Axis::One
    };
    let axis = |place: usize| data.axes.get(place).copied().unwrap_or(Axis::One);
    let value = |pick: Pick, axes: Vec<Axis>| {
        let blocks = (0..options.directions).map(|direction| Block {
            stage,
            direction,
            pick,
            width,
        });
        Value::Data(Data {
            blocks: blocks.collect(),
            join: Join::Concat,
            axes,
            turned: turned && pick == Pick::All,
            tokens: Tokens::No,
        })
    };
    let (every, last) = if options.batch_first {
        let batch = axis(0);
        (
            vec![batch, axis(1), directions, Axis::Features],
            vec![batch, directions, Axis::Features],
        )
    } else {
        let batch = axis(1);
        (
            vec![axis(0), directions, batch, Axis::Features],
            vec![directions, batch, Axis::Features],
        )
    };
    let mut made = vec![value(Pick::All, every), value(Pick::Final, last.clone())];
    if node.operator() == "LSTM" {
        made.push(value(Pick::Cell, last));
    }
    made
}

fn gates(node: &Node<'_>) -> usize {
    match node.operator() {
        "LSTM" => 4,
        "GRU" => 3,
        _ => 1,
    }
}

impl Options {
    fn of(node: &Node<'_>) -> Result<Self> {
        let known = |name: &&&str| match **name {
            "input_forget" => node.operator() == "LSTM",
            "linear_before_reset" => node.operator() == "GRU",
            _ => true,
        };
        node.only(&ATTRIBUTES.iter().filter(known).copied().collect::<Vec<_>>())?;
        let (directions, reverse) = match node.string("direction")?.unwrap_or("forward") {
            "forward" => (1, false),
            "reverse" => (1, true),
            "bidirectional" => (2, false),
            other => return Err(node.wrong("direction forward, reverse or bidirectional", format!("{other:?}"))),
        };
        let flag = |name: &str| match node.int(name)?.unwrap_or(0) {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(node.wrong(format!("{name} 0 or 1"), format!("{other}"))),
        };
        Ok(Self {
            directions,
            reverse,
            batch_first: flag("layout")?,
            activations: activations(node, directions)?,
            clip: node.float("clip")?,
            input_forget: flag("input_forget")?,
            linear_before_reset: flag("linear_before_reset")?,
        })
    }
}

/// The activations of each direction. Alpha and beta are listed for the functions that have them, in order.
fn activations(node: &Node<'_>, directions: usize) -> Result<Vec<Vec<Activation>>> {
    let defaults: &[&str] = match node.operator() {
        "LSTM" => &["Sigmoid", "Tanh", "Tanh"],
        "GRU" => &["Sigmoid", "Tanh"],
        _ => &["Tanh"],
    };
    let names = match node.strings("activations")? {
        Some(names) if !names.is_empty() => names,
        _ => defaults.repeat(directions),
    };
    let count = defaults.len().saturating_mul(directions);
    if names.len() != count {
        return Err(node.wrong(format!("{count} activations"), format!("{}", names.len())));
    }
    let mut alphas = node.floats("activation_alpha")?.iter().copied();
    let mut betas = node.floats("activation_beta")?.iter().copied();
    let mut made = Vec::with_capacity(count);
    for name in names {
        let (takes_alpha, takes_beta) = match name.to_ascii_lowercase().as_str() {
            "affine" | "scaledtanh" | "hardsigmoid" => (true, true),
            "leakyrelu" | "elu" | "thresholdedrelu" => (true, false),
            _ => (false, false),
        };
        let alpha = if takes_alpha { alphas.next() } else { None };
        let beta = if takes_beta { betas.next() } else { None };
        let activation = Activation::from_onnx(name, alpha, beta).map(by_its_name);
        made.push(
            activation.map_err(|error| node.wrong("activations of ONNX with their parameters", error.to_string()))?,
        );
    }
    if alphas.next().is_some() || betas.next().is_some() {
        return Err(node.wrong("as many alphas and betas as the activations have", "more"));
    }
    Ok(made.chunks(defaults.len()).map(<[Activation]>::to_vec).collect())
}

/// The layer of one direction.
fn layer(node: &Node<'_>, options: &Options, weights: &Weights, direction: usize) -> Result<Recurrent> {
    let along = Along(0);
    let misfit = || node.wrong("weights of the shapes that ONNX says", "others");
    fn matrix(array: &ArcArray<f32, IxDyn>, along: Along, direction: usize) -> Option<ArrayView2<'_, f32>> {
        let view = array.view().index_axis_move(along, direction);
        view.into_dimensionality::<Ix2>().ok()
    }
    fn row(array: &ArcArray<f32, IxDyn>, along: Along, direction: usize) -> Option<ArrayView1<'_, f32>> {
        let view = array.view().index_axis_move(along, direction);
        view.into_dimensionality::<Ix1>().ok()
    }
    let w = matrix(&weights.w, along, direction).ok_or_else(misfit)?;
    let r = matrix(&weights.r, along, direction).ok_or_else(misfit)?;
    let b = weights.b.as_ref().and_then(|b| row(b, along, direction));
    let p = weights.p.as_ref().and_then(|p| row(p, along, direction));
    let (features, units) = (w.ncols(), weights.units);
    let activations = options.activations.get(direction).map_or(&[][..], Vec::as_slice);
    let named = |error| in_node(node, error);
    let range = node.file.range;
    let (mut layer, trained): (Recurrent, CellWeights) = match (node.operator(), activations) {
        ("LSTM", [gates, candidate, output]) => {
            let trained = LstmWeights::of_onnx(w, r, [b, p], range).map_err(named)?;
            let mut lstm = Lstm::new(features, units)
                .recurrent_activation(*gates)
                .activation(*candidate)
                .output_activation(*output)
                .peepholes(p.is_some())
                .input_forget(options.input_forget);
            if let Some(clip) = options.clip {
                lstm = lstm.clip(clip);
            }
            (lstm.into(), trained.into())
        }
        ("GRU", [gates, candidate]) => {
            let trained = GruWeights::of_onnx(w, r, b, options.linear_before_reset, range).map_err(named)?;
            let mut gru = Gru::new(features, units)
                .recurrent_activation(*gates)
                .activation(*candidate)
                .reset_after(options.linear_before_reset);
            if let Some(clip) = options.clip {
                gru = gru.clip(clip);
            }
            (gru.into(), trained.into())
        }
        (_, [activation]) => {
            let trained = SimpleRnnWeights::of_onnx(w, r, b, range).map_err(named)?;
            let mut rnn = SimpleRnn::new(features, units).activation(*activation);
            if let Some(clip) = options.clip {
                rnn = rnn.clip(clip);
            }
            (rnn.into(), trained.into())
        }
        _ => return Err(misfit()),
    };
    layer.take_weights(trained, range).map_err(named)?;
    Ok(layer)
}
