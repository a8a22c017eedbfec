//! Lists of row numbers on the GPU.

use crate::error::Result;
use crate::flow::NONE;
use crate::gpu::device::Gpu;
use crate::gpu::device::buffer::{Use, buffer_bytes};
use crate::gpu::device::writes::Writes;
use crate::memory::STEPS;
use crate::schedule::Schedule;

/// The bytes of a list of rows.
pub(crate) fn index_bytes(entries: usize) -> u64 {
    entries as u64 * size_of::<u32>() as u64
}

/// A list of rows, with room for so many entries.
pub(crate) fn make_list(gpu: &Gpu, label: &str, entries: usize) -> wgpu::Buffer {
    gpu.make_buffer(&format!("{label}.index"), index_bytes(entries), Use::Storage)
}

/// Uploads the entries of a list.
pub(crate) fn upload_list(to: &mut dyn Writes, list: &wgpu::Buffer, entries: &[u32]) {
    to.write(list, bytemuck::cast_slice(entries));
}

/// The lists of a schedule, which all recurrences that run by it share.
#[derive(Debug)]
pub(crate) struct ScheduleLists {
    /// For each step the row of position 0, and one more for the end.
    pub(crate) starts: wgpu::Buffer,
    /// For each sequence the row after which it is finished.
    pub(crate) last_rows: wgpu::Buffer,
}

impl ScheduleLists {
    pub(crate) fn make(gpu: &Gpu, batch: usize, steps: usize) -> Self {
        Self {
            starts: make_list(gpu, "starts", steps + 1),
            last_rows: make_list(gpu, "last_rows", batch),
        }
    }

    /// The bytes of both.
    pub(crate) fn bytes(batch: usize, steps: usize) -> u64 {
        buffer_bytes(index_bytes(steps + 1)) + buffer_bytes(index_bytes(batch))
    }

    pub(crate) fn upload(&self, to: &mut dyn Writes, schedule: &Schedule) -> Result<()> {
        upload_list(to, &self.starts, schedule.offsets());
        upload_list(to, &self.last_rows, &last_rows(schedule)?);
        Ok(())
    }
}

/// For each sequence the row after which it is finished.
fn last_rows(schedule: &Schedule) -> Result<Vec<u32>> {
    let mut rows = STEPS.filled(schedule.batch(), NONE)?;
    for (position, &sequence) in schedule.order().iter().enumerate() {
        if let (Some(entry), Some(row)) = (rows.get_mut(sequence as usize), schedule.last_row(position)) {
            *entry = row as u32;
        }
    }
    Ok(rows)
}
