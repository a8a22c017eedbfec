//! Lists of row numbers on the GPU.

use std::ops::Range;

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
    /// Three lists, one behind the other, each as long as the batch: [`last_rows`], [`order`] and [`positions`].
    pub(crate) sequences: wgpu::Buffer,
}

/// Where in the list of sequences stands for each sequence the row after which it is finished,
pub(crate) fn last_rows(batch: usize) -> Range<usize> {
    0..batch
}

/// for each position its sequence,
pub(crate) fn order(batch: usize) -> Range<usize> {
    batch..2 * batch
}

/// and for each sequence its position.
pub(crate) fn positions(batch: usize) -> Range<usize> {
    2 * batch..3 * batch
}

impl ScheduleLists {
    pub(crate) fn make(gpu: &Gpu, batch: usize, steps: usize) -> Self {
        Self {
            starts: make_list(gpu, "starts", steps + 1),
            sequences: make_list(gpu, "sequences", 3 * batch),
        }
    }

    /// The bytes of both.
    pub(crate) fn bytes(batch: usize, steps: usize) -> u64 {
        buffer_bytes(index_bytes(steps + 1)) + buffer_bytes(index_bytes(3 * batch))
    }

    pub(crate) fn upload(&self, to: &mut dyn Writes, schedule: &Schedule) -> Result<()> {
        upload_list(to, &self.starts, schedule.offsets());
        upload_list(to, &self.sequences, &sequences(schedule)?);
        Ok(())
    }
}

/// The three lists of the sequences.
fn sequences(schedule: &Schedule) -> Result<Vec<u32>> {
    let batch = schedule.batch();
    let mut lists = STEPS.filled(3 * batch, NONE)?;
    let (last_rows, rest) = lists.split_at_mut(batch);
    let (order, positions) = rest.split_at_mut(batch);
    for (position, (&sequence, entry)) in schedule.order().iter().zip(order).enumerate() {
        *entry = sequence;
        if let (Some(entry), Some(row)) = (last_rows.get_mut(sequence as usize), schedule.last_row(position)) {
            *entry = row as u32;
        }
        if let Some(entry) = positions.get_mut(sequence as usize) {
            *entry = position as u32;
        }
    }
    Ok(lists)
}
