//! Memory that is aligned to the vectors, and the buffers of a run, which are kept for the next one.

use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, PoisonError};

use bytemuck::{Pod, Zeroable, cast_slice, cast_slice_mut};

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
    /// Zeros.
    pub(super) fn zeros(length: usize) -> Self {
        let mut lines = Self::default();
        lines.set_length(length);
        lines
    }

    /// Numbers that were there stay; new ones are zero or what was there before.
    fn set_length(&mut self, length: usize) {
        let lines = length.div_ceil(16);
        if self.lines.len() < lines {
            self.lines.resize(lines, Line::zeroed());
        }
        self.length = length;
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

/// The buffers that no run uses at the moment, so that the second run of a size allocates none.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    free: Mutex<Vec<Lines>>,
}

impl Buffers {
    /// A buffer of this length, with anything in it. It comes back when it is dropped.
    pub(super) fn take(&self, length: usize) -> Buffer<'_> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let room = |lines: &Lines| lines.lines.len() * 16;
        let fits = (0..free.len())
            .filter(|&number| free.get(number).is_some_and(|lines| room(lines) >= length))
            .min_by_key(|&number| free.get(number).map(room));
        let mut lines = match fits {
            Some(number) => free.swap_remove(number),
            None => {
                // the smallest grows: the others may fit somebody else
                let smallest = (0..free.len()).min_by_key(|&number| free.get(number).map(room));
                smallest.map(|number| free.swap_remove(number)).unwrap_or_default()
            }
        };
        drop(free);
        lines.set_length(length);
        Buffer { lines, owner: self }
    }
}

/// A buffer of a run.
#[derive(Debug)]
pub(super) struct Buffer<'a> {
    lines: Lines,
    owner: &'a Buffers,
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
        let mut free = self.owner.free.lock().unwrap_or_else(PoisonError::into_inner);
        free.push(std::mem::take(&mut self.lines));
    }
}
