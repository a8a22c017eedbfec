//! A recurrent stage of a flow in reverse: all of its steps at once, or piece by piece with little memory.

use std::borrow::Cow;

use super::backward::{Given, Way};
use super::blocks::Blocks;
use super::masked::MaskedWay;
use super::prepared::{Before, Recurrence, Work};
use super::recurrence::CellGradients;
use super::room::{Room, StageRoom};
use crate::cpu::Sources;
use crate::cpu::memory::saved::SavedStates;
use crate::cpu::stage::gather::Source;
use crate::cpu::stage::pieces::Piece;
use crate::cpu::stage::recurrence::Recurrence as Forward;
use crate::cpu::stage::work::Work as ForwardWork;
use crate::cpu::threads::pool;
use crate::error::{Error, Result};
use crate::flow::backward::{InTime, Readers};
use crate::flow::{self, Stage};
use crate::memory::RUN;
use crate::model::plan::PlannedCell;
use crate::state::State;

/// What is the same for all steps of a stage.
struct RecurrentStage<'a> {
    recurrence: &'a Recurrence,
    forward: &'a Forward,
    planned: &'a PlannedCell,
    /// The rows that it has made.
    made: Source<'a>,
    given: Vec<(&'a Readers, Cow<'a, [f32]>)>,
    wants_input: bool,
}

/// Some steps of a stage: all of them, or a piece.
struct Steps<'s> {
    work: ForwardWork<'s>,
    in_time: &'s InTime,
    /// The states before the first one, (batch, …).
    initial: [&'s [f32]; 2],
    /// What the loss says of the state behind the last one.
    finals: Option<&'s State>,
    /// The row of the stage with which they begin.
    first_row: usize,
}

impl<'a, 'i: 'a> Way<'a, 'i> {
    pub(super) fn recurrent(
        &self,
        sources: &Sources<'a>,
        (number, stage): (usize, &'a Stage),
        (given, room): (&mut Given<'a>, &mut Room),
    ) -> Result<CellGradients> {
        let Stage::Recurrent { cell, schedule, input } = stage else {
            return Err(Error::defect("a recurrent stage of the flow"));
        };
        let model = self.prepared.model;
        let ready = self.prepared.recurrences.get(*cell).zip(model.recurrences.get(*cell));
        let ((recurrence, forward), planned) = ready.zip(model.plan.cells.get(*cell)).ok_or_else(defect)?;
        let stage = RecurrentStage {
            recurrence,
            forward,
            planned,
            made: self.made(sources, number)?,
            given: self.readings_of(flow::Source::Stage(number), given),
            wants_input: self.wants(input),
        };
        let work = ForwardWork {
            schedule,
            gathered: sources.gathered(input)?,
        };
        let finals = self.finals(*cell)?;
        let mut room = room.stage(number, model.keeps_gates)?;
        let saved = self.prepared.workspace.recurrent.saved.get(number);
        if let Some(saved) = saved.filter(|saved| !model.keeps_gates && saved.pieces().count() > 1) {
            return stage.back_in_pieces(&work, saved, finals, &mut room);
        }
        let in_time = self.lists.in_time.get(number).and_then(Option::as_deref);
        let initial = self.prepared.initial.chunks_exact(2).nth(*cell);
        let (Some(in_time), Some([hidden, cell_state])) = (in_time, initial) else {
            return Err(defect());
        };
        let steps = Steps {
            work,
            in_time,
            initial: [hidden, cell_state],
            finals,
            first_row: 0,
        };
        stage.back(&steps, &mut room)
    }

    /// The gradients of a recurrence whose gates have left something out; nothing of any other.
    pub(super) fn masked(
        &self,
        sources: &Sources<'a>,
        (number, stage): (usize, &'a Stage),
        (given, room): (&mut Given<'a>, &mut Room),
    ) -> Result<Option<CellGradients>> {
        let Stage::Recurrent { cell, schedule, input } = stage else {
            return Ok(None);
        };
        let prepared = self.prepared;
        let forward = prepared.model.masked.get(*cell).and_then(Option::as_ref);
        let back = prepared.masked.get(*cell).and_then(Option::as_ref);
        let left = prepared
            .workspace
            .stages
            .get(number)
            .and_then(|rows| rows.masked.as_deref());
        let (Some(forward), Some(back), Some(left), Some(_)) = (forward, back, left, prepared.noise) else {
            return Ok(None);
        };
        let own = flow::Source::Stage(number);
        let hidden = self.of_source(own, forward.cell.output, schedule.rows(), given)?;
        let way = MaskedWay {
            back,
            forward,
            left,
            schedule,
            input: sources.gathered(input)?,
        };
        way.run(hidden, (self.finals(*cell)?, room.turned()), self.wants(input))
            .map(Some)
    }

    /// What the loss says of the final state of a cell.
    fn finals(&self, cell: usize) -> Result<Option<&'a State>> {
        let Some(states) = &self.upstream.states else {
            return Ok(None);
        };
        let planned = self.prepared.model.plan.cells.get(cell).map(|planned| &planned.cell);
        let (state, planned) = states
            .get(cell)
            .zip(planned)
            .ok_or_else(|| Error::defect("the gradients of a final state"))?;
        let shapes = state.arrays().map(|array| array.dim());
        match shapes.eq(planned.state_widths().map(|width| (self.flow.batch, width))) {
            true => Ok(Some(state)),
            false => Err(Error::defect("the shape of the gradients of a final state")),
        }
    }
}

fn defect() -> Error {
    Error::defect("a cell of the flow")
}

impl RecurrentStage<'_> {
    /// Steps that have kept nothing run again first.
    fn back(&self, steps: &Steps<'_>, (kept, again, (turned, spare)): &mut StageRoom<'_>) -> Result<CellGradients> {
        let ForwardWork { schedule, gathered } = steps.work;
        let [hidden, cell_state] = steps.initial;
        let by_rows = self.forward.by_rows();
        if kept.hands == 0 && by_rows.is_none() {
            again.run(self.forward, steps.work, steps.initial, kept)?;
        }
        let hands = match by_rows {
            Some(_) => pool::count().clamp(1, schedule.active(0).max(1)),
            None => kept.hands.max(1),
        };
        let blocks = Blocks::new(schedule, hands)?;
        let work = Work {
            schedule,
            before: Before {
                in_time: steps.in_time,
                rows: self.made.from(steps.first_row),
                initial: hidden,
                order: schedule.order(),
                width: self.recurrence.cell.output,
            },
            input: gathered,
            initial_cell: cell_state,
            blocks: &blocks,
            given: &self.given,
            first_row: steps.first_row,
            finals: steps.finals,
            wants_input: self.wants_input,
            planned: self.planned,
            by_rows,
        };
        self.recurrence.backward(&work, kept, (turned, spare))
    }

    /// The last piece first: each begins with the gradients of its final states, which the one behind has left.
    fn back_in_pieces(
        &self,
        work: &ForwardWork<'_>,
        saved: &SavedStates,
        finals: Option<&State>,
        room: &mut StageRoom<'_>,
    ) -> Result<CellGradients> {
        let cell = &self.recurrence.cell;
        let mut state = match finals {
            Some(finals) => finals.copied()?,
            None => State::zeros(work.schedule.batch(), cell.state_widths())?,
        };
        let features = if self.wants_input { cell.features } else { 0 };
        let mut input = RUN.zeros(work.schedule.rows() * features)?;
        let mut sums: Option<CellGradients> = None;
        for (steps, initial) in saved.pieces().rev() {
            let is_first = steps.start == 0;
            let piece = Piece::new(work, steps)?;
            let steps = Steps {
                work: piece.work(),
                in_time: &InTime::new(&piece.schedule)?,
                initial,
                finals: Some(&state),
                first_row: piece.first_row,
            };
            let mut of_piece = self.back(&steps, room)?;
            for (to, from) in state.arrays_mut().zip(of_piece.state.arrays()) {
                let rows = to.nrows().min(from.nrows());
                let sequences = piece.schedule.order().iter().map(|&sequence| sequence as usize);
                for sequence in sequences.filter(|&sequence| sequence < rows) {
                    to.row_mut(sequence).assign(&from.row(sequence));
                }
            }
            let first = piece.first_row * features;
            let own = std::mem::take(&mut of_piece.input);
            if let Some(to) = input.get_mut(first..first + own.len()) {
                to.copy_from_slice(&own);
            }
            let Some(sums) = &mut sums else {
                sums = Some(of_piece);
                continue;
            };
            let lists = sums.add(of_piece);
            if !is_first {
                let (_, _, (_, spare)) = &mut *room;
                spare.put(lists);
            }
        }
        let sums = sums.ok_or_else(defect)?;
        Ok(CellGradients { input, state, ..sums })
    }
}
