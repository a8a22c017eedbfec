//! The operators that take parts: Slice, Split and Gather.

use ndarray::{Array, ArrayD, Axis as Along, Ix2};

use super::arrays::{Cut, Range, gathered, place, sliced};
use super::dim::Dim;
use super::node::Node;
use super::operators::Inputs;
use super::reader::{Reader, Role, numbers};
use super::stage::Kind;
use super::value::{Axis, Data, Fill, Floats, Join, Pick, Tokens, Value};
use crate::error::{Error, Result};

/// What stands for "to the end" is at least this.
const FAR: i64 = i32::MAX as i64;

impl Reader<'_> {
    pub(super) fn slice(&mut self, node: &Node<'_>, inputs: Inputs<'_>) -> Result<Value> {
        node.only(&["starts", "ends", "axes"])?;
        let list = |name: &str, position: usize| match (node.ints(name)?, inputs.get(position)) {
            (Some(list), _) => Ok(Some(list.to_vec())),
            (None, Some(Some(value))) => numbers(node, value, name).map(Some),
            _ => Ok(None),
        };
        let needed = |name: &str| node.wrong(name, "none");
        let starts = list("starts", 1)?.ok_or_else(|| needed("starts"))?;
        let ends = list("ends", 2)?.ok_or_else(|| needed("ends"))?;
        let count = i64::try_from(starts.len()).unwrap_or(0);
        let axes = list("axes", 3)?.unwrap_or_else(|| (0..count).collect());
        let steps = list("steps", 4)?.unwrap_or_else(|| vec![1; starts.len()]);
        if ends.len() != starts.len() || axes.len() != starts.len() || steps.len() != starts.len() {
            return Err(node.wrong("as many starts, ends, axes and steps", "others"));
        }
        let mut value = node.input(inputs, 0)?.clone();
        for ((axis, step), (start, end)) in axes.into_iter().zip(steps).zip(starts.into_iter().zip(ends)) {
            let range = Range { start, end, step };
            value = self.part(node, &value, axis, range)?;
        }
        Ok(value)
    }

    /// A part of one axis.
    fn part(&mut self, node: &Node<'_>, value: &Value, axis: i64, range: Range) -> Result<Value> {
        let Some(dims) = self.shape_of(value) else {
            return Ok(value.clone());
        };
        let axis = node.axis(axis, dims.len())?;
        let size = dims.get(axis).and_then(|dim| usize::try_from(dim.known()?).ok());
        let cut = size.and_then(|size| range.within(size));
        let option = || node.unsupported(format!("{range:?} of an axis"), "take whole axes, or their last step");
        match value {
            Value::Data(data) => self.data_part(node, data, axis, (range, cut)).map(Value::Data),
            Value::Fill(fill) => {
                let mut shape = fill.shape.clone();
                if let Some(dim) = shape.get_mut(axis) {
                    *dim = match cut {
                        Some(Cut::Part(start, end)) => Dim::size(end - start),
                        Some(Cut::Turned) => *dim,
                        None => Dim::Unknown,
                    };
                }
                Ok(Value::Fill(Fill { shape, ..fill.clone() }))
            }
            Value::Floats(floats) => {
                self.take_room(node, floats.array.len())?;
                let array = cut
                    .and_then(|cut| sliced(&floats.array, axis, cut))
                    .ok_or_else(option)?;
                let kind = floats.kind;
                Ok(Value::Floats(Floats { kind, array }))
            }
            Value::Integers(array) => {
                self.take_room(node, array.len())?;
                let array = cut.and_then(|cut| sliced(array, axis, cut)).ok_or_else(option)?;
                Ok(Value::Integers(array))
            }
            _ => Ok(value.clone()),
        }
    }

    fn data_part(
        &mut self,
        node: &Node<'_>,
        data: &Data,
        axis: usize,
        (range, cut): (Range, Option<Cut>),
    ) -> Result<Data> {
        let size = self.dims(data).get(axis).copied().unwrap_or(Dim::Unknown);
        let kind = data.axes.get(axis).copied().unwrap_or(Axis::One);
        let is_whole = match cut {
            Some(Cut::Part(start, end)) => start == 0 && size.known() == i64::try_from(end).ok(),
            Some(Cut::Turned) => false,
            None => range.step == 1 && range.start == 0 && range.end >= FAR,
        };
        if is_whole {
            return Ok(data.clone());
        }
        if let (Axis::Directions | Axis::Features, Some(Cut::Part(start, end))) = (kind, cut) {
            return self.some_blocks(node, data, axis, (start, end));
        }
        if !matches!(kind, Axis::Input(_) | Axis::Repeated(_)) {
            return Err(node.no_chain("a part of an axis"));
        }
        let is_turned = match cut {
            Some(cut) => cut == Cut::Turned,
            None => range.step == -1 && (range.start == -1 || range.start >= FAR) && range.end <= -FAR,
        };
        if is_turned {
            self.bind(node, Some(kind), Role::Time)?;
            let turned = !data.turned;
            return Ok(Data { turned, ..data.clone() });
        }
        let known = size.known().and_then(|size| usize::try_from(size).ok());
        let pick = match (cut, known) {
            (Some(Cut::Part(start, end)), Some(size)) if start.checked_add(1) == Some(size) && end == size => {
                Some(Pick::LastStep)
            }
            (Some(Cut::Part(0, 1)), _) => Some(Pick::FirstStep),
            (None, _) if range.step == 1 && range.start == -1 && range.end >= FAR => Some(Pick::LastStep),
            (None, _) if range.step == 1 && range.start == 0 && range.end == 1 => Some(Pick::FirstStep),
            _ => None,
        };
        match pick {
            Some(pick) => self.step(node, data, axis, pick),
            None => match cut {
                Some(Cut::Part(start, end)) if end - start == 1 => Err(single_step(node, start)),
                _ => Err(node.no_chain("some of the time steps, or some of the sequences")),
            },
        }
    }

    /// The first or the last time step; its axis has size 1 then.
    fn step(&mut self, node: &Node<'_>, data: &Data, axis: usize, pick: Pick) -> Result<Data> {
        self.bind(node, data.axes.get(axis).copied(), Role::Time)?;
        let mut data = data.clone();
        for block in &mut data.blocks {
            if block.pick != Pick::All {
                return Err(node.no_chain("a time step of what has none"));
            }
            block.pick = if data.turned { pick.turned() } else { pick };
        }
        data.turned = false;
        if let Some(axis) = data.axes.get_mut(axis) {
            *axis = Axis::One;
        }
        Ok(data)
    }

    /// Blocks from one place to another, along the axis of directions or of features.
    fn some_blocks(&mut self, node: &Node<'_>, data: &Data, axis: usize, (start, end): (usize, usize)) -> Result<Data> {
        let refused = || node.no_chain("some of the features");
        let along_directions = data.axes.get(axis) == Some(&Axis::Directions);
        if data.join != Join::Concat || (!along_directions && data.axes.contains(&Axis::Directions)) {
            return Err(refused());
        }
        let mut place = 0;
        let mut blocks = Vec::new();
        let mut covered = 0;
        for block in &data.blocks {
            let width = if along_directions { 1 } else { block.width };
            if place >= start && place + width <= end {
                blocks.push(*block);
                covered += width;
            }
            place += width;
        }
        if blocks.is_empty() || covered != end.saturating_sub(start) {
            return Err(refused());
        }
        let mut axes = data.axes.clone();
        if let (true, [_], Some(axis)) = (along_directions, blocks.as_slice(), axes.get_mut(axis)) {
            *axis = Axis::One;
        }
        Ok(Data {
            blocks,
            axes,
            ..data.clone()
        })
    }

    pub(super) fn split(&mut self, node: &Node<'_>, inputs: Inputs<'_>) -> Result<Vec<Value>> {
        node.only(&["axis", "split", "num_outputs"])?;
        let value = node.input(inputs, 0)?;
        let outputs = node.proto.output.len();
        let dims = self.shape_of(value).unwrap_or_default();
        let axis = node.int("axis")?.unwrap_or(0);
        let place = node.axis(axis, dims.len())?;
        let size = dims.get(place).and_then(|dim| dim.known());
        let sizes = match (node.ints("split")?, inputs.get(1)) {
            (Some(sizes), _) => sizes.to_vec(),
            (None, Some(Some(value))) => numbers(node, value, "split")?,
            _ => {
                let size = size.ok_or_else(|| node.no_chain("a split of an axis whose size is not known"))?;
                let count = i64::try_from(outputs).unwrap_or(i64::MAX).max(1);
                let each = size / count + i64::from(size % count != 0);
                (0..count)
                    .map(|part| each.min(size - part.saturating_mul(each).min(size)))
                    .collect()
            }
        };
        if sizes.len() != outputs {
            return Err(node.wrong(format!("{outputs} sizes"), format!("{}", sizes.len())));
        }
        let mut start = 0_i64;
        let mut parts = Vec::with_capacity(outputs);
        for size in sizes {
            let end = start.checked_add(size).filter(|_| size >= 0);
            let end = end.ok_or_else(|| node.wrong("sizes of 0 or more", format!("{size}")))?;
            let step = 1;
            parts.push(self.part(node, value, axis, Range { start, end, step })?);
            start = end;
        }
        Ok(parts)
    }

    pub(super) fn gather(&mut self, node: &Node<'_>, inputs: Inputs<'_>) -> Result<Value> {
        node.only(&["axis"])?;
        let (value, which) = (node.input(inputs, 0)?, node.input(inputs, 1)?);
        let along = node.int("axis")?.unwrap_or(0);
        if let Value::Data(tokens) = which {
            return self.embedding(node, (value, along), tokens);
        }
        let Some(dims) = self.shape_of(value) else {
            return Ok(value.clone());
        };
        let axis = node.axis(along, dims.len())?;
        let shape = self.shape_of(which).unwrap_or_default();
        let shape: Vec<usize> = shape
            .iter()
            .filter_map(|dim| usize::try_from(dim.known()?).ok())
            .collect();
        let list = numbers(node, which, "indices")?;
        let indices: ArrayD<i64> = Array::from_shape_vec(shape, list).map_err(|_| node.wrong("indices", "others"))?;
        let missing = || {
            node.wrong(
                format!("indices of an axis of {}", super::dim::shape(&dims)),
                format!("{indices}"),
            )
        };
        let along = dims
            .get(axis)
            .and_then(|dim| usize::try_from(dim.known()?).ok())
            .unwrap_or(1);
        let room = (value_len(value) / along.max(1)).saturating_mul(indices.len());
        match value {
            Value::Floats(floats) => {
                self.take_room(node, room)?;
                let array = gathered(&floats.array, axis, &indices.view()).ok_or_else(missing)?;
                let kind = floats.kind;
                Ok(Value::Floats(Floats { kind, array }))
            }
            Value::Integers(array) => {
                self.take_room(node, room)?;
                let array = gathered(array, axis, &indices.view()).ok_or_else(missing)?;
                Ok(Value::Integers(array))
            }
            Value::Fill(fill) => {
                let (before, after) = (fill.shape.get(..axis), fill.shape.get(axis + 1..));
                let middle: Vec<Dim> = indices.shape().iter().copied().map(Dim::size).collect();
                let shape = [before.unwrap_or_default(), &middle, after.unwrap_or_default()].concat();
                let value = fill.value;
                Ok(Value::Fill(Fill { value, shape }))
            }
            Value::Data(data) => self.data_picked(node, data, axis, &indices).map(Value::Data),
            _ => Ok(value.clone()),
        }
    }

    fn data_picked(&mut self, node: &Node<'_>, data: &Data, axis: usize, indices: &ArrayD<i64>) -> Result<Data> {
        let size = self
            .dims(data)
            .get(axis)
            .and_then(|dim| usize::try_from(dim.known()?).ok());
        let mut data = match (data.axes.get(axis), indices.len()) {
            (Some(Axis::Directions), 1..) => {
                let picked = indices.iter().map(|&index| {
                    let place = place(index, data.blocks.len())?;
                    data.blocks.get(place).copied()
                });
                let blocks: Option<Vec<_>> = picked.collect();
                let blocks = blocks.ok_or_else(|| node.wrong("indices of the directions", format!("{indices}")))?;
                let mut data = Data { blocks, ..data.clone() };
                if let (1, Some(axis)) = (indices.len(), data.axes.get_mut(axis)) {
                    *axis = Axis::One;
                }
                data
            }
            (Some(Axis::One), 1) if indices.iter().all(|index| matches!(index, 0 | -1)) => data.clone(),
            (Some(Axis::Input(_) | Axis::Repeated(_)), 1) => {
                let index = indices.first().copied().unwrap_or_default();
                let last = size.and_then(|size| i64::try_from(size).ok()).map(|size| size - 1);
                let pick = match index {
                    -1 => Pick::LastStep,
                    index if Some(index) == last => Pick::LastStep,
                    0 => Pick::FirstStep,
                    _ => return Err(single_step(node, index)),
                };
                self.step(node, data, axis, pick)?
            }
            _ => return Err(node.no_chain("single values picked out")),
        };
        if indices.ndim() == 0 {
            data.axes.remove(axis);
        }
        Ok(data)
    }

    fn embedding(&mut self, node: &Node<'_>, (table, along): (&Value, i64), tokens: &Data) -> Result<Value> {
        let table = self.floats(node, table, "the table")?;
        let table = table.into_dimensionality::<Ix2>();
        let table = table.map_err(|_| node.no_chain("values looked up in a table that has not two axes"))?;
        let rows = i64::try_from(table.nrows()).unwrap_or(i64::MAX);
        let plain = match tokens.tokens {
            Tokens::Plain => true,
            Tokens::FromEnd(from) => from == rows,
            _ => false,
        };
        if !plain || node.axis(along, 2)? != 0 {
            return Err(node.no_chain("values looked up by anything but the tokens of the input"));
        }
        let (width, rows) = (table.ncols(), table.len_of(Along(0)));
        self.take_room(node, rows.saturating_mul(width))?;
        let plain = Data {
            tokens: Tokens::Plain,
            ..tokens.clone()
        };
        let data = self.stepwise(node, Kind::Embedding(table.into_owned()), &plain, width);
        let axes = tokens.axes.iter().copied().chain([Axis::Features]).collect();
        Ok(Value::Data(data.with_axes(axes)))
    }
}

fn single_step(node: &Node<'_>, step: impl std::fmt::Display) -> Error {
    node.written_out(format!("time step {step} alone"))
}

fn value_len(value: &Value) -> usize {
    match value {
        Value::Floats(floats) => floats.array.len(),
        Value::Integers(array) => array.len(),
        _ => 0,
    }
}
