//! Rows of values on the GPU, cut into several buffers where one would be larger than a binding.

use std::ops::Range;

use crate::gpu::device::Gpu;
use crate::gpu::device::buffer::{Use, buffer_bytes};

/// The bytes of one value.
pub(crate) const VALUE: u64 = size_of::<f32>() as u64;

/// The values of a row of `width` on the GPU: whole vec4, so that shaders can read it in fours. The rest is zero.
pub(crate) fn padded(width: usize) -> usize {
    width.next_multiple_of(4)
}

/// How rows lie in buffers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RowsSize {
    /// Values from one row to the next.
    pub(crate) stride: usize,
    /// Where the first row is in each buffer. Before it lie the states that a step reads before there is a row, and the
    /// blocks of the directions before this one.
    pub(crate) head: usize,
    /// Where the states before the first row begin.
    pub(crate) block: usize,
    /// The directions whose blocks share the buffers; none if the buffers are those of another stage.
    pub(crate) directions: usize,
    /// The most rows that a buffer holds, besides the head.
    pub(crate) most: usize,
    /// The number of buffers; at least one.
    pub(crate) buffers: usize,
    /// The rows of the last buffer.
    pub(crate) rest: usize,
}

impl RowsSize {
    /// `rows` rows cut so that no buffer has more than `most` of them.
    pub(crate) fn new(stride: usize, head: usize, rows: usize, most: usize) -> Self {
        let most = most.clamp(1, rows.max(1));
        let buffers = rows.div_ceil(most).max(1);
        Self {
            stride,
            head,
            block: 0,
            directions: 1,
            most,
            buffers,
            rest: rows.saturating_sub((buffers - 1) * most),
        }
    }

    /// The same rows of one of several directions that share their buffers. The first one makes them.
    pub(crate) fn of_direction(mut self, direction: usize, directions: usize) -> Self {
        self.block = direction * self.pitch();
        self.head += self.block;
        self.directions = if direction == 0 { directions } else { 0 };
        self
    }

    /// The rows from one direction to the next.
    pub(crate) fn pitch(&self) -> usize {
        self.head - self.block + self.most
    }

    /// The bytes of each buffer that it makes.
    pub(crate) fn bytes(&self) -> impl Iterator<Item = u64> {
        let made = if self.directions == 0 { 0 } else { self.buffers };
        (0..made).map(|buffer| {
            let rows = if buffer + 1 == self.buffers {
                self.rest
            } else {
                self.most
            };
            let before = (self.directions - 1) * self.pitch() + self.head;
            buffer_bytes((before + rows) as u64 * self.row_bytes())
        })
    }

    /// The bytes of a row.
    pub(crate) fn row_bytes(&self) -> u64 {
        self.stride as u64 * VALUE
    }

    /// Which rows each buffer holds, if it holds as many as it can.
    pub(crate) fn full_cut(&self, rows: usize) -> Vec<Range<usize>> {
        (0..self.buffers)
            .map(|buffer| (buffer * self.most).min(rows)..((buffer + 1) * self.most).min(rows))
            .collect()
    }
}

/// Rows in their buffers.
#[derive(Debug)]
pub(crate) struct Rows {
    pub(crate) size: RowsSize,
    pub(crate) buffers: Vec<wgpu::Buffer>,
}

impl Rows {
    pub(crate) fn make(gpu: &Gpu, label: &str, size: &RowsSize, purpose: Use) -> Self {
        let buffers = size
            .bytes()
            .map(|bytes| gpu.make_buffer(label, bytes, purpose))
            .collect();
        Self {
            size: size.clone(),
            buffers,
        }
    }
}
