//! Memory that is aligned to the vectors, and the buffers of a run, which are kept for the next one.

use std::ops::{Deref, DerefMut};

use bytemuck::{Pod, Zeroable, cast_slice, cast_slice_mut};

use crate::cpu::list::{List, Listed, Lists};
use crate::cpu::slots::Slots;
use crate::error::Result;
use crate::memory::RUN;

/// One line of the cache, and one vector of the widest kind: a load that crosses lines costs two.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C, align(64))]
struct Line([f32; 16]);

/// Numbers that begin at a line of the cache.
#[derive(Debug, Default)]
pub(super) struct Lines {
    lines: Vec<Line>,
    length: usize,
}

impl Lines {
    /// Zeros, for the weights of a model.
    pub(super) fn zeros(length: usize) -> Self {
        Self {
            lines: vec![Line::zeroed(); length.div_ceil(16)],
            length,
        }
    }

    /// What the numbers are afterwards is left open; those of a new one are zero.
    fn set_length(&mut self, length: usize) -> Result<()> {
        let lines = length.div_ceil(16);
        if self.lines.len() < lines {
            self.lines.clear(); // so that nothing is copied
            let reserved = self.lines.try_reserve_exact(lines);
            reserved.map_err(|_| RUN.too_large::<f32>(length))?;
            self.lines.resize(lines, Line::zeroed());
        }
        self.length = length;
        Ok(())
    }
}

impl Lines {
    /// The same bytes as half-precision numbers by their bits, two in the place of one.
    pub(super) fn halves(&self) -> &[u16] {
        cast_slice(self)
    }

    pub(super) fn halves_mut(&mut self) -> &mut [u16] {
        cast_slice_mut(self)
    }
}

impl Deref for Lines {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        cast_slice(&self.lines).get(..self.length).unwrap_or_default()
    }
}

impl DerefMut for Lines {
    fn deref_mut(&mut self) -> &mut [f32] {
        cast_slice_mut(&mut self.lines)
            .get_mut(..self.length)
            .unwrap_or_default()
    }
}

/// The buffers and lists that no run uses at the moment: the second run of a batch makes none.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    lines: Slots<Lines>,
    lists: Lists,
}

impl Buffers {
    /// A buffer of this length, with anything in it. It comes back when it is dropped.
    pub(super) fn take(&self, length: usize) -> Result<Buffer<'_>> {
        let (place, mut lines) = self.lines.take();
        lines.set_length(length)?;
        Ok(Buffer {
            lines,
            place,
            owner: &self.lines,
        })
    }

    /// An empty list with room for so many. It comes back when it is dropped.
    pub(super) fn list<T: Listed>(&self, room: usize) -> Result<List<'_, T>> {
        self.lists.take(room)
    }

    /// From now on the buffers and lists are taken again that were taken first; all must have come back.
    pub(super) fn rewind(&self) {
        self.lines.rewind();
        self.lists.rewind();
    }
}

/// A buffer of a run.
#[derive(Debug)]
pub(super) struct Buffer<'a> {
    lines: Lines,
    place: usize,
    owner: &'a Slots<Lines>,
}

impl Deref for Buffer<'_> {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.lines
    }
}

impl DerefMut for Buffer<'_> {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.lines
    }
}

impl Drop for Buffer<'_> {
    fn drop(&mut self) {
        self.owner.give_back(self.place, std::mem::take(&mut self.lines));
    }
}
