//! The buffers of the way back, which grow with the batches and stay from one to the next.

use std::collections::HashMap;

use crate::error::{Error, Result};
use crate::gpu::device::Gpu;
use crate::gpu::device::buffer::Use;

/// What a buffer holds, and of which stage, weight or output, by number.
pub(super) type Name = (&'static str, usize);

/// Buffers by what they hold. What is asked for once more is the same buffer, unless it was too small.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    made: HashMap<Name, wgpu::Buffer>,
}

impl Buffers {
    /// A buffer with room for so many values or entries, of four bytes each.
    pub(super) fn get(&mut self, gpu: &Gpu, name: Name, count: usize, purpose: Use) -> Result<wgpu::Buffer> {
        let bytes = (count as u64).saturating_mul(4);
        if let Some(buffer) = self.made.get(&name).filter(|buffer| buffer.size() >= bytes) {
            return Ok(buffer.clone());
        }
        let limit = gpu.largest_binding();
        if bytes > limit {
            return Err(Error::TooLarge {
                what: format!("the {} of the way back", name.0),
                needed: bytes,
                limit,
                limit_name: "bytes, max_storage_buffer_binding_size",
                repair: "train on fewer or shorter sequences at once, or train on the CPU".to_owned(),
            });
        }
        // a quarter more, so that batches that differ a little in length share one
        let grown = match self.made.contains_key(&name) {
            true => (bytes + bytes / 4).min(limit),
            false => bytes,
        };
        let buffer = gpu.make_buffer(&format!("back.{}", name.0), grown, purpose);
        self.made.insert(name, buffer.clone());
        Ok(buffer)
    }
}
