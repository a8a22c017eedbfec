//! A parcel: the lists and parameters of a schedule in one buffer, from which the commands copy them to where shaders read them.
//!
//! So commands that were encoded carry their schedule with them: whatever is set afterwards, and in whatever order an application
//! submits, they run what they were encoded for.

use crate::gpu::commands::Copies;
use crate::gpu::device::Gpu;
use crate::gpu::device::buffer::Use;
use crate::gpu::device::writes::Writes;

/// How many bytes are handed in.
#[derive(Debug, Default)]
pub(super) struct Weighed {
    pub(super) bytes: u64,
}

impl Writes for Weighed {
    fn write(&mut self, _buffer: &wgpu::Buffer, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
    }
}

/// A buffer with room for so many bytes.
pub(super) fn make(gpu: &Gpu, bytes: u64) -> wgpu::Buffer {
    gpu.make_buffer("parcel", bytes, Use::Storage)
}

/// Packs what is handed in, by one write of the queue, and unpacks it by copies at the beginning of the commands.
#[derive(Debug)]
pub(super) struct Packing<'a> {
    parcel: &'a wgpu::Buffer,
    /// What the queue writes once this is dropped; none where there is nothing to pack, or the driver has refused it.
    packed: Option<wgpu::QueueWriteBufferView>,
    filled: u64,
    copies: &'a mut Copies,
}

impl<'a> Packing<'a> {
    /// The parcel has room for so many bytes, which is all that will be handed in.
    pub(super) fn new(gpu: &Gpu, parcel: &'a wgpu::Buffer, bytes: u64, copies: &'a mut Copies) -> Self {
        let size = wgpu::BufferSize::new(bytes);
        Self {
            parcel,
            packed: size.and_then(|size| gpu.queue().write_buffer_with(parcel, 0, size)),
            filled: 0,
            copies,
        }
    }
}

impl Writes for Packing<'_> {
    fn write(&mut self, buffer: &wgpu::Buffer, bytes: &[u8]) {
        let start = self.filled;
        self.filled += bytes.len() as u64;
        if let Some(packed) = self.packed.as_mut().filter(|packed| self.filled <= packed.len() as u64) {
            packed
                .slice(start as usize..self.filled as usize)
                .copy_from_slice(bytes);
        }
        self.copies.copy(self.parcel, start..self.filled, buffer, 0);
    }
}
