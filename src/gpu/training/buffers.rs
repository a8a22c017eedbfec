//! The buffers of the way back, which grow with the batches and stay from one to the next.

use std::collections::HashMap;

use crate::error::{Error, Result};
use crate::gpu::device::Gpu;
use crate::gpu::device::buffer::{Use, buffer_bytes};
use crate::gpu::training::bound::Groups;

/// What a buffer holds, and of which stage, weight or output, by number.
pub(super) type Name = (&'static str, usize);

/// Buffers by what they hold. What is asked for once more is the same buffer, unless it was too small.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    made: HashMap<Name, wgpu::Buffer>,
    /// What the last way back has bound.
    pub(super) groups: Groups,
}

impl Buffers {
    /// A buffer with room for so many values or entries, of four bytes each.
    pub(super) fn get(&mut self, gpu: &Gpu, name: Name, count: usize, purpose: Use) -> Result<wgpu::Buffer> {
        self.grown(gpu, name, (count as u64, count as u64), purpose)
    }

    /// Makes room for so many values or entries in a buffer, and says how many batches of this size have at most: those that differ a little in
    /// length share one.
    pub(super) fn reserve(&mut self, gpu: &Gpu, name: Name, counts: (u64, u64), purpose: Use) -> Result<()> {
        self.grown(gpu, name, counts, purpose).map(|_| ())
    }

    fn grown(&mut self, gpu: &Gpu, name: Name, (count, most): (u64, u64), purpose: Use) -> Result<wgpu::Buffer> {
        let bytes = bytes_of(gpu, name, count)?;
        if let Some(buffer) = self.made.get(&name).filter(|buffer| buffer.size() >= bytes) {
            return Ok(buffer.clone());
        }
        // a quarter more, but no more than the largest of these batches needs
        let limit = gpu.largest_binding().min(buffer_bytes(most.saturating_mul(4)));
        let grown = match self.made.remove(&name) {
            Some(_) => {
                // a group would keep the one that was too small
                self.groups.forget();
                (bytes + bytes / 4).min(limit).max(bytes)
            }
            None => bytes,
        };
        let buffer = gpu.make_buffer(&format!("back.{}", name.0), grown, purpose);
        self.made.insert(name, buffer.clone());
        Ok(buffer)
    }

    /// Gives buffers up, and with them what binds them.
    pub(super) fn give_up(&mut self, names: &[&'static str]) {
        self.made.retain(|(name, _), _| !names.contains(name));
        self.groups.forget();
    }

    /// The buffers that there are, each with its bytes.
    #[cfg(test)]
    pub(super) fn held(&self) -> impl Iterator<Item = (Name, u64)> {
        self.made.iter().map(|(&name, buffer)| (name, buffer.size()))
    }
}

/// The bytes of a buffer with room for so many values or entries, if it fits a binding.
pub(super) fn bytes_of(gpu: &Gpu, name: Name, count: u64) -> Result<u64> {
    let (bytes, limit) = (
        buffer_bytes(count.saturating_mul(4).min(u64::MAX - 16)),
        gpu.largest_binding(),
    );
    match bytes <= limit {
        true => Ok(bytes),
        false => Err(Error::TooLarge {
            what: format!("the {} of the way back", name.0),
            needed: bytes,
            limit,
            limit_name: "bytes, max_storage_buffer_binding_size",
            repair: "train on fewer or shorter sequences at once, or train on the CPU".to_owned(),
        }),
    }
}
