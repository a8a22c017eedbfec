//! A recurrence on the way back: its lanes again, the cell state of every row, the steps from the last to the first, and the products over
//! all rows.

use crate::cell::Cell;
use crate::error::Result;
use crate::gpu::training::by_gate::GateFactors;
use crate::gpu::training::places::Place;
use crate::gpu::training::product::Product;
use crate::gpu::training::recorder::{Block, Matrix, Recorder};
use crate::gpu::training::rule::{SCAN, SCAN_ROWWISE, ScanParams, constants_for, has_rows, separates};
use crate::gpu::training::solo_back::SoloBack;
use crate::gpu::training::step_back::{StepParams, step_and_kernel};
use crate::gpu::training::weights::CellTensors;
use crate::schedule::Schedule;

/// The invocations of a workgroup that scans.
const SCANNERS: usize = 64;

/// The passes of the loops of two sums over a workgroup, and of one loop over a step.
const REDUCTIONS: usize = 16;

/// What a recurrence reads and writes on its way back.
#[derive(Debug)]
pub(super) struct RecurrenceBack<'a> {
    /// Which of those that go back together it is.
    pub(super) place: Place,
    pub(super) cell: &'a Cell,
    pub(super) schedule: &'a Schedule,
    pub(super) tensors: CellTensors<'a>,
    /// The rows of its input, which of them it has read, and whether their gradient is wanted.
    pub(super) source: Matrix<'a>,
    pub(super) input: wgpu::Buffer,
    pub(super) wants_input: bool,
    /// h: so many rows before the first step, and then a row for each of the schedule. From a direction to the next there are so many rows.
    pub(super) hidden: Matrix<'a>,
    pub(super) room: usize,
    pub(super) pitch: usize,
    /// For each row the row of `hidden` with the state before it,
    pub(super) before: wgpu::Buffer,
    /// and for each step the row of position 0, and one more for the end.
    pub(super) starts: wgpu::Buffer,
    /// The gradient of each row of h, (row, unit).
    pub(super) upstream: Block,
    /// By position: the gradient of the final states, which becomes that of the initial ones; h, then c. Then the initial state that the rule
    /// reads. This of each direction.
    pub(super) carry: wgpu::Buffer,
    /// What its gates have left out of the input and of h, each of its own, if they have.
    pub(super) left_of_input: Option<GateFactors<'a>>,
    pub(super) left_of_state: Option<GateFactors<'a>>,
    /// How its steps may go back many at once.
    pub(super) solo: Option<&'a SoloBack>,
}

/// The weights that the steps of all directions read.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) recurrent_kernel: wgpu::Buffer,
    pub(super) unit_weights: wgpu::Buffer,
}

/// What a recurrence has for every row on its way back.
#[derive(Debug)]
pub(super) struct OfRows {
    /// (row, gate and unit): of the input, and of h too where that has no lanes of its own.
    pub(super) lanes: Block,
    pub(super) own: Option<Block>,
    /// r * h, (row, unit), where that is multiplied again.
    pub(super) reset: Option<Block>,
    /// The cell state, behind those before the first step.
    pub(super) cells: Option<Block>,
    /// What is projected, (row, unit).
    pub(super) unprojected: Option<Block>,
}

impl OfRows {
    /// The lanes whose gradients go through the recurrent product.
    pub(super) fn of_state(&self) -> Matrix<'_> {
        self.own.as_ref().unwrap_or(&self.lanes).matrix()
    }
}

/// Where the gradient of so many values that a recurrence has read is left, (row, feature), if it is wanted.
pub(super) fn gathered(recorder: &mut Recorder<'_>, place: Place, values: usize) -> Result<wgpu::Buffer> {
    recorder.buffer(("gathered gradient", place.direction), values)
}

impl RecurrenceBack<'_> {
    pub(super) fn columns(&self) -> usize {
        self.cell.gates() * self.cell.units
    }

    /// Where in `carry` each of its parts begins.
    pub(super) fn part_of_carry(&self, part: usize) -> u32 {
        (part * self.schedule.batch() * self.cell.units) as u32
    }

    pub(super) fn of_rows(&self, recorder: &mut Recorder<'_>) -> Result<OfRows> {
        let (columns, units) = (self.columns(), self.cell.units);
        let rows = self.schedule.rows();
        let Place {
            direction, directions, ..
        } = self.place;
        let mut block = |name, rows: usize, width: usize| -> Result<Block> {
            Ok(Block {
                buffer: recorder.buffer((name, 0), directions * rows * width)?,
                first: direction * rows * width,
                width,
            })
        };
        let mut where_wanted = |is_wanted: bool, name, rows, width| match is_wanted {
            true => block(name, rows, width).map(Some),
            false => Ok(None),
        };
        Ok(OfRows {
            own: where_wanted(separates(self.cell), "recurrent lanes", rows, columns)?,
            reset: where_wanted(self.cell.multiplies_reset(), "reset states", rows, units)?,
            cells: where_wanted(self.cell.has_cell_state(), "cell states", self.room + rows, units)?,
            unprojected: where_wanted(self.cell.has_projection(), "unprojected", rows, units)?,
            lanes: block("lanes", rows, columns)?,
        })
    }

    /// The gradient of the rows that were read.
    pub(super) fn gather_back(&self, recorder: &mut Recorder<'_>, of_rows: &OfRows) -> Result<()> {
        if !self.wants_input {
            return Ok(());
        }
        let (rows, columns, features) = (self.schedule.rows(), self.columns(), self.cell.features);
        let gathered = gathered(recorder, self.place, rows * features)?;
        let product = Product::new(
            [rows, features, columns],
            of_rows.lanes.matrix(),
            Matrix::tight(&self.tensors.kernel.values, columns),
            Matrix::tight(&gathered, features),
        );
        let product = product.turned(false, true);
        let products = product.over_gates(self.cell.units, self.left_of_input);
        products.iter().for_each(|product| product.record(recorder));
        Ok(())
    }

    /// x · kernel + bias, and h · recurrent_kernel with it, or beside it where that product has lanes of its own.
    pub(super) fn lanes_again(&self, recorder: &mut Recorder<'_>, of_rows: &OfRows) {
        let (rows, columns, units) = (self.schedule.rows(), self.columns(), self.cell.units);
        let OfRows { lanes, own, .. } = of_rows;
        let tensors = self.tensors;
        let bias = |row: usize| tensors.bias.map(|bias| (&bias.values, row * columns));
        let of_input = Product::new(
            [rows, columns, self.cell.features],
            self.source,
            Matrix::tight(&tensors.kernel.values, columns),
            lanes.matrix(),
        );
        let of_input = Product {
            index: Some(&self.input),
            bias: bias(0),
            ..of_input
        };
        let of_state = Product::new(
            [rows, self.columns_of_state(), self.cell.output],
            self.hidden,
            Matrix::tight(&tensors.recurrent_kernel.values, columns),
            of_rows.of_state(),
        );
        let of_state = Product {
            index: Some(&self.before),
            adds: own.is_none(),
            bias: own.as_ref().and_then(|_| bias(1)),
            ..of_state
        };
        for product in [(of_input, self.left_of_input), (of_state, self.left_of_state)] {
            let products = product.0.by_gate(units, product.1);
            products.iter().for_each(|product| product.record(recorder));
        }
        if let Some(reset) = &of_rows.reset {
            self.reset_again(recorder, lanes, reset);
        }
    }

    /// The columns of the recurrent kernel that h itself is multiplied by: all but those of n where that is r * h.
    pub(super) fn columns_of_state(&self) -> usize {
        match self.cell.multiplies_reset() {
            true => self.columns() - self.cell.units,
            false => self.columns(),
        }
    }

    /// The cell state of every row, behind those before the first step, of all directions; nothing where there is no cell state.
    pub(super) fn scan(&self, recorder: &mut Recorder<'_>, (of_rows, shared): (&OfRows, &Shared)) {
        let Some(cells) = &of_rows.cells else {
            return;
        };
        let (units, positions, steps) = (self.cell.units, self.schedule.batch(), self.schedule.steps());
        let (shader, workgroups, most) = match has_rows(self.cell) {
            true => (&SCAN_ROWWISE, positions, 3 * units.div_ceil(SCANNERS) + REDUCTIONS),
            false => (&SCAN, (positions * units).div_ceil(SCANNERS), 1),
        };
        let most = (recorder.gpu.most_passes() / most).max(1);
        let constants = constants_for(shader, self.cell);
        let storage = [
            &self.starts,
            &of_rows.lanes.buffer,
            &shared.unit_weights,
            &self.carry,
            &cells.buffer,
        ];
        let directions = self.place.directions;
        let dispatches = (0..steps).step_by(most).map(|first_step| {
            let params = ScanParams {
                first_step: first_step as u32,
                last_step: first_step.saturating_add(most).min(steps) as u32,
                positions: positions as u32,
                units: units as u32,
                lanes_stride: self.columns() as u32,
                room: self.room as u32,
                start_first: self.part_of_carry(2),
                rows: self.schedule.rows() as u32,
                directions: directions as u32,
            };
            (params, (directions * workgroups) as u64)
        });
        recorder.dispatches((shader, &constants), &storage, dispatches);
    }

    /// The steps of all directions from the last to the first, and what goes to the states before them.
    pub(super) fn steps(&self, recorder: &mut Recorder<'_>, (of_rows, shared): (&OfRows, &Shared)) -> Result<()> {
        let solo = self.solo.and_then(|solo| Some((solo, solo.shape(self.schedule)?)));
        if let Some(solo) = solo {
            self.steps_solo(recorder, (of_rows, shared), solo)?;
        }
        let one_by_one = if solo.is_some() { 0 } else { self.schedule.steps() };
        let units = self.cell.units;
        let states = self.states(of_rows);
        let directions = self.place.directions;
        let most = self.schedule.active(0);
        let (step, kernel) = step_and_kernel(recorder, self.cell, (&shared.recurrent_kernel, directions), most)?;
        let (shader, constants, [positions, tile]) = step;
        let [nothing_written, _] = recorder.nothing_written();
        let storage = [
            &kernel,
            &shared.unit_weights,
            states.buffer,
            &self.upstream.buffer,
            &of_rows.lanes.buffer,
            of_rows.own.as_ref().map_or(&nothing_written, |own| &own.buffer),
            &self.carry,
        ];
        let workgroups = |running: usize| (directions * running.div_ceil(positions) * units.div_ceil(tile)) as u64;
        let common = StepParams {
            units: units as u32,
            lanes_stride: self.columns() as u32,
            states_first: states.first as u32,
            states_stride: states.stride as u32,
            cell_first: self.part_of_carry(1),
            rows: self.schedule.rows() as u32,
            states_pitch: self.states_pitch(of_rows),
            directions: directions as u32,
            ..StepParams::default()
        };
        let backwards = (0..one_by_one).rev().map(|step| {
            let (now, next) = (self.schedule.rows_of(step), self.schedule.rows_of(step + 1));
            let params = StepParams {
                positions: now.len() as u32,
                row: now.start as u32,
                next_positions: next.len() as u32,
                next_row: next.start as u32,
                before_row: self.before_row(step) as u32,
                runs_rule: 1,
                ..common
            };
            (params, workgroups(now.len()))
        });
        let first = self.schedule.active(0);
        let behind = StepParams {
            positions: first as u32,
            next_positions: first as u32,
            ..common
        };
        let all = backwards.chain(std::iter::once((behind, workgroups(first))));
        recorder.dispatches((shader, &constants), &storage, all);
        Ok(())
    }

    /// The state that the rule reads, by row: the cell state, or the hidden one where there is no other.
    pub(super) fn states<'s>(&'s self, of_rows: &'s OfRows) -> Matrix<'s> {
        let cells = of_rows.cells.as_ref();
        cells.map_or(self.hidden, Block::matrix)
    }

    /// The values from the states of a direction to those of the next.
    pub(super) fn states_pitch(&self, of_rows: &OfRows) -> u32 {
        let values = match &of_rows.cells {
            Some(cells) => (self.room + self.schedule.rows()) * cells.width,
            None => self.pitch * self.hidden.stride,
        };
        values as u32
    }

    /// The row of those states of position 0 before a step.
    pub(super) fn before_row(&self, step: usize) -> usize {
        match step.checked_sub(1) {
            Some(before) => self.room + self.schedule.rows_of(before).start,
            None => 0,
        }
    }
}
