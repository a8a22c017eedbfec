//! Rows of values on the GPU, cut into several buffers where one would be larger than a binding.

use std::ops::Range;

use crate::error::{Error, Result};
use crate::flow::Stage;
use crate::gpu::device::Gpu;
use crate::gpu::device::buffer::{Use, buffer_bytes};
use crate::schedule::Schedule;

/// The bytes of one value.
pub(crate) const VALUE: u64 = size_of::<f32>() as u64;

/// The values of a row of `width` on the GPU: whole vec4, so that shaders can read it in fours. The rest is zero.
pub(crate) fn padded(width: usize) -> usize {
    width.next_multiple_of(4)
}

/// How rows lie in buffers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RowsSize {
    /// The values of a row.
    pub(crate) width: usize,
    /// Values from one row to the next; those past the width are zero, or nobody reads them.
    pub(crate) stride: usize,
    /// The rows that a buffer holds, at most.
    pub(crate) rows_of_buffer: usize,
    /// The number of buffers; at least one.
    pub(crate) buffers: usize,
    /// The rows of the last buffer.
    pub(crate) rows_of_last: usize,
    /// What the rows of a recurrence have besides.
    pub(crate) recurrent: Option<RecurrentRows>,
}

/// The rows of one direction of a recurrence: a buffer holds those of so many steps. Each direction has a part of each
/// buffer, which begins with room for the states before the first of these steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RecurrentRows {
    /// The sequences that there is room for.
    pub(crate) batch: usize,
    /// The steps of a buffer.
    pub(crate) segment_steps: usize,
    /// Which of the directions this is, and how many share the buffers.
    pub(crate) direction: usize,
    pub(crate) directions: usize,
}

impl RowsSize {
    /// `rows` rows in as few buffers of at most `limit` bytes as there can be.
    pub(crate) fn new(width: usize, stride: usize, rows: usize, limit: u64) -> Self {
        let most = limit / (stride.max(1) as u64 * VALUE);
        Self::cut(width, stride, rows, most.min(u64::from(u32::MAX)) as usize)
    }

    /// `rows` rows of which a buffer holds so many.
    pub(crate) fn cut(width: usize, stride: usize, rows: usize, rows_of_buffer: usize) -> Self {
        let rows_of_buffer = rows_of_buffer.clamp(1, rows.max(1));
        let buffers = rows.div_ceil(rows_of_buffer).max(1);
        Self {
            width,
            stride,
            rows_of_buffer,
            buffers,
            rows_of_last: rows.saturating_sub((buffers - 1) * rows_of_buffer),
            recurrent: None,
        }
    }

    /// The row of each buffer at which the states before its first row begin; of other rows, at which the rows begin.
    pub(crate) fn states_row(&self) -> usize {
        self.recurrent.map_or(0, |recurrent| recurrent.direction * self.pitch())
    }

    /// The row of each buffer at which its rows begin.
    pub(crate) fn first_row(&self) -> usize {
        self.states_row() + self.recurrent.map_or(0, |recurrent| recurrent.batch)
    }

    /// The rows from one direction to the next.
    pub(crate) fn pitch(&self) -> usize {
        self.rows_of_buffer + self.recurrent.map_or(0, |recurrent| recurrent.batch)
    }

    /// The bytes of each buffer, all directions together.
    pub(crate) fn bytes(&self) -> impl Iterator<Item = u64> {
        let of_last = |recurrent: RecurrentRows| (recurrent.directions - 1) * self.pitch() + recurrent.batch;
        let before = self.recurrent.map_or(0, of_last);
        (0..self.buffers).map(move |buffer| {
            let rows = match buffer + 1 == self.buffers {
                true => self.rows_of_last,
                false => self.rows_of_buffer,
            };
            buffer_bytes((before + rows) as u64 * self.row_bytes())
        })
    }

    /// The bytes of a row.
    pub(crate) fn row_bytes(&self) -> u64 {
        self.stride as u64 * VALUE
    }

    /// Whether they lie in one buffer, as training needs them.
    pub(crate) fn check_whole(&self) -> Result<()> {
        match self.buffers {
            1 => Ok(()),
            _ => Err(self.are_cut()),
        }
    }

    fn are_cut(&self) -> Error {
        Error::TooLarge {
            what: "the rows of a stage in training".to_owned(),
            needed: self.bytes().sum(),
            limit: self.bytes().max().unwrap_or(0),
            limit_name: "bytes, max_storage_buffer_binding_size",
            repair: "train on fewer or shorter sequences at once".to_owned(),
        }
    }

    /// Which rows each buffer holds, if there are so many and all of a buffer's are filled before the next one.
    pub(crate) fn held(&self, rows: usize) -> Vec<Range<usize>> {
        let each = self.rows_of_buffer;
        (0..self.buffers)
            .map(|buffer| (buffer * each).min(rows)..((buffer + 1) * each).min(rows))
            .collect()
    }

    /// Which of the rows that a stage makes in a run each buffer holds.
    pub(crate) fn held_of(&self, stage: &Stage) -> Vec<Range<usize>> {
        let (Some(recurrent), Some(schedule)) = (self.recurrent, stage.schedule()) else {
            return self.held(stage.rows());
        };
        let segments = segments(schedule, recurrent.segment_steps);
        let mut held: Vec<_> = segments.map(|steps| rows_of(schedule, &steps)).collect();
        // without a single valid step there is still a buffer, from which rows that are none are read
        held.resize(self.buffers, 0..0);
        held
    }
}

/// Into how many parts rows are cut for the sums of so many columns, and the rows of each: by the sizes alone, so that the sums have the same
/// bits every time.
pub(crate) fn parts(rows: usize, columns: usize) -> (usize, usize) {
    let part = rows.div_ceil(most_parts(rows, columns)).max(1);
    (rows.div_ceil(part).max(1), part)
}

/// The most parts into which so many rows or fewer are cut. Fewer rows can be more parts than all of them are.
pub(crate) fn most_parts(rows: usize, columns: usize) -> usize {
    /// There are so many sums,
    const SUMS: usize = 16_384;
    /// unless parts had fewer rows than this,
    const SMALLEST: usize = 64;
    /// or more than this: some GPUs leave longer loops.
    const LARGEST: usize = 32_768;
    let wanted = (SUMS / columns.max(1)).min(rows / SMALLEST);
    wanted.max(rows.div_ceil(LARGEST)).max(1)
}

/// The steps whose rows lie in each buffer.
pub(crate) fn segments(schedule: &Schedule, segment_steps: usize) -> impl Iterator<Item = Range<usize>> {
    let steps = schedule.steps();
    let segment = move |number: usize| number * segment_steps..((number + 1) * segment_steps).min(steps);
    (0..steps.div_ceil(segment_steps)).map(segment)
}

/// The rows of some steps.
pub(crate) fn rows_of(schedule: &Schedule, steps: &Range<usize>) -> Range<usize> {
    let start = |step| schedule.rows_of(step).start;
    start(steps.start)..start(steps.end)
}

/// Rows in their buffers.
#[derive(Clone, Debug)]
pub(crate) struct Rows {
    pub(crate) size: RowsSize,
    pub(crate) buffers: Vec<wgpu::Buffer>,
}

impl Rows {
    /// The first buffer.
    pub(crate) fn first(&self) -> &[wgpu::Buffer] {
        self.buffers.get(..1).unwrap_or_default()
    }

    /// The one buffer with all rows, as training needs them.
    pub(crate) fn whole(&self) -> Result<&wgpu::Buffer> {
        match self.buffers.as_slice() {
            [buffer] => Ok(buffer),
            _ => Err(self.size.are_cut()),
        }
    }

    pub(crate) fn make(gpu: &Gpu, label: &str, size: &RowsSize, purpose: Use) -> Self {
        let buffers = size.bytes().map(|bytes| gpu.make_buffer(label, bytes, purpose));
        Self {
            buffers: buffers.collect(),
            size: size.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A buffer that is kept is used for fewer rows too.
    #[test]
    fn fewer_rows_are_no_more_than_the_most_parts() {
        let fewer_are_more = parts(6400, 64).0 > parts(6432, 64).0;
        assert!(fewer_are_more, "where the number of parts alone would do");
        for columns in [1, 64, 300] {
            for entries in [1, 63, 6432, 17_000, 70_000] {
                let most = most_parts(entries, columns);
                assert!(
                    (0..=entries).all(|rows| parts(rows, columns).0 <= most),
                    "{entries}, {columns}"
                );
            }
        }
    }
}
