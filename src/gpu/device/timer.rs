//! Time stamps that the GPU takes around the work of a run.

use crate::gpu::device::Gpu;
use crate::gpu::device::buffer::Use;

/// The bytes of two time stamps.
pub(crate) const BYTES: u64 = 16;

/// Two time stamps, and the buffers by which the host gets them.
#[derive(Debug)]
pub(crate) struct Timer {
    stamps: wgpu::QuerySet,
    resolved: wgpu::Buffer,
    pub(crate) staging: wgpu::Buffer,
}

impl Timer {
    /// A timer, if the GPU takes time stamps.
    pub(crate) fn make(gpu: &Gpu) -> Option<Self> {
        gpu.has_timestamps().then(|| Self {
            stamps: gpu.device().create_query_set(&wgpu::QuerySetDescriptor {
                label: Some(&gpu.label("timer")),
                ty: wgpu::QueryType::Timestamp,
                count: 2,
            }),
            resolved: gpu.make_buffer("timer", BYTES, Use::Stamps),
            staging: gpu.make_buffer("timer.staging", BYTES, Use::Readback),
        })
    }

    /// The bytes of the buffers that `make` makes.
    pub(crate) fn memory(gpu: &Gpu) -> u64 {
        if gpu.has_timestamps() { 2 * BYTES } else { 0 }
    }

    /// The stamps that a pass writes: the first pass the first one, the last pass the second.
    pub(crate) fn writes(&self, first: bool, last: bool) -> Option<wgpu::ComputePassTimestampWrites<'_>> {
        (first || last).then(|| wgpu::ComputePassTimestampWrites {
            query_set: &self.stamps,
            beginning_of_pass_write_index: first.then_some(0),
            end_of_pass_write_index: last.then_some(1),
        })
    }

    /// Copies the stamps to where the host reads them; zeros if no pass has written any.
    pub(crate) fn resolve(&self, encoder: &mut wgpu::CommandEncoder, written: bool) {
        match written {
            true => encoder.resolve_query_set(&self.stamps, 0..2, &self.resolved, 0),
            false => encoder.clear_buffer(&self.resolved, 0, Some(BYTES)),
        }
        encoder.copy_buffer_to_buffer(&self.resolved, 0, &self.staging, 0, BYTES);
    }

    /// The seconds between two stamps as they were read.
    pub(crate) fn seconds(gpu: &Gpu, stamps: &[u8]) -> f64 {
        let stamp = |number: usize| {
            let bytes = stamps
                .get(number * 8..number * 8 + 8)
                .and_then(|bytes| bytes.try_into().ok());
            u64::from_le_bytes(bytes.unwrap_or_default())
        };
        let ticks = stamp(1).saturating_sub(stamp(0));
        ticks as f64 * f64::from(gpu.queue().get_timestamp_period()) * 1e-9
    }
}
