//! `masked`: a recurrence in training whose gates leave out inputs and hidden values of their own, of each sequence the same at every step.

use rayon::prelude::*;

use super::dropout::times;
use super::recurrence::States;
use super::rowwise_step::{FinishRows, ResetRows, RowSizes};
use super::work::Work;
use crate::cell::{Cell, Lane};
use crate::cpu::cell::by_lane::Columns;
use crate::cpu::cell::{AnyRule, parameters_of};
use crate::cpu::memory::buffer::{Lines, taken};
use crate::cpu::memory::workspace::{MaskedRows, StageRows};
use crate::cpu::product::matrix::{Matrix, ROWS_PER_TASK};
use crate::cpu::product::path::Path;
use crate::cpu::product::rows::{add, over_rows, row_of};
use crate::cpu::threads::pool;
use crate::error::Result;
use crate::memory::RUN;
use crate::model::plan::PlannedCell;
use crate::model::planned_dropout::GateDropout;
use crate::random::Noise;
use crate::schedule::Schedule;

/// One cell, ready to run in training: each gate has a product of its own.
#[derive(Debug)]
pub(crate) struct Masked {
    pub(crate) path: Path,
    pub(crate) cell: Cell,
    dropout: GateDropout,
    /// For each gate (features, units),
    kernels: Vec<Matrix>,
    /// and (output, units).
    recurrent_kernels: Vec<Matrix>,
    /// (lanes·units)
    bias: Vec<f32>,
    /// (units, output)
    projection: Option<Matrix>,
    pub(crate) parameters: Lines,
    pub(crate) rule: AnyRule,
    /// [`Masked::run_all`]. By a pointer, so that a program that trains nothing, as the browser's page, does not have it.
    run: Run,
}

type Run = fn(&Masked, Noise, Work<'_>, States<'_>, &mut StageRows) -> Result<usize>;

/// Some positions of a step.
struct Step<'a> {
    first: usize,
    hidden_before: &'a [f32],
    cell_before: &'a [f32],
    lanes: &'a mut [f32],
    cell_state: &'a mut [f32],
    hidden: &'a mut [f32],
    products: &'a mut [f32],
}

impl Masked {
    pub(crate) fn new(planned: &PlannedCell, dropout: GateDropout, path: Path) -> Result<Self> {
        let PlannedCell { cell, weights } = planned;
        let of_gates = || (0..cell.gates()).map(|_| Matrix::empty()).collect();
        let mut made = Self {
            path,
            cell: cell.clone(),
            dropout,
            kernels: of_gates(),
            recurrent_kernels: of_gates(),
            bias: Vec::new(),
            projection: weights.projection.as_ref().map(|_| Matrix::empty()),
            parameters: Lines::default(),
            rule: AnyRule::new(cell),
            run: Self::run_all,
        };
        made.refill(planned)?;
        Ok(made)
    }

    /// Other weights of the same cell, in the same memory.
    pub(crate) fn refill(&mut self, planned: &PlannedCell) -> Result<()> {
        let PlannedCell { cell, weights } = planned;
        let (path, units) = (self.path, cell.units);
        let kernels = [
            (&mut self.kernels, &weights.kernel),
            (&mut self.recurrent_kernels, &weights.recurrent_kernel),
        ];
        for (matrices, kernel) in kernels {
            for (gate, matrix) in matrices.iter_mut().enumerate() {
                Columns::of_gate(kernel, units, gate).forward_into(path, matrix)?;
            }
        }
        if let Some((matrix, projection)) = self.projection.as_mut().zip(weights.projection.as_ref()) {
            Columns::of_matrix(projection).forward_into(path, matrix)?;
        }
        let bias = |column: usize| cell.bias_lane(weights, column / units.max(1), column % units.max(1));
        self.bias.clear();
        self.bias.extend((0..self.stride()).map(bias));
        self.parameters = parameters_of(planned);
        Ok(())
    }

    /// The numbers of the lanes of a row.
    pub(crate) fn stride(&self) -> usize {
        self.cell.lanes().len() * self.cell.units
    }

    /// Runs a schedule from the states and leaves the final ones there, and in `rows` what the way back needs. Gives how many rows were run.
    pub(crate) fn run(&self, noise: Noise, work: Work<'_>, states: States<'_>, rows: &mut StageRows) -> Result<usize> {
        (self.run)(self, noise, work, states, rows)
    }

    fn run_all(&self, noise: Noise, work: Work<'_>, states: States<'_>, rows: &mut StageRows) -> Result<usize> {
        let (schedule, output) = (work.schedule, self.cell.output);
        let StageRows { values, places, masked } = rows;
        places.clear();
        let left = masked.get_or_insert_default();
        self.draw(noise, schedule, left)?;
        self.begin(schedule, (&*states.hidden, &*states.cell_state), left)?;
        let factors = &*left.input_factors;
        over_rows((&mut left.lanes, self.stride()), |lanes, first| {
            let row = |i| (work.gathered.row(first + i), place_of(schedule, first + i).1);
            self.add_by_gate((&self.kernels, of_input), row, factors, lanes);
        });
        for step in 0..schedule.steps() {
            self.step(schedule, step, left)?;
        }
        let room = schedule.active(0);
        let made = left.hidden.get(room * output..).unwrap_or_default();
        values.resize(made.len())?.copy_from_slice(made);
        let finals = [
            (states.hidden, &left.hidden, output),
            (states.cell_state, &left.cell_states, self.cell.units),
        ];
        for (to, from, width) in finals {
            for (position, &sequence) in schedule.order().iter().enumerate() {
                let row = schedule.last_row(position).map(|row| row_of(from, width, room + row));
                let to = to.get_mut(sequence as usize * width..).unwrap_or_default();
                let pairs = to.iter_mut().zip(row.unwrap_or_default());
                pairs.for_each(|(to, &from)| *to = from);
            }
        }
        Ok(schedule.rows())
    }

    /// Makes room, and puts the states before the first step and the bias in their places.
    fn begin(&self, schedule: &Schedule, (hidden, cell_state): (&[f32], &[f32]), left: &mut MaskedRows) -> Result<()> {
        let Cell { units, output, .. } = self.cell;
        let (rows, positions) = (schedule.rows(), schedule.active(0));
        let lanes = left.lanes.resize(rows * self.stride())?;
        for row in lanes.chunks_exact_mut(self.stride().max(1)) {
            row.copy_from_slice(&self.bias);
        }
        let has_product = self.cell.multiplies_reset();
        left.products.resize(if has_product { rows * output } else { 0 })?;
        let of_cell = if self.cell.has_cell_state() { units } else { 0 };
        let states = [
            (&mut left.hidden, hidden, output),
            (&mut left.cell_states, cell_state, of_cell),
        ];
        for (to, from, width) in states {
            let to = to.resize((positions + rows) * width)?;
            for (to, &sequence) in to.chunks_exact_mut(width.max(1)).zip(schedule.order()).take(positions) {
                let from = row_of(from, width, sequence as usize);
                to.iter_mut().zip(from).for_each(|(to, &from)| *to = from);
            }
        }
        Ok(())
    }

    /// Draws what is left out: factors of each sequence and gate.
    fn draw(&self, noise: Noise, schedule: &Schedule, left: &mut MaskedRows) -> Result<()> {
        let (positions, gates, order) = (schedule.active(0), self.cell.gates(), schedule.order());
        let Cell { features, output, .. } = self.cell;
        let factors = left.input_factors.resize(positions * gates * features)?;
        self.dropout.of_input(noise, order, (gates, features), factors);
        let factors = left.factors.resize(positions * gates * output)?;
        self.dropout.of_hidden(noise, order, (gates, output), factors);
        Ok(())
    }

    /// One step, some positions beside others.
    fn step(&self, schedule: &Schedule, step: usize, left: &mut MaskedRows) -> Result<()> {
        let (stride, units, output) = (self.stride(), self.cell.units, self.cell.output);
        let of_cell = if self.cell.has_cell_state() { units } else { 0 };
        let of_product = if self.cell.multiplies_reset() { output } else { 0 };
        let (rows, room, before) = (schedule.rows_of(step), schedule.active(0), before(schedule, step));
        let (hidden_before, mut hidden) = split(&mut left.hidden, (room + rows.start) * output);
        let (cell_before, mut cell_state) = split(&mut left.cell_states, (room + rows.start) * of_cell);
        let (_, mut lanes) = split(&mut left.lanes, rows.start * stride);
        let (_, mut products) = split(&mut left.products, rows.start * of_product);
        let together = together(rows.len(), self.path);
        let mut tasks = RUN.list(rows.len().div_ceil(together))?;
        for first in (0..rows.len()).step_by(together) {
            let count = together.min(rows.len() - first);
            tasks.push(Step {
                first,
                hidden_before: hidden_before.get((before + first) * output..).unwrap_or_default(),
                cell_before: cell_before.get((before + first) * of_cell..).unwrap_or_default(),
                lanes: taken(&mut lanes, count * stride),
                cell_state: taken(&mut cell_state, count * of_cell),
                hidden: taken(&mut hidden, count * output),
                products: taken(&mut products, count * of_product),
            });
        }
        let factors = &*left.factors;
        side_by_side(tasks, |task| self.run_step(task, factors))
    }

    fn run_step(&self, step: Step<'_>, factors: &[f32]) -> Result<()> {
        let Step {
            first,
            hidden_before,
            cell_before,
            lanes,
            cell_state,
            hidden,
            products,
        } = step;
        let sizes = RowSizes::of(&self.cell);
        let (units, output) = (sizes.units, sizes.output);
        let before = |i: usize| (row_of(hidden_before, output, i), first + i);
        self.add_by_gate((&self.recurrent_kernels, of_hidden), before, factors, lanes);
        if self.cell.multiplies_reset() {
            self.rule.with(ResetRows {
                sizes,
                lanes,
                hidden: hidden_before,
                product: products,
            });
            let product = |i: usize| (row_of(products, output, i), first + i);
            self.add_by_gate((&self.recurrent_kernels, of_product), product, factors, lanes);
        }
        cell_state
            .iter_mut()
            .zip(cell_before)
            .for_each(|(to, &from)| *to = from);
        // the rule spoils the lanes, which the way back wants
        let mut spoilt = RUN.listed(lanes.iter().copied())?;
        let mut finish = |cell_state: &mut [f32], next: &mut [f32]| {
            self.rule.with(FinishRows {
                sizes,
                parameters: &self.parameters,
                lanes: &mut spoilt,
                hidden: hidden_before,
                cell_state,
                next,
            });
        };
        let Some(projection) = &self.projection else {
            finish(cell_state, hidden);
            return Ok(());
        };
        let mut unprojected = RUN.zeros(hidden.len() / output.max(1) * units)?;
        finish(cell_state, &mut unprojected);
        hidden.fill(0.0);
        let unprojected = |i| row_of(&unprojected, units, i);
        add(self.path, projection, unprojected, (hidden, output));
        Ok(())
    }

    /// `lanes += (factors * row) · matrix` for each lane with a gate, whose matrix and factors it takes. Each row comes with its position.
    fn add_by_gate<'r>(
        &self,
        (matrices, gate_of): (&[Matrix], GateOf),
        row: impl Fn(usize) -> (&'r [f32], usize),
        factors: &[f32],
        lanes: &mut [f32],
    ) {
        let (stride, gates) = (self.stride(), self.cell.gates());
        let mut masked = Vec::new();
        for (lane, of) in self.cell.lanes().iter().enumerate() {
            let Some((gate, matrix)) = gate_of(of).and_then(|gate| Some((gate, matrices.get(gate)?))) else {
                continue;
            };
            masked.clear();
            let mut width = 0;
            for i in 0..lanes.len() / stride.max(1) {
                let (row, position) = row(i);
                width = row.len();
                let factors = row_of(factors, width, position * gates + gate);
                masked.extend(row.iter().zip(factors).map(|(&value, &factor)| times(value, factor)));
            }
            let sums = lanes.get_mut(lane * self.cell.units..).unwrap_or_default();
            add(self.path, matrix, |i| row_of(&masked, width, i), (sums, stride));
        }
    }
}

/// Which gate a lane has in one of the products.
pub(crate) type GateOf = fn(&Lane) -> Option<usize>;

/// That of x.
pub(crate) fn of_input(lane: &Lane) -> Option<usize> {
    lane.kernel
}

/// That of h.
pub(crate) fn of_hidden(lane: &Lane) -> Option<usize> {
    lane.recurrent.filter(|_| !lane.of_reset)
}

/// That of r * h.
pub(crate) fn of_product(lane: &Lane) -> Option<usize> {
    lane.recurrent.filter(|_| lane.of_reset)
}

/// Where the states before a step begin, behind those before the first step.
pub(crate) fn before(schedule: &Schedule, step: usize) -> usize {
    match step.checked_sub(1) {
        Some(before) => schedule.active(0) + schedule.rows_of(before).start,
        None => 0,
    }
}

/// The step of a row, and its position there.
pub(crate) fn place_of(schedule: &Schedule, row: usize) -> (usize, usize) {
    let behind = schedule.offsets().partition_point(|&first| first as usize <= row);
    let step = behind.saturating_sub(1);
    (step, row.saturating_sub(schedule.rows_of(step).start))
}

/// How many positions of a step one thread takes: fewer than a tile has would read the weights as often.
pub(crate) fn together(positions: usize, path: Path) -> usize {
    let (_, tile_rows) = path.tile();
    let share = positions.div_ceil(pool::count().max(1));
    share.clamp(tile_rows, ROWS_PER_TASK)
}

/// Runs tasks beside each other, where there are threads.
pub(crate) fn side_by_side<T: Send>(tasks: Vec<T>, run: impl Fn(T) -> Result<()> + Sync) -> Result<()> {
    match tasks.len() > 1 && pool::count() > 1 {
        true => tasks.into_par_iter().with_max_len(1).try_for_each(&run),
        false => tasks.into_iter().try_for_each(run),
    }
}

/// A list in two; both are empty where it is too short.
pub(crate) fn split(list: &mut [f32], at: usize) -> (&mut [f32], &mut [f32]) {
    list.split_at_mut_checked(at).unwrap_or_default()
}
