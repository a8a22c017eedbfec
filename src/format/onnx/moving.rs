//! The operators that move axes and values about: Transpose, Squeeze, Unsqueeze, and those that make shapes.

use ndarray::{ArcArray, IxDyn};

use super::arrays::{reshaped, transposed};
use super::dim::Dim;
use super::node::Node;
use super::operators::Inputs;
use super::reader::{Reader, dims_of, filled, integers, numbers};
use super::stage::Kind;
use super::tensor::MOST_AXES;
use super::value::{Axis, Block, Data, Fill, Floats, Join, Pick, Tokens, Value};
use crate::error::Result;

impl Reader<'_> {
    /// The sizes of a value.
    pub(super) fn shape_of(&self, value: &Value) -> Option<Vec<Dim>> {
        match value {
            Value::Floats(floats) => Some(floats.array.shape().iter().copied().map(Dim::size).collect()),
            Value::Integers(array) => Some(array.shape().iter().copied().map(Dim::size).collect()),
            Value::Fill(fill) => Some(fill.shape.clone()),
            Value::Data(data) => Some(self.dims(data)),
            Value::State(_) | Value::Lengths(_) | Value::Same(_) | Value::Above(..) => None,
        }
    }

    pub(super) fn shape(&mut self, node: &Node<'_>, inputs: Inputs<'_>) -> Result<Value> {
        node.only(&["start", "end"])?;
        let Some(dims) = self.shape_of(node.input(inputs, 0)?) else {
            return Err(node.unsupported(
                "the shape of another input",
                "export the model with zero initial states",
            ));
        };
        let count = i64::try_from(dims.len()).unwrap_or(i64::MAX);
        let place = |index: i64| {
            let index = if index < 0 { index.saturating_add(count) } else { index };
            usize::try_from(index.clamp(0, count)).unwrap_or(0)
        };
        let start = place(node.int("start")?.unwrap_or(0));
        let end = place(node.int("end")?.unwrap_or(count));
        Ok(integers(dims.get(start..end).unwrap_or_default().to_vec()))
    }

    pub(super) fn constant_of_shape(&mut self, node: &Node<'_>, inputs: Inputs<'_>) -> Result<Value> {
        node.only(&["value"])?;
        let shape = dims_of(node.input(inputs, 0)?).ok_or_else(|| node.wrong("whole numbers as a shape", "others"))?;
        if shape.len() > MOST_AXES || shape.iter().any(|dim| dim.known().is_some_and(|size| size < 0)) {
            return Err(node.wrong("a shape of sizes of 0 or more", super::dim::shape(&shape)));
        }
        let value = match node.tensor("value") {
            None => Value::Fill(Fill {
                value: 0.0,
                shape: Vec::new(),
            }),
            Some(tensor) => self.tensors.value(tensor, &node.label())?,
        };
        let value = match &value {
            Value::Floats(floats) if floats.array.len() == 1 => floats.array.first().copied().unwrap_or(0.0),
            Value::Integers(array) if array.len() == 1 => {
                let number = array.first().and_then(|dim| dim.known()).unwrap_or(0);
                if let Some(array) = filled(0.0, &shape) {
                    return Ok(Value::Integers(array.mapv(|_| Dim::number(number)).into_shared()));
                }
                number as f32
            }
            Value::Fill(fill) => fill.value,
            _ => return Err(node.wrong("one value", "several")),
        };
        Ok(Value::Fill(Fill { value, shape }))
    }

    pub(super) fn transpose(&mut self, node: &Node<'_>, inputs: Inputs<'_>) -> Result<Value> {
        node.only(&["perm"])?;
        let value = node.input(inputs, 0)?;
        let Some(dims) = self.shape_of(value) else {
            return Ok(value.clone());
        };
        let order = match node.ints("perm")? {
            None => (0..dims.len()).rev().collect(),
            Some(order) => self.permutation(node, order, dims.len())?,
        };
        let moved = |list: &[Dim]| order.iter().filter_map(|&axis| list.get(axis).copied()).collect();
        Ok(match value {
            Value::Floats(floats) => Value::Floats(Floats {
                kind: floats.kind,
                array: transposed(floats.array.clone(), &order),
            }),
            Value::Integers(array) => Value::Integers(transposed(array.clone(), &order)),
            Value::Fill(fill) => Value::Fill(Fill {
                value: fill.value,
                shape: moved(&fill.shape),
            }),
            Value::Data(data) => {
                let axes = order.iter().filter_map(|&axis| data.axes.get(axis).copied()).collect();
                Value::Data(data.with_axes(axes))
            }
            _ => value.clone(),
        })
    }

    fn permutation(&self, node: &Node<'_>, order: &[i64], axes: usize) -> Result<Vec<usize>> {
        let order: Vec<usize> = order.iter().filter_map(|&axis| usize::try_from(axis).ok()).collect();
        let all = order.len() == axes && (0..axes).all(|axis| order.contains(&axis));
        match all {
            true => Ok(order),
            false => Err(node.wrong(format!("an order of {axes} axes"), format!("{order:?}"))),
        }
    }

    /// The axes that a node names, as an attribute or, from opset 13 on, as an input.
    fn axes_named(&self, node: &Node<'_>, inputs: Inputs<'_>, axes: usize) -> Result<Option<Vec<usize>>> {
        node.only(&["axes"])?;
        let named = match (node.ints("axes")?, inputs.get(1)) {
            (Some(axes), _) => axes.to_vec(),
            (None, Some(Some(value))) => numbers(node, value, "axes")?,
            _ => return Ok(None),
        };
        let mut found = Vec::with_capacity(named.len().min(MOST_AXES));
        for axis in named {
            let axis = node.axis(axis, axes)?;
            if found.contains(&axis) {
                return Err(node.wrong("axes that are all different", format!("axis {axis} twice")));
            }
            found.push(axis);
        }
        found.sort_unstable();
        Ok(Some(found))
    }

    pub(super) fn squeeze(&mut self, node: &Node<'_>, inputs: Inputs<'_>) -> Result<Value> {
        let value = node.input(inputs, 0)?;
        let Some(dims) = self.shape_of(value) else {
            return Ok(value.clone());
        };
        let is_one = |axis: &usize| dims.get(*axis).is_some_and(|dim| dim.known() == Some(1));
        let axes = match self.axes_named(node, inputs, dims.len())? {
            Some(axes) => axes,
            None => (0..dims.len()).filter(is_one).collect(),
        };
        if let Some(axis) = axes.iter().find(|axis| !is_one(axis)) {
            let found = dims.get(*axis).copied().unwrap_or(Dim::Unknown);
            return Err(node.no_chain(format!("axis {axis} of size {found} taken away")));
        }
        let keep: Vec<usize> = (0..dims.len()).filter(|axis| !axes.contains(axis)).collect();
        self.with_shape(node, value, &keep.iter().map(|&axis| Some(axis)).collect::<Vec<_>>())
    }

    pub(super) fn unsqueeze(&mut self, node: &Node<'_>, inputs: Inputs<'_>) -> Result<Value> {
        let value = node.input(inputs, 0)?;
        let Some(dims) = self.shape_of(value) else {
            return Ok(value.clone());
        };
        let count = match (node.ints("axes")?, inputs.get(1)) {
            (Some(axes), _) => axes.len(),
            (None, Some(Some(value))) => numbers(node, value, "axes")?.len(),
            _ => return Err(node.wrong("axes", "none")),
        };
        let total = dims.len().saturating_add(count);
        if total > MOST_AXES {
            return Err(node.wrong(format!("at most {MOST_AXES} axes"), format!("{total}")));
        }
        let new = self.axes_named(node, inputs, total)?.unwrap_or_default();
        let mut old = 0..dims.len();
        let sources: Vec<Option<usize>> = (0..total)
            .map(|axis| if new.contains(&axis) { None } else { old.next() })
            .collect();
        self.with_shape(node, value, &sources)
    }

    /// The same values where each axis is one of before, or new and of size 1; axes that are missing have size 1.
    fn with_shape(&mut self, node: &Node<'_>, value: &Value, sources: &[Option<usize>]) -> Result<Value> {
        let dims = self.shape_of(value).unwrap_or_default();
        let size = |source: &Option<usize>| match source {
            Some(axis) => dims.get(*axis).copied().unwrap_or(Dim::Unknown),
            None => Dim::number(1),
        };
        let shape: Vec<Dim> = sources.iter().map(size).collect();
        Ok(match value {
            Value::Data(data) => {
                let axis = |source: &Option<usize>| match source {
                    Some(axis) => data.axes.get(*axis).copied().unwrap_or(Axis::One),
                    None => Axis::One,
                };
                Value::Data(data.with_axes(sources.iter().map(axis).collect()))
            }
            Value::Fill(fill) => Value::Fill(Fill { shape, ..fill.clone() }),
            Value::Floats(floats) => Value::Floats(Floats {
                kind: floats.kind,
                array: self.known_shape(node, &floats.array, &shape)?,
            }),
            Value::Integers(array) => Value::Integers(self.known_shape(node, array, &shape)?),
            _ => value.clone(),
        })
    }

    pub(super) fn known_shape<T: Clone>(
        &mut self,
        node: &Node<'_>,
        array: &ArcArray<T, IxDyn>,
        shape: &[Dim],
    ) -> Result<ArcArray<T, IxDyn>> {
        self.take_room(node, array.len())?;
        let sizes: Option<Vec<usize>> = shape.iter().map(|dim| usize::try_from(dim.known()?).ok()).collect();
        let reshaped = sizes.and_then(|sizes| reshaped(array, &sizes));
        reshaped.ok_or_else(|| {
            let found = format!("{} for the shape {:?}", super::dim::shape(shape), array.shape());
            node.wrong("a shape for as many values", found)
        })
    }

    pub(super) fn expand(&mut self, node: &Node<'_>, inputs: Inputs<'_>) -> Result<Value> {
        node.only(&[])?;
        let shape = dims_of(node.input(inputs, 1)?).ok_or_else(|| node.wrong("whole numbers as a shape", "others"))?;
        let value = node.input(inputs, 0)?;
        let one = match value {
            Value::Floats(floats) if floats.array.len() == 1 => floats.array.first().copied(),
            Value::Fill(fill) => Some(fill.value),
            Value::Floats(floats) => {
                let first = floats.array.first().copied().unwrap_or(0.0);
                floats.array.iter().all(|value| *value == first).then_some(first)
            }
            Value::State(_) => return Ok(value.clone()),
            Value::Data(data) => {
                let dims = self.dims(data);
                let times: Vec<Dim> = dims
                    .iter()
                    .rev()
                    .zip(shape.iter().rev())
                    .map(|(has, wants)| if has == wants { Dim::number(1) } else { *wants })
                    .collect();
                let times: Vec<Dim> = times.into_iter().rev().collect();
                return match shape.len() == dims.len() {
                    true => self.repeated(node, data, &times),
                    false => Err(node.no_chain("more axes for the same values")),
                };
            }
            Value::Integers(array) if array.len() == 1 && shape.len() == 1 => {
                return Ok(Value::Same(array.first().copied().unwrap_or(Dim::Unknown)));
            }
            _ => None,
        };
        match one {
            Some(value) if shape.len() <= MOST_AXES => Ok(Value::Fill(Fill { value, shape })),
            _ => Err(node.unsupported(
                "an expansion of different values",
                "export the model with constant folding",
            )),
        }
    }

    pub(super) fn tile(&mut self, node: &Node<'_>, inputs: Inputs<'_>) -> Result<Value> {
        node.only(&[])?;
        let times = dims_of(node.input(inputs, 1)?).ok_or_else(|| node.wrong("whole numbers as repeats", "others"))?;
        match node.input(inputs, 0)? {
            Value::Data(data) => self.repeated(node, data, &times),
            value @ Value::Fill(_) | value @ Value::State(_) => Ok(value.clone()),
            _ => Err(node.unsupported("constants that are repeated", "export the model with constant folding")),
        }
    }

    /// One axis of size 1 becomes the time steps of a RepeatVector.
    fn repeated(&mut self, node: &Node<'_>, data: &Data, times: &[Dim]) -> Result<Value> {
        let many: Vec<usize> = (0..times.len())
            .filter(|axis| times.get(*axis).is_some_and(|dim| dim.known() != Some(1)))
            .collect();
        let steps = match many.as_slice() {
            [] => return Ok(Value::Data(data.clone())),
            [axis] if data.axes.get(*axis) == Some(&Axis::One) && data.tokens == Tokens::No => {
                let steps = times.get(*axis).and_then(|dim| dim.known());
                steps
                    .and_then(|steps| usize::try_from(steps).ok())
                    .map(|steps| (*axis, steps))
            }
            _ => None,
        };
        let Some((place, steps)) = steps else {
            return Err(
                node.no_chain("values that are repeated along an axis other than new time steps of a known number")
            );
        };
        let mut axes = data.axes.clone();
        if let Some(axis) = axes.get_mut(place) {
            *axis = Axis::Repeated(steps);
        }
        let data = self.stepwise(node, Kind::Repeat(steps), data, data.width());
        Ok(Value::Data(data.with_axes(axes)))
    }

    /// What a stage of one block makes of a tensor, with the same axes.
    pub(super) fn stepwise(&mut self, node: &Node<'_>, kind: Kind, reads: &Data, width: usize) -> Data {
        let turned = reads.turned && !self.sets_time(reads);
        let stage = self.push(kind, Some(reads.clone()), node.number);
        Data {
            blocks: vec![Block {
                stage,
                direction: 0,
                pick: Pick::All,
                width,
            }],
            join: Join::Concat,
            axes: reads.axes.clone(),
            turned,
            tokens: Tokens::No,
        }
    }

    /// Whether the stage of a tensor puts the steps into the order that is wanted.
    pub(super) fn sets_time(&self, data: &Data) -> bool {
        let stage = data.stage().and_then(|stage| self.stages.get(stage));
        matches!(stage.map(|stage| &stage.kind), Some(Kind::Recurrent(_)))
    }
}
