//! The tensors that steps of an optimiser change, and what the host reads of them.

use ndarray::{ArrayD, IxDyn};

use super::buffers::Name;
use super::recorder::{Matrix, Recorder};
use crate::error::Result;
use crate::gpu::device::buffer::Use;
use crate::gpu::rows::Rows;
use crate::gpu::stage::interface::{at, defect};
use crate::model::plan::Plan;
use crate::model::planned_weight::{Owner, PlannedWeight};

/// Tensors in their shapes, with their paths.
pub(super) type Named = Vec<(String, ArrayD<f32>)>;

/// The weights that are trained, with their numbers.
pub(super) fn trained(plan: &Plan) -> impl Iterator<Item = (usize, &PlannedWeight)> {
    let weights = plan.weights.iter().enumerate();
    weights.filter(|(_, weight)| weight.role.is_trained())
}

/// Where the weights of a tensor are, row by row, and the width of a row: of embeddings where the forward pass reads them.
pub(super) fn current<'a>(
    weight: &PlannedWeight,
    (values, tables): (&'a wgpu::Buffer, &'a [Rows]),
) -> Result<(Matrix<'a>, usize)> {
    if let Owner::Table(table) = weight.owner {
        let rows = at(tables, table)?;
        let matrix = Matrix::tight(rows.whole()?, rows.size.stride);
        return Ok((matrix, rows.size.width));
    }
    let count = weight.shape.iter().product();
    Ok((Matrix::tight(values, count), count))
}

/// A buffer, and how many values of it.
pub(super) type Counted = (wgpu::Buffer, usize);

/// What the host reads of a weight, by its number in the plan: its gradient, or what a step has made of it.
pub(super) const STAGED_WEIGHT: &str = "staged weight";

/// Copies so many values of a buffer to one of this name that the host reads.
pub(super) fn stage(
    recorder: &mut Recorder<'_>,
    name: Name,
    (buffer, count): (&wgpu::Buffer, usize),
) -> Result<Counted> {
    stage_from(recorder, name, (buffer, 0, count))
}

/// The same from a value on.
pub(super) fn stage_from(
    recorder: &mut Recorder<'_>,
    name: Name,
    (buffer, first, count): (&wgpu::Buffer, usize, usize),
) -> Result<Counted> {
    let staging = recorder.buffers.get(recorder.gpu, name, count, Use::Readback)?;
    let bytes = |values: usize| 4 * values as u64;
    let wanted = bytes(first)..bytes(first + count);
    recorder.commands.last.copy(buffer, wanted, &staging, 0);
    Ok((staging, count))
}

/// The same with the bytes of the values, as they are read.
pub(super) fn in_bytes(staged: &[Counted]) -> Vec<(&wgpu::Buffer, u64)> {
    staged
        .iter()
        .map(|(staging, count)| (staging, 4 * *count as u64))
        .collect()
}

/// Values of a weight of a plan in its shape, with its path.
pub(super) fn named_of(plan: &Plan, number: usize, values: Vec<f32>) -> Result<(String, ArrayD<f32>)> {
    let weight = at(&plan.weights, number)?;
    Ok((weight.path.clone(), in_shape(&weight.shape, values)?))
}

fn in_shape(shape: &[usize], values: Vec<f32>) -> Result<ArrayD<f32>> {
    ArrayD::from_shape_vec(IxDyn(shape), values).map_err(|_| defect())
}
