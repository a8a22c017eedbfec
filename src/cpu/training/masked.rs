//! The way back of a recurrence whose gates have left something out: through the same factors, gate by gate.

use super::recurrence::CellGradients;
use super::step_rows::{OnPath, VectorWork};
use super::steps::ResetRows;
use crate::cpu::cell::by_lane::Columns;
use crate::cpu::cell::rule::{Back, BackwardRule, SCRATCH, Scan};
use crate::cpu::memory::buffer::{Lines, taken};
use crate::cpu::memory::workspace::MaskedRows;
use crate::cpu::product::matrix::{Matrix, ROWS_PER_TASK};
use crate::cpu::product::path::Path;
use crate::cpu::product::rows::{add, row_of};
use crate::cpu::product::simd::Simd;
use crate::cpu::stage::dropout::times;
use crate::cpu::stage::gather::Gathered;
use crate::cpu::stage::masked::{
    GateOf, Masked, before, of_hidden, of_input, of_product, place_of, side_by_side, split, together,
};
use crate::error::{Error, Result};
use crate::memory::RUN;
use crate::model::plan::PlannedCell;
use crate::schedule::Schedule;
use crate::state::State;

/// The weights of a cell the other way, gate by gate.
#[derive(Debug)]
pub(super) struct MaskedBackward {
    /// For each gate (units, features),
    kernels: Vec<Matrix>,
    /// and (units, output).
    recurrent_kernels: Vec<Matrix>,
    /// (output, units)
    projection: Option<Matrix>,
}

impl MaskedBackward {
    pub(super) fn new(planned: &PlannedCell, path: Path) -> Result<Self> {
        let PlannedCell { cell, weights } = planned;
        let of_gates = || (0..cell.gates()).map(|_| Matrix::empty()).collect();
        let mut made = Self {
            kernels: of_gates(),
            recurrent_kernels: of_gates(),
            projection: weights.projection.as_ref().map(|_| Matrix::empty()),
        };
        made.refill(planned, path)?;
        Ok(made)
    }

    /// Other weights of the same cell, in the same memory.
    pub(super) fn refill(&mut self, planned: &PlannedCell, path: Path) -> Result<()> {
        let PlannedCell { cell, weights } = planned;
        let kernels = [
            (&mut self.kernels, &weights.kernel),
            (&mut self.recurrent_kernels, &weights.recurrent_kernel),
        ];
        for (matrices, kernel) in kernels {
            for (gate, matrix) in matrices.iter_mut().enumerate() {
                Columns::of_gate(kernel, cell.units, gate).back(path, matrix)?;
            }
        }
        if let Some((matrix, projection)) = self.projection.as_mut().zip(weights.projection.as_ref()) {
            Columns::of_matrix(projection).back(path, matrix)?;
        }
        Ok(())
    }
}

/// What it goes back over.
pub(super) struct MaskedWay<'a> {
    pub(super) back: &'a MaskedBackward,
    pub(super) forward: &'a Masked,
    pub(super) left: &'a MaskedRows,
    pub(super) schedule: &'a Schedule,
    pub(super) input: Gathered<'a>,
}

/// What comes up on the way, in the order of the schedule.
pub(super) struct Rows<'a> {
    /// The sums, which become their gradients, (rows, lanes·units).
    pub(super) lanes: &'a mut [f32],
    /// The gradients of h, (rows, output).
    pub(super) hidden: Vec<f32>,
    /// (rows, units) with a projection, else empty
    pub(super) unprojected: Vec<f32>,
    /// By position, between two steps: the gradients of h and of the cell state.
    pub(super) carried: [Vec<f32>; 2],
}

/// Some positions of a step.
struct Step<'a> {
    first: usize,
    hidden_before: &'a [f32],
    cell_before: &'a [f32],
    lanes: &'a mut [f32],
    hidden: &'a mut [f32],
    unprojected: &'a mut [f32],
    carried: &'a mut [f32],
    carried_cell: &'a mut [f32],
}

impl MaskedWay<'_> {
    /// From the gradients of h of every row and of the final states.
    pub(super) fn run(
        &self,
        hidden: Vec<f32>,
        (finals, turned): (Option<&State>, &mut Lines),
        wants_input: bool,
    ) -> Result<CellGradients> {
        let cell = &self.forward.cell;
        let lanes = turned.resize(self.left.lanes.len())?;
        // another way back may follow, so what is left stays
        lanes.copy_from_slice(&self.left.lanes);
        let mut rows = Rows {
            lanes,
            hidden,
            unprojected: RUN.zeros(if cell.has_projection() {
                self.schedule.rows() * cell.units
            } else {
                0
            })?,
            carried: self.carried(finals)?,
        };
        for step in (0..self.schedule.steps()).rev() {
            self.step(step, &mut rows)?;
        }
        let mut gradients = self.of_weights(&rows)?;
        if wants_input {
            gradients.input = RUN.zeros(self.schedule.rows() * cell.features)?;
            let chunks = gradients.input.chunks_mut((ROWS_PER_TASK * cell.features).max(1));
            let tasks = RUN.collected(chunks.enumerate())?;
            side_by_side(tasks, |(task, input)| {
                let first = task * ROWS_PER_TASK;
                let lanes = rows.lanes.get(first * self.forward.stride()..).unwrap_or_default();
                let position = |i| place_of(self.schedule, first + i).1;
                let by = (&*self.back.kernels, of_input as GateOf, &*self.left.input_factors);
                self.add_by_gate(by, lanes, position, (input, cell.features))
            })?;
        }
        for (array, carried) in gradients.state.arrays_mut().zip(&rows.carried) {
            let width = array.ncols();
            for (position, &sequence) in self.schedule.order().iter().enumerate() {
                let sequence = sequence as usize;
                if sequence < array.nrows() {
                    let from = row_of(carried, width, position);
                    let pairs = array.row_mut(sequence).into_iter().zip(from);
                    pairs.for_each(|(to, &from)| *to = from);
                }
            }
        }
        Ok(gradients)
    }

    /// What the loss says of the final states, by position.
    fn carried(&self, finals: Option<&State>) -> Result<[Vec<f32>; 2]> {
        let mut carried = [Vec::new(), Vec::new()];
        let mut finals = finals.into_iter().flat_map(State::arrays);
        for (carried, width) in carried.iter_mut().zip(self.forward.cell.state_widths()) {
            *carried = RUN.zeros(self.schedule.batch() * width)?;
            let Some(finals) = finals.next() else { continue };
            for (to, &sequence) in carried.chunks_exact_mut(width.max(1)).zip(self.schedule.order()) {
                let sequence = sequence as usize;
                let from = (sequence < finals.nrows()).then(|| finals.row(sequence));
                let from = from.ok_or_else(|| Error::defect("the gradients of a final state"))?;
                to.iter_mut().zip(from).for_each(|(to, &from)| *to = from);
            }
        }
        Ok(carried)
    }

    /// One step backwards, some positions beside others.
    fn step(&self, step: usize, rows: &mut Rows<'_>) -> Result<()> {
        let cell = &self.forward.cell;
        let (stride, units, output) = (self.forward.stride(), cell.units, cell.output);
        let of_cell = if cell.has_cell_state() { units } else { 0 };
        let of_projection = if cell.has_projection() { units } else { 0 };
        let (now, before) = (self.schedule.rows_of(step), before(self.schedule, step));
        let (_, mut lanes) = split(rows.lanes, now.start * stride);
        let (_, mut hidden) = split(&mut rows.hidden, now.start * output);
        let (_, mut unprojected) = split(&mut rows.unprojected, now.start * of_projection);
        let [carried, carried_cell] = &mut rows.carried;
        let (mut carried, mut carried_cell): (&mut [f32], &mut [f32]) = (carried, carried_cell);
        let together = together(now.len(), self.forward.path);
        let mut tasks = RUN.list(now.len().div_ceil(together))?;
        for first in (0..now.len()).step_by(together) {
            let count = together.min(now.len() - first);
            let behind = |list: &'_ [f32], width: usize| (before + first) * width..list.len();
            tasks.push(Step {
                first,
                hidden_before: self
                    .left
                    .hidden
                    .get(behind(&self.left.hidden, output))
                    .unwrap_or_default(),
                cell_before: self
                    .left
                    .cell_states
                    .get(behind(&self.left.cell_states, of_cell))
                    .unwrap_or_default(),
                lanes: taken(&mut lanes, count * stride),
                hidden: taken(&mut hidden, count * output),
                unprojected: taken(&mut unprojected, count * of_projection),
                carried: taken(&mut carried, count * output),
                carried_cell: taken(&mut carried_cell, count * of_cell),
            });
        }
        side_by_side(tasks, |task| self.run_step(task))
    }

    fn run_step(&self, mut step: Step<'_>) -> Result<()> {
        let (forward, back) = (self.forward, self.back);
        let (stride, units, output) = (forward.stride(), forward.cell.units, forward.cell.output);
        let (path, first) = (forward.path, step.first);
        let rows = step.hidden.iter_mut().zip(&*step.carried);
        rows.for_each(|(to, from)| *to += from);
        let mut between = Vec::new();
        if let Some(projection) = &back.projection {
            between = RUN.zeros(step.lanes.len() / stride.max(1) * units)?;
            let of_hidden = |i| row_of(step.hidden, output, i);
            add(path, projection, of_hidden, (&mut between, units));
        }
        let work = BackRows {
            masked: forward,
            step: &mut step,
            between: &between,
        };
        forward.rule.with(OnPath { path, work });
        let Step {
            hidden_before,
            lanes,
            carried,
            ..
        } = step;
        let by = |gate_of: GateOf| (&*back.recurrent_kernels, gate_of, &*self.left.factors);
        let position = |i| first + i;
        if forward.cell.multiplies_reset() {
            let mut products = RUN.zeros(carried.len())?;
            self.add_by_gate(by(of_product), lanes, position, (&mut products, output))?;
            forward.rule.with(ResetRows {
                lanes: &mut *lanes,
                stride,
                products: &products,
                carried: &mut *carried,
                output,
                hidden: |i| row_of(hidden_before, output, i),
                scratch: &mut vec![0.0; SCRATCH * units],
            });
        }
        self.add_by_gate(by(of_hidden), lanes, position, (carried, output))
    }

    /// `sums += factors * (∂lane · matrix)` for each lane with a gate, whose matrix and factors it takes, of as many rows as there are sums.
    fn add_by_gate(
        &self,
        (matrices, gate_of, factors): (&[Matrix], GateOf, &[f32]),
        lanes: &[f32],
        position: impl Fn(usize) -> usize,
        (sums, width): (&mut [f32], usize),
    ) -> Result<()> {
        let (cell, stride) = (&self.forward.cell, self.forward.stride());
        let mut made = RUN.zeros(sums.len())?;
        for (lane, of) in cell.lanes().iter().enumerate() {
            let Some((gate, matrix)) = gate_of(of).and_then(|gate| Some((gate, matrices.get(gate)?))) else {
                continue;
            };
            made.fill(0.0);
            let of_lane = |i| row_of(row_of(lanes, stride, i), cell.units, lane);
            add(self.forward.path, matrix, of_lane, (&mut made, width));
            let rows = sums.chunks_exact_mut(width.max(1)).zip(made.chunks_exact(width.max(1)));
            for (i, (sums, made)) in rows.enumerate() {
                let factors = row_of(factors, width, position(i) * cell.gates() + gate);
                let values = made.iter().zip(factors).map(|(&value, &factor)| times(value, factor));
                sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
            }
        }
        Ok(())
    }
}

/// The rows of some positions by the rule of the cell.
struct BackRows<'s, 'a> {
    masked: &'s Masked,
    step: &'s mut Step<'a>,
    /// The gradients before a projection.
    between: &'s [f32],
}

impl VectorWork for BackRows<'_, '_> {
    #[inline(always)]
    fn run<S: Simd, R: BackwardRule>(self, simd: S, rule: &R) {
        let Self { masked, step, between } = self;
        let (units, output) = (masked.cell.units, masked.cell.output);
        let has_cell_state = masked.cell.has_cell_state();
        let given = if between.is_empty() { &*step.hidden } else { between };
        let mut scratch = vec![0.0; SCRATCH * units];
        let mut cell_after = vec![0.0; if has_cell_state { units } else { 0 }];
        let mut unprojected = step.unprojected.chunks_exact_mut(units.max(1));
        let mut cell_gradients = step.carried_cell.chunks_exact_mut(units.max(1));
        let rows = step.lanes.chunks_exact_mut(masked.stride().max(1));
        let rows = rows.zip(step.carried.chunks_exact_mut(output.max(1)));
        for (i, (lanes, hidden_gradients)) in rows.enumerate() {
            let cell_before = if has_cell_state {
                row_of(step.cell_before, units, i)
            } else {
                &[]
            };
            if has_cell_state {
                let row = Scan {
                    lanes: &mut *lanes,
                    parameters: &masked.parameters,
                    cell_before,
                    cell_after: &mut cell_after,
                    unprojected: unprojected.next().unwrap_or_default(),
                    scratch: &mut scratch,
                };
                rule.scan(simd, row);
            }
            let back = Back {
                lanes,
                parameters: &masked.parameters,
                hidden_before: row_of(step.hidden_before, output, i),
                cell_before,
                cell_after: &cell_after,
                gradients: row_of(given, units, i),
                cell_gradients: cell_gradients.next().unwrap_or_default(),
                hidden_gradients,
                scratch: &mut scratch,
            };
            rule.back(simd, back);
        }
    }
}
