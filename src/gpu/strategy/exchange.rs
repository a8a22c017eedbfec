//! What workgroups that wait for each other share.

use crate::gpu::device::Gpu;
use crate::gpu::device::buffer::{Use, buffer_bytes};

/// The bytes of the abort word, padded.
const CONTROL_BYTES: u64 = 16;

/// What the workgroups of the recurrences of a workspace hand each other: they run one launch after the other.
#[derive(Debug)]
pub(crate) struct ExchangeBuffers {
    pub(crate) exchange: wgpu::Buffer,
    /// The abort word.
    pub(crate) control: wgpu::Buffer,
    /// What the host reads of `control`.
    pub(crate) staging: wgpu::Buffer,
}

impl ExchangeBuffers {
    pub(crate) const READ_BYTES: u64 = CONTROL_BYTES;

    pub(crate) fn make(gpu: &Gpu, exchange_bytes: u64) -> Self {
        Self {
            exchange: gpu.make_buffer("exchange", exchange_bytes, Use::Storage),
            control: gpu.make_buffer("control", CONTROL_BYTES, Use::Storage),
            staging: gpu.make_buffer("control.staging", CONTROL_BYTES, Use::Readback),
        }
    }

    /// The bytes of all of them.
    pub(crate) fn bytes(exchange_bytes: u64) -> u64 {
        buffer_bytes(exchange_bytes) + 2 * buffer_bytes(CONTROL_BYTES)
    }
}
