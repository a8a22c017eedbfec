//! What a dispatch of a step is told.

use bytemuck::{Pod, Zeroable};

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
