//! Which operator is done where.

use super::messages::data_type;
use super::node::Node;
use super::reader::{Reader, integers};
use super::value::{Data, Fill, Floats, Tokens, Value};
use crate::error::Result;
use ndarray::ArcArray;

/// The inputs of a node; `None` for one that is left out.
pub(super) type Inputs<'v> = &'v [Option<Value>];

impl Reader<'_> {
    /// The outputs of a node, as many as are done.
    pub(super) fn apply(&mut self, node: &Node<'_>, inputs: Inputs<'_>) -> Result<Vec<Value>> {
        if !matches!(node.proto.domain.as_str(), "" | "ai.onnx") {
            let option = format!("the operator {} of the domain {:?}", node.operator(), node.proto.domain);
            return Err(node.unsupported(option, "export the model with the standard operators alone"));
        }
        let one = |value: Result<Value>| value.map(|value| vec![value]);
        match node.operator() {
            "LSTM" | "GRU" | "RNN" => self.recurrent(node, inputs),
            "Split" => self.split(node, inputs),
            "Identity" => node.only(&[]).and_then(|()| one(node.input(inputs, 0).cloned())),
            "Dropout" => one(dropout(node, inputs)),
            "Constant" => one(self.constant(node)),
            "Cast" => one(cast(node, inputs)),
            "Shape" => one(self.shape(node, inputs)),
            "ConstantOfShape" => one(self.constant_of_shape(node, inputs)),
            "Expand" => one(self.expand(node, inputs)),
            "Tile" => one(self.tile(node, inputs)),
            "Transpose" => one(self.transpose(node, inputs)),
            "Squeeze" => one(self.squeeze(node, inputs)),
            "Unsqueeze" => one(self.unsqueeze(node, inputs)),
            "Reshape" => one(self.reshape(node, inputs)),
            "Flatten" => one(self.flatten(node, inputs)),
            "Slice" => one(self.slice(node, inputs)),
            "Gather" => one(self.gather(node, inputs)),
            "Concat" => one(self.concat(node, inputs)),
            "Add" | "Sub" | "Mul" | "Div" => one(self.arithmetic(node, inputs)),
            "ReverseSequence" => one(self.reverse_sequence(node, inputs)),
            "ReduceProd" => one(reduce_prod(node, inputs)),
            "Less" | "Greater" | "Not" | "Equal" | "Where" => one(self.logic(node, inputs)),
            "LayerNormalization" => one(self.layer_normalization(node, inputs)),
            "BatchNormalization" => one(self.batch_normalization(node, inputs)),
            "MatMul" => one(self.mat_mul(node, inputs)),
            "Gemm" => one(self.gemm(node, inputs)),
            _ => one(self.activation(node, inputs)),
        }
    }

    fn constant(&mut self, node: &Node<'_>) -> Result<Value> {
        let known = ["value", "value_float", "value_floats", "value_int", "value_ints"];
        node.only(&known)?;
        if let Some(tensor) = node.tensor("value") {
            return self.tensors.value(tensor, &node.label());
        }
        let floats = |list: Vec<f32>| {
            let kind = data_type::FLOAT;
            let array = ArcArray::from(list).into_dyn();
            Value::Floats(Floats { kind, array })
        };
        if let Some(value) = node.float("value_float")? {
            let shape = Vec::new();
            return Ok(Value::Fill(Fill { value, shape }));
        }
        if let Some(value) = node.int("value_int")? {
            let number = super::dim::Dim::number(value);
            return Ok(Value::Integers(ArcArray::from_elem(ndarray::IxDyn(&[]), number)));
        }
        if let Some(list) = node.ints("value_ints")? {
            return Ok(integers(list.iter().copied().map(super::dim::Dim::number).collect()));
        }
        match node.has("value_floats") {
            true => Ok(floats(node.floats("value_floats")?.to_vec())),
            false => Err(node.wrong("a value", "none")),
        }
    }
}

/// Nothing is dropped in inference.
fn dropout(node: &Node<'_>, inputs: Inputs<'_>) -> Result<Value> {
    node.only(&["ratio", "seed"])?;
    let training = match inputs.get(2) {
        Some(Some(value)) => super::reader::numbers(node, value, "training_mode")? != [0],
        _ => false,
    };
    match training {
        true => Err(node.unsupported("training_mode", "export the model for inference (`model.eval()`)")),
        false => node.input(inputs, 0).cloned(),
    }
}

fn cast(node: &Node<'_>, inputs: Inputs<'_>) -> Result<Value> {
    node.only(&["to", "saturate", "round_mode"])?;
    let to = node.int("to")?.ok_or_else(|| node.wrong("the attribute to", "none"))?;
    let to = i32::try_from(to).unwrap_or(-1);
    let whole = matches!(to, data_type::INT64 | data_type::INT32);
    let value = node.input(inputs, 0)?;
    let refused = || {
        let option = format!("a change of type to {}", data_type::name(to));
        Err(node.unsupported(option, "export the model in float32"))
    };
    match value {
        Value::Floats(floats) if to == data_type::FLOAT => {
            let kind = to;
            let array = floats.array.clone();
            Ok(Value::Floats(Floats { kind, array }))
        }
        Value::Integers(_) | Value::Fill(_) if whole || matches!(to, data_type::FLOAT | data_type::BOOL) => {
            Ok(value.clone())
        }
        Value::Data(data) => match data.tokens {
            Tokens::No if to == data_type::FLOAT => Ok(value.clone()),
            // tokens that come as float32 and are looked up
            Tokens::No if whole && data.stage() == Some(0) => {
                let tokens = Tokens::Plain;
                Ok(Value::Data(Data { tokens, ..data.clone() }))
            }
            Tokens::No => refused(),
            _ => Ok(value.clone()),
        },
        Value::State(_) if to == data_type::FLOAT => Ok(value.clone()),
        Value::Lengths(_) if whole => Ok(value.clone()),
        _ => refused(),
    }
}

fn reduce_prod(node: &Node<'_>, inputs: Inputs<'_>) -> Result<Value> {
    node.only(&["axes", "keepdims", "noop_with_empty_axes"])?;
    let value = node.input(inputs, 0)?;
    let one_axis = matches!(value, Value::Integers(array) if array.ndim() == 1);
    let Some(dims) = super::reader::dims_of(value).filter(|_| one_axis) else {
        return Err(node.no_chain("a product over an axis of values"));
    };
    let product = dims
        .into_iter()
        .fold(super::dim::Dim::number(1), super::dim::Dim::times);
    let shape: &[usize] = match node.int("keepdims")?.unwrap_or(1) {
        0 => &[],
        _ => &[1],
    };
    Ok(Value::Integers(ArcArray::from_elem(ndarray::IxDyn(shape), product)))
}
