//! The gradients of peepholes.

use crate::cpu::product::rows::row_of;
use crate::error::Result;
use crate::memory::RUN;

/// A row of a cell with peepholes.
pub(super) struct PeepholeRow<'a> {
    /// The gradients of its lanes, (lanes · units).
    pub(super) lanes: &'a [f32],
    /// c before it, and after.
    pub(super) cell_states: [&'a [f32]; 2],
}

/// `∂p_i = Σ ∂(lane i) c`, `∂p_f = Σ ∂(lane f) c`, `∂p_o = Σ ∂(lane o) c'`: c before the row, and after.
pub(super) fn peepholes<'a>(units: usize, rows: impl Iterator<Item = PeepholeRow<'a>>) -> Result<Vec<f32>> {
    let mut sums = RUN.filled(3 * units, 0.0_f64)?;
    for PeepholeRow {
        lanes,
        cell_states: [before, after],
    } in rows
    {
        let seen = [(0, before), (1, before), (3, after)];
        for (sums, (lane, seen)) in sums.chunks_exact_mut(units.max(1)).zip(seen) {
            let products = row_of(lanes, units, lane).iter().zip(seen);
            for (sum, (lane, seen)) in sums.iter_mut().zip(products) {
                *sum += f64::from(*lane) * f64::from(*seen);
            }
        }
    }
    RUN.listed(sums.iter().map(|&sum| sum as f32))
}
