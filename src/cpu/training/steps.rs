//! The steps of a hand: forward over the cell states, then backwards over time.

use super::prepared::{Recurrence, Work};
use super::step_rows::{OnPath, StepRows, VectorWork};
use crate::cpu::cell::rule::{BackwardRule, Rule, SCRATCH, Scan, WithRule};
use crate::cpu::memory::buffer::{Lines, taken};
use crate::cpu::product::rows::{add, add_in_turn, row_of};
use crate::cpu::product::simd::Simd;
use crate::cpu::threads::hand::Hand;
use crate::error::{Error, Result};

/// The rows of all hands, block by block.
pub(super) struct Memory<'a> {
    /// (rows, lanes·units)
    pub(super) lanes: &'a mut [f32],
    /// In each block the states before the first step, then those of its rows, (…, units).
    pub(super) cell_states: &'a mut [f32],
    /// (rows, units) with a projection, else empty
    pub(super) unprojected: &'a mut [f32],
    /// The gradients of h, (rows, output) with a projection, else empty
    pub(super) gradients: &'a mut [f32],
}

/// The gradients of h and of the cell state of each sequence of a hand after its last step: what the loss says of the final states.
pub(super) fn begin_carried(recurrence: &Recurrence, work: &Work<'_>, hand: Hand<'_>) -> Result<[Lines; 2]> {
    let mut carried = [Lines::default(), Lines::default()];
    let sequences = hand.sequences().count();
    let mut finals = work.finals.into_iter().flat_map(|state| state.arrays());
    for (carried, width) in carried.iter_mut().zip(recurrence.cell.state_widths()) {
        let carried = carried.resize(sequences * width)?;
        carried.fill(0.0);
        let Some(finals) = finals.next() else { continue };
        for (to, sequence) in carried.chunks_exact_mut(width.max(1)).zip(hand.sequences()) {
            let from = (sequence < finals.nrows()).then(|| finals.row(sequence));
            let from = from.ok_or_else(|| Error::defect("the gradients of a final state"))?;
            to.iter_mut().zip(from).for_each(|(to, &from)| *to = from);
        }
    }
    Ok(carried)
}

/// What one hand goes through.
pub(super) struct HandSteps<'a> {
    recurrence: &'a Recurrence,
    work: &'a Work<'a>,
    hand: Hand<'a>,
    /// The place of its first row.
    place: usize,
    memory: Memory<'a>,
    /// The gradients of h and of the cell state of its sequences, as they are between two steps.
    carried: [Lines; 2],
    /// (positions, output): the gradients of h of the rows of a step.
    given: Lines,
    scratch: Lines,
    /// (positions, units): the gradients before a projection, or (positions, output): those of r * h.
    between: Lines,
}

/// The first numbers of a list, all that are wanted; the list goes on behind them.
fn whole<'a>(list: &mut &'a mut [f32], count: usize) -> Result<&'a mut [f32]> {
    Some(taken(list, count))
        .filter(|taken| taken.len() == count)
        .ok_or_else(|| Error::defect("the rows of a hand"))
}

impl<'a> HandSteps<'a> {
    /// Takes the block of the hand off the memory.
    pub(super) fn new<'m: 'a>(
        recurrence: &'a Recurrence,
        work: &'a Work<'a>,
        hand: Hand<'a>,
        place: usize,
        memory: &mut Memory<'m>,
    ) -> Result<Self> {
        let cell = &recurrence.cell;
        let (units, output, rows) = (cell.units, cell.output, hand.rows());
        let has_cell_state = cell.has_cell_state();
        let states = if has_cell_state { hand.active(0) + rows } else { 0 };
        let of_projection = if cell.has_projection() { rows } else { 0 };
        let own = Memory {
            lanes: whole(&mut memory.lanes, rows * recurrence.stride())?,
            cell_states: whole(&mut memory.cell_states, states * units)?,
            unprojected: whole(&mut memory.unprojected, of_projection * units)?,
            gradients: whole(&mut memory.gradients, of_projection * output)?,
        };
        let mut steps = Self {
            recurrence,
            work,
            hand,
            place,
            memory: own,
            carried: begin_carried(recurrence, work, hand)?,
            given: Lines::default(),
            scratch: Lines::default(),
            between: Lines::default(),
        };
        steps.given.resize(hand.active(0) * output)?;
        steps.scratch.resize(SCRATCH * units)?;
        steps.between.resize(hand.active(0) * units.max(output))?;
        if has_cell_state {
            let initial = steps
                .memory
                .cell_states
                .chunks_exact_mut(units.max(1))
                .take(hand.active(0));
            for (to, sequence) in initial.zip(hand.sequences()) {
                to.iter_mut()
                    .zip(row_of(work.initial_cell, units, sequence))
                    .for_each(|(to, &from)| *to = from);
            }
        }
        Ok(steps)
    }

    /// The gradients of the initial states of its sequences, position by position.
    pub(super) fn carried(&self) -> impl Iterator<Item = &[f32]> {
        self.carried.iter().map(|carried| &**carried)
    }

    pub(super) fn sequences(&self) -> impl Iterator<Item = usize> + use<'a> {
        self.hand.sequences()
    }

    pub(super) fn run(&mut self) {
        let recurrence = self.recurrence;
        if recurrence.cell.has_cell_state() && !recurrence.has_kept_gates(self.work) {
            let path = recurrence.path;
            recurrence.rule.with(OnPath {
                path,
                work: ScanAll(self),
            });
        }
        let mut first = self.hand.rows();
        for step in (0..self.hand.steps()).rev() {
            first -= self.hand.active(step).min(first);
            self.back(step, first);
        }
    }

    /// The gradients of h of the rows of a step, which begin at `first` of the block: what was given, and what the step behind has carried.
    fn gather(&mut self, first: usize, active: usize) {
        let (units, output) = (self.recurrence.cell.units, self.recurrence.cell.output);
        let gradients = self.given.get_mut(..active * output).unwrap_or_default();
        let [carried, _] = &mut self.carried;
        let rows = gradients.chunks_exact_mut(output.max(1));
        for (row, (to, carried)) in rows.zip(carried.chunks_exact(output.max(1))).enumerate() {
            self.work.given(self.work.blocks.row(self.place + first + row), to);
            to.iter_mut().zip(carried).for_each(|(to, from)| *to += from);
        }
        if let Some(to) = self.memory.gradients.get_mut(first * output..(first + active) * output) {
            to.copy_from_slice(gradients);
        }
        if let Some(projection) = &self.recurrence.back.projection {
            let between = self.between.get_mut(..active * units).unwrap_or_default();
            between.fill(0.0);
            let of_hidden = |row| row_of(gradients, output, row);
            add(self.recurrence.path, projection, of_hidden, (between, units));
        }
    }

    /// One step backwards, whose rows begin at `first` of the block.
    fn back(&mut self, step: usize, first: usize) {
        let recurrence = self.recurrence;
        let cell = &recurrence.cell;
        let (stride, output, active) = (recurrence.stride(), cell.output, self.hand.active(step));
        self.gather(first, active);
        let (place, work) = (self.place + first, self.work);
        let given: &[f32] = match recurrence.back.projection {
            Some(_) => &self.between,
            None => &self.given,
        };
        let [carried, cell_gradients] = &mut self.carried;
        let rows = StepRows {
            recurrence,
            hand: self.hand,
            step,
            first,
            cell_states: self.memory.cell_states,
            before: &|row| work.before.row(work.blocks.row(place + row)),
            given,
            lanes: self.memory.lanes.get_mut(first * stride..).unwrap_or_default(),
            cell_gradients,
            hidden_gradients: carried,
            scratch: &mut self.scratch,
        };
        rows.back();
        let lanes = self
            .memory
            .lanes
            .get_mut(first * stride..(first + active) * stride)
            .unwrap_or_default();
        let [carried, _] = &mut self.carried;
        let carried = carried.get_mut(..active * output).unwrap_or_default();
        if let Some(lane) = work.by_rows.and_then(|matrices| matrices.reset.as_ref()) {
            let products = self.between.get_mut(..active * output).unwrap_or_default();
            recurrence.reset_back((lane.lane, &mut *lanes), products);
            recurrence.rule.with(ResetRows {
                lanes: &mut *lanes,
                stride,
                products,
                carried: &mut *carried,
                output,
                hidden: |row| work.before.row(work.blocks.row(place + row)),
                scratch: &mut self.scratch,
            });
        }
        let kernel = &recurrence.back.recurrent_kernel;
        add_in_turn(
            recurrence.path,
            (kernel, step % 2 == 1),
            |row| row_of(lanes, stride, row),
            (carried, output),
        );
    }
}

impl Recurrence {
    /// Whether the lanes are kept as the way back wants them, and the cell states with them.
    pub(super) fn has_kept_gates(&self, work: &Work<'_>) -> bool {
        self.rule.leaves() && work.by_rows.is_none()
    }

    /// The gradients of r * h of some rows from those of the lane that multiplies it.
    fn reset_back(&self, (lane, lanes): (usize, &mut [f32]), products: &mut [f32]) {
        products.fill(0.0);
        let (stride, units) = (self.stride(), self.cell.units);
        if let Some(reset) = &self.back.reset {
            let of_lane = |row| row_of(row_of(lanes, stride, row), units, lane);
            add(self.path, reset, of_lane, (products, self.cell.output));
        }
    }
}

/// The cell states of all rows, step by step.
struct ScanAll<'s, 'a>(&'s mut HandSteps<'a>);

impl VectorWork for ScanAll<'_, '_> {
    #[inline(always)]
    fn run<S: Simd, R: BackwardRule>(self, simd: S, rule: &R) {
        let Self(steps) = self;
        let (units, stride) = (steps.recurrence.cell.units.max(1), steps.recurrence.stride().max(1));
        let (mut before, mut rest) = steps
            .memory
            .cell_states
            .split_at_mut_checked(steps.hand.active(0) * units)
            .unwrap_or_default();
        let mut lanes = steps.memory.lanes.chunks_exact_mut(stride);
        let mut unprojected = steps.memory.unprojected.chunks_exact_mut(units);
        for step in 0..steps.hand.steps() {
            let active = steps.hand.active(step);
            let (after, later) = rest.split_at_mut((active * units).min(rest.len()));
            let states = before.chunks_exact(units).zip(after.chunks_exact_mut(units));
            for ((cell_before, cell_after), lanes) in states.zip(lanes.by_ref().take(active)) {
                let row = Scan {
                    lanes,
                    parameters: &steps.recurrence.parameters,
                    cell_before,
                    cell_after,
                    unprojected: unprojected.next().unwrap_or_default(),
                    scratch: &mut steps.scratch,
                };
                rule.scan(simd, row);
            }
            (before, rest) = (after, later);
        }
    }
}

/// The lane of r of the rows of a step, once the gradients of r * h are known.
pub(super) struct ResetRows<'s, H> {
    pub(super) lanes: &'s mut [f32],
    pub(super) stride: usize,
    pub(super) products: &'s [f32],
    pub(super) carried: &'s mut [f32],
    pub(super) output: usize,
    pub(super) hidden: H,
    pub(super) scratch: &'s mut [f32],
}

impl<'h, H: Fn(usize) -> &'h [f32]> WithRule for ResetRows<'_, H> {
    fn run<R: Rule, const L: usize>(self, rule: &R) {
        let rows = self.lanes.chunks_exact_mut(self.stride.max(1));
        let rows = rows.zip(self.carried.chunks_exact_mut(self.output.max(1)));
        for (row, (lanes, carried)) in rows.enumerate() {
            let product = row_of(self.products, self.output, row);
            rule.back_of_reset(lanes, (self.hidden)(row), product, carried, self.scratch);
        }
    }
}
