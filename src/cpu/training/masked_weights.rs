//! The gradients of the weights of a recurrence whose gates have left something out: sums over all rows, of each gate by itself.

use super::masked::{MaskedWay, Rows};
use super::peepholes::{PeepholeRow, peepholes};
use super::recurrence::CellGradients;
use super::sums::{Factor, Summed, Sums};
use crate::cell::Lane;
use crate::cpu::product::rows::{over_rows, row_of};
use crate::cpu::stage::dropout::times;
use crate::cpu::stage::masked::{GateOf, before, of_hidden, of_input, of_product, place_of};
use crate::error::Result;
use crate::memory::RUN;
use crate::state::State;

impl MaskedWay<'_> {
    /// The gradients of the weights; those of the input and of the state come elsewhere.
    pub(super) fn of_weights(&self, rows: &Rows<'_>) -> Result<CellGradients> {
        let cell = &self.forward.cell;
        let (schedule, left, output) = (self.schedule, self.left, cell.output);
        let x = |row: usize| self.input.row(row);
        let [kernel, bias] = self.sums(rows, of_input, (&x, &left.input_factors, cell.features))?;
        let h = |row: usize| row_of(&left.hidden, output, self.before(row));
        let [mut recurrent_kernel, second] = self.sums(rows, of_hidden, (&h, &left.factors, output))?;
        if cell.multiplies_reset() {
            let product = |row: usize| row_of(&left.products, output, row);
            let [further, _] = self.sums(rows, of_product, (&product, &left.factors, output))?;
            let pairs = recurrent_kernel.iter_mut().zip(further);
            pairs.for_each(|(to, further)| *to += further);
        }
        let second = if cell.bias_rows() == 2 { second } else { Vec::new() };
        Ok(CellGradients {
            kernel,
            recurrent_kernel,
            bias: RUN.collected(bias.into_iter().chain(second))?,
            peepholes: self.peepholes(rows)?,
            projection: self.projection(rows)?,
            input: Vec::new(),
            state: State::zeros(schedule.batch(), cell.state_widths())?,
        })
    }

    /// Where h and the cell state before a row lie.
    fn before(&self, row: usize) -> usize {
        let (step, position) = place_of(self.schedule, row);
        before(self.schedule, step) + position
    }

    /// `[(features, gates·units), (gates·units)]`: of the products of rows with the gradients of lanes, and of these alone. A gate that no lane
    /// has in the product has zeros.
    fn sums<'x>(
        &self,
        rows: &Rows<'_>,
        gate_of: GateOf,
        (x, factors, features): (&(dyn Fn(usize) -> &'x [f32] + Sync), &[f32], usize),
    ) -> Result<[Vec<f32>; 2]> {
        let cell = &self.forward.cell;
        let (units, stride, columns) = (cell.units, self.forward.stride(), cell.gates() * cell.units);
        let mut sums = RUN.zeros((features + 1) * columns)?;
        let lanes = cell.lanes().iter().enumerate();
        for (lane, gate) in lanes.filter_map(|(lane, of): (usize, &Lane)| Some((lane, gate_of(of)?))) {
            let mut masked = RUN.zeros(self.schedule.rows() * features)?;
            over_rows((&mut masked, features), |masked, first| {
                for (row, to) in (first..).zip(masked.chunks_exact_mut(features.max(1))) {
                    let position = place_of(self.schedule, row).1;
                    let factors = row_of(factors, features, position * cell.gates() + gate);
                    let values = x(row).iter().zip(factors);
                    to.iter_mut()
                        .zip(values)
                        .for_each(|(to, (&x, &factor))| *to = times(x, factor));
                }
            });
            let of_gate = Sums {
                path: self.forward.path,
                count: self.schedule.rows(),
                d: |row| row_of(row_of(rows.lanes, stride, row), units, lane),
                lanes: 1,
                width: units,
                factors: &[Factor {
                    x: &|row| row_of(&masked, features, row),
                    features,
                    parts: &[Some(0)],
                }],
            };
            let Summed { products, d } = of_gate.run()?;
            let from = products
                .iter()
                .chain([&d])
                .flat_map(|rows| rows.chunks_exact(units.max(1)));
            for (to, from) in sums.chunks_exact_mut(columns.max(1)).zip(from) {
                let to = to.get_mut(gate * units..).unwrap_or_default();
                to.iter_mut().zip(from).for_each(|(to, &from)| *to = from);
            }
        }
        let alone = sums.split_off(features * columns);
        Ok([sums, alone])
    }

    fn peepholes(&self, rows: &Rows<'_>) -> Result<Vec<f32>> {
        let cell = &self.forward.cell;
        if !cell.has_unit_parameters() {
            return Ok(Vec::new());
        }
        let (units, room) = (cell.units, self.schedule.active(0));
        let state = |place| row_of(&self.left.cell_states, units, place);
        let row = |row| PeepholeRow {
            lanes: row_of(rows.lanes, self.forward.stride(), row),
            cell_states: [state(self.before(row)), state(room + row)],
        };
        peepholes(units, (0..self.schedule.rows()).map(row))
    }

    /// `∂P = Σ unprojectedᵀ ∂h`
    fn projection(&self, rows: &Rows<'_>) -> Result<Vec<f32>> {
        let cell = &self.forward.cell;
        if !cell.has_projection() {
            return Ok(Vec::new());
        }
        let sums = Sums {
            path: self.forward.path,
            count: self.schedule.rows(),
            d: |row| row_of(&rows.hidden, cell.output, row),
            lanes: 1,
            width: cell.output,
            factors: &[Factor {
                x: &|row| row_of(&rows.unprojected, cell.units, row),
                features: cell.units,
                parts: &[Some(0)],
            }],
        };
        Ok(sums.run()?.products.pop().unwrap_or_default())
    }
}
