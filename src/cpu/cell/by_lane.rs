//! The weights of a cell by lane, as matrices that any number of rows shares.

use crate::cpu::product::matrix::Matrix;
use crate::cpu::product::path::Path;
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

impl LaneMatrices {
    pub(crate) fn new(planned: &PlannedCell, path: Path) -> Self {
        let PlannedCell { cell, weights } = planned;
        let (features, units, output) = (cell.features, cell.units, cell.output);
        let columns = cell.lanes().len() * units;
        let of_reset = cell.lanes().iter().position(|lane| lane.of_reset);
        let lane = |column: usize| (column / units.max(1), column % units.max(1));
        let recurrent = |k, lane, unit| cell.recurrent_lane(weights, k, lane, unit);
        Self {
            kernel: Matrix::new(features, columns, path, |k, column| {
                let (lane, unit) = lane(column);
                cell.kernel_lane(weights, k, lane, unit)
            }),
            recurrent_kernel: Matrix::new(output, columns, path, |k, column| match lane(column) {
                (lane, _) if Some(lane) == of_reset => 0.0,
                (lane, unit) => recurrent(k, lane, unit),
            }),
            bias: (0..columns)
                .map(|column| {
                    let (lane, unit) = lane(column);
                    cell.bias_lane(weights, lane, unit)
                })
                .collect(),
            reset: of_reset.map(|lane| Reset {
                lane,
                kernel: Matrix::new(output, units, path, |k, unit| recurrent(k, lane, unit)),
            }),
        }
    }
}
