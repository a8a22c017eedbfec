//! The gradients of the weights of a cell: sums over all rows, from the gradients of the lanes.

use crate::error::Result;
use crate::gpu::training::by_gate::GateFactors;
use crate::gpu::training::product::Product;
use crate::gpu::training::recorder::{Matrix, Recorder};
use crate::gpu::training::recurrence::{OfRows, RecurrenceBack};
use crate::gpu::training::sums::column_sums;

/// Rows that are multiplied, and the list that names them where there is one.
type Listed<'a> = (Matrix<'a>, Option<&'a wgpu::Buffer>);

impl RecurrenceBack<'_> {
    pub(super) fn sum_up(&self, recorder: &mut Recorder<'_>, of_rows: &OfRows) -> Result<()> {
        let (columns, units, output) = (self.columns(), self.cell.units, self.cell.output);
        let tensors = self.tensors;
        let (lanes, of_state) = (of_rows.lanes.matrix(), of_rows.of_state());
        let gradient = tensors.kernel.gradient(recorder)?;
        let input = (self.source, Some(&self.input));
        self.product(
            recorder,
            [self.cell.features, columns],
            input,
            lanes,
            (Matrix::tight(&gradient, columns), self.left_of_input),
        )?;
        let gradient = tensors.recurrent_kernel.gradient(recorder)?;
        let to = Matrix::tight(&gradient, columns);
        let before = (self.hidden, Some(&self.before));
        let of_hidden = self.columns_of_state();
        let left = self.left_of_state;
        self.product(recorder, [output, of_hidden], before, of_state, (to, left))?;
        if let Some(reset) = &of_rows.reset {
            let reset = (reset.matrix(), None);
            self.product(
                recorder,
                [units, units],
                reset,
                lanes.from(of_hidden),
                (to.from(of_hidden), self.left_of_reset()),
            )?;
        }
        if let (Some(unprojected), Some(projection)) = (&of_rows.unprojected, tensors.projection) {
            let gradient = projection.gradient(recorder)?;
            let unprojected = (unprojected.matrix(), None);
            let to = Matrix::tight(&gradient, output);
            self.product(
                recorder,
                [units, output],
                unprojected,
                self.upstream.matrix(),
                (to, None),
            )?;
        }
        self.sum_biases(recorder, of_rows)?;
        self.sum_peepholes(recorder, of_rows)
    }

    /// The sum over all rows of what was multiplied times the gradient of the product, gate by gate where these have left something out.
    fn product(
        &self,
        recorder: &mut Recorder<'_>,
        [high, wide]: [usize; 2],
        (a, index): Listed<'_>,
        d: Matrix<'_>,
        (to, left): (Matrix<'_>, Option<GateFactors<'_>>),
    ) -> Result<()> {
        let product = Product::new([high, wide, self.schedule.rows()], a, d, to);
        let product = product.turned(true, false);
        let products = Product { index, ..product }.by_gate(self.cell.units, left);
        products
            .iter()
            .try_for_each(|product| product.record_in_parts(recorder))
    }

    fn sum_biases(&self, recorder: &mut Recorder<'_>, of_rows: &OfRows) -> Result<()> {
        let Some(bias) = self.tensors.bias else {
            return Ok(());
        };
        let (rows, columns) = (self.schedule.rows(), self.columns());
        let gradient = bias.gradient(recorder)?;
        let both = [of_rows.lanes.matrix(), of_rows.of_state()].into_iter();
        for (row, lanes) in both.take(self.cell.bias_rows()).enumerate() {
            column_sums(recorder, (lanes, [rows, columns]), None, (&gradient, row * columns))?;
        }
        Ok(())
    }

    fn sum_peepholes(&self, recorder: &mut Recorder<'_>, of_rows: &OfRows) -> Result<()> {
        let (Some(peepholes), Some(cells)) = (self.tensors.peepholes, &of_rows.cells) else {
            return Ok(());
        };
        let (rows, units) = (self.schedule.rows(), self.cell.units);
        let gradient = peepholes.gradient(recorder)?;
        let cells = cells.matrix();
        // i and f see the cell state before the step, o the one behind it
        let seen = [
            (0, cells, Some(&self.before)),
            (1, cells, Some(&self.before)),
            (3, cells.from(self.room * units), None),
        ];
        for (row, (gate, cells, index)) in seen.into_iter().enumerate() {
            let lanes = of_rows.lanes.matrix().from(gate * units);
            let to = (&gradient, row * units);
            column_sums(recorder, (lanes, [rows, units]), Some((cells, index)), to)?;
        }
        Ok(())
    }
}
