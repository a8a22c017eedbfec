//! Sums and products: of sizes, of the two directions of a layer, and of an activation with what it was made of.

use ndarray::{ArcArray, Array1, IxDyn};

use super::dim::Dim;
use super::node::Node;
use super::operators::Inputs;
use super::reader::Reader;
use super::stage::Kind;
use super::value::{Axis, Data, Floats, Integers, Join, Tokens, Value};
use crate::activation::Activation;
use crate::error::{Error, Result};

impl Reader<'_> {
    pub(super) fn arithmetic(&mut self, node: &Node<'_>, inputs: Inputs<'_>) -> Result<Value> {
        node.only(&[])?;
        let (one, other) = (node.input(inputs, 0)?, node.input(inputs, 1)?);
        match (one, other) {
            (Value::Data(one), Value::Data(other)) if one.tokens != Tokens::No || other.tokens != Tokens::No => {
                self.of_tokens(node, one, other)
            }
            (Value::Data(one), Value::Data(other)) => self.of_two(node, one, other).map(Value::Data),
            (Value::Data(data), known) => self.with_known(node, data, known, true).map(Value::Data),
            (known, Value::Data(data)) => self.with_known(node, data, known, false).map(Value::Data),
            (Value::Integers(_) | Value::Fill(_), Value::Integers(_) | Value::Fill(_)) => {
                self.of_integers(node, one, other)
            }
            (Value::Floats(_) | Value::Fill(_), Value::Floats(_) | Value::Fill(_)) => self.of_floats(node, one, other),
            _ => Err(node.no_chain(format!("{} of these values", node.operator()))),
        }
    }

    fn of_integers(&mut self, node: &Node<'_>, one: &Value, other: &Value) -> Result<Value> {
        let (one, other) = (whole(node, one)?, whole(node, other)?);
        let apply: fn(Dim, Dim) -> Dim = match node.operator() {
            "Add" => Dim::plus,
            "Sub" => Dim::minus,
            "Mul" => Dim::times,
            _ => Dim::over,
        };
        self.pairwise(node, &one, &other, apply).map(Value::Integers)
    }

    /// Constants that the exporter did not fold: a sum of biases, say.
    fn of_floats(&mut self, node: &Node<'_>, one: &Value, other: &Value) -> Result<Value> {
        let (first, second) = (
            self.floats(node, one, "a number")?,
            self.floats(node, other, "a number")?,
        );
        let apply: fn(f32, f32) -> f32 = match node.operator() {
            "Add" => |one, other| one + other,
            "Sub" => |one, other| one - other,
            "Mul" => |one, other| one * other,
            _ => |one, other| one / other,
        };
        let kind = super::messages::data_type::FLOAT;
        let array = self.pairwise(node, &first, &second, apply)?;
        Ok(Value::Floats(Floats { kind, array }))
    }

    /// Value by value, of one shape or with a single number on one side.
    pub(super) fn pairwise<T: Copy>(
        &mut self,
        node: &Node<'_>,
        one: &ArcArray<T, IxDyn>,
        other: &ArcArray<T, IxDyn>,
        apply: fn(T, T) -> T,
    ) -> Result<ArcArray<T, IxDyn>> {
        self.take_room(node, one.len().max(other.len()))?;
        let single = |array: &ArcArray<T, IxDyn>| array.first().copied().filter(|_| array.len() == 1);
        if one.shape() == other.shape() {
            let pairs = one.iter().zip(other.iter());
            let values: Vec<T> = pairs.map(|(&one, &other)| apply(one, other)).collect();
            let array = ArcArray::from_shape_vec(one.raw_dim(), values);
            return array.map_err(|_| node.wrong("two tensors of one shape", "others"));
        }
        match (single(one), single(other)) {
            (_, Some(last)) if other.ndim() <= one.ndim() => Ok(one.mapv(|one| apply(one, last)).into_shared()),
            (Some(one), _) => Ok(other.mapv(|other| apply(one, other)).into_shared()),
            _ => Err(node.unsupported("constants of two shapes", "export the model with constant folding")),
        }
    }

    /// Of two tensors of the model.
    fn of_two(&mut self, node: &Node<'_>, one: &Data, other: &Data) -> Result<Data> {
        if node.operator() == "Mul"
            && let Some(activation) = self.times_itself(one, other)
        {
            return Ok(activation);
        }
        let join = match node.operator() {
            "Add" => Join::Sum,
            "Mul" => Join::Product,
            _ => return Err(node.no_chain("a difference or quotient of two values of the model")),
        };
        let same = one.join == Join::Concat
            && other.join == Join::Concat
            && one.axes == other.axes
            && one.turned == other.turned;
        match (one.blocks.as_slice(), other.blocks.as_slice()) {
            ([first], [second]) if same && first.stage == second.stage && first.direction != second.direction => {
                let mut blocks = vec![*first, *second];
                blocks.sort_by_key(|block| block.direction);
                Ok(Data {
                    blocks,
                    join,
                    ..one.clone()
                })
            }
            _ if self.is_made_of(one, other) || self.is_made_of(other, one) => Err(node.no_chain(
                "a value of the model and what later layers made of it (a residual connection), that become one",
            )),
            _ => {
                Err(node
                    .no_chain("two branches of the model, other than the two directions of a layer, that become one"))
            }
        }
    }

    /// Whether a tensor was made of another one, by one stage or several.
    fn is_made_of(&self, made: &Data, of: &Data) -> bool {
        let Some(wanted) = of.stage() else {
            return false;
        };
        let mut at = made.stage();
        // stages read those before them
        while let Some(number) = at.filter(|number| *number != wanted) {
            let reads = self.stages.get(number).and_then(|stage| stage.reads.as_ref());
            at = reads.and_then(Data::stage).filter(|next| *next < number);
        }
        at.is_some() && made.stage() != Some(wanted)
    }

    /// `x · sigmoid(x)` is silu, with a hard sigmoid hard silu, and `x · tanh(softplus(x))` mish.
    fn times_itself(&mut self, one: &Data, other: &Data) -> Option<Data> {
        for (plain, active) in [(one, other), (other, one)] {
            let (made, reads) = match self.active(active) {
                Some((Activation::Sigmoid, reads)) => (Activation::Silu, reads),
                Some((Activation::HardSigmoid, reads)) => (Activation::HardSilu, reads),
                _ => continue,
            };
            if reads == *plain {
                return self.replaced(active, plain, made);
            }
        }
        for (plain, active) in [(one, other), (other, one)] {
            let Some((Activation::Tanh, inner)) = self.active(active) else {
                continue;
            };
            if let Some((Activation::Softplus, reads)) = self.active(&inner)
                && reads == *plain
            {
                return self.replaced(active, plain, Activation::Mish);
            }
        }
        None
    }

    /// The activation that a tensor comes of, and what that one read.
    fn active(&self, data: &Data) -> Option<(Activation, Data)> {
        let stage = self.stages.get(data.stage()?)?;
        match (&stage.kind, &stage.reads) {
            (Kind::Activation(activation), Some(reads)) if reads.axes == data.axes => {
                Some((*activation, reads.clone()))
            }
            _ => None,
        }
    }

    /// What `relu6(x + 3)` read, which is a hard sigmoid but for a factor.
    fn of_hard_sigmoid(&self, data: &Data) -> Option<Data> {
        let Some((Activation::Relu6, sum)) = self.active(data) else {
            return None;
        };
        let stage = self.stages.get(sum.stage()?)?;
        match (&stage.kind, &stage.reads) {
            (Kind::Bias(row), Some(reads)) if reads.axes == sum.axes && row.iter().all(|&number| number == 3.0) => {
                Some(reads.clone())
            }
            _ => None,
        }
    }

    fn replaced(&mut self, active: &Data, reads: &Data, activation: Activation) -> Option<Data> {
        let node = self.stages.get(active.stage()?)?.node;
        let stage = self.push(Kind::Activation(activation), Some(reads.clone()), node);
        let mut data = active.clone();
        for block in &mut data.blocks {
            block.stage = stage;
        }
        Some(data)
    }

    /// Of a tensor of the model and numbers that are known.
    fn with_known(&mut self, node: &Node<'_>, data: &Data, known: &Value, data_first: bool) -> Result<Data> {
        if data.tokens != Tokens::No {
            return tokens_with_known(node, data, known);
        }
        let values = self.floats(node, known, "a number")?;
        let single = values.first().copied().filter(|_| values.len() == 1);
        match (node.operator(), single) {
            ("Add", Some(0.0)) => Ok(data.clone()),
            ("Sub", Some(0.0)) if data_first => Ok(data.clone()),
            ("Mul", Some(1.0)) => Ok(data.clone()),
            ("Div", Some(1.0)) if data_first => Ok(data.clone()),
            ("Mul", Some(0.5)) if data.join == Join::Sum => Ok(averaged(data)),
            ("Div", Some(2.0)) if data_first && data.join == Join::Sum => Ok(averaged(data)),
            ("Add", _) => self.bias(node, data, values),
            ("Mul", Some(factor)) if close_to_sixth(factor) && self.of_hard_sigmoid(data).is_some() => {
                let made = self.of_hard_sigmoid(data);
                let made = made.and_then(|reads| self.replaced(data, &reads, Activation::HardSigmoid));
                made.ok_or_else(|| Error::defect("the stage of an activation"))
            }
            ("Mul", _) => self.scale(node, data, values),
            _ => Err(node.no_chain(format!(
                "{} of the model's values and numbers that are known",
                node.operator()
            ))),
        }
    }

    /// A row is added to every step.
    pub(super) fn bias(&mut self, node: &Node<'_>, data: &Data, values: ArcArray<f32, IxDyn>) -> Result<Data> {
        self.take_room(node, data.width())?;
        let row = row_for(node, data, values)?;
        Ok(self.stepwise(node, Kind::Bias(row), data, data.width()))
    }

    fn scale(&mut self, node: &Node<'_>, data: &Data, values: ArcArray<f32, IxDyn>) -> Result<Data> {
        self.take_room(node, data.width())?;
        let row = row_for(node, data, values)?;
        Ok(self.stepwise(node, Kind::Scale(row), data, data.width()))
    }

    fn of_tokens(&self, node: &Node<'_>, one: &Data, other: &Data) -> Result<Value> {
        let tokens = match (node.operator(), one.tokens, other.tokens) {
            ("Mul", Tokens::Plain, Tokens::NotNegative) | ("Mul", Tokens::NotNegative, Tokens::Plain) => {
                Tokens::IfNotNegative
            }
            ("Mul", Tokens::Plus(rows), Tokens::Negative) | ("Mul", Tokens::Negative, Tokens::Plus(rows)) => {
                Tokens::IfNegative(rows)
            }
            ("Add", Tokens::IfNegative(rows), Tokens::IfNotNegative)
            | ("Add", Tokens::IfNotNegative, Tokens::IfNegative(rows)) => Tokens::FromEnd(rows),
            _ => return Err(node.no_chain("tokens that are changed before they are looked up")),
        };
        match one.axes == other.axes && one.blocks == other.blocks {
            true => Ok(Value::Data(Data { tokens, ..one.clone() })),
            false => Err(node.no_chain("tokens of two inputs")),
        }
    }
}

/// One number for each feature, whatever axes of size 1 stand before, or one for all of them.
fn row_for(node: &Node<'_>, data: &Data, values: ArcArray<f32, IxDyn>) -> Result<Array1<f32>> {
    let width = data.width();
    let values = match values.first() {
        Some(&number) if values.len() == 1 && values.ndim() <= data.axes.len() && width > 0 => {
            ArcArray::from_elem(IxDyn(&[width]), number)
        }
        _ => values,
    };
    let is_row = values.shape().iter().rev().skip(1).all(|&size| size == 1);
    let last = values.shape().last().copied();
    let on_features = matches!(data.axes.last(), Some(Axis::Features)) && !data.axes.contains(&Axis::Directions);
    let row = values.to_shape(width).ok().filter(|_| is_row && last == Some(width));
    match row {
        Some(row) if on_features && values.ndim() <= data.axes.len() => Ok(row.into_owned()),
        _ => {
            let found = format!("numbers of the shape {:?} for {width} features", values.shape());
            Err(node.no_chain(found))
        }
    }
}

fn close_to_sixth(factor: f32) -> bool {
    (factor - 1.0 / 6.0).abs() <= f32::EPSILON
}

fn averaged(data: &Data) -> Data {
    let join = Join::Average;
    Data { join, ..data.clone() }
}

pub(super) fn whole(node: &Node<'_>, value: &Value) -> Result<Integers> {
    let integers = match value {
        Value::Integers(array) => Some(array.clone()),
        Value::Fill(fill) => super::reader::filled(fill.value, &fill.shape),
        _ => None,
    };
    integers.ok_or_else(|| node.no_chain(format!("{} of these values", node.operator())))
}

/// The one number of a constant.
pub(super) fn number_of(value: &Value) -> Option<f32> {
    match value {
        Value::Floats(floats) if floats.array.len() == 1 => floats.array.first().copied(),
        Value::Integers(array) if array.len() == 1 => {
            array.first().and_then(|dim| dim.known()).map(|number| number as f32)
        }
        Value::Fill(fill) => Some(fill.value),
        _ => None,
    }
}

fn tokens_with_known(node: &Node<'_>, data: &Data, known: &Value) -> Result<Data> {
    let rows = match known {
        Value::Integers(array) if array.len() == 1 => array.first().and_then(|dim| dim.known()),
        _ => None,
    };
    match (node.operator(), data.tokens, rows) {
        ("Add", Tokens::Plain, Some(rows)) => {
            let tokens = Tokens::Plus(rows);
            Ok(Data { tokens, ..data.clone() })
        }
        _ => Err(node.no_chain("tokens that are changed before they are looked up")),
    }
}
