//! `input_projection`: rows of the input times the kernel, plus the bias, for several steps at once.

use std::ops::Range;

use super::gather::Source;
use crate::cpu::cell::Weights;
use crate::cpu::cell::rule::{Rule, WithRule};
use crate::cpu::product::panels::{Format, Weight};
use crate::cpu::product::path::Path;
use crate::cpu::product::simd::{LINE, MOST_ROWS, Simd, Work};
use crate::cpu::product::tile::{Factors, Rows, product};

/// `projected = x · kernel + bias` for some rows and panels: `[row][panel][lane][unit]`.
#[derive(Debug)]
pub(super) struct Projection<'a> {
    pub(super) weights: &'a Weights,
    pub(super) panels: Range<usize>,
    pub(super) source: Source<'a>,
    /// The places of the rows in the source.
    pub(super) inputs: &'a [u32],
    pub(super) projected: &'a mut [f32],
}

impl Projection<'_> {
    pub(super) fn run(self, path: Path) {
        let weights = self.weights;
        weights.with_rule(OnPath { path, projection: self });
    }

    #[inline(always)]
    fn run_with<S: Simd, W: Weight, const L: usize>(self, simd: S) {
        let width = L * S::WIDTH;
        let stride = self.panels.len() * width;
        for (place, panel) in self.panels.clone().enumerate() {
            let begin = Rows {
                values: self.weights.bias.panel(panel),
                stride: 0,
            };
            let mut first = 0;
            for inputs in self.inputs.chunks(S::ROWS) {
                let mut rows: [&[f32]; MOST_ROWS] = [&[]; MOST_ROWS];
                for (row, &place) in rows.iter_mut().zip(inputs) {
                    *row = self.source.at(place);
                }
                let weights = self.weights.kernel.panel::<W>(panel);
                // each tile asks for a part of the next panel
                let ahead = self.weights.kernel.panel::<W>(panel + 1);
                let begin_ahead = first / S::ROWS * self.weights.kernel.depth() * (LINE / size_of::<W>());
                let factors = |rows| Factors {
                    rows,
                    numbers: 0..self.weights.kernel.depth(),
                    weights,
                    ahead: ahead.get(begin_ahead..).unwrap_or_default(),
                };
                let x = rows.get(..inputs.len()).unwrap_or_default();
                let summands = [factors(x), factors(&[])];
                let sums = self
                    .projected
                    .get_mut(first * stride + place * width..)
                    .unwrap_or_default();
                product::<S, W, L>(simd, inputs.len(), Some(begin), summands, sums, stride);
                first += inputs.len();
            }
        }
    }
}

struct OnPath<'a> {
    path: Path,
    projection: Projection<'a>,
}

impl WithRule for OnPath<'_> {
    fn run<R: Rule, const L: usize>(self, _: &R) {
        self.path.run(OfLanes::<'_, L>(self.projection));
    }
}

struct OfLanes<'a, const L: usize>(Projection<'a>);

impl<const L: usize> Work for OfLanes<'_, L> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        match self.0.weights.format() {
            Format::Full => self.0.run_with::<S, f32, L>(simd),
            Format::Halves => self.0.run_with::<S, u16, L>(simd),
        }
    }
}
