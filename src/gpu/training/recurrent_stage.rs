//! The recurrences on the way back: what each reads and writes, and which go back in the same dispatches.

use crate::error::Result;
use crate::flow::{Gather, NONE, Source, Stage};
use crate::gpu::stage::interface::{at, defect};
use crate::gpu::training::by_gate::GateFactors;
use crate::gpu::training::recorder::{Matrix, Recorder};
use crate::gpu::training::recurrence::{RecurrenceBack, gathered};
use crate::gpu::training::together;
use crate::gpu::training::way::{OfList, Way};
use crate::memory::STEPS;
use crate::schedule::Schedule;

/// How the rows of a recurrence follow each other: as [`RecurrenceBack`] has them.
struct Lists {
    room: usize,
    before: wgpu::Buffer,
    starts: wgpu::Buffer,
}

impl Way<'_> {
    /// The gradient of what a recurrence has read, if it is wanted. Of directions that go back together the last stage, which is met first, does what
    /// there is to do for all.
    pub(super) fn recurrent(&self, recorder: &mut Recorder<'_>, number: usize) -> Result<Option<OfList>> {
        let (cell, schedule, input) = self.recurrence(number)?;
        let (place, features) = (*at(self.places, cell)?, at(&self.plan.cells, cell)?.features());
        if place.is_last() {
            let first = place.first_stage(number);
            let in_time = self.in_time(recorder, first)?;
            let together = (first..=number).map(|stage| self.direction(recorder, stage, &in_time));
            let together: Vec<RecurrenceBack<'_>> = together.collect::<Result<_>>()?;
            together::record(recorder, &together)?;
        }
        if schedule.rows() == 0 || self.target(recorder, input.source)?.is_none() {
            return Ok(None);
        }
        let gathered = gathered(recorder, place, schedule.rows() * features)?;
        Ok(Some(OfList::tight(gathered, features)))
    }

    fn recurrence(&self, number: usize) -> Result<(usize, &Schedule, &Gather)> {
        match self.flow.stage(number)? {
            Stage::Recurrent { cell, schedule, input } => Ok((*cell, schedule, input)),
            _ => Err(defect()),
        }
    }

    /// How its rows follow each other, which is the same for all that go back together: they differ in what they read, not in their schedule.
    fn in_time(&self, recorder: &mut Recorder<'_>, number: usize) -> Result<Lists> {
        let (_, schedule, _) = self.recurrence(number)?;
        let (_, rows) = self.rows(Source::Stage(number))?;
        let room = rows.size.recurrent.map_or(0, |recurrent| recurrent.batch);
        let in_time = at(&self.backward.in_time, number)?.as_ref().ok_or_else(defect)?;
        // the initial states stand before the rows, and the first rows are the first steps
        let before = in_time.before.iter().enumerate();
        let before = before.map(|(row, &before)| {
            if before == NONE {
                row as u32
            } else {
                before + room as u32
            }
        });
        let before: Vec<u32> = STEPS.listed(before)?;
        Ok(Lists {
            room,
            before: recorder.upload(("rows before", number), &before)?,
            starts: recorder.upload(("starts", number), schedule.offsets())?,
        })
    }

    /// What one of them reads and writes.
    fn direction(&self, recorder: &mut Recorder<'_>, number: usize, in_time: &Lists) -> Result<RecurrenceBack<'_>> {
        let (cell, schedule, input) = self.recurrence(number)?;
        let (planned, place) = (at(&self.plan.cells, cell)?, *at(self.places, cell)?);
        let (_, rows) = self.rows(Source::Stage(number))?;
        let (source, _) = self.rows(input.source)?;
        let gates = planned.cell.gates();
        let left = self.left_out(number);
        let factors = |of, width| left.map(|left| GateFactors::new(left.positions, of, (gates, width)));
        let of_carry = place.directions * 3 * schedule.batch() * planned.units();
        Ok(RecurrenceBack {
            place,
            left_of_input: left
                .and_then(|left| left.of_input)
                .and_then(|buffer| factors((buffer, 0), planned.features())),
            left_of_state: left.and_then(|left| factors(left.of_hidden, planned.output())),
            cell: &planned.cell,
            schedule,
            tensors: self.weights.cell(cell)?,
            source,
            input: self.index(recorder, number, input)?,
            wants_input: self.target(recorder, input.source)?.is_some(),
            hidden: Matrix {
                buffer: at(&rows.buffers, 0)?,
                first: rows.size.states_row() * rows.size.stride,
                stride: rows.size.stride,
            },
            room: in_time.room,
            pitch: rows.size.pitch(),
            before: in_time.before.clone(),
            starts: in_time.starts.clone(),
            upstream: self.block_of(recorder, number)?,
            solo: at(self.solos, cell)?.as_ref(),
            carry: recorder.buffer(("carry", place.first_cell), of_carry)?,
        })
    }
}
