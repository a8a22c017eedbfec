//! The home of a state: the buffers in which the state of a cell waits by sequence, before a run and behind it. While a run is under way
//! the states lie by position of its schedule, elsewhere.

use crate::error::Result;
use crate::gpu::device::Gpu;
use crate::gpu::device::buffer::{Use, buffer_bytes};
use crate::gpu::rows::{Rows, RowsSize, VALUE, padded};
use crate::memory::STATES;
use crate::state::State;

/// The state of one cell on the GPU.
#[derive(Clone, Debug)]
pub(crate) struct Home {
    /// h and, where the cell has such a state, c.
    pub(crate) parts: Vec<Part>,
}

/// h or c, (batch, padded width), by sequence; zero behind the width.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub(crate) buffer: wgpu::Buffer,
    pub(crate) width: usize,
}

impl Part {
    /// The bytes of so many sequences.
    pub(crate) fn bytes(&self, batch: usize) -> u64 {
        part_bytes(self.width, batch)
    }

    /// Its rows, of so many sequences.
    pub(crate) fn rows(&self, batch: usize) -> Rows {
        Rows {
            size: RowsSize::cut(self.width, padded(self.width), batch, batch),
            buffers: vec![self.buffer.clone()],
        }
    }
}

/// The bytes of h or c of so many sequences.
pub(crate) fn part_bytes(width: usize, batch: usize) -> u64 {
    (batch as u64).saturating_mul(padded(width) as u64 * VALUE)
}

impl Home {
    /// Zeros for so many sequences.
    pub(crate) fn make((gpu, label): (&Gpu, &str), batch: usize, widths: impl Iterator<Item = usize>) -> Self {
        let part = |width| Part {
            buffer: gpu.make_buffer(label, part_bytes(width, batch), Use::Storage),
            width,
        };
        Self {
            parts: widths.map(part).collect(),
        }
    }

    /// The bytes of its buffers.
    pub(crate) fn memory(batch: usize, widths: impl Iterator<Item = usize>) -> u64 {
        widths.map(|width| buffer_bytes(part_bytes(width, batch))).sum()
    }

    /// The bytes of the buffer that [`staged`](Self::staged) fills.
    pub(crate) fn staging_bytes(batch: usize, widths: impl Iterator<Item = usize>) -> u64 {
        widths.map(|width| part_bytes(width, batch)).sum()
    }

    /// The widths of h and, if there is one, c.
    pub(crate) fn widths(&self) -> impl Iterator<Item = usize> {
        self.parts.iter().map(|part| part.width)
    }

    /// What is copied to have the host read it: the buffer, its bytes, and where in the staging buffer these begin.
    pub(crate) fn staged(&self, batch: usize) -> impl Iterator<Item = (&wgpu::Buffer, u64, u64)> {
        self.parts.iter().scan(0, move |end, part| {
            let (start, bytes) = (*end, part.bytes(batch));
            *end += bytes;
            Some((&part.buffer, bytes, start))
        })
    }

    /// What is copied to make this the state of another home: from which buffer to which, and how many bytes.
    pub(crate) fn copies<'a>(
        &'a self,
        to: &'a Self,
        batch: usize,
    ) -> impl Iterator<Item = (&'a wgpu::Buffer, &'a wgpu::Buffer, u64)> {
        let parts = self.parts.iter().zip(&to.parts);
        parts.map(move |(from, to)| (&from.buffer, &to.buffer, from.bytes(batch)))
    }

    /// Uploads a state.
    pub(crate) fn upload(&self, gpu: &Gpu, state: &State) -> Result<()> {
        for (part, values) in self.parts.iter().zip(state.arrays()) {
            let stride = padded(values.ncols());
            let mut packed = STATES.zeros(values.nrows() * stride)?;
            for (packed, row) in packed.chunks_exact_mut(stride.max(1)).zip(values.outer_iter()) {
                packed.iter_mut().zip(row).for_each(|(packed, &value)| *packed = value);
            }
            gpu.queue().write_buffer(&part.buffer, 0, bytemuck::cast_slice(&packed));
        }
        Ok(())
    }
}

/// Takes a state from what was read back of its [`staged`](Home::staged) bytes.
pub(crate) fn read_state(values: &[f32], state: &mut State) {
    let mut rest = values;
    for array in state.arrays_mut() {
        let stride = padded(array.ncols()).max(1);
        let (own, behind) = rest.split_at((array.nrows() * stride).min(rest.len()));
        rest = behind;
        for (mut row, values) in array.outer_iter_mut().zip(own.chunks_exact(stride)) {
            row.iter_mut().zip(values).for_each(|(value, &new)| *value = new);
        }
    }
}
