//! The input on its way to the GPU: from the caller's array into mapped memory, each value once.

use std::num::NonZero;

use ndarray::{ArrayView3, s};
#[cfg(not(target_arch = "wasm32"))]
use rayon::prelude::*;

use crate::error::Result;
use crate::flow::Flow;
use crate::gpu::device::Gpu;
use crate::gpu::rows::Rows;
use crate::gpu::stage::interface::defect;
use crate::half_precision::HALVES_END;

/// The bytes of the smallest piece of several: each takes a buffer of the driver's and a copy of its own.
const SMALLEST: usize = 1 << 20;

/// The bytes of the largest piece: larger ones would not be cut out of memory that the driver has given already.
const LARGEST: usize = 8 << 20;

/// Some rows of the input, and the mapped memory that they are written to.
type Piece<'a> = (wgpu::QueueWriteBufferView, &'a [u32]);

/// Uploads the rows of the input that are read. Padding is not among them.
pub(crate) fn upload_input(gpu: &Gpu, rows: &Rows, flow: &Flow, values: ArrayView3<'_, f32>) -> Result<()> {
    let size = &rows.size;
    let row_bytes = size.row_bytes() as usize;
    let mut pieces: Vec<Piece<'_>> = Vec::new();
    for (buffer, held) in rows.buffers.iter().zip(size.held(flow.input_steps.len())) {
        let steps = flow.input_steps.get(held).ok_or_else(defect)?;
        let mut start = 0;
        for steps in steps.chunks(rows_of_piece(steps.len(), row_bytes)) {
            let bytes = (steps.len() * row_bytes) as u64;
            let Some(some) = NonZero::new(bytes) else { continue };
            let view = gpu.queue().write_buffer_with(buffer, start, some);
            let view = view.ok_or_else(|| gpu.failed("uploading the input", "there is no memory to write it to"))?;
            pieces.push((view, steps));
            start += bytes;
        }
    }
    let write = |(view, steps): &mut Piece<'_>| write_rows(view.slice(..), steps, values, row_bytes);
    match pieces.as_mut_slice() {
        [piece] => write(piece),
        #[cfg(not(target_arch = "wasm32"))]
        pieces => pieces.par_iter_mut().for_each(write),
        // a browser's memory belongs to its thread
        #[cfg(target_arch = "wasm32")]
        pieces => pieces.iter_mut().for_each(write),
    }
    Ok(())
}

/// Below this the values that matter come near 2⁻¹⁴, from which on halves lose bits, and a GPU may take them for zero.
const QUIET: f32 = 1.0 / 1024.0;

/// Whether the rows that are read can be rounded to half precision: no value is too large, and not all of them are small. What is in padding does
/// not count.
pub(crate) fn input_fits(flow: &Flow, values: ArrayView3<'_, f32>) -> bool {
    let (_, time_steps, features) = values.dim();
    let all = values.to_slice();
    let of_row = |&step: &u32| {
        let row = step as usize;
        match all.and_then(|all| all.get(row * features..(row + 1) * features)) {
            Some(row) => Seen::of(row.iter()),
            None => Seen::of(
                values
                    .slice(s![row / time_steps.max(1), row % time_steps.max(1), ..])
                    .iter(),
            ),
        }
    };
    let steps = &flow.input_steps;
    let is_large = steps.len() * features * size_of::<f32>() >= 2 * SMALLEST;
    let seen = match is_large {
        #[cfg(not(target_arch = "wasm32"))]
        true => {
            let rows = SMALLEST / (features * size_of::<f32>()).max(1);
            let rows = steps.par_iter().with_min_len(rows.max(1));
            rows.map(of_row).reduce(Seen::default, Seen::and)
        }
        _ => steps.iter().map(of_row).fold(Seen::default(), Seen::and),
    };
    let largest = f32::from_bits(seen.largest);
    !seen.is_beyond && (largest == 0.0 || largest >= QUIET)
}

/// What was found of some values. Bits are compared and not numbers: their largest does not depend on an order, so a compiler makes vectors of it.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    /// Whether one is finite, and infinite as a half.
    is_beyond: bool,
    /// The bits of the largest without its sign; NaN does not count.
    largest: u32,
}

impl Seen {
    fn of<'a>(values: impl Iterator<Item = &'a f32>) -> Self {
        const INFINITE: u32 = f32::INFINITY.to_bits();
        let (mut beyond, mut largest) = (0, 0);
        for value in values {
            let bits = value.to_bits() & i32::MAX as u32;
            beyond |= u32::from(bits.wrapping_sub(HALVES_END) < INFINITE - HALVES_END);
            largest = largest.max(if bits > INFINITE { 0 } else { bits });
        }
        Self {
            is_beyond: beyond != 0,
            largest,
        }
    }

    fn and(self, other: Self) -> Self {
        Self {
            is_beyond: self.is_beyond | other.is_beyond,
            largest: self.largest.max(other.largest),
        }
    }
}

/// How many rows go into a piece: the threads share them, but no piece is small.
fn rows_of_piece(rows: usize, row_bytes: usize) -> usize {
    let threads = match cfg!(target_arch = "wasm32") {
        true => 1,
        false => rayon::current_num_threads().max(1),
    };
    let each = rows.div_ceil(threads);
    let rows_in = |bytes: usize| (bytes / row_bytes.max(1)).max(1);
    each.clamp(rows_in(SMALLEST), rows_in(LARGEST))
}

/// Writes the rows of these steps one after another, each with zeros behind its values.
fn write_rows(mut to: wgpu::WriteOnly<'_, [u8]>, steps: &[u32], values: ArrayView3<'_, f32>, row_bytes: usize) {
    let (_, time_steps, features) = values.dim();
    let mut write = |from: &[u8], bytes: usize| {
        if let Some(mut row) = to.split_off(..bytes) {
            if let Some(mut values) = row.split_off(..from.len()) {
                values.copy_from_slice(from);
            }
            row.fill(0);
        }
    };
    let width = features * size_of::<f32>();
    let Some(all) = values.to_slice() else {
        let mut row: Vec<f32> = Vec::with_capacity(features);
        for &step in steps {
            let (sequence, time_step) = (step as usize / time_steps, step as usize % time_steps);
            row.clear();
            row.extend(values.slice(s![sequence, time_step, ..]));
            write(bytemuck::cast_slice(&row), row_bytes);
        }
        return;
    };
    let all: &[u8] = bytemuck::cast_slice(all);
    // neighbours that are neighbours in memory too are copied at once
    let is_dense = width == row_bytes;
    for run in steps.chunk_by(|&step, &next| is_dense && next.checked_sub(step) == Some(1)) {
        let start = run.first().map_or(0, |&step| step as usize * width);
        let from = all.get(start..start + run.len() * width).unwrap_or_default();
        write(from, run.len() * row_bytes);
    }
}

#[cfg(test)]
#[path = "upload_tests.rs"]
mod tests;
