//! Bytes on their way into buffers: at once by the queue, or within commands.

use crate::gpu::device::Gpu;

/// Where bytes for the beginning of a buffer are handed in.
pub(crate) trait Writes {
    fn write(&mut self, buffer: &wgpu::Buffer, bytes: &[u8]);
}

/// By the queue: they are there before the next submission begins.
impl Writes for &Gpu {
    fn write(&mut self, buffer: &wgpu::Buffer, bytes: &[u8]) {
        self.queue().write_buffer(buffer, 0, bytes);
    }
}
