//! The steps of a hand: forward over the cell states, then backwards over time.

use super::blocks::row_of;
use super::lists::listed;
use super::prepared::{Recurrence, Work};
use crate::cpu::cell::rule::{Back, BackwardRule, Rule, SCRATCH, Scan, WithRule};
use crate::cpu::memory::buffer::Lines;
use crate::cpu::product::matrix::{Matrix, ROWS_PER_TASK};
use crate::cpu::product::simd::{self, Simd};
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
    /// (rows, output)
    pub(super) gradients: &'a mut [f32],
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
    scratch: Lines,
    /// (positions, units): the gradients before a projection, or (positions, output): those of r * h.
    between: Lines,
}

/// The first numbers of a list; the list goes on behind them.
fn taken<'a>(list: &mut &'a mut [f32], count: usize) -> Result<&'a mut [f32]> {
    let (first, rest) = std::mem::take(list)
        .split_at_mut_checked(count)
        .ok_or_else(|| Error::defect("the rows of a hand"))?;
    *list = rest;
    Ok(first)
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
        let own = Memory {
            lanes: taken(&mut memory.lanes, rows * recurrence.stride())?,
            cell_states: taken(&mut memory.cell_states, states * units)?,
            unprojected: taken(
                &mut memory.unprojected,
                if cell.has_projection() { rows * units } else { 0 },
            )?,
            gradients: taken(&mut memory.gradients, rows * output)?,
        };
        let mut steps = Self {
            recurrence,
            work,
            hand,
            place,
            memory: own,
            carried: [Lines::default(), Lines::default()],
            scratch: Lines::default(),
            between: Lines::default(),
        };
        steps.scratch.resize(SCRATCH * units)?;
        steps.between.resize(hand.active(0) * units.max(output))?;
        let sequences = hand.sequences().count();
        let mut finals = work.finals.into_iter().flat_map(|state| state.arrays());
        for (carried, width) in steps.carried.iter_mut().zip(cell.state_widths()) {
            let carried = carried.resize(sequences * width)?;
            carried.fill(0.0);
            let Some(finals) = finals.next() else { continue };
            for (to, sequence) in carried.chunks_exact_mut(width.max(1)).zip(hand.sequences()) {
                let from = finals.rows().into_iter().nth(sequence);
                let from = from.ok_or_else(|| Error::defect("the gradients of a final state"))?;
                to.iter_mut().zip(from).for_each(|(to, &from)| *to = from);
            }
        }
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
        if recurrence.cell.has_cell_state() {
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

    /// One step backwards, whose rows begin at `first` of the block.
    fn back(&mut self, step: usize, first: usize) {
        let recurrence = self.recurrence;
        let cell = &recurrence.cell;
        let (stride, units, output, active) = (recurrence.stride(), cell.units, cell.output, self.hand.active(step));
        let gradients = self
            .memory
            .gradients
            .get_mut(first * output..(first + active) * output)
            .unwrap_or_default();
        let [carried, _] = &mut self.carried;
        gradients
            .iter_mut()
            .zip(carried.iter())
            .for_each(|(to, from)| *to += from);
        if let Some(projection) = &recurrence.back.projection {
            let between = self.between.get_mut(..active * units).unwrap_or_default();
            between.fill(0.0);
            self.recurrence.add(
                projection,
                |row| row_of(gradients, output, row),
                (between, units),
                active,
            );
        }
        let path = recurrence.path;
        let one = OneStep { step, first, active };
        recurrence.rule.with(OnPath {
            path,
            work: BackStep(&mut *self, one),
        });
        let (place, work) = (self.place + first, self.work);
        let lanes = self
            .memory
            .lanes
            .get_mut(first * stride..(first + active) * stride)
            .unwrap_or_default();
        let [carried, _] = &mut self.carried;
        let carried = carried.get_mut(..active * output).unwrap_or_default();
        if let (Some(reset), Some(lane)) = (&recurrence.back.reset, &recurrence.matrices.reset) {
            let products = self.between.get_mut(..active * output).unwrap_or_default();
            products.fill(0.0);
            let of_lane = |row| row_of(row_of(lanes, stride, row), units, lane.lane);
            recurrence.add(reset, of_lane, (&mut *products, output), active);
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
        recurrence.add(
            &recurrence.back.recurrent_kernel,
            |row| row_of(lanes, stride, row),
            (carried, output),
            active,
        );
    }
}

impl Recurrence {
    /// `sums += rows · matrix`
    fn add<'a>(
        &self,
        matrix: &Matrix,
        row: impl Fn(usize) -> &'a [f32],
        (sums, width): (&mut [f32], usize),
        count: usize,
    ) {
        let tasks = sums.chunks_mut((ROWS_PER_TASK * width).max(1)).enumerate();
        for (task, sums) in tasks {
            let first = task * ROWS_PER_TASK;
            let (rows, count) = listed(first, count.saturating_sub(first), &row);
            matrix.multiply(self.path, rows.get(..count).unwrap_or_default(), None, sums, width);
        }
    }
}

/// Which step it is, and its rows in the block.
#[derive(Clone, Copy)]
struct OneStep {
    step: usize,
    first: usize,
    active: usize,
}

/// Something to do with vectors and a rule.
pub(super) trait VectorWork {
    fn run<S: Simd, R: BackwardRule>(self, simd: S, rule: &R);
}

pub(super) struct OnPath<W> {
    pub(super) path: crate::cpu::product::path::Path,
    pub(super) work: W,
}

impl<W: VectorWork> WithRule for OnPath<W> {
    fn run<R: Rule, const L: usize>(self, rule: &R) {
        self.path.run(ByRule { work: self.work, rule });
    }
}

struct ByRule<'r, W, R> {
    work: W,
    rule: &'r R,
}

impl<W: VectorWork, R: BackwardRule> simd::Work for ByRule<'_, W, R> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        self.work.run(simd, self.rule);
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

/// The rows of one step, backwards.
struct BackStep<'s, 'a>(&'s mut HandSteps<'a>, OneStep);

impl VectorWork for BackStep<'_, '_> {
    #[inline(always)]
    fn run<S: Simd, R: BackwardRule>(self, simd: S, rule: &R) {
        let Self(steps, OneStep { step, first, active }) = self;
        let recurrence = steps.recurrence;
        let (stride, units, output) = (recurrence.stride(), recurrence.cell.units, recurrence.cell.output);
        let given: &[f32] = match recurrence.back.projection {
            Some(_) => &steps.between,
            None => steps.memory.gradients.get(first * output..).unwrap_or_default(),
        };
        let initial = steps.hand.active(0);
        let (cell_before, cell_after) = match step {
            0 => (0, initial),
            _ => (initial + first - steps.hand.active(step - 1), initial + first),
        };
        let lanes = steps.memory.lanes.get_mut(first * stride..).unwrap_or_default();
        let [hidden_gradients, cell_gradients] = &mut steps.carried;
        let mut cell_gradients = cell_gradients.chunks_exact_mut(units.max(1));
        let rows = lanes.chunks_exact_mut(stride.max(1)).take(active);
        let rows = rows.zip(hidden_gradients.chunks_exact_mut(output.max(1)));
        for (row, (lanes, hidden_gradients)) in rows.enumerate() {
            let back = Back {
                lanes,
                parameters: &recurrence.parameters,
                hidden_before: steps.work.before.row(steps.work.blocks.row(steps.place + first + row)),
                cell_before: row_of(steps.memory.cell_states, units, cell_before + row),
                cell_after: row_of(steps.memory.cell_states, units, cell_after + row),
                gradients: row_of(given, units, row),
                cell_gradients: cell_gradients.next().unwrap_or_default(),
                hidden_gradients,
                scratch: &mut steps.scratch,
            };
            rule.back(simd, back);
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
