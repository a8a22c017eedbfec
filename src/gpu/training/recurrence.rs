//! A recurrence on the way back: its lanes again, the cell state of every row, the steps from the last to the first, and the products over
//! all rows.

use crate::cell::Cell;
use crate::error::Result;
use crate::gpu::training::product::Product;
use crate::gpu::training::recorder::{Matrix, Recorder};
use crate::gpu::training::rule::{SCAN, ScanParams, StepParams, constants_for, separates, step_of};
use crate::gpu::training::sums::column_sums;
use crate::gpu::training::weights::CellTensors;
use crate::schedule::Schedule;

/// The positions and units of a workgroup that does a step.
const TILE: usize = 16;

/// The invocations of a workgroup that scans.
const SCANNERS: usize = 64;

/// What a recurrence reads and writes on its way back.
#[derive(Clone, Copy, Debug)]
pub(super) struct RecurrenceBack<'a> {
    pub(super) cell: &'a Cell,
    pub(super) schedule: &'a Schedule,
    pub(super) tensors: CellTensors<'a>,
    /// The rows of its input, and which of them it has read.
    pub(super) source: Matrix<'a>,
    pub(super) input: &'a wgpu::Buffer,
    /// h: so many rows before the first step, and then a row for each of the schedule.
    pub(super) hidden: Matrix<'a>,
    pub(super) room: usize,
    /// For each row the row of `hidden` with the state before it,
    pub(super) before: &'a wgpu::Buffer,
    /// and for each step the row of position 0, and one more for the end.
    pub(super) starts: &'a wgpu::Buffer,
    /// The gradient of each row of h, (row, unit).
    pub(super) upstream: &'a wgpu::Buffer,
    /// By position: the gradient of the final states, which becomes that of the initial ones; h, then c. Then the initial state that the rule
    /// reads.
    pub(super) carry: &'a wgpu::Buffer,
}

impl RecurrenceBack<'_> {
    fn columns(&self) -> usize {
        self.cell.gates() * self.cell.units
    }

    /// Where in `carry` each of its parts begins.
    fn part_of_carry(&self, part: usize) -> u32 {
        (part * self.schedule.batch() * self.cell.units) as u32
    }

    /// Records everything, and leaves the gradient of the rows that were read in a buffer, (row, feature), if it is wanted.
    pub(super) fn record(&self, recorder: &mut Recorder<'_>, wants_input: bool) -> Result<Option<wgpu::Buffer>> {
        let rows = self.schedule.rows();
        if rows == 0 {
            return Ok(None);
        }
        let columns = self.columns();
        let lanes = recorder.buffer(("lanes", 0), rows * columns)?;
        let own = match separates(self.cell) {
            true => Some(recorder.buffer(("recurrent lanes", 0), rows * columns)?),
            false => None,
        };
        self.lanes_again(recorder, &lanes, own.as_ref());
        let cells = self.scan(recorder, &lanes)?;
        self.steps(recorder, &lanes, own.as_ref(), cells.as_ref());
        self.sum_up(recorder, &lanes, own.as_ref().unwrap_or(&lanes), cells.as_ref())?;
        if !wants_input {
            return Ok(None);
        }
        let features = self.cell.features;
        let gathered = recorder.buffer(("gathered gradient", 0), rows * features)?;
        let product = Product::new(
            [rows, features, columns],
            Matrix::tight(&lanes, columns),
            Matrix::tight(&self.tensors.kernel.values, columns),
            Matrix::tight(&gathered, features),
        );
        product.turned(false, true).record(recorder);
        Ok(Some(gathered))
    }

    /// x · kernel + bias, and h · recurrent_kernel with it, or beside it where that product has lanes of its own.
    fn lanes_again(&self, recorder: &mut Recorder<'_>, lanes: &wgpu::Buffer, own: Option<&wgpu::Buffer>) {
        let (rows, columns) = (self.schedule.rows(), self.columns());
        let tensors = self.tensors;
        let bias = |row: usize| tensors.bias.map(|bias| (&bias.values, row * columns));
        let of_input = Product::new(
            [rows, columns, self.cell.features],
            self.source,
            Matrix::tight(&tensors.kernel.values, columns),
            Matrix::tight(lanes, columns),
        );
        Product {
            index: Some(self.input),
            bias: bias(0),
            ..of_input
        }
        .record(recorder);
        let of_state = Product::new(
            [rows, columns, self.cell.units],
            self.hidden,
            Matrix::tight(&tensors.recurrent_kernel.values, columns),
            Matrix::tight(own.unwrap_or(lanes), columns),
        );
        Product {
            index: Some(self.before),
            adds: own.is_none(),
            bias: own.and_then(|_| bias(1)),
            ..of_state
        }
        .record(recorder);
    }

    /// The cell state of every row, behind those before the first step; nothing where there is no cell state.
    fn scan(&self, recorder: &mut Recorder<'_>, lanes: &wgpu::Buffer) -> Result<Option<wgpu::Buffer>> {
        if !self.cell.has_cell_state() {
            return Ok(None);
        }
        let (units, positions, steps) = (self.cell.units, self.schedule.batch(), self.schedule.steps());
        let cells = recorder.buffer(("cell states", 0), (self.room + self.schedule.rows()) * units)?;
        let constants = constants_for(&SCAN, self.cell);
        let nothing = recorder.nothing();
        let unit_weights = self.tensors.peepholes.map_or(&nothing, |tensor| &tensor.values);
        let storage = [self.starts, lanes, unit_weights, self.carry, &cells];
        let most = recorder.gpu.most_passes();
        let dispatches = (0..steps).step_by(most).map(|first_step| {
            let params = ScanParams {
                first_step: first_step as u32,
                last_step: first_step.saturating_add(most).min(steps) as u32,
                positions: positions as u32,
                units: units as u32,
                lanes_stride: self.columns() as u32,
                room: self.room as u32,
                start_first: self.part_of_carry(2),
            };
            (params, (positions * units).div_ceil(SCANNERS) as u64)
        });
        recorder.dispatches((&SCAN, &constants), &storage, dispatches);
        Ok(Some(cells))
    }

    /// The steps from the last to the first, and what goes to the states before them.
    fn steps(
        &self,
        recorder: &mut Recorder<'_>,
        lanes: &wgpu::Buffer,
        own: Option<&wgpu::Buffer>,
        cells: Option<&wgpu::Buffer>,
    ) {
        let units = self.cell.units;
        let states = cells.map_or(self.hidden, |cells| Matrix::tight(cells, units));
        let shader = step_of(self.cell);
        let constants = constants_for(shader, self.cell);
        let (nothing, nothing_written) = (recorder.nothing(), recorder.nothing_written());
        let storage = [
            &self.tensors.recurrent_kernel.values,
            self.tensors.peepholes.map_or(&nothing, |tensor| &tensor.values),
            states.buffer,
            self.upstream,
            lanes,
            own.unwrap_or(&nothing_written),
            self.carry,
        ];
        let workgroups = |positions: usize| (positions.div_ceil(TILE) * units.div_ceil(TILE)) as u64;
        let common = StepParams {
            units: units as u32,
            lanes_stride: self.columns() as u32,
            states_first: states.first as u32,
            states_stride: states.stride as u32,
            cell_first: self.part_of_carry(1),
            ..StepParams::default()
        };
        let backwards = (0..self.schedule.steps()).rev().map(|step| {
            let (now, next) = (self.schedule.rows_of(step), self.schedule.rows_of(step + 1));
            let before = match step.checked_sub(1) {
                Some(before) => self.room + self.schedule.rows_of(before).start,
                None => 0,
            };
            let params = StepParams {
                positions: now.len() as u32,
                row: now.start as u32,
                next_positions: next.len() as u32,
                next_row: next.start as u32,
                before_row: before as u32,
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
    }

    /// The gradients of the weights, from those of the lanes.
    fn sum_up(
        &self,
        recorder: &mut Recorder<'_>,
        lanes: &wgpu::Buffer,
        of_state: &wgpu::Buffer,
        cells: Option<&wgpu::Buffer>,
    ) -> Result<()> {
        let (rows, columns, units) = (self.schedule.rows(), self.columns(), self.cell.units);
        let tensors = self.tensors;
        let sums = [
            (self.cell.features, self.source, self.input, lanes, tensors.kernel),
            (units, self.hidden, self.before, of_state, tensors.recurrent_kernel),
        ];
        for (high, a, index, lanes, tensor) in sums {
            let gradient = tensor.gradient(recorder)?;
            let product = Product::new(
                [high, columns, rows],
                a,
                Matrix::tight(lanes, columns),
                Matrix::tight(&gradient, columns),
            );
            product.by(index).turned(true, false).record_in_parts(recorder)?;
        }
        if let Some(bias) = tensors.bias {
            let gradient = bias.gradient(recorder)?;
            for (row, lanes) in [lanes, of_state].into_iter().take(self.cell.bias_rows()).enumerate() {
                let rows = (Matrix::tight(lanes, columns), [rows, columns]);
                column_sums(recorder, rows, None, (&gradient, row * columns))?;
            }
        }
        let (Some(peepholes), Some(cells)) = (tensors.peepholes, cells) else {
            return Ok(());
        };
        let gradient = peepholes.gradient(recorder)?;
        let cells = Matrix::tight(cells, units);
        // i and f see the cell state before the step, o the one behind it
        let seen = [
            (0, cells, Some(self.before)),
            (1, cells, Some(self.before)),
            (3, cells.from(self.room * units), None),
        ];
        for (row, (gate, cells, index)) in seen.into_iter().enumerate() {
            let lanes = Matrix::tight(lanes, columns).from(gate * units);
            column_sums(
                recorder,
                (lanes, [rows, units]),
                Some((cells, index)),
                (&gradient, row * units),
            )?;
        }
        Ok(())
    }
}
