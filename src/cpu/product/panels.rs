//! Weights in the order in which the product reads them.

use rayon::prelude::*;

use super::matrix::WORTH_SHARING;
use super::simd::{MOST_WIDTH, Simd};
use crate::cpu::memory::buffer::Lines;
use crate::cpu::threads::pool;
use crate::half_precision::half_bits;

/// Weights (depth, lanes of each unit) as panels: `[panel][depth][lane][unit]`, where a panel holds as many units as a vector
/// has numbers, the last one filled up with zeros. So a tile of the product has all lanes of its units in registers, and reads
/// the weights one after another.
#[derive(Debug)]
pub(crate) struct Panels {
    shape: Shape,
    format: Format,
    values: Lines,
}

/// How many there are of everything.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) depth: usize,
    /// The sums of a unit.
    pub(crate) lanes: usize,
    pub(crate) units: usize,
    /// The units of a panel: the numbers of a vector.
    pub(crate) width: usize,
}

/// How a weight is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Full,
    /// As the bits of a half-precision number.
    Halves,
}

/// A weight as it is kept.
pub(crate) trait Weight: Copy {
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
    /// `weight` gives a weight by its row (depth), its lane and its unit.
    #[cfg(test)]
    fn new(shape: Shape, format: Format, weight: impl Fn(usize, usize, usize) -> f32 + Sync) -> Self {
        let mut panels = Self::zeros(shape, format);
        panels.refill(|row, lane, first, span| {
            let units = (first..).zip(span);
            units.for_each(|(unit, to)| *to = weight(row, lane, unit));
        });
        panels
    }

    /// To be filled by [`Panels::refill`].
    pub(crate) fn zeros(shape: Shape, format: Format) -> Self {
        let length = shape.units.div_ceil(shape.width) * shape.panel_length();
        let values = match format {
            Format::Full => Lines::zeros(length),
            Format::Halves => Lines::zeros(length.div_ceil(2)),
        };
        Self { shape, format, values }
    }

    /// Other weights in the same memory, each panel by a thread: `fill` is given a row (depth), a lane, a first unit and room for the units
    /// from there on.
    pub(crate) fn refill(&mut self, fill: impl Fn(usize, usize, usize, &mut [f32]) + Sync) {
        let Self { shape, format, values } = self;
        match format {
            Format::Full => shape.put(values, |row, lane, first, span: &mut [f32]| {
                fill(row, lane, first, span)
            }),
            Format::Halves => shape.put(values.halves_mut(), |row, lane, first, span: &mut [u16]| {
                let mut numbers = [0.0; MOST_WIDTH];
                let numbers = numbers.get_mut(..span.len()).unwrap_or_default();
                fill(row, lane, first, numbers);
                let halves = numbers.iter().map(|&number| half_bits(number));
                span.iter_mut().zip(halves).for_each(|(to, half)| *to = half);
            }),
        }
    }

    /// The weights of one panel, which are kept as `W`; none past the last.
    #[inline(always)]
    pub(crate) fn panel<W: Weight>(&self, number: usize) -> &[W] {
        if W::FORMAT != self.format {
            return &[];
        }
        let length = self.shape.panel_length();
        W::of(&self.values)
            .get(number * length..(number + 1) * length)
            .unwrap_or_default()
    }

    /// The rows of the weights.
    pub(crate) fn depth(&self) -> usize {
        self.shape.depth
    }

    pub(crate) fn format(&self) -> Format {
        self.format
    }
}

impl Shape {
    fn panel_length(self) -> usize {
        self.depth * self.lanes * self.width
    }

    /// Puts each span of the units of a panel to its place.
    fn put<T: Send>(self, values: &mut [T], fill: impl Fn(usize, usize, usize, &mut [T]) + Sync) {
        let Self {
            lanes, units, width, ..
        } = self;
        let of_panel = |(panel, values): (usize, &mut [T])| {
            let first = panel * width;
            let count = width.min(units.saturating_sub(first));
            for (place, span) in values.chunks_exact_mut(width.max(1)).enumerate() {
                let span = span.get_mut(..count).unwrap_or_default();
                fill(place / lanes.max(1), place % lanes.max(1), first, span);
            }
        };
        let length = self.panel_length().max(1);
        match values.len() < WORTH_SHARING || pool::count() == 1 {
            true => values.chunks_exact_mut(length).enumerate().for_each(of_panel),
            false => values.par_chunks_exact_mut(length).enumerate().for_each(of_panel),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 5 units with 4 lanes, 2 rows; the number says row, lane, unit.
    fn panels(width: usize, format: Format) -> Panels {
        let shape = Shape {
            depth: 2,
            lanes: 4,
            units: 5,
            width,
        };
        Panels::new(shape, format, |row, lane, unit| (row * 100 + lane * 10 + unit) as f32)
    }

    #[test]
    fn a_panel_has_all_lanes_of_its_units() {
        let panels = panels(4, Format::Full);
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
        for width in [4, 8, 16] {
            let panels = [Format::Full, Format::Halves].map(|format| panels(width, format));
            for number in 0..3 {
                let full = panels[0].panel::<f32>(number);
                let halves: Vec<u16> = full.iter().map(|&weight| half_bits(weight)).collect();
                assert_eq!(panels[1].panel::<u16>(number), halves);
            }
        }
    }
}
