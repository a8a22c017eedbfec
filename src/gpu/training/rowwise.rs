//! The steps backwards of cells whose units need each other within a step, as `strategy/step` runs them forward by a shader of their own: an
//! activation is one over all units, r * h is multiplied again, or the hidden state is a projection; and of all cells whose gates leave out
//! values of their own. Products are dispatches of their own here, and between them the rule works position by position. A direction of a layer
//! goes by itself: it shares no buffer.

use crate::error::{Error, Result};
use crate::gpu::training::by_gate::GateFactors;
use crate::gpu::training::product::Product;
use crate::gpu::training::recorder::{Block, Matrix, Recorder};
use crate::gpu::training::recurrence::{OfRows, RecurrenceBack};
use crate::gpu::training::rule::{PositionsParams, RESET, ResetParams, constants_for, rowwise_of};
use crate::gpu::training::sums::add_parts;

/// The dispatches of a step, at most.
pub(super) const DISPATCHES: usize = 8;

impl RecurrenceBack<'_> {
    /// r * h of every row, and its product added to the lanes of n.
    pub(super) fn reset_again(&self, recorder: &mut Recorder<'_>, lanes: &Block, reset: &Block) {
        let (rows, columns, units) = (self.schedule.rows(), self.columns(), self.cell.units);
        let [nothing, _] = recorder.nothing_written();
        self.reset(recorder, false, (0, rows), [&lanes.buffer, &reset.buffer, &nothing]);
        let of_reset = self.columns_of_state();
        let kernel = Matrix::tight(&self.tensors.recurrent_kernel.values, columns).from(of_reset);
        let to = lanes.matrix().from(of_reset);
        let product = Product::new([rows, units, units], reset.matrix(), kernel, to);
        let left = self.left_of_reset();
        let products = product.added().by_gate(units, left);
        products.iter().for_each(|product| product.record(recorder));
    }

    /// What is left out of r * h, by the only gate that has it.
    pub(super) fn left_of_reset(&self) -> Option<GateFactors<'_>> {
        let gate = self.columns_of_state() / self.cell.units.max(1);
        self.left_of_state.map(|left| left.of_gates_from(gate))
    }

    fn reset(
        &self,
        recorder: &mut Recorder<'_>,
        is_back: bool,
        (first, rows): (usize, usize),
        [lanes, products, carry]: [&wgpu::Buffer; 3],
    ) {
        let mut constants = constants_for(&RESET, self.cell);
        if let Some(back) = constants.first_mut() {
            *back = is_back.into();
        }
        let params = ResetParams {
            rows: rows as u32,
            row: first as u32,
            units: self.cell.units as u32,
            lanes_stride: self.columns() as u32,
            states_first: self.hidden.first as u32,
            states_stride: self.hidden.stride as u32,
        };
        let storage = [&self.before, self.hidden.buffer, lanes, products, carry];
        recorder.dispatch((&RESET, &constants), &storage, params, rows as u64);
    }

    /// The steps from the last to the first. The gradients of h of each row end up in `upstream`.
    pub(super) fn steps_rowwise(&self, recorder: &mut Recorder<'_>, of_rows: &OfRows) -> Result<()> {
        let (units, output) = (self.cell.units, self.cell.output);
        let between = recorder.buffer(("between", 0), self.schedule.batch() * units)?;
        let hidden_carry = Matrix::tight(&self.carry, output);
        for step in (0..self.schedule.steps()).rev() {
            let now = self.schedule.rows_of(step);
            self.through_state(recorder, of_rows, step + 1);
            let to = self.upstream.matrix().from(now.start * output);
            add_parts(recorder, (&self.carry, 1, [now.len(), output]), to, true);
            let mut gradients = to;
            if self.cell.has_projection() {
                let projection = self.tensors.projection.ok_or_else(|| Error::defect("a projection"))?;
                let kernel = Matrix::tight(&projection.values, output);
                gradients = Matrix::tight(&between, units);
                let product = Product::new([now.len(), units, output], to, kernel, gradients);
                product.turned(false, true).record(recorder);
            }
            self.rule(recorder, of_rows, step, gradients);
            if of_rows.reset.is_some() {
                let first = self.columns_of_state();
                let columns = self.columns();
                let lanes = of_rows.lanes.matrix().from(now.start * columns + first);
                let kernel = Matrix::tight(&self.tensors.recurrent_kernel.values, columns).from(first);
                let to = Matrix::tight(&between, units);
                let product = Product::new([now.len(), output, units], lanes, kernel, to);
                let products = product.turned(false, true).over_gates(units, self.left_of_reset());
                products.iter().for_each(|product| product.record(recorder));
                let buffers = [&of_rows.lanes.buffer, &between, hidden_carry.buffer];
                self.reset(recorder, true, (now.start, now.len()), buffers);
            }
        }
        self.through_state(recorder, of_rows, 0);
        Ok(())
    }

    /// What the lanes of a step give to the gradient of h before it, in `carry`.
    fn through_state(&self, recorder: &mut Recorder<'_>, of_rows: &OfRows, step: usize) {
        let (columns, inner, output) = (self.columns(), self.columns_of_state(), self.cell.output);
        let rows = self.schedule.rows_of(step);
        let lanes = of_rows.of_state().from(rows.start * columns);
        let kernel = Matrix::tight(&self.tensors.recurrent_kernel.values, columns);
        let to = Matrix::tight(&self.carry, output);
        let product = Product::new([rows.len(), output, inner], lanes, kernel, to);
        let product = Product {
            // of a projected state nothing goes past the lanes, and the rule leaves there what it has found
            adds: !self.cell.has_projection(),
            ..product
        };
        let products = product
            .turned(false, true)
            .over_gates(self.cell.units, self.left_of_state);
        products.iter().for_each(|product| product.record(recorder));
    }

    /// The rule of a step, from the gradients of what it gives.
    fn rule(&self, recorder: &mut Recorder<'_>, of_rows: &OfRows, step: usize, gradients: Matrix<'_>) {
        let shader = rowwise_of(self.cell);
        let (states, now) = (self.states(of_rows), self.schedule.rows_of(step));
        let params = PositionsParams {
            positions: now.len() as u32,
            row: now.start as u32,
            before_row: self.before_row(step) as u32,
            units: self.cell.units as u32,
            lanes_stride: self.columns() as u32,
            states_first: states.first as u32,
            states_stride: states.stride as u32,
            gradients_first: gradients.first as u32,
            cell_first: self.part_of_carry(1),
        };
        let (nothing, [one, other]) = (recorder.nothing(), recorder.nothing_written());
        let storage = [
            self.tensors.peepholes.map_or(&nothing, |tensor| &tensor.values),
            states.buffer,
            gradients.buffer,
            &of_rows.lanes.buffer,
            of_rows.own.as_ref().map_or(&one, |own| &own.buffer),
            &self.carry,
            of_rows.unprojected.as_ref().map_or(&other, |of| &of.buffer),
        ];
        let constants = constants_for(shader, self.cell);
        recorder.dispatch((shader, &constants), &storage, params, now.len() as u64);
    }
}
