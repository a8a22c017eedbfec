//! What a dispatch of a step is told.

use bytemuck::{Pod, Zeroable};

use crate::gpu::rows::padded;
use crate::gpu::strategy::chunk::Chunk;

/// The struct `Step` of types.wgsl.
#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct Params {
    pub(crate) previous_row: u32,
    pub(crate) current_row: u32,
    pub(crate) projected_row: u32,
    pub(crate) positions: u32,
    pub(crate) units: u32,
    pub(crate) output: u32,
    pub(crate) hidden_stride: u32,
    pub(crate) cell_stride: u32,
    pub(crate) hidden_pitch: u32,
    pub(crate) projected_pitch: u32,
    pub(crate) cell_pitch: u32,
    pub(crate) first_k: u32,
    pub(crate) kernel_width: u32,
}

impl Params {
    /// For a step of a chunk, of a cell with so many units and values of h; the recurrent kernel begins with row `first_k`.
    pub(crate) fn new(
        (chunk, step): (&Chunk<'_>, usize),
        [units, output]: [usize; 2],
        (first_k, kernel_width): (usize, usize),
    ) -> Self {
        Self {
            previous_row: chunk.previous_row(step) as u32,
            current_row: chunk.current_row(step) as u32,
            projected_row: chunk.projected_row(step) as u32,
            positions: chunk.active(step) as u32,
            units: units as u32,
            output: output as u32,
            hidden_stride: padded(output) as u32,
            cell_stride: padded(units) as u32,
            hidden_pitch: chunk.hidden_pitch as u32,
            projected_pitch: chunk.projected_pitch as u32,
            cell_pitch: chunk.batch as u32,
            first_k: first_k as u32,
            kernel_width: kernel_width as u32,
        }
    }
}
