//! Weights in the order in which the product reads them.

use ndarray::{Array1, Array2, ArrayView2, Axis};

use super::buffer::Lines;
use super::simd::GATES;

/// Weights (depth, 4·units) as panels: `[panel][depth][gate][lane]`, where a panel holds as many units as a vector has
/// lanes, the last one filled up with zeros. So a tile of the product has all gates of its units in registers, and reads
/// the weights one after another.
#[derive(Debug)]
pub(super) struct Panels {
    lanes: usize,
    depth: usize,
    values: Lines,
}

impl Panels {
    pub(super) fn new(weights: ArrayView2<'_, f32>, lanes: usize) -> Self {
        let (depth, units) = (weights.nrows(), weights.ncols() / GATES);
        let mut panels = Self {
            lanes,
            depth,
            values: Lines::zeros(units.div_ceil(lanes) * depth * GATES * lanes),
        };
        for ((row, column), &weight) in weights.indexed_iter() {
            let (gate, unit) = (column / units, column % units);
            let place = ((unit / lanes * depth + row) * GATES + gate) * lanes + unit % lanes;
            if let Some(value) = panels.values.get_mut(place) {
                *value = weight;
            }
        }
        panels
    }

    /// A bias (4·units), which is zero if there is none: panels of depth 1.
    pub(super) fn of_bias(bias: Option<&Array1<f32>>, units: usize, lanes: usize) -> Self {
        match bias {
            Some(bias) => Self::new(bias.view().insert_axis(Axis(0)), lanes),
            None => Self::new(Array2::zeros((1, GATES * units)).view(), lanes),
        }
    }

    /// The weights of one panel; none past the last.
    #[inline(always)]
    pub(super) fn panel(&self, number: usize) -> &[f32] {
        let length = self.depth * GATES * self.lanes;
        self.values
            .get(number * length..(number + 1) * length)
            .unwrap_or_default()
    }

    pub(super) fn depth(&self) -> usize {
        self.depth
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panel_has_all_gates_of_its_units() {
        // 5 units, 2 rows; the number says row, gate, unit
        let weights = Array2::from_shape_fn((2, 20), |(row, column)| {
            (row * 100 + column / 5 * 10 + column % 5) as f32
        });
        let panels = Panels::new(weights.view(), 4);
        assert_eq!(
            panels.panel(0)[..16],
            [
                0., 1., 2., 3., 10., 11., 12., 13., 20., 21., 22., 23., 30., 31., 32., 33.
            ]
        );
        assert_eq!(panels.panel(1)[16..24], [104., 0., 0., 0., 114., 0., 0., 0.]);
        assert!(panels.panel(2).is_empty());
    }
}
