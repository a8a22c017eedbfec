//! What a GPU has newer than the host: weights, and gradients that it has kept.

use ndarray::{ArrayD, IxDyn};

use super::GpuTraining;
use super::recorder::{Matrix, Recorder};
use crate::error::Result;
use crate::gpu::device::buffer::Use;
use crate::gpu::device::mapped;
use crate::gpu::rows::Rows;
use crate::gpu::stage::interface::{at, defect};
use crate::memory::OUTPUT;
use crate::model::plan::Plan;
use crate::model::planned_weight::{Owner, PlannedWeight};

const DOING: &str = "reading the weights";

/// Tensors in their shapes, with their paths.
pub(super) type Named = Vec<(String, ArrayD<f32>)>;

impl GpuTraining {
    /// The gradients of all weights that the last way back has kept.
    pub(crate) async fn kept_gradients(&mut self) -> Result<Named> {
        let mut wanted = Vec::new();
        for (number, weight) in trained(&self.model.plan) {
            let count = weight.shape.iter().product();
            let name = ("gradient", number);
            let buffer = self.buffers.get(&self.model.gpu, name, count, Use::Storage)?;
            wanted.push((buffer, count));
        }
        let read = self.read(&wanted).await?;
        let named = trained(&self.model.plan).zip(read);
        let named = named.map(|((number, _), values)| named_of(&self.model.plan, number, values));
        named.collect()
    }

    /// The weights that steps change, as they are here.
    pub(crate) async fn newest_weights(&self) -> Result<Named> {
        let plan = &self.model.plan;
        let from = |number, weight| current(weight, (self.weights.values(number)?, &self.model.weights.tables));
        let mut wanted = Vec::new();
        for (number, weight) in trained(plan) {
            let (from, width) = from(number, weight)?;
            let rows = weight.shape.iter().product::<usize>() / width.max(1);
            wanted.push((from.buffer.clone(), rows * from.stride));
        }
        let mut found = Vec::new();
        for ((number, weight), values) in trained(plan).zip(self.read(&wanted).await?) {
            let (from, width) = from(number, weight)?;
            let values = match from.stride == width {
                true => values,
                false => {
                    let rows = values.chunks(from.stride.max(1));
                    OUTPUT.collected(rows.flat_map(|row| row.iter().take(width).copied()))?
                }
            };
            found.push(named_of(plan, number, values)?);
        }
        Ok(found)
    }

    /// Reads so many values of each buffer, one after the other through one buffer.
    pub(super) async fn read(&self, wanted: &[(wgpu::Buffer, usize)]) -> Result<Vec<Vec<f32>>> {
        let gpu = &self.model.gpu;
        let largest = wanted.iter().map(|(_, count)| *count).max().unwrap_or(0);
        let make = || Ok(gpu.make_buffer("staging of weights", 4 * largest as u64, Use::Readback));
        let staging = gpu.guarded(DOING, make).await?;
        let mut read = Vec::with_capacity(wanted.len());
        for (buffer, count) in wanted {
            let bytes = 4 * *count as u64;
            let copy = || {
                let mut encoder = gpu.encoder("weights");
                if bytes > 0 {
                    encoder.copy_buffer_to_buffer(buffer, 0, &staging, 0, bytes);
                }
                Ok(gpu.queue().submit([encoder.finish()]))
            };
            let submission = gpu.guarded(DOING, copy).await?;
            let values = mapped::read(gpu, &[(&staging, bytes)], Some(submission)).await?;
            read.extend(values);
        }
        Ok(read)
    }
}

/// The weights that are trained, with their numbers.
fn trained(plan: &Plan) -> impl Iterator<Item = (usize, &PlannedWeight)> {
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

/// Copies so many values of each buffer to one that the host reads.
pub(super) fn stage(
    recorder: &mut Recorder<'_>,
    wanted: &[(wgpu::Buffer, usize)],
) -> Result<Vec<(wgpu::Buffer, usize)>> {
    let staged = wanted.iter().enumerate().map(|(place, (buffer, count))| {
        let staging = ("staging of weights", place);
        let staging = recorder.buffers.get(recorder.gpu, staging, *count, Use::Readback)?;
        recorder.commands.last.copy(buffer, 0..4 * *count as u64, &staging, 0);
        Ok((staging, *count))
    });
    staged.collect()
}

pub(super) fn in_bytes(staged: &[(wgpu::Buffer, usize)]) -> Vec<(&wgpu::Buffer, u64)> {
    staged
        .iter()
        .map(|(staging, count)| (staging, 4 * *count as u64))
        .collect()
}

/// Values of a weight of a plan in its shape, with its path.
pub(super) fn named_of(plan: &Plan, number: usize, values: Vec<f32>) -> Result<(String, ArrayD<f32>)> {
    let weight = at(&plan.weights, number)?;
    Ok((weight.path.clone(), in_shape(&weight.shape, Some(values))?))
}

/// What was read of a weight, in its shape.
pub(super) fn in_shape(shape: &[usize], read: Option<Vec<f32>>) -> Result<ArrayD<f32>> {
    let values = read.ok_or_else(defect)?;
    ArrayD::from_shape_vec(IxDyn(shape), values).map_err(|_| defect())
}
