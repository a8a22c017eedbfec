//! What moves values and changes none, over numbers that are known.

use ndarray::{ArcArray, Array, ArrayViewD, Axis, IxDyn, Slice, concatenate};

/// Part of one axis: from, to (never reached), step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) start: i64,
    pub(super) end: i64,
    pub(super) step: i64,
}

impl Range {
    /// ONNX's `Slice`, with ends beyond the axis cut off: for a step of 1, from and to; for a step of -1 over everything, the axis turned
    /// round. `None` for steps that nobody here needs.
    pub(super) fn within(self, size: usize) -> Option<Cut> {
        let size = i64::try_from(size).ok()?;
        let from_end = |index: i64| if index < 0 { index.saturating_add(size) } else { index };
        match self.step {
            1 => {
                let start = from_end(self.start).clamp(0, size);
                let end = from_end(self.end).clamp(start, size);
                Some(Cut::Part(usize::try_from(start).ok()?, usize::try_from(end).ok()?))
            }
            -1 if from_end(self.start) >= size - 1 && self.end < -size => Some(Cut::Turned),
            _ => None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    Part(usize, usize),
    Turned,
}

pub(super) fn transposed<T: Clone>(array: ArcArray<T, IxDyn>, order: &[usize]) -> ArcArray<T, IxDyn> {
    array.permuted_axes(IxDyn(order))
}

/// The same values row by row in another shape.
pub(super) fn reshaped<T: Clone>(array: &ArcArray<T, IxDyn>, shape: &[usize]) -> Option<ArcArray<T, IxDyn>> {
    let reshaped = array.to_shape(IxDyn(shape)).ok()?;
    Some(reshaped.into_owned().into_shared())
}

pub(super) fn sliced<T: Clone>(array: &ArcArray<T, IxDyn>, axis: usize, cut: Cut) -> Option<ArcArray<T, IxDyn>> {
    let size = array.shape().get(axis).copied()?;
    let slice = match cut {
        Cut::Part(start, end) if start <= end && end <= size => {
            Slice::new(start.try_into().ok()?, Some(end.try_into().ok()?), 1)
        }
        Cut::Part(..) => return None,
        Cut::Turned => Slice::new(0, None, -1),
    };
    Some(array.slice_axis(Axis(axis), slice).to_owned().into_shared())
}

/// ONNX's `Gather`: the axis is replaced by the axes of the indices.
pub(super) fn gathered<T: Clone>(
    array: &ArcArray<T, IxDyn>,
    axis: usize,
    indices: &ArrayViewD<'_, i64>,
) -> Option<ArcArray<T, IxDyn>> {
    let size = array.shape().get(axis).copied()?;
    let list: Option<Vec<usize>> = indices.iter().map(|&index| place(index, size)).collect();
    let (before, after) = (array.shape().get(..axis)?, array.shape().get(axis + 1..)?);
    let shape = [before, indices.shape(), after].concat();
    count(&shape)?;
    let picked = array.select(Axis(axis), &list?);
    reshaped(&picked.into_shared(), &shape)
}

/// An index that may count from the end.
pub(super) fn place(index: i64, size: usize) -> Option<usize> {
    let index = match index < 0 {
        true => index.checked_add(i64::try_from(size).ok()?)?,
        false => index,
    };
    usize::try_from(index).ok().filter(|index| *index < size)
}

/// How many values a shape has, where the arrays of `ndarray` can have it: sizes beside a 0 count too.
pub(super) fn count(shape: &[usize]) -> Option<usize> {
    let sizes = shape.iter().filter(|size| **size > 0);
    let count = sizes
        .into_iter()
        .try_fold(1_usize, |count, &size| count.checked_mul(size))?;
    let has_none = shape.contains(&0);
    isize::try_from(count).ok().map(|_| if has_none { 0 } else { count })
}

pub(super) fn joined<T: Clone>(arrays: &[ArcArray<T, IxDyn>], axis: usize) -> Option<ArcArray<T, IxDyn>> {
    let views: Vec<ArrayViewD<'_, T>> = arrays.iter().map(|array| array.view()).collect();
    // ndarray counts on an axis that is there
    if arrays.iter().any(|array| array.ndim() <= axis) {
        return None;
    }
    // and on sizes that it can add and multiply
    let mut shape = arrays.first()?.shape().to_vec();
    let sizes = arrays.iter().filter_map(|array| array.shape().get(axis));
    *shape.get_mut(axis)? = sizes
        .into_iter()
        .try_fold(0_usize, |sum, &size| sum.checked_add(size))?;
    count(&shape)?;
    let joined: Array<T, IxDyn> = concatenate(Axis(axis), &views).ok()?;
    Some(joined.into_shared())
}
