//! Reshape and Flatten: which axes become one, and which one becomes two.

use super::dim::Dim;
use super::node::Node;
use super::operators::Inputs;
use super::reader::{Reader, Role, dims_of};
use super::stage::Kind;
use super::tensor::MOST_AXES;
use super::value::{Axis, Data, Fill, Floats, Join, Row, Value};
use crate::error::Result;

impl Reader<'_> {
    pub(super) fn reshape(&mut self, node: &Node<'_>, inputs: Inputs<'_>) -> Result<Value> {
        node.only(&["allowzero"])?;
        let wanted = dims_of(node.input(inputs, 1)?).ok_or_else(|| node.wrong("whole numbers as a shape", "others"))?;
        let zero_copies = node.int("allowzero")?.unwrap_or(0) == 0;
        self.with_dims(node, node.input(inputs, 0)?, wanted, zero_copies)
    }

    pub(super) fn flatten(&mut self, node: &Node<'_>, inputs: Inputs<'_>) -> Result<Value> {
        node.only(&["axis"])?;
        let value = node.input(inputs, 0)?;
        let Some(dims) = self.shape_of(value) else {
            return Ok(value.clone());
        };
        let axis = node.int("axis")?.unwrap_or(1);
        let axis = match usize::try_from(axis) {
            Ok(axis) if axis == dims.len() => axis,
            _ => node.axis(axis, dims.len())?,
        };
        let (outer, inner) = dims.split_at_checked(axis).unwrap_or((&dims, &[]));
        let product = |dims: &[Dim]| dims.iter().copied().fold(Dim::number(1), Dim::times);
        self.with_dims(node, value, vec![product(outer), product(inner)], false)
    }

    fn with_dims(&mut self, node: &Node<'_>, value: &Value, mut wanted: Vec<Dim>, zero_copies: bool) -> Result<Value> {
        let Some(dims) = self.shape_of(value) else {
            return Ok(value.clone());
        };
        if wanted.len() > MOST_AXES {
            return Err(node.wrong(format!("at most {MOST_AXES} axes"), format!("{}", wanted.len())));
        }
        let mut open = None;
        for (place, dim) in wanted.iter_mut().enumerate() {
            match dim.known() {
                Some(0) if zero_copies => *dim = dims.get(place).copied().unwrap_or(Dim::Unknown),
                Some(-1) if open.replace(place).is_none() => *dim = Dim::number(1),
                Some(size) if size < 0 => return Err(node.wrong("sizes of 0 or more, and one -1", format!("{size}"))),
                _ => {}
            }
        }
        let product = |dims: &[Dim]| dims.iter().copied().fold(Dim::number(1), Dim::times);
        if let Some(place) = open.and_then(|place| wanted.get_mut(place).map(|_| place)) {
            let rest = product(&dims).exactly_over(product(&wanted));
            if let Some(dim) = wanted.get_mut(place) {
                *dim = rest.unwrap_or(Dim::Unknown);
            }
        }
        Ok(match value {
            Value::Floats(floats) => Value::Floats(Floats {
                kind: floats.kind,
                array: self.known_shape(node, &floats.array, &wanted)?,
            }),
            Value::Integers(array) => Value::Integers(self.known_shape(node, array, &wanted)?),
            Value::Fill(fill) => {
                let value = fill.value;
                Value::Fill(Fill { value, shape: wanted })
            }
            Value::Data(data) => Value::Data(self.regrouped(node, data, &dims, &wanted)?),
            _ => value.clone(),
        })
    }

    /// Axes of before and after in the smallest groups that hold as many values.
    fn regrouped(&mut self, node: &Node<'_>, data: &Data, dims: &[Dim], wanted: &[Dim]) -> Result<Data> {
        let refused = || {
            let (from, to) = (super::dim::shape(dims), super::dim::shape(wanted));
            node.no_chain(format!("values of the shape {from} in the shape {to}"))
        };
        if let Some(flat) = self.flat(node, data, dims, wanted) {
            return Ok(flat);
        }
        let mut made = Vec::new();
        let (mut before, mut after) = (0, 0);
        while before < dims.len() || after < wanted.len() {
            let (first, begin) = (before, after);
            let next = |list: &[Dim], place: &mut usize| {
                let dim = list.get(*place).copied();
                *place += 1;
                dim
            };
            let (Some(mut has), Some(mut wants)) = (next(dims, &mut before), next(wanted, &mut after)) else {
                // what is left has size 1
                let rest = dims.get(first..).unwrap_or_default().iter();
                let rest = rest.chain(wanted.get(begin..).unwrap_or_default());
                if rest.clone().any(|dim| dim.known() != Some(1)) {
                    return Err(refused());
                }
                made.extend(wanted.get(begin..).unwrap_or_default().iter().map(|_| Axis::One));
                break;
            };
            while has != wants {
                if wants.exactly_over(has).is_some() {
                    has = next(dims, &mut before).map(|dim| has.times(dim)).ok_or_else(refused)?;
                } else if has.exactly_over(wants).is_some() {
                    wants = next(wanted, &mut after)
                        .map(|dim| wants.times(dim))
                        .ok_or_else(refused)?;
                } else {
                    return Err(refused());
                }
                if has == Dim::Unknown || wants == Dim::Unknown {
                    return Err(refused());
                }
            }
            if has == Dim::Unknown {
                return Err(refused());
            }
            let old = data.axes.get(first..before).unwrap_or_default();
            let new = wanted.get(begin..after).unwrap_or_default();
            made.extend(self.group(data, old, new).ok_or_else(refused)?);
        }
        Ok(data.with_axes(made))
    }

    /// The values of each sequence in one row or in other time steps, where the number of them is known.
    fn flat(&mut self, node: &Node<'_>, data: &Data, dims: &[Dim], wanted: &[Dim]) -> Option<Data> {
        let (batch, time, from) = match (data.axes.as_slice(), dims) {
            ([batch, time @ (Axis::Input(_) | Axis::Repeated(_)), Axis::Features], [_, steps, features]) => {
                (*batch, Some(*time), [size(steps)?, size(features)?])
            }
            // (sizes of 1 and the blocks of several directions are those of `group`)
            ([batch, Axis::Features], [_, features])
                if data.blocks.len() == 1 && wanted.iter().all(|dim| dim.known() != Some(1)) =>
            {
                (*batch, None, [1, size(features)?])
            }
            _ => return None,
        };
        let values = from[0].checked_mul(from[1])?;
        let same_batch = wanted.first() == dims.first();
        let (kind, axes) = match wanted {
            [_, width] if same_batch && wanted != dims && size(width)? == values => {
                (Kind::Flatten(from[0], from[1]), vec![batch, Axis::Features])
            }
            [_, steps, features]
                if same_batch && wanted != dims && size(steps)?.checked_mul(size(features)?)? == values =>
            {
                let to = [size(steps)?, size(features)?];
                (
                    Kind::Reshape(from, to),
                    vec![batch, Axis::Repeated(to[0]), Axis::Features],
                )
            }
            _ => return None,
        };
        let is_batch = self.bind(node, Some(batch), Role::Batch).is_ok();
        let is_time = time.is_none_or(|time| self.bind(node, Some(time), Role::Time).is_ok());
        if !is_batch || !is_time || data.turned {
            return None;
        }
        let width = if axes.len() == 2 { values } else { size(wanted.last()?)? };
        let made = self.stepwise(node, kind, data, width);
        Some(made.with_axes(axes))
    }

    /// What a few neighbouring axes become.
    fn group(&self, data: &Data, old: &[Axis], new: &[Dim]) -> Option<Vec<Axis>> {
        let real: Vec<Axis> = old.iter().copied().filter(|axis| *axis != Axis::One).collect();
        if let ([_], [_]) = (old, new) {
            return Some(old.to_vec());
        }
        let many = |dim: &&Dim| dim.known() != Some(1);
        let wide = new.iter().filter(many).count();
        let parts = match (real.as_slice(), wide) {
            ([], 0) => vec![],
            ([axis], 1) => vec![*axis],
            // an axis that happens to have size 1 stays one
            ([axis], 0) if !new.is_empty() => {
                let rest = new.iter().skip(1).map(|_| Axis::One);
                return Some(std::iter::once(*axis).chain(rest).collect());
            }
            ([Axis::Directions, Axis::Features], 1) if data.join == Join::Concat => vec![Axis::Features],
            ([outer @ Axis::Input(_), inner @ (Axis::Input(_) | Axis::Repeated(_))], 1)
            | ([outer @ Axis::Repeated(_), inner @ Axis::Input(_)], 1) => {
                vec![Axis::Rows(Row::of(*outer)?, Row::of(*inner)?)]
            }
            ([Axis::Rows(outer, inner)], 2) => {
                let axes = vec![outer.axis(), inner.axis()];
                let sizes = self.dims(&data.with_axes(axes.clone()));
                if !new.iter().filter(many).eq(sizes.iter()) {
                    return None;
                }
                axes
            }
            ([Axis::Features], 2) if data.join == Join::Concat => {
                let mut sizes = new.iter().filter(many);
                let width = data.blocks.first().map(|block| Dim::size(block.width));
                let fits =
                    sizes.next().copied() == Some(Dim::size(data.blocks.len())) && sizes.next().copied() == width;
                if !fits || data.axes.contains(&Axis::Directions) {
                    return None;
                }
                vec![Axis::Directions, Axis::Features]
            }
            _ => return None,
        };
        let mut parts = parts.into_iter();
        new.iter()
            .map(|dim| if many(&dim) { parts.next() } else { Some(Axis::One) })
            .collect()
    }
}

fn size(dim: &Dim) -> Option<usize> {
    usize::try_from(dim.known()?).ok()
}
