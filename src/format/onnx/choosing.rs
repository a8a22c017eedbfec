//! Comparisons and choices: of tokens, of sizes, and where an exporter writes an activation in two branches.

use ndarray::ArcArray;

use super::arithmetic::{number_of, whole};
use super::dim::Dim;
use super::node::Node;
use super::operators::Inputs;
use super::reader::{Reader, Role};
use super::stage::Kind;
use super::value::{Data, Tokens, Value};
use crate::activation::Activation;
use crate::error::Result;

/// From here on softplus is its argument, to the last bit of float32.
const LINEAR: f32 = 17.0;

impl Reader<'_> {
    pub(super) fn logic(&mut self, node: &Node<'_>, inputs: Inputs<'_>) -> Result<Value> {
        node.only(&[])?;
        match node.input(inputs, 0)? {
            Value::Data(data) => compared(node, data, inputs),
            Value::Above(data, than) if node.operator() == "Where" => self.branches(node, (data, *than), inputs),
            value => self.of_sizes(node, value, inputs),
        }
    }

    /// PyTorch's softplus gives its argument where that is above a threshold.
    fn branches(&self, node: &Node<'_>, (data, than): (&Data, f32), inputs: Inputs<'_>) -> Result<Value> {
        let (above, below) = (node.input(inputs, 1)?, node.input(inputs, 2)?);
        if let (Value::Data(above), Value::Data(below)) = (above, below) {
            let stage = below.stage().and_then(|stage| self.stages.get(stage));
            let softplus = stage.is_some_and(|stage| {
                matches!(stage.kind, Kind::Activation(Activation::Softplus)) && stage.reads.as_ref() == Some(data)
            });
            if softplus && above == data && than >= LINEAR {
                return Ok(Value::Data(below.clone()));
            }
        }
        Err(node.no_chain("a choice between two branches"))
    }

    /// What decides between sizes.
    fn of_sizes(&mut self, node: &Node<'_>, value: &Value, inputs: Inputs<'_>) -> Result<Value> {
        let one = whole(node, value)?;
        let truth = |is: bool| Dim::number(i64::from(is));
        if node.operator() == "Not" {
            return Ok(Value::Integers(
                one.mapv(|dim| truth(dim.known() == Some(0))).into_shared(),
            ));
        }
        let other = whole(node, node.input(inputs, 1)?)?;
        match node.operator() {
            "Where" => {}
            // a size of the input is none of the negative numbers that are asked for
            "Equal" => {
                let equal: fn(Dim, Dim) -> Dim = |one, other| Dim::number(i64::from(one == other));
                return self.pairwise(node, &one, &other, equal).map(Value::Integers);
            }
            _ => return Err(node.no_chain("sizes that are compared")),
        }
        let third = whole(node, node.input(inputs, 2)?)?;
        if one.shape() != other.shape() || one.shape() != third.shape() {
            let instead = "export the model with constant shapes";
            return Err(node.unsupported("a choice between sizes of different shapes", instead));
        }
        let picked = one.iter().zip(other.iter().zip(third.iter()));
        let picked: Vec<Dim> = picked
            .map(|(which, (yes, no))| if which.known() == Some(0) { *no } else { *yes })
            .collect();
        let array = ArcArray::from_shape_vec(one.raw_dim(), picked);
        array
            .map(Value::Integers)
            .map_err(|_| node.wrong("one shape", "others"))
    }

    /// The time steps the other way round, where all sequences are as long as the axis.
    pub(super) fn reverse_sequence(&mut self, node: &Node<'_>, inputs: Inputs<'_>) -> Result<Value> {
        node.only(&["batch_axis", "time_axis"])?;
        let Value::Data(data) = node.input(inputs, 0)? else {
            return Err(node.no_chain("constants that are turned round"));
        };
        let axes = data.axes.len();
        let time = node.axis(node.int("time_axis")?.unwrap_or(0), axes)?;
        let batch = node.axis(node.int("batch_axis")?.unwrap_or(1), axes)?;
        let steps = self.dims(data).get(time).copied().unwrap_or(Dim::Unknown);
        let whole_axis = match node.input(inputs, 1)? {
            Value::Same(dim) => *dim == steps,
            Value::Integers(array) => array.iter().all(|dim| *dim == steps),
            _ => false,
        };
        if !whole_axis || steps == Dim::Unknown {
            return Err(node.no_chain("sequences turned round within their lengths, outside of a layer"));
        }
        self.bind(node, data.axes.get(batch).copied(), Role::Batch)?;
        self.bind(node, data.axes.get(time).copied(), Role::Time)?;
        let turned = !data.turned;
        Ok(Value::Data(Data { turned, ..data.clone() }))
    }
}

/// A comparison of tokens with 0, or of values with a number.
fn compared(node: &Node<'_>, data: &Data, inputs: Inputs<'_>) -> Result<Value> {
    let number = inputs.get(1).and_then(Option::as_ref).and_then(number_of);
    let tokens = match (node.operator(), data.tokens, number) {
        ("Greater", Tokens::No, Some(number)) => return Ok(Value::Above(data.clone(), number)),
        ("Less", Tokens::Plain, Some(0.0)) => Tokens::Negative,
        ("Not", Tokens::Negative, _) => Tokens::NotNegative,
        _ => return Err(node.no_chain("values that are compared")),
    };
    Ok(Value::Data(Data { tokens, ..data.clone() }))
}
