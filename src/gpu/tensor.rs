//! A tensor in a buffer of the application: rows one behind the other, bound in parts where they are more than a binding holds.

use std::num::NonZeroU64;
use std::ops::Range;

use crate::error::{Error, Result};
use crate::gpu::device::Gpu;
use crate::gpu::rows::{RowsSize, VALUE};

/// Which of the tensors that the application has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Input,
    /// The output of this number: one, or forward and backward.
    Output(usize),
}

/// How rows of so many values without anything between them are cut into bindings, each of which begins where one may.
pub(crate) fn dense_rows(gpu: &Gpu, what: &'static str, width: usize, rows: usize) -> Result<RowsSize> {
    let row_bytes = (width as u64 * VALUE).max(1);
    let alignment = offset_alignment(gpu);
    // so many rows begin and end where a binding may
    let step = alignment / common_divisor(alignment, row_bytes);
    let limit = gpu.largest_binding();
    let bytes = row_bytes.saturating_mul(rows as u64);
    let fits = bytes <= limit;
    let steps = limit / row_bytes.saturating_mul(step);
    if !fits && steps == 0 {
        return Err(Error::TooLarge {
            what: format!("{what} of {rows} rows of {width} values, of which {step} have to be bound at once"),
            needed: row_bytes.saturating_mul(step),
            limit,
            limit_name: "bytes, max_storage_buffer_binding_size",
            repair: "open the device with the limits of its adapter".to_owned(),
        });
    }
    let most = gpu.limits().max_buffer_size;
    if bytes > most {
        return Err(Error::TooLarge {
            what: format!("{what} of {rows} rows of {width} values, in one buffer"),
            needed: bytes,
            limit: most,
            limit_name: "bytes, max_buffer_size",
            repair: "encode fewer sequences or time steps at once".to_owned(),
        });
    }
    let rows_of_buffer = if fits { rows } else { (steps * step) as usize };
    Ok(RowsSize::cut(width, width, rows, rows_of_buffer))
}

/// Where a binding may begin: at multiples of so many bytes.
pub(crate) fn offset_alignment(gpu: &Gpu) -> u64 {
    u64::from(gpu.limits().min_storage_buffer_offset_alignment.max(4))
}

fn common_divisor(mut one: u64, mut other: u64) -> u64 {
    while other > 0 {
        (one, other) = (other, one % other);
    }
    one
}

/// Rows in a part of a buffer of the application.
#[derive(Clone, Debug)]
pub(crate) struct Tensor {
    pub(crate) buffer: wgpu::Buffer,
    /// The byte at which the first row begins.
    pub(crate) offset: u64,
    pub(crate) size: RowsSize,
    pub(crate) rows: usize,
}

impl Tensor {
    /// Its bytes in the buffer. One without values has four, for no binding may be empty.
    pub(crate) fn bytes(&self) -> Range<u64> {
        self.offset..self.offset + bytes_of(&self.size, self.rows)
    }

    /// All of it, as an application binds it.
    pub(crate) fn binding(&self) -> wgpu::BufferBinding<'_> {
        let bytes = self.bytes();
        self.part(bytes.start, bytes.end - bytes.start)
    }

    /// The parts that are bound one by one, in order.
    pub(crate) fn parts(&self) -> impl Iterator<Item = wgpu::BufferBinding<'_>> {
        self.size.held(self.rows).into_iter().map(|held| {
            let start = self.offset + held.start as u64 * self.size.row_bytes();
            self.part(start, (held.len() as u64 * self.size.row_bytes()).max(VALUE))
        })
    }

    fn part(&self, offset: u64, bytes: u64) -> wgpu::BufferBinding<'_> {
        wgpu::BufferBinding {
            buffer: &self.buffer,
            offset,
            size: NonZeroU64::new(bytes),
        }
    }
}

/// The bytes of so many rows; at least those of one value.
pub(crate) fn bytes_of(size: &RowsSize, rows: usize) -> u64 {
    (rows as u64 * size.row_bytes()).max(VALUE)
}
