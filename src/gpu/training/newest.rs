//! What a GPU has newer than the host: weights, and gradients that it has kept.

use super::GpuTraining;
use super::tensors::{Counted, Named, current, named_of, trained};
use crate::error::Result;
use crate::gpu::device::buffer::Use;
use crate::gpu::device::mapped;
use crate::memory::OUTPUT;

const DOING: &str = "reading the weights";

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
        self.settle().await?;
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
    pub(super) async fn read(&self, wanted: &[Counted]) -> Result<Vec<Vec<f32>>> {
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
