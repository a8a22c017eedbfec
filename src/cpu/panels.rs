//! Weights in the order in which the product reads them.

use ndarray::{Array1, Array2, ArrayView2, Axis};

use super::buffer::Lines;
use super::simd::{GATES, Simd};
use crate::half_precision::half_bits;

/// Weights (depth, 4·units) as panels: `[panel][depth][gate][lane]`, where a panel holds as many units as a vector has
/// lanes, the last one filled up with zeros. So a tile of the product has all gates of its units in registers, and reads
/// the weights one after another.
#[derive(Debug)]
pub(super) struct Panels {
    lanes: usize,
    depth: usize,
    format: Format,
    values: Lines,
}

/// How a weight is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Full,
    /// As the bits of a half-precision number.
    Halves,
}

/// A weight as it is kept.
pub(super) trait Weight: Sized {
    const FORMAT: Format;

    fn of(values: &Lines) -> &[Self];

    /// The first of `weights` as numbers.
    fn load<S: Simd>(simd: S, weights: &[Self]) -> S::Vector;
}

impl Weight for f32 {
    const FORMAT: Format = Format::Full;

    #[inline(always)]
    fn of(values: &Lines) -> &[Self] {
        values
    }

    #[inline(always)]
    fn load<S: Simd>(simd: S, weights: &[Self]) -> S::Vector {
        simd.load(weights)
    }
}

/// The bits of a half-precision number.
impl Weight for u16 {
    const FORMAT: Format = Format::Halves;

    #[inline(always)]
    fn of(values: &Lines) -> &[Self] {
        values.halves()
    }

    #[inline(always)]
    fn load<S: Simd>(simd: S, weights: &[Self]) -> S::Vector {
        simd.load_halves(weights)
    }
}

impl Panels {
    pub(super) fn new(weights: ArrayView2<'_, f32>, lanes: usize, format: Format) -> Self {
        let (depth, units) = (weights.nrows(), weights.ncols() / GATES);
        let length = units.div_ceil(lanes) * depth * GATES * lanes;
        let place = |row: usize, column: usize| {
            let (gate, unit) = (column / units, column % units);
            ((unit / lanes * depth + row) * GATES + gate) * lanes + unit % lanes
        };
        let values = match format {
            Format::Full => {
                let mut values = Lines::zeros(length);
                put(weights, place, &mut values, |weight| weight);
                values
            }
            Format::Halves => {
                let mut values = Lines::zeros(length.div_ceil(2));
                put(weights, place, values.halves_mut(), half_bits);
                values
            }
        };
        Self {
            lanes,
            depth,
            format,
            values,
        }
    }

    /// A bias (4·units), which is zero if there is none: panels of depth 1.
    pub(super) fn of_bias(bias: Option<&Array1<f32>>, units: usize, lanes: usize) -> Self {
        match bias {
            Some(bias) => Self::new(bias.view().insert_axis(Axis(0)), lanes, Format::Full),
            None => Self::new(Array2::zeros((1, GATES * units)).view(), lanes, Format::Full),
        }
    }

    /// The weights of one panel, which are kept as `W`; none past the last.
    #[inline(always)]
    pub(super) fn panel<W: Weight>(&self, number: usize) -> &[W] {
        if W::FORMAT != self.format {
            return &[];
        }
        let length = self.depth * GATES * self.lanes;
        W::of(&self.values)
            .get(number * length..(number + 1) * length)
            .unwrap_or_default()
    }

    pub(super) fn format(&self) -> Format {
        self.format
    }

    pub(super) fn depth(&self) -> usize {
        self.depth
    }
}

/// `values[place(row, column)] = convert(weights[row, column])`.
fn put<T>(
    weights: ArrayView2<'_, f32>,
    place: impl Fn(usize, usize) -> usize,
    values: &mut [T],
    convert: impl Fn(f32) -> T,
) {
    for ((row, column), &weight) in weights.indexed_iter() {
        if let Some(value) = values.get_mut(place(row, column)) {
            *value = convert(weight);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 5 units, 2 rows; the number says row, gate, unit.
    fn weights() -> Array2<f32> {
        Array2::from_shape_fn((2, 20), |(row, column)| {
            (row * 100 + column / 5 * 10 + column % 5) as f32
        })
    }

    #[test]
    fn a_panel_has_all_gates_of_its_units() {
        let panels = Panels::new(weights().view(), 4, Format::Full);
        assert_eq!(
            panels.panel::<f32>(0)[..16],
            [
                0., 1., 2., 3., 10., 11., 12., 13., 20., 21., 22., 23., 30., 31., 32., 33.
            ]
        );
        assert_eq!(panels.panel::<f32>(1)[16..24], [104., 0., 0., 0., 114., 0., 0., 0.]);
        assert!(panels.panel::<f32>(2).is_empty() && panels.panel::<u16>(0).is_empty());
    }

    #[test]
    fn halves_stand_where_full_numbers_stand() {
        for lanes in [4, 8, 16] {
            let panels = [Format::Full, Format::Halves].map(|format| Panels::new(weights().view(), lanes, format));
            for number in 0..3 {
                let full = panels[0].panel::<f32>(number);
                let halves: Vec<u16> = full.iter().map(|&weight| half_bits(weight)).collect();
                assert_eq!(panels[1].panel::<u16>(number), halves);
            }
        }
    }
}
