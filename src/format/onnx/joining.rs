//! Concat: of what is known, and of the directions of a layer.

use ndarray::{ArcArray, IxDyn};

use super::arrays::{count, joined};
use super::dim::Dim;
use super::messages::data_type;
use super::node::Node;
use super::operators::Inputs;
use super::reader::{Reader, filled};
use super::value::{Axis, Data, Fill, Floats, Integers, Join, Tokens, Value};
use crate::error::Result;

/// More directions than any model has, of all its layers together.
const MOST_BLOCKS: usize = 256;

impl Reader<'_> {
    pub(super) fn concat(&mut self, node: &Node<'_>, inputs: Inputs<'_>) -> Result<Value> {
        node.only(&["axis"])?;
        let values: Vec<&Value> = inputs.iter().flatten().collect();
        let Some(first) = values.first() else {
            return Err(node.wrong("inputs", "none"));
        };
        if values.len() == 1 {
            return Ok((*first).clone());
        }
        let is_data = |value: &&Value| matches!(value, Value::Data(_));
        let axis = node.int("axis")?.unwrap_or(1);
        if values.iter().any(is_data) {
            return self.data_joined(node, &values, axis).map(Value::Data);
        }
        if let Some(state) = values
            .iter()
            .find(|value| matches!(value, Value::State(_) | Value::Lengths(_)))
        {
            return Ok((*state).clone());
        }
        let axes = self.shape_of(first).unwrap_or_default().len();
        let axis = node.axis(axis, axes)?;
        if let Some(fill) = one_fill(&values, axis) {
            return Ok(Value::Fill(fill));
        }
        let wrong = || node.wrong("tensors of one type that fit together", "others");
        if values
            .iter()
            .all(|value| matches!(value, Value::Floats(_) | Value::Fill(_)))
        {
            let mut arrays = Vec::with_capacity(values.len());
            for value in values {
                arrays.push(self.floats(node, value, "a part")?);
            }
            self.take_room(node, arrays.iter().map(|array| array.len()).sum())?;
            let array = joined(&arrays, axis).ok_or_else(wrong)?;
            let kind = data_type::FLOAT;
            return Ok(Value::Floats(Floats { kind, array }));
        }
        let integers = |value: &&Value| match value {
            Value::Integers(array) => Some(array.clone()),
            Value::Fill(fill) => filled(fill.value, &fill.shape),
            _ => None,
        };
        let arrays: Vec<Integers> = values.iter().map(integers).collect::<Option<_>>().ok_or_else(wrong)?;
        self.take_room(node, arrays.iter().map(|array| array.len()).sum())?;
        Ok(Value::Integers(joined(&arrays, axis).ok_or_else(wrong)?))
    }

    fn data_joined(&mut self, node: &Node<'_>, values: &[&Value], axis: i64) -> Result<Data> {
        let mut parts = Vec::with_capacity(values.len());
        for value in values {
            match value {
                Value::Data(data) if data.join == Join::Concat && data.tokens == Tokens::No => parts.push(data),
                _ => return Err(node.no_chain("values of the model joined with others")),
            }
        }
        let Some((first, rest)) = parts.split_first() else {
            return Err(node.wrong("inputs", "none"));
        };
        let axis = node.axis(axis, first.axes.len())?;
        let is_stack = matches!(first.axes.get(axis), Some(Axis::One | Axis::Directions));
        let others = |data: &Data| {
            let mut axes = data.axes.clone();
            axes.remove(axis.min(axes.len().saturating_sub(1)));
            (axes, data.turned)
        };
        let alike = rest.iter().all(|part| {
            let along = part.axes.get(axis);
            let fits = match is_stack {
                true => matches!(along, Some(Axis::One | Axis::Directions)),
                false => along == Some(&Axis::Features),
            };
            fits && part.axes.len() == first.axes.len() && others(part) == others(first)
        });
        let blocks: Vec<_> = parts.iter().flat_map(|part| part.blocks.iter().copied()).collect();
        let width = blocks.first().map_or(0, |block| block.width);
        let is_stack_of_equals = !is_stack || blocks.iter().all(|block| block.width == width);
        let along_features = !is_stack && first.axes.get(axis) == Some(&Axis::Features);
        let has_directions = !is_stack && first.axes.contains(&Axis::Directions);
        if !alike
            || !(is_stack || along_features)
            || has_directions
            || !is_stack_of_equals
            || blocks.len() > MOST_BLOCKS
        {
            return Err(node.no_chain("values of the model joined side by side, other than the directions of a layer"));
        }
        // blocks are stacked along one axis only, and one of several blocks side by side is no block
        let many = |data: &&&Data| data.blocks.len() > 1 && !data.axes.contains(&Axis::Directions);
        if is_stack && parts.iter().any(|data| many(&data)) {
            return Err(node.no_chain("values of the model stacked that are joined already"));
        }
        let mut axes = first.axes.clone();
        if let (true, Some(axis)) = (is_stack, axes.get_mut(axis)) {
            *axis = Axis::Directions;
        }
        Ok(Data {
            blocks,
            axes,
            ..(*first).clone()
        })
    }

    /// The numbers of a tensor that has to be known, in float32.
    pub(super) fn floats(&mut self, node: &Node<'_>, value: &Value, what: &str) -> Result<ArcArray<f32, IxDyn>> {
        match value {
            Value::Floats(floats) if floats.kind == data_type::FLOAT => Ok(floats.array.clone()),
            Value::Floats(floats) => Err(node.unsupported(
                format!("{what} in {}", data_type::name(floats.kind)),
                "export the model in float32",
            )),
            Value::Fill(fill) => {
                let size = |dim: &Dim| usize::try_from(dim.known()?).ok();
                let shape: Option<Vec<usize>> = fill.shape.iter().map(size).collect();
                let known = shape.and_then(|shape| Some((count(&shape)?, shape)));
                let Some((count, shape)) = known else {
                    return Err(node.unsupported(
                        format!("{what} of a size that is not known"),
                        "export with constant ones",
                    ));
                };
                self.take_room(node, count)?;
                Ok(ArcArray::from_elem(IxDyn(&shape), fill.value))
            }
            Value::Data(_) | Value::State(_) | Value::Lengths(_) | Value::Same(_) | Value::Above(..) => {
                Err(node.no_chain(format!("{what} that is worked out of an input")))
            }
            Value::Integers(_) => Err(node.wrong(format!("{what} in float32"), "whole numbers")),
        }
    }
}

/// The same number in all of them.
fn one_fill(values: &[&Value], axis: usize) -> Option<Fill> {
    let mut all: Option<Fill> = None;
    for value in values {
        let Value::Fill(fill) = value else { return None };
        all = Some(match all {
            None => fill.clone(),
            Some(mut sum) => {
                if sum.value.to_bits() != fill.value.to_bits() || sum.shape.len() != fill.shape.len() {
                    return None;
                }
                let more = fill.shape.get(axis).copied()?;
                let dim = sum.shape.get_mut(axis)?;
                *dim = dim.plus(more);
                sum
            }
        });
    }
    all
}
