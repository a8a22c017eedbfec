//! The weights of a cell by lane, as matrices that any number of rows shares: forward, and the other way for training.

use std::ops::Range;
use std::sync::OnceLock;

use ndarray::{ArcArray2, ArrayBase, CowArray, Data, Ix2};

use crate::cell::Cell;
use crate::cpu::product::matrix::Matrix;
use crate::cpu::product::path::Path;
use crate::error::Result;
use crate::model::plan::PlannedCell;

/// The weights of a cell, columns by lane: `lane · units + unit`.
#[derive(Debug)]
pub(crate) struct LaneMatrices {
    /// (features, lanes·units)
    pub(crate) kernel: Matrix,
    /// (output, lanes·units), without the lanes that multiply r * h
    pub(crate) recurrent_kernel: Matrix,
    /// (lanes·units)
    pub(crate) bias: Vec<f32>,
    pub(crate) reset: Option<Reset>,
}

/// The lane that multiplies r * h.
#[derive(Debug)]
pub(crate) struct Reset {
    pub(crate) lane: usize,
    /// (output, units)
    pub(crate) kernel: Matrix,
}

/// The weights of a cell the other way: from the gradients of lanes to those of what they were made of.
#[derive(Debug)]
pub(crate) struct BackMatrices {
    /// (lanes·units, features), once it was wanted
    kernel: OnceLock<Matrix>,
    /// (lanes·units, output), without the lane that multiplies r * h
    pub(crate) recurrent_kernel: Matrix,
    /// (units, output), of that lane
    pub(crate) reset: Option<Matrix>,
    /// (output, units)
    pub(crate) projection: Option<Matrix>,
}

/// The columns that lanes take of a kernel, gate by gate.
pub(crate) struct Columns<'a> {
    values: CowArray<'a, f32, Ix2>,
    units: usize,
    /// For each lane its gate; `None` where it takes nothing.
    gates: Vec<Option<usize>>,
}

impl<'a> Columns<'a> {
    fn of_kernel(cell: &Cell, kernel: &'a ArcArray2<f32>) -> Self {
        Self::new(cell, kernel, cell.lanes().iter().map(|lane| lane.kernel).collect())
    }

    /// Without the lane that multiplies r * h.
    fn of_recurrent_kernel(cell: &Cell, kernel: &'a ArcArray2<f32>) -> Self {
        let gate = |lane: &crate::cell::Lane| lane.recurrent.filter(|_| !lane.of_reset);
        Self::new(cell, kernel, cell.lanes().iter().map(gate).collect())
    }

    /// All columns of a matrix.
    pub(crate) fn of_matrix(matrix: &'a ArrayBase<impl Data<Elem = f32>, Ix2>) -> Self {
        Self::of_gate(matrix, matrix.ncols(), 0)
    }

    /// Those of one gate.
    pub(crate) fn of_gate(kernel: &'a ArrayBase<impl Data<Elem = f32>, Ix2>, units: usize, gate: usize) -> Self {
        Self {
            values: kernel.as_standard_layout(),
            units,
            gates: vec![Some(gate)],
        }
    }

    fn of_reset(cell: &Cell, kernel: &'a ArcArray2<f32>) -> Option<(usize, Self)> {
        let lane = cell.lanes().iter().position(|lane| lane.of_reset)?;
        let gate = cell.lanes().get(lane)?.recurrent;
        Some((lane, Self::new(cell, kernel, vec![gate])))
    }

    fn new(cell: &Cell, kernel: &'a ArcArray2<f32>, gates: Vec<Option<usize>>) -> Self {
        Self {
            values: kernel.as_standard_layout(),
            units: cell.units,
            gates,
        }
    }

    /// (rows of the kernel, lanes·units)
    pub(crate) fn forward(&self, path: Path) -> Result<Matrix> {
        let mut matrix = Matrix::empty();
        self.forward_into(path, &mut matrix)?;
        Ok(matrix)
    }

    /// The same, into the memory of `matrix`.
    pub(crate) fn forward_into(&self, path: Path, matrix: &mut Matrix) -> Result<()> {
        let size = (self.values.nrows(), self.gates.len() * self.units);
        matrix.refill_panels(size, path, |first, columns, panel| {
            let width = panel.len() / size.0.max(1);
            let rows = self.values.rows().into_iter();
            for (row, span) in rows.zip(panel.chunks_exact_mut(width.max(1))) {
                let (inside, beyond) = span.split_at_mut(columns.min(width));
                copy_parts(
                    row.as_slice().unwrap_or_default(),
                    (&self.gates, self.units),
                    first,
                    inside,
                );
                beyond.fill(0.0);
            }
        })
    }

    /// (lanes·units, rows of the kernel), into the memory of `matrix`.
    pub(crate) fn back(&self, path: Path, matrix: &mut Matrix) -> Result<()> {
        let size = (self.gates.len() * self.units, self.values.nrows());
        matrix.refill_panels(size, path, |first, columns, panel| {
            let width = panel.len() / size.0.max(1);
            for (lane, panel) in panel.chunks_exact_mut((self.units * width).max(1)).enumerate() {
                let gate = self.gates.get(lane).copied().flatten();
                self.turn(gate, first..first + columns, (panel, width));
            }
        })
    }

    /// A gate of some rows of the kernel as columns of a panel. Some units at a time: of each row a line of the cache is read at once.
    fn turn(&self, gate: Option<usize>, rows: Range<usize>, (panel, width): (&mut [f32], usize)) {
        const TOGETHER: usize = 16;
        let Some(gate) = gate else { return panel.fill(0.0) };
        for (block, panel) in panel.chunks_mut(TOGETHER * width.max(1)).enumerate() {
            let begin = gate * self.units + block * TOGETHER;
            for (column, row) in rows.clone().enumerate() {
                let row = self.values.row(row);
                let from = row.as_slice().and_then(|row| row.get(begin..)).unwrap_or_default();
                for (to, &from) in panel.chunks_exact_mut(width.max(1)).zip(from) {
                    if let Some(to) = to.get_mut(column) {
                        *to = from;
                    }
                }
            }
            for to in panel.chunks_exact_mut(width.max(1)) {
                to.get_mut(rows.len()..).unwrap_or_default().fill(0.0);
            }
        }
    }
}

/// Copies a span from `column` on, where the columns are parts of `width` numbers of `from`, each by its place there.
pub(crate) fn copy_parts(
    from: &[f32],
    (parts, width): (&[Option<usize>], usize),
    mut column: usize,
    mut span: &mut [f32],
) {
    let width = width.max(1);
    while !span.is_empty() {
        let (part, inside) = (column / width, column % width);
        let count = (width - inside).min(span.len());
        let (now, later) = span.split_at_mut(count);
        let begin = parts.get(part).copied().flatten().map(|part| part * width + inside);
        match begin.and_then(|begin| from.get(begin..begin + count)) {
            Some(from) => now.copy_from_slice(from),
            None => now.fill(0.0),
        }
        (span, column) = (later, column + count);
    }
}

impl LaneMatrices {
    pub(crate) fn new(planned: &PlannedCell, path: Path) -> Result<Self> {
        let PlannedCell { cell, weights } = planned;
        let columns = cell.lanes().len() * cell.units;
        let reset = Columns::of_reset(cell, &weights.recurrent_kernel);
        let reset = reset.map(|(lane, columns)| columns.forward(path).map(|kernel| Reset { lane, kernel }));
        Ok(Self {
            kernel: Columns::of_kernel(cell, &weights.kernel).forward(path)?,
            recurrent_kernel: Columns::of_recurrent_kernel(cell, &weights.recurrent_kernel).forward(path)?,
            bias: (0..columns)
                .map(|column| cell.bias_lane(weights, column / cell.units.max(1), column % cell.units.max(1)))
                .collect(),
            reset: reset.transpose()?,
        })
    }
}

impl BackMatrices {
    pub(crate) fn new(planned: &PlannedCell, path: Path) -> Result<Self> {
        let PlannedCell { cell, weights } = planned;
        let has_reset = cell.lanes().iter().any(|lane| lane.of_reset);
        let mut made = Self {
            kernel: OnceLock::new(),
            recurrent_kernel: Matrix::empty(),
            reset: has_reset.then(Matrix::empty),
            projection: weights.projection.as_ref().map(|_| Matrix::empty()),
        };
        made.refill(planned, path)?;
        Ok(made)
    }

    /// Other weights of the same cell, in the same memory.
    pub(crate) fn refill(&mut self, planned: &PlannedCell, path: Path) -> Result<()> {
        let PlannedCell { cell, weights } = planned;
        if let Some(kernel) = self.kernel.get_mut() {
            Columns::of_kernel(cell, &weights.kernel).back(path, kernel)?;
        }
        let recurrent = Columns::of_recurrent_kernel(cell, &weights.recurrent_kernel);
        recurrent.back(path, &mut self.recurrent_kernel)?;
        if let Some((matrix, (_, columns))) =
            (self.reset.as_mut()).zip(Columns::of_reset(cell, &weights.recurrent_kernel))
        {
            columns.back(path, matrix)?;
        }
        if let Some((matrix, projection)) = self.projection.as_mut().zip(weights.projection.as_ref()) {
            Columns::of_matrix(projection).back(path, matrix)?;
        }
        Ok(())
    }

    /// (lanes·units, features), made when the gradients of the input are wanted for the first time.
    pub(crate) fn kernel(&self, planned: &PlannedCell, path: Path) -> Result<&Matrix> {
        if let Some(kernel) = self.kernel.get() {
            return Ok(kernel);
        }
        let mut kernel = Matrix::empty();
        Columns::of_kernel(&planned.cell, &planned.weights.kernel).back(path, &mut kernel)?;
        Ok(self.kernel.get_or_init(|| kernel))
    }
}
