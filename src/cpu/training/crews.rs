//! The steps of a hand backwards by a crew: the units of h are split over its members, who tell each other the gradients of h after every
//! step. What is made of a unit by itself each member makes for all of them, which costs less than to be told.

use std::sync::Mutex;

use rayon::prelude::*;

use super::lists::listed;
use super::prepared::{Recurrence, Work};
use super::step_rows::StepRows;
use super::steps::begin_carried;
use crate::cpu::cell::rule::SCRATCH;
use crate::cpu::memory::buffer::Lines;
use crate::cpu::product::matrix::Matrix;
use crate::cpu::product::rows::row_of;
use crate::cpu::product::tile::Rows;
use crate::cpu::threads::crew::{Crew, Share};
use crate::cpu::threads::hand::Hand;
use crate::error::{Error, Result};
use crate::state::State;

/// What was kept and what becomes of it, hand by hand.
pub(super) struct CrewMemory<'a> {
    /// (rows, lanes·units)
    pub(super) kept: &'a [f32],
    pub(super) cell_states: &'a [f32],
    /// The gradients of the lanes, of the same size.
    pub(super) gradients: &'a mut [f32],
}

/// What one member goes through.
struct BackShare<'a> {
    recurrence: &'a Recurrence,
    work: &'a Work<'a>,
    hand: Hand<'a>,
    /// The place of the first row of the hand.
    place: usize,
    /// Those of h that it makes: panels of the matrix, and their columns.
    panels: std::ops::Range<usize>,
    columns: std::ops::Range<usize>,
    kept: &'a [f32],
    cell_states: &'a [f32],
    /// The first member leaves the gradients of all lanes here; the others have no such rows, and one step of their own.
    lanes: Option<&'a mut [f32]>,
    own_lanes: Lines,
    step: usize,
    /// The first row of the step that ran last.
    first: usize,
    /// As `HandSteps` has them; of h only those of a step of its own columns are whole.
    carried: [Lines; 2],
    given: Lines,
    scratch: Lines,
}

impl Recurrence {
    /// Whether the units can be split: what is kept are gates.
    pub(super) fn has_crews(&self, work: &Work<'_>, members: usize) -> bool {
        members > 1 && self.has_kept_gates(work)
    }

    pub(super) fn steps_by_crews(&self, work: &Work<'_>, members: usize, memory: CrewMemory<'_>) -> Result<State> {
        let CrewMemory {
            mut kept,
            mut cell_states,
            mut gradients,
        } = memory;
        let units = self.cell.units;
        let panels = self.cell.output.div_ceil(Matrix::panel_columns(self.path));
        let members = members.min(panels).max(1);
        let (mut crews, mut place) = (Vec::new(), 0);
        let mut rooms = Vec::new();
        for (number, hand) in work.blocks.hands().enumerate() {
            let lanes = hand.rows() * self.stride();
            let states = (hand.active(0) + hand.rows()) * units;
            let own = (kept.get(..lanes).zip(cell_states.get(..states))).ok_or_else(defect)?;
            (kept, cell_states) = (
                kept.get(lanes..).unwrap_or_default(),
                cell_states.get(states..).unwrap_or_default(),
            );
            let (of_hand, rest) = std::mem::take(&mut gradients)
                .split_at_mut_checked(lanes)
                .ok_or_else(defect)?;
            gradients = rest;
            let shares = self.shares(work, (hand, place), (own, of_hand), members)?;
            for member in 0..members {
                let mut room = Lines::default();
                room.resize(Crew::<BackShare<'_>>::room(hand.active(0), self.cell.output))?;
                rooms.push((number, member, room));
            }
            place += hand.rows();
            crews.push(Crew::backwards(hand, self.cell.output, shares)?);
        }
        rooms
            .into_par_iter()
            .with_max_len(1)
            .for_each(|(hand, member, mut room)| {
                if let Some(crew) = crews.get(hand) {
                    crew.run(member, &mut room);
                }
            });
        let mut state = State::zeros(work.schedule.batch(), self.cell.state_widths())?;
        for share in crews.into_iter().flat_map(Crew::into_shares) {
            share.leave(&mut state);
        }
        Ok(state)
    }

    /// One for each member, from what its hand has kept and where the gradients of the lanes go.
    fn shares<'a>(
        &'a self,
        work: &'a Work<'a>,
        (hand, place): (Hand<'a>, usize),
        ((kept, cell_states), lanes): ((&'a [f32], &'a [f32]), &'a mut [f32]),
        members: usize,
    ) -> Result<Vec<Mutex<BackShare<'a>>>> {
        let width = Matrix::panel_columns(self.path);
        let all = self.cell.output.div_ceil(width);
        let mut lanes = Some(lanes);
        let mut shares = Vec::new();
        for member in 0..members {
            let panels = member * all / members..(member + 1) * all / members;
            let share = BackShare {
                recurrence: self,
                work,
                hand,
                place,
                columns: panels.start * width..(panels.end * width).min(self.cell.output),
                panels,
                kept,
                cell_states,
                lanes: lanes.take(),
                own_lanes: Lines::default(),
                step: 0,
                first: hand.rows(),
                carried: begin_carried(self, work, hand)?,
                given: Lines::default(),
                scratch: Lines::default(),
            };
            shares.push(Mutex::new(share.with_room()?));
        }
        Ok(shares)
    }
}

fn defect() -> Error {
    Error::defect("the rows of a crew")
}

impl BackShare<'_> {
    fn with_room(mut self) -> Result<Self> {
        let (positions, cell) = (self.hand.active(0), &self.recurrence.cell);
        self.given.resize(positions * cell.output)?;
        self.scratch.resize(SCRATCH * cell.units)?;
        if self.lanes.is_none() {
            self.own_lanes.resize(positions * self.recurrence.stride())?;
        }
        Ok(self)
    }

    /// Which step of the hand comes next, if one does.
    fn time(&self) -> Option<usize> {
        (self.hand.steps().checked_sub(self.step)?).checked_sub(1)
    }

    /// The gradients of the initial states of its columns; the first member has those of the cell states.
    fn leave(&self, state: &mut State) {
        let output = self.recurrence.cell.output;
        let [hidden, cell_state] = &self.carried;
        let mut arrays = state.arrays_mut();
        if let Some(array) = arrays.next() {
            for (from, sequence) in hidden.chunks_exact(output.max(1)).zip(self.hand.sequences()) {
                for column in self.columns.clone() {
                    if let (Some(to), Some(&from)) = (array.get_mut((sequence, column)), from.get(column)) {
                        *to = from;
                    }
                }
            }
        }
        if let (Some(array), 0) = (arrays.next(), self.panels.start) {
            let width = self.recurrence.cell.units;
            for (from, sequence) in cell_state.chunks_exact(width.max(1)).zip(self.hand.sequences()) {
                for (column, &from) in from.iter().enumerate() {
                    if let Some(to) = array.get_mut((sequence, column)) {
                        *to = from;
                    }
                }
            }
        }
    }
}

impl Share for BackShare<'_> {
    fn step(&self) -> usize {
        self.step
    }

    fn first_unit(&self) -> usize {
        self.columns.start
    }

    fn run(&mut self, hidden: Rows<'_>) {
        let Some(time) = self.time() else { return };
        let (recurrence, work) = (self.recurrence, self.work);
        let (stride, output) = (recurrence.stride(), recurrence.cell.output);
        let active = self.hand.active(time);
        let told = if self.step == 0 { 0 } else { self.hand.active(time + 1) };
        self.first -= active.min(self.first);
        let first = self.first;
        let [carried, cell_gradients] = &mut self.carried;
        let rows = self
            .given
            .chunks_exact_mut(output.max(1))
            .zip(carried.chunks_exact(output.max(1)));
        for (row, (to, carried)) in rows.take(active).enumerate() {
            work.given(work.blocks.row(self.place + first + row), to);
            let more = if row < told { hidden.row(row, output) } else { carried };
            to.iter_mut().zip(more).for_each(|(to, from)| *to += from);
        }
        let kept = self
            .kept
            .get(first * stride..(first + active) * stride)
            .unwrap_or_default();
        let lanes = match &mut self.lanes {
            Some(lanes) => lanes.get_mut(first * stride..(first + active) * stride),
            None => self.own_lanes.get_mut(..active * stride),
        };
        let lanes = lanes.unwrap_or_default();
        lanes.copy_from_slice(kept);
        let (blocks, place) = (work.blocks, self.place + first);
        let rows = StepRows {
            recurrence,
            hand: self.hand,
            step: time,
            first,
            cell_states: self.cell_states,
            before: &|row| work.before.row(blocks.row(place + row)),
            given: &self.given,
            lanes: &mut *lanes,
            cell_gradients,
            hidden_gradients: carried,
            scratch: &mut self.scratch,
        };
        rows.back();
        let carried = carried.get_mut(..active * output).unwrap_or_default();
        let (rows, count) = listed(0, active, |row| row_of(lanes, stride, row));
        let rows = rows.get(..count).unwrap_or_default();
        let panels = (recurrence.path, self.panels.clone(), self.step % 2 == 1);
        recurrence
            .back
            .recurrent_kernel
            .multiply_panels(panels, rows, carried, output);
        self.step += 1;
    }

    fn next(&self) -> impl Iterator<Item = &[f32]> {
        let count = (self.hand.steps().checked_sub(self.step)).map_or(0, |time| self.hand.active(time));
        let [carried, _] = &self.carried;
        let rows = carried.chunks_exact(self.recurrence.cell.output.max(1)).take(count);
        rows.map(|row| row.get(self.columns.clone()).unwrap_or_default())
    }
}
