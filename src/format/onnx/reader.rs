//! The graph is worked out symbolically, node by node: what is known becomes numbers, what comes of the input becomes stages.

use std::collections::{HashMap, HashSet};

use ndarray::{ArcArray, IxDyn};

use super::dim::{Dim, INPUT_AXES};
use super::graph::{Graph, Origin};
use super::messages::{TensorProto, ValueInfoProto, data_type};
use super::node::{Node, shortened};
use super::stage::{Kind, Stage};
use super::tensor::Tensors;
use super::value::{Axis, Block, Data, Fill, Integers, Join, Pick, Row, Tokens, Value};
use crate::error::{Error, Result};

/// What an axis of the input is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Batch,
    Time,
    Features,
}

impl Role {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Batch => "batch",
            Self::Time => "time_steps",
            Self::Features => "features",
        }
    }
}

/// How many values a block counts as.
const BLOCK: usize = 8;

/// The values that are worked out may be so many times as large as the file.
const ROOM: usize = 4;

#[derive(Debug)]
pub(super) struct Reader<'a> {
    pub(super) tensors: Tensors<'a>,
    initializers: HashMap<String, TensorProto>,
    values: HashMap<String, Value>,
    pub(super) stages: Vec<Stage>,
    /// The name of the input that is run, and the sizes of its axes.
    pub(super) input: (String, Vec<Dim>),
    pub(super) roles: [Option<Role>; INPUT_AXES],
    pub(super) notes: Vec<String>,
    /// How many values may still be worked out.
    room: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(graph: &Graph<'a>, initializers: HashMap<String, TensorProto>) -> Self {
        let bytes = graph.file.bytes.len();
        Self {
            tensors: Tensors::new(graph.file),
            initializers,
            values: HashMap::new(),
            stages: Vec::new(),
            input: (String::new(), Vec::new()),
            roles: [None; INPUT_AXES],
            notes: graph.note().into_iter().collect(),
            room: bytes.saturating_mul(ROOM).max(1 << 16),
        }
    }

    /// Says which input is the sequences, and what the others are.
    pub(super) fn place_inputs(&mut self, graph: &Graph<'_>) -> Result<()> {
        let mut main = None;
        for input in &graph.inputs {
            let name = input.name.clone();
            let value = if graph.lengths.contains(&name) {
                Value::Lengths(name.as_str().into())
            } else if graph.states.contains(&name) || main.is_some() {
                Value::State(name.as_str().into())
            } else {
                main = Some(name.clone());
                self.main_input(graph, input)?
            };
            self.values.insert(name, value);
        }
        match main {
            Some(_) => Ok(()),
            None => Err(graph
                .file
                .content("graph", "an input", "none", "export the model again")),
        }
    }

    fn main_input(&mut self, graph: &Graph<'_>, input: &ValueInfoProto) -> Result<Value> {
        let tensor = input.r#type.as_ref().and_then(|kind| kind.tensor_type.as_ref());
        let kind = tensor.map_or(0, |tensor| tensor.elem_type);
        let tokens = match kind {
            0 | data_type::FLOAT => Tokens::No,
            data_type::INT64 | data_type::INT32 => Tokens::Plain,
            other => {
                return Err(Error::Unsupported {
                    layer: format!("input {:?} of {}", shortened(&input.name), graph.file.path.display()),
                    option: data_type::name(other),
                    instead: "export the model in float32".to_owned(),
                });
            }
        };
        let shape = tensor.and_then(|tensor| tensor.shape.as_ref());
        let usual = if tokens == Tokens::No {
            INPUT_AXES
        } else {
            INPUT_AXES - 1
        };
        let axes = shape.map_or(usual, |shape| shape.dim.len());
        if !(1..=INPUT_AXES).contains(&axes) {
            let expected = "sequences: (batch, time_steps, features), or tokens (batch, time_steps)";
            let place = format!("input {:?}", shortened(&input.name));
            let repair = "only models of sequences are read";
            return Err(graph.file.content(place, expected, format!("{axes} axes"), repair));
        }
        let known = |axis: usize| shape.and_then(|shape| shape.dim.get(axis)?.dim_value.filter(|size| *size > 0));
        let dims: Vec<Dim> = (0..axes)
            .map(|axis| known(axis).map_or(Dim::of_input(axis), Dim::number))
            .collect();
        let width = dims
            .last()
            .and_then(|dim| dim.known())
            .and_then(|width| usize::try_from(width).ok());
        self.input = (input.name.clone(), dims);
        let stage = self.push(Kind::Input, None, usize::MAX);
        Ok(Value::Data(Data {
            blocks: vec![Block {
                stage,
                direction: 0,
                pick: Pick::All,
                width: width.unwrap_or(0),
            }],
            join: Join::Concat,
            axes: (0..axes).map(Axis::Input).collect(),
            turned: false,
            tokens,
        }))
    }

    pub(super) fn push(&mut self, kind: Kind, reads: Option<Data>, node: usize) -> usize {
        self.stages.push(Stage { kind, reads, node });
        self.stages.len() - 1
    }

    /// The value of a name, and all that it needs.
    pub(super) fn value(&mut self, graph: &Graph<'_>, name: &str, done: &mut HashSet<usize>) -> Result<Value> {
        let order = graph.order(name, done)?;
        // the loop says more than the comparisons that it is made of
        let nodes = order.iter().filter_map(|number| graph.node(*number));
        for node in nodes {
            refuse_subgraph(&node)?;
        }
        for number in order {
            let Some(node) = graph.node(number) else { continue };
            let mut inputs = Vec::with_capacity(node.proto.input.len());
            for name in &node.proto.input {
                inputs.push(match name.is_empty() {
                    true => None,
                    false => Some(self.known(graph, name, &node.label())?),
                });
            }
            let made = self.apply(&node, &inputs)?;
            for value in &made {
                // each name keeps its blocks
                if let Value::Data(data) = value {
                    self.take_room(&node, data.blocks.len().saturating_sub(2).saturating_mul(BLOCK))?;
                }
            }
            for (name, value) in node.proto.output.iter().zip(made) {
                self.values.insert(name.clone(), value);
            }
            done.insert(number);
        }
        self.known(graph, name, "graph")
    }

    /// A value that was worked out, or one that the file has.
    fn known(&mut self, graph: &Graph<'_>, name: &str, wanted_by: &str) -> Result<Value> {
        if let Some(value) = self.values.get(name) {
            return Ok(value.clone());
        }
        if let Some(tensor) = self.initializers.remove(name) {
            let value = self.tensors.value(&tensor, &format!("tensor {:?}", shortened(name)))?;
            self.values.insert(name.to_owned(), value.clone());
            return Ok(value);
        }
        let found = match graph.origin(name) {
            Some(Origin::Node(_)) => "an output that is not done here",
            _ => "no node, initializer or input of this name",
        };
        let expected = format!("a value {:?}", shortened(name));
        Err(graph.file.content(wanted_by, expected, found, "export the model again"))
    }

    /// Takes room for so many values, so that a small file becomes nothing large.
    pub(super) fn take_room(&mut self, node: &Node<'_>, values: usize) -> Result<()> {
        match self.room.checked_sub(values) {
            Some(rest) => {
                self.room = rest;
                Ok(())
            }
            None => Err(node.unsupported(
                format!("{values} more values made of those in the file"),
                "simplify the model (`onnxsim`), so that it holds its weights as they are used",
            )),
        }
    }

    /// The sizes of the axes of a tensor.
    pub(super) fn dims(&self, data: &Data) -> Vec<Dim> {
        let of_input = |axis: usize| self.input.1.get(axis).copied().unwrap_or(Dim::Unknown);
        let of_row = |row: Row| match row {
            Row::Input(axis) => of_input(axis),
            Row::Repeated(steps) => Dim::size(steps),
        };
        let size = |axis: &Axis| match *axis {
            Axis::Input(axis) => of_input(axis),
            Axis::Directions => Dim::size(data.blocks.len()),
            Axis::Features => Dim::size(data.width()),
            Axis::One => Dim::number(1),
            Axis::Repeated(steps) => Dim::size(steps),
            Axis::Rows(outer, inner) => of_row(outer).times(of_row(inner)),
        };
        data.axes.iter().map(size).collect()
    }

    /// Says that an axis has a role, and holds the file to it.
    pub(super) fn bind(&mut self, node: &Node<'_>, axis: Option<Axis>, role: Role) -> Result<()> {
        let what = match axis {
            Some(Axis::Input(number)) => {
                let mine = self.roles.get(number).copied().flatten();
                let taken = self.roles.contains(&Some(role));
                match (mine, taken) {
                    (Some(mine), _) if mine == role => return Ok(()),
                    (None, false) => {
                        if let Some(place) = self.roles.get_mut(number) {
                            *place = Some(role);
                        }
                        return Ok(());
                    }
                    (Some(mine), _) => format!("the {} of the input", mine.name()),
                    (None, true) => format!("axis {number} of the input, although another is the {}", role.name()),
                }
            }
            Some(Axis::One) => return Ok(()),
            Some(Axis::Features) if role == Role::Features => return Ok(()),
            Some(Axis::Repeated(_)) if role == Role::Time => return Ok(()),
            Some(Axis::Features) => "the features".to_owned(),
            Some(Axis::Repeated(_)) => "repeated time steps".to_owned(),
            Some(Axis::Directions) => "the two directions".to_owned(),
            Some(Axis::Rows(..)) => "batch and time in one axis".to_owned(),
            None => "no axis".to_owned(),
        };
        Err(node.no_chain(format!("{what} where the {} stand", role.name())))
    }
}

/// Refuses nodes that hold a graph of their own.
fn refuse_subgraph(node: &Node<'_>) -> Result<()> {
    match node.operator() {
        operator @ ("Loop" | "Scan" | "If" | "SequenceMap") => Err(node.written_out(operator)),
        _ => Ok(()),
    }
}

/// Known whole numbers as a list of one axis.
pub(super) fn integers(values: Vec<Dim>) -> Value {
    Value::Integers(ArcArray::from(values).into_dyn())
}

/// The numbers of a value that has to be known: axes, indices, shapes.
pub(super) fn numbers(node: &Node<'_>, value: &Value, what: &str) -> Result<Vec<i64>> {
    let list = dims_of(value).and_then(|dims| dims.into_iter().map(Dim::known).collect::<Option<Vec<_>>>());
    list.ok_or_else(|| {
        let option = format!("{what} that are worked out when the model runs");
        node.unsupported(option, "export the model with constant ones")
    })
}

/// The values of whole numbers.
pub(super) fn dims_of(value: &Value) -> Option<Vec<Dim>> {
    match value {
        Value::Integers(array) => Some(array.iter().copied().collect()),
        Value::Fill(Fill { value, shape }) => {
            let array = filled(*value, shape)?;
            Some(array.iter().copied().collect())
        }
        _ => None,
    }
}

/// The same number a few times, written out.
pub(super) fn filled(value: f32, shape: &[Dim]) -> Option<Integers> {
    const MOST: usize = 64;
    let size = |dim: &Dim| usize::try_from(dim.known()?).ok();
    let shape: Vec<usize> = shape.iter().map(size).collect::<Option<_>>()?;
    let count = super::arrays::count(&shape)?;
    let whole = value.fract() == 0.0 && count <= MOST;
    whole.then(|| ArcArray::from_elem(IxDyn(&shape), Dim::number(value as i64)))
}
