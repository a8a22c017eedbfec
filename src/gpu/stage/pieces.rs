//! How a recurrence is cut over time: into *segments*, whose rows lie in one buffer, and these into *chunks*, whose rows are
//! projected at once.

use std::ops::Range;

use crate::gpu::rows::{VALUE, padded};
use crate::gpu::strategy::chunk::Chunk;
use crate::gpu::strategy::recurrence::Recurrence;
use crate::gpu::weights::projected_width;
use crate::settings::Strategy;

/// The bytes of the scratch for projected rows, if the batch has so many: what is projected at once should find room in
/// the GPU's cache, and need not be there for the whole sequence.
const PROJECTED_BYTES: u64 = 64 << 20;

/// How a recurrence is cut over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pieces {
    /// The steps of a segment and of a chunk, at most.
    pub(crate) segment_steps: usize,
    pub(crate) chunk_steps: usize,
    /// The sequences that there is room for.
    pub(crate) batch: usize,
    /// The steps of a batch without a mask.
    pub(crate) steps: usize,
}

impl Pieces {
    /// `limit` is the most bytes of a binding.
    pub(crate) fn of(limit: u64, (batch, steps): (usize, usize), features: usize, recurrence: &Recurrence) -> Self {
        let (cell, directions) = (&recurrence.cell, recurrence.directions);
        let row = (directions * padded(cell.output)) as u64 * VALUE;
        let projected = (directions * projected_width(cell)) as u64 * VALUE;
        let gathered = padded(features) as u64 * VALUE;
        let sequences = batch.max(1) as u64;
        let most_steps = |bytes: u64, budget: u64| (budget / (bytes * sequences).max(1)).max(1) as usize;
        let segment_steps = (most_steps(row, limit) - 1).clamp(1, steps.max(1));
        let chunk_steps = most_steps(projected, limit.min(PROJECTED_BYTES))
            .min(most_steps(gathered, limit))
            .min(segment_steps);
        Self {
            segment_steps,
            chunk_steps,
            batch,
            steps,
        }
    }

    /// The sequences that run the first step of a batch without a mask.
    pub(crate) fn positions(&self) -> usize {
        if self.steps == 0 { 0 } else { self.batch }
    }

    /// The dispatches by which a strategy runs all steps.
    pub(crate) fn dispatches(&self, recurrence: &Recurrence, strategy: Strategy) -> usize {
        // all segments but the last one are alike, and so are all chunks of a segment but its last one
        let of_chunk = |steps| recurrence.dispatches(strategy, self.positions(), steps);
        let of_segment =
            |steps: usize| steps / self.chunk_steps * of_chunk(self.chunk_steps) + of_chunk(steps % self.chunk_steps);
        self.steps / self.segment_steps * of_segment(self.segment_steps) + of_segment(self.steps % self.segment_steps)
    }

    /// The rows that a segment holds of one direction, at most.
    pub(crate) fn segment_rows(&self) -> usize {
        self.batch.max(1) * self.segment_steps
    }

    /// What the strategies are told of some steps of a schedule. `hidden_pitch` is the pitch of the rows.
    pub(crate) fn chunk<'a>(
        &self,
        (starts, lengths): (&'a [u32], &'a [u32]),
        steps: Range<usize>,
        hidden_pitch: usize,
    ) -> Chunk<'a> {
        Chunk {
            starts,
            lengths,
            projected_step: steps.start,
            segment_step: steps.start / self.segment_steps * self.segment_steps,
            steps,
            batch: self.batch,
            hidden_pitch,
            projected_pitch: self.chunk_steps * self.batch,
        }
    }
}
