//! The nodes and names of a file: who makes what, and in which order it is worked out.

use std::collections::{HashMap, HashSet};

use super::messages::{GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto};
use super::node::{Node, shortened};
use crate::error::{Error, Result};
use crate::format::file::File;

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    Node(usize),
    Initializer,
    Input(usize),
}

#[derive(Debug)]
pub(super) struct Graph<'a> {
    pub(super) file: File<'a>,
    pub(super) nodes: Vec<NodeProto>,
    pub(super) opset: i64,
    pub(super) inputs: Vec<ValueInfoProto>,
    pub(super) outputs: Vec<ValueInfoProto>,
    origins: HashMap<String, Origin>,
    /// What stands where lengths, and where initial states are given.
    pub(super) lengths: HashSet<String>,
    pub(super) states: HashSet<String>,
}

/// The first version of the operators that is read, and the last one that is known. A later one is tried, and said so.
const OPSETS: [i64; 2] = [7, 28];

impl<'a> Graph<'a> {
    /// The graph of a file and its tensors by name.
    pub(super) fn new(model: ModelProto, file: File<'a>) -> Result<(Self, HashMap<String, TensorProto>)> {
        let opset = opset(&model, &file)?;
        let graph = model.graph.filter(|graph| !graph.node.is_empty());
        let graph = graph.ok_or_else(|| {
            let repair = "check that the file is a whole ONNX model";
            file.content("graph", "a graph with nodes", "none", repair)
        })?;
        let GraphProto {
            node: nodes,
            initializer,
            input,
            output: outputs,
            ..
        } = graph;
        let mut made = Self {
            file,
            nodes,
            opset,
            inputs: Vec::new(),
            outputs,
            origins: HashMap::new(),
            lengths: HashSet::new(),
            states: HashSet::new(),
        };
        let mut tensors = HashMap::new();
        for tensor in initializer {
            made.name(&tensor.name, Origin::Initializer)?;
            tensors.insert(tensor.name.clone(), tensor);
        }
        // files before version 4 list the initializers among the inputs too
        made.inputs = input
            .into_iter()
            .filter(|input| !tensors.contains_key(&input.name))
            .collect();
        for (number, name) in made
            .inputs
            .iter()
            .map(|input| input.name.clone())
            .enumerate()
            .collect::<Vec<_>>()
        {
            made.name(&name, Origin::Input(number))?;
        }
        for number in 0..made.nodes.len() {
            let names = made
                .nodes
                .get_mut(number)
                .map(|node| node.output.clone())
                .unwrap_or_default();
            for name in names.iter().filter(|name| !name.is_empty()) {
                made.name(name, Origin::Node(number))?;
            }
        }
        made.find_states();
        Ok((made, tensors))
    }

    fn name(&mut self, name: &str, origin: Origin) -> Result<()> {
        match self.origins.insert(name.to_owned(), origin) {
            None => Ok(()),
            Some(_) => Err(self.file.content(
                format!("{:?}", shortened(name)),
                "one node, initializer or input of this name",
                "two",
                "export the model again",
            )),
        }
    }

    /// The inputs of recurrent nodes that are no sequences.
    fn find_states(&mut self) {
        let recurrent = |node: &&NodeProto| matches!(node.op_type.as_str(), "LSTM" | "GRU" | "RNN");
        for node in self.nodes.iter().filter(recurrent) {
            self.lengths.extend(node.input.get(4).cloned());
            self.states.extend(node.input.iter().skip(5).take(2).cloned());
        }
    }

    /// What is told about operators that are newer than this reader.
    pub(super) fn note(&self) -> Option<String> {
        let [_, last] = OPSETS;
        let (opset, newer) = (self.opset, self.opset > last);
        newer.then(|| format!("the file has opset {opset}; the operators were read as those of opset {last}"))
    }

    pub(super) fn origin(&self, name: &str) -> Option<Origin> {
        self.origins.get(name).copied()
    }

    pub(super) fn node(&self, number: usize) -> Option<Node<'_>> {
        let proto = self.nodes.get(number)?;
        Some(Node {
            proto,
            number,
            file: self.file,
            opset: self.opset,
        })
    }

    /// The nodes that a value needs and that are not done yet, each behind those that it needs itself.
    pub(super) fn order(&self, name: &str, done: &HashSet<usize>) -> Result<Vec<usize>> {
        let mut order = Vec::new();
        let mut open = HashSet::new();
        let mut finished = HashSet::new();
        let mut stack: Vec<usize> = self.maker(name).into_iter().collect();
        while let Some(&number) = stack.last() {
            if done.contains(&number) || finished.contains(&number) {
                stack.pop();
                continue;
            }
            if !open.insert(number) {
                stack.pop();
                finished.insert(number);
                order.push(number);
                continue;
            }
            let inputs = self.nodes.get(number).map_or(&[][..], |node| &node.input);
            for maker in inputs.iter().filter_map(|name| self.maker(name)) {
                if finished.contains(&maker) || done.contains(&maker) {
                    continue;
                }
                if open.contains(&maker) {
                    return Err(self.cycle(maker));
                }
                stack.push(maker);
            }
        }
        Ok(order)
    }

    fn maker(&self, name: &str) -> Option<usize> {
        match self.origin(name)? {
            Origin::Node(number) => Some(number),
            _ => None,
        }
    }

    fn cycle(&self, number: usize) -> Error {
        match self.node(number) {
            Some(node) => node.wrong(
                "nodes that need what other nodes made before",
                "a node that needs itself",
            ),
            None => Error::defect("a node of a cycle"),
        }
    }
}

/// The version of the standard operators.
fn opset(model: &ModelProto, file: &File<'_>) -> Result<i64> {
    let standard = |domain: &str| domain.is_empty() || domain == "ai.onnx";
    let found = model.opset_import.iter().find(|set| standard(&set.domain));
    let version = found.map_or(1, |set| set.version);
    let [first, _] = OPSETS;
    if version >= first {
        return Ok(version);
    }
    Err(Error::Unsupported {
        layer: file.path.display().to_string(),
        option: match found {
            Some(_) => format!("opset {version} of the standard operators"),
            None => "a file that names no opset of the standard operators".to_owned(),
        },
        instead: format!("export with opset {first} or a later one"),
    })
}
