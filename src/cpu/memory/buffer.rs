//! Memory that is aligned to the vectors, and memory that may be refused.

use std::ops::{Deref, DerefMut};

use bytemuck::{Pod, Zeroable, cast_slice, cast_slice_mut};

use crate::error::Result;
use crate::memory::RUN;

/// One line of the cache, and one vector of the widest kind: a load that crosses lines costs two.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C, align(64))]
struct Line([f32; 16]);

/// Numbers that begin at a line of the cache.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    lines: Vec<Line>,
    length: usize,
}

impl Lines {
    /// Zeros, for weights. Their size comes from the model, which lies in memory already.
    pub(crate) fn zeros(length: usize) -> Self {
        Self {
            lines: vec![Line::zeroed(); length.div_ceil(16)],
            length,
        }
    }

    /// Changes the length. What the numbers are afterwards is left open; new memory is zero.
    ///
    /// # Errors
    ///
    /// [`Error::Memory`] if there is not so much.
    pub(crate) fn resize(&mut self, length: usize) -> Result<&mut [f32]> {
        let lines = length.div_ceil(16);
        if self.lines.len() < lines {
            self.lines = Vec::new(); // so that nothing is copied, nor there twice
            self.length = 0;
            reserve(&mut self.lines, lines)?;
            self.lines.resize(lines, Line::zeroed());
        }
        self.length = length;
        Ok(self)
    }

    /// The same bytes as half-precision numbers by their bits, two in the place of one.
    pub(crate) fn halves(&self) -> &[u16] {
        cast_slice(self)
    }

    pub(crate) fn halves_mut(&mut self) -> &mut [u16] {
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

/// The first numbers of a list, as many of them as there are; the list goes on behind them.
pub(crate) fn taken<'a>(list: &mut &'a mut [f32], count: usize) -> &'a mut [f32] {
    let all = std::mem::take(list);
    let (first, rest) = all.split_at_mut(count.min(all.len()));
    *list = rest;
    first
}

/// Room for `count` items in all, or an error where a push would abort the program.
pub(crate) fn reserve<T>(list: &mut Vec<T>, count: usize) -> Result<()> {
    let further = count.saturating_sub(list.len());
    list.try_reserve_exact(further).map_err(|_| RUN.too_large::<T>(count))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;
    use crate::error::Error;

    #[test]
    fn a_buffer_keeps_its_memory_and_is_refused_what_there_is_not() {
        let mut lines = Lines::default();
        lines.resize(100).unwrap().fill(1.0);
        let memory = lines.as_ptr() as usize;
        assert_eq!(memory % 64, 0);
        assert_eq!(lines.resize(7).unwrap().len(), 7);
        assert_eq!(
            (lines.resize(100).unwrap().len(), lines.as_ptr() as usize),
            (100, memory)
        );
        for length in [usize::MAX, usize::MAX / 8] {
            let error = lines.resize(length).unwrap_err();
            assert!(matches!(error, Error::Memory { .. }), "{error}");
            assert!(lines.is_empty());
        }
    }
}
