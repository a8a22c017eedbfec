//! A functional model as a chain: from its output back to its input, by the nodes that each layer was called at.

use std::collections::BTreeMap;

use serde_json::Value;

use super::config::{Object, short, shown};
use super::last_step::{
    LAST_STEP, LAST_STEP_OF_KERAS_2, is_last_step, is_last_step_of_keras_2, taken_from, tensor_taken_from,
};
use super::step::{MaskArgument, Step};
use crate::error::{Error, Result};
use crate::format::file::File;

/// The layers of the chain in order.
type Order = Vec<Step>;

/// Whether an entry is an operation (`keras.ops`) and no layer.
pub(super) fn is_operation(entry: &Object<'_>) -> bool {
    matches!(entry.class, "NotEqual" | "Any" | LAST_STEP | LAST_STEP_OF_KERAS_2)
}

pub(super) fn order(file: &File<'_>, model: &Object<'_>, layers: &[Object<'_>]) -> Result<Order> {
    Graph::new(file, model, layers)?.order()
}

/// A tensor: the layer that makes it, at which call, and which of its outputs it is.
#[derive(Clone, Copy, Debug)]
struct Tensor<'a> {
    layer: &'a str,
    call: u64,
    output: u64,
}

impl<'a> Tensor<'a> {
    /// From its name, its call and the number of its output.
    fn of(parts: &'a [Value]) -> Option<Self> {
        match parts {
            [Value::String(layer), call, output] => Some(Self {
                layer,
                call: call.as_u64()?,
                output: output.as_u64()?,
            }),
            _ => None,
        }
    }
}

/// How a layer is called.
#[derive(Debug, Default)]
struct Call<'a> {
    inputs: Vec<Tensor<'a>>,
    mask: Option<Tensor<'a>>,
    /// The numbers among its arguments.
    numbers: Vec<f64>,
}

struct Graph<'a> {
    file: &'a File<'a>,
    model: Object<'a>,
    layers: &'a [Object<'a>],
    entries: Vec<&'a Value>,
    by_name: BTreeMap<&'a str, usize>,
}

impl<'a> Graph<'a> {
    fn new(file: &'a File<'a>, model: &Object<'a>, layers: &'a [Object<'a>]) -> Result<Self> {
        let entries: Vec<&Value> = model
            .config
            .get("layers")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .collect();
        let mut graph = Self {
            file,
            model: *model,
            layers,
            entries,
            by_name: BTreeMap::new(),
        };
        for (index, entry) in graph.entries.iter().enumerate() {
            let name = entry.get("name").or_else(|| entry.get("config")?.get("name"));
            let name = name
                .and_then(Value::as_str)
                .ok_or_else(|| graph.bad("a name for each layer", entry))?;
            if graph.by_name.insert(name, index).is_some() {
                return Err(graph.bad("one layer of each name", &Value::from(name)));
            }
        }
        Ok(graph)
    }

    fn order(&self) -> Result<Order> {
        let (output, gives_states) = self.one_output()?;
        let input = self.one_input()?;
        let mut order = Vec::new();
        let mut next = output;
        loop {
            let index = self.index(&next)?;
            if order.iter().any(|step: &Step| step.index == index) {
                return Err(self.branch(next.layer, "a ring of layers".to_owned()));
            }
            if next.layer == input {
                order.push(Step::of_sequential(index));
                break;
            }
            let call = self.one_call(index, next.layer)?;
            let before = self.one_before(&call, next.layer)?;
            let mask = call.mask.map(|mask| self.mask(next.layer, &mask));
            order.push(Step {
                index,
                before: before.layer.to_owned(),
                mask: mask.unwrap_or(Ok(MaskArgument::Implied))?,
                gives_states: gives_states && order.is_empty(),
            });
            next = before;
        }
        order.reverse();
        self.check_rest(&order)?;
        Ok(order)
    }

    /// The layer whose output is the model's, and whether its states are too.
    fn one_output(&self) -> Result<(Tensor<'a>, bool)> {
        let outputs = self.ends("output_layers")?;
        let Some(output) = outputs.first() else {
            return Err(self.bad("one output", &Value::Null));
        };
        if let Some(other) = outputs.iter().find(|other| other.layer != output.layer) {
            let both = [output.layer, other.layer].map(short);
            return Err(self.branch(
                other.layer,
                format!("outputs of the layers {:?} and {:?}", both[0], both[1]),
            ));
        }
        if output.output != 0 {
            return Err(self.branch(output.layer, "a state as its output".to_owned()));
        }
        Ok((*output, outputs.len() > 1))
    }

    /// How a layer is called, if it is called once.
    fn one_call(&self, index: usize, layer: &str) -> Result<Call<'a>> {
        let entry = self.entries.get(index).copied().unwrap_or(&Value::Null);
        let mut calls = self.calls(layer, entry)?;
        match (calls.len(), calls.pop()) {
            (1, Some(call)) => Ok(call),
            (count, _) => Err(self.branch(layer, format!("{count} calls of one layer"))),
        }
    }

    /// What a layer is called with, if that is the output of one layer.
    fn one_before(&self, call: &Call<'a>, layer: &str) -> Result<Tensor<'a>> {
        let [before] = call.inputs.as_slice() else {
            let inputs: Vec<&str> = call.inputs.iter().map(|input| short(input.layer)).collect();
            return Err(self.branch(
                layer,
                match inputs.is_empty() {
                    true => "no layer before it".to_owned(),
                    false => format!("{} inputs: {}", inputs.len(), inputs.join(", ")),
                },
            ));
        };
        match (before.call, before.output) {
            (0, 0) => Ok(*before),
            (call, output) => Err(self.branch(
                layer,
                format!("output {output} of call {call} of {:?}", short(before.layer)),
            )),
        }
    }

    /// Every layer is in the chain but those that make masks.
    fn check_rest(&self, order: &Order) -> Result<()> {
        for (name, index) in &self.by_name {
            let operation = self.layers.get(*index).is_some_and(is_operation);
            if !operation && !order.iter().any(|step| step.index == *index) {
                return Err(self.branch(name, "a branch beside the chain".to_owned()));
            }
        }
        Ok(())
    }

    /// What a mask is made of: `Any(NotEqual(input, value))` for Masking, `NotEqual(tokens, 0)` for Embedding.
    fn mask(&self, layer: &str, mask: &Tensor<'_>) -> Result<MaskArgument> {
        let unknown = || self.branch(layer, format!("a mask of its own, made by {:?}", short(mask.layer)));
        let call = |tensor: &Tensor<'_>, class: &str| -> Result<Call<'a>> {
            let index = self.index(tensor)?;
            let is = self
                .layers
                .get(index)
                .is_some_and(|layer| layer.class == class && is_operation(layer));
            let entry = self.entries.get(index).copied().filter(|_| is).ok_or_else(unknown)?;
            let mut calls = self.calls(tensor.layer, entry)?;
            match (calls.pop(), calls.is_empty()) {
                (Some(call), true) => Ok(call),
                _ => Err(unknown()),
            }
        };
        let index = self.index(mask)?;
        let of_features = self.layers.get(index).is_some_and(|layer| layer.class == "Any");
        let unequal = match of_features {
            true => {
                let any = call(mask, "Any")?;
                let [input] = any.inputs.as_slice() else {
                    return Err(unknown());
                };
                call(input, "NotEqual")?
            }
            false => call(mask, "NotEqual")?,
        };
        match (unequal.inputs.as_slice(), unequal.numbers.as_slice()) {
            ([of], [value]) => Ok(MaskArgument::Unequal {
                of: of.layer.to_owned(),
                value: *value,
                of_features,
            }),
            _ => Err(unknown()),
        }
    }

    fn index(&self, tensor: &Tensor<'_>) -> Result<usize> {
        let index = self.by_name.get(tensor.layer);
        index
            .copied()
            .ok_or_else(|| self.bad("the name of a layer", &Value::from(tensor.layer)))
    }

    fn one_input(&self) -> Result<&'a str> {
        let inputs = self.ends("input_layers")?;
        match inputs.as_slice() {
            [input] => Ok(input.layer),
            [first, second, ..] => Err(self.branch(
                second.layer,
                format!("inputs {:?} and {:?}", short(first.layer), short(second.layer)),
            )),
            [] => Err(self.bad("one input", &Value::Null)),
        }
    }

    /// `["name", 0, 0]`, or a list of such.
    fn ends(&self, key: &str) -> Result<Vec<Tensor<'a>>> {
        let value = self.model.config.get(key).unwrap_or(&Value::Null);
        let list = value.as_array().map(Vec::as_slice).unwrap_or_default();
        if let Some(one) = Tensor::of(list) {
            return Ok(vec![one]);
        }
        let ends = list.iter().map(|end| {
            let parts = end.as_array().map(Vec::as_slice).unwrap_or_default();
            Tensor::of(parts).ok_or_else(|| self.bad(&format!("{key} as names of layers"), value))
        });
        ends.collect()
    }

    fn calls(&self, layer: &str, entry: &'a Value) -> Result<Vec<Call<'a>>> {
        let wrong = || {
            self.bad(
                "inbound_nodes as Keras writes them",
                entry.get("inbound_nodes").unwrap_or(&Value::Null),
            )
        };
        let other_part = || self.branch(layer, "a part of a tensor other than x[:, -1]".to_owned());
        let nodes = entry.get("inbound_nodes").and_then(Value::as_array).ok_or_else(wrong)?;
        let call = |node: &'a Value| {
            let mut call = Call::default();
            match node {
                Value::Object(node) => {
                    let arguments = node.get("args").unwrap_or(&Value::Null);
                    let arguments = match is_last_step(entry) {
                        false => arguments,
                        true => taken_from(arguments).ok_or_else(other_part)?,
                    };
                    self.arguments(arguments, &mut call, 0)?;
                    if let Some(Value::Object(named)) = node.get("kwargs") {
                        for (name, value) in named {
                            self.named(layer, name, value, &mut call)?;
                        }
                    }
                }
                Value::Array(node) if is_last_step_of_keras_2(entry) => {
                    let tensor = tensor_taken_from(node).and_then(Tensor::of);
                    call.inputs.push(tensor.ok_or_else(other_part)?);
                }
                // Keras 2: a list of [name, call, output, named arguments]
                Value::Array(inputs) => {
                    for input in inputs {
                        let parts = input.as_array().ok_or_else(wrong)?;
                        call.inputs
                            .push(Tensor::of(parts.get(..3).unwrap_or_default()).ok_or_else(wrong)?);
                        if let Some(Value::Object(named)) = parts.get(3) {
                            for (name, value) in named {
                                self.named(layer, name, value, &mut call)?;
                            }
                        }
                    }
                }
                _ => return Err(wrong()),
            }
            Ok(call)
        };
        nodes.iter().map(call).collect()
    }

    fn arguments(&self, value: &'a Value, call: &mut Call<'a>, depth: usize) -> Result<()> {
        const DEEPEST: usize = 8;
        if depth > DEEPEST {
            return Err(self.bad("the arguments of a layer", value));
        }
        match value {
            Value::Array(list) => list.iter().try_for_each(|value| self.arguments(value, call, depth + 1)),
            Value::Null => Ok(()),
            value => {
                if let Some(tensor) = keras_tensor(value) {
                    call.inputs.push(tensor);
                } else if let Some(number) = value.as_f64() {
                    call.numbers.push(number);
                } else {
                    return Err(self.bad("a tensor or a number as the argument of a layer", value));
                }
                Ok(())
            }
        }
    }

    fn named(&self, layer: &str, name: &str, value: &'a Value, call: &mut Call<'a>) -> Result<()> {
        match (name, value) {
            (_, Value::Null) | ("training", Value::Bool(false)) => Ok(()),
            ("mask", value) if keras_tensor(value).is_some() => {
                call.mask = keras_tensor(value);
                Ok(())
            }
            // Keras 2 passes it so
            ("mask", Value::Array(parts)) if Tensor::of(parts.get(..3).unwrap_or_default()).is_some() => {
                call.mask = Tensor::of(parts.get(..3).unwrap_or_default());
                Ok(())
            }
            _ => Err(self.branch(layer, format!("the argument {} = {}", short(name), shown(value)))),
        }
    }

    /// The node where the model is no chain.
    fn branch(&self, layer: &str, found: String) -> Error {
        Error::Unsupported {
            layer: format!("layer {:?} of {}", short(layer), self.file.path.display()),
            option: format!("{found}, where the model is no chain of layers"),
            instead: "build a model of the one chain that is wanted, or run the parts as models of their own"
                .to_owned(),
        }
    }

    fn bad(&self, expected: &str, found: &Value) -> Error {
        self.file.content(
            format!("the configuration of model {}", self.model.title()),
            expected,
            shown(found),
            "save the model again with Keras",
        )
    }
}

fn keras_tensor(value: &Value) -> Option<Tensor<'_>> {
    if value.get("class_name")?.as_str()? != "__keras_tensor__" {
        return None;
    }
    Tensor::of(value.get("config")?.get("keras_history")?.as_array()?)
}
