//! `recurrent_step`: the lanes of some rows and panels, and the cell's rule as the epilogue of their product.

use std::ops::Range;

use super::gather::Source;
use crate::cpu::cell::Weights;
use crate::cpu::cell::rule::{Rule, Units, WithRule};
use crate::cpu::memory::workspace::Kept;
use crate::cpu::product::panels::{Format, Weight};
use crate::cpu::product::path::Path;
use crate::cpu::product::simd::{MOST_LANES, MOST_ROWS, MOST_WIDTH, Simd, Work};
use crate::cpu::product::tile::{Factors, Rows, product};

/// What the lanes of a step begin from.
#[derive(Clone, Copy, Debug)]
pub(super) enum Input<'a> {
    /// The rows of the input, by their places in the source. The step multiplies them itself: with many rows at once that
    /// costs nothing extra, and the sums never leave the registers.
    Rows(Source<'a>, &'a [u32]),
    /// Rows that an `input_projection` of the same panels has made.
    Projected(&'a [f32]),
}

/// One step of some rows and panels: `lanes = x·kernel + bias + h·recurrent_kernel`, and what the rule makes of them.
#[derive(Debug)]
pub(super) struct Step<'a> {
    pub(super) weights: &'a Weights,
    pub(super) panels: Range<usize>,
    /// Whether the last panel is the first to run: what the caches still hold of the step before is used first. Always in the
    /// same order, weights that are larger than a cache that drops what is oldest would find nothing in it
    /// (`docs/benchmarks.md`).
    pub(super) backwards: bool,
    /// The rows of the step.
    pub(super) rows: usize,
    pub(super) input: Input<'a>,
    /// h before the step, of all units.
    pub(super) hidden: Rows<'a>,
    /// The cell state, `[row][panel][unit]`; empty for a cell without one.
    pub(super) cell_state: &'a mut [f32],
    /// h after the step, (rows, units of the panels).
    pub(super) next: &'a mut [f32],
    /// The units of the panels.
    pub(super) columns: usize,
    pub(super) kept: KeptRows<'a>,
}

/// What is kept of some rows for the way back: nothing, or for each row what the rule leaves in the lanes, (rows, lanes·columns), and the
/// cell state after the row, (rows, columns), which is empty for a cell without one.
#[derive(Debug, Default)]
pub(super) struct KeptRows<'a> {
    pub(super) lanes: &'a mut [f32],
    pub(super) cell_states: &'a mut [f32],
}

impl<'a> KeptRows<'a> {
    pub(super) fn all(kept: &'a mut Kept) -> Self {
        Self {
            lanes: &mut kept.lanes,
            cell_states: &mut kept.cell_states,
        }
    }

    /// The first numbers of both; what is left goes on behind them.
    pub(super) fn taken(&mut self, [lanes, cell_states]: [usize; 2]) -> Self {
        fn first<'a>(list: &mut &'a mut [f32], count: usize) -> &'a mut [f32] {
            let all = std::mem::take(list);
            let (first, rest) = all.split_at_mut(count.min(all.len()));
            *list = rest;
            first
        }
        Self {
            lanes: first(&mut self.lanes, lanes),
            cell_states: first(&mut self.cell_states, cell_states),
        }
    }

    /// Puts the lanes of a row and a panel, whose units begin at `first` of `columns`.
    #[inline(always)]
    fn put<S: Simd, const L: usize>(&mut self, simd: S, row: usize, (first, columns): (usize, usize), lanes: &[f32]) {
        for (lane, from) in lanes.chunks_exact(S::WIDTH).enumerate() {
            let begin = (row * L + lane) * columns;
            let to = self.lanes.get_mut(begin + first..begin + columns);
            simd.store(simd.load(from), to.unwrap_or_default());
        }
    }

    #[inline(always)]
    fn put_cell_state<S: Simd>(&mut self, simd: S, row: usize, (first, columns): (usize, usize), from: &[f32]) {
        let begin = row * columns;
        if let Some(to) = self.cell_states.get_mut(begin + first..begin + columns) {
            simd.store(simd.load(from), to);
        }
    }
}

impl Step<'_> {
    pub(super) fn run(self, path: Path) {
        let weights = self.weights;
        weights.with_rule(OnPath { path, step: self });
    }

    #[inline(always)]
    fn run_with<S: Simd, W: Weight, R: Rule, const L: usize>(mut self, simd: S, rule: &R) {
        let mut sums = [0.0; MOST_ROWS * MOST_LANES * MOST_WIDTH];
        let count = self.panels.len();
        let mut kept = std::mem::take(&mut self.kept);
        let keeps = !kept.lanes.is_empty();
        for number in 0..count {
            let place = if self.backwards { count - 1 - number } else { number };
            for first in (0..self.rows).step_by(S::ROWS) {
                let rows = S::ROWS.min(self.rows - first);
                self.multiply::<S, W, L>(simd, place, first..first + rows, &mut sums);
                let sums = sums.chunks_exact_mut(L * S::WIDTH).take(rows);
                for (row, lanes) in (first..first + rows).zip(sums) {
                    let (cell_state, panel) = ((row * count + place) * S::WIDTH, self.panels.start + place);
                    let span = (place * S::WIDTH, self.columns);
                    if keeps && !rule.leaves() {
                        kept.put::<S, L>(simd, row, span, lanes);
                    }
                    let next = self.next.get_mut(row * self.columns..(row + 1) * self.columns);
                    let units = Units {
                        lanes: &mut *lanes,
                        parameters: self.weights.parameters.panel(panel),
                        hidden: self
                            .hidden
                            .row(row, self.weights.units)
                            .get(panel * S::WIDTH..)
                            .unwrap_or_default(),
                        cell_state: self
                            .cell_state
                            .get_mut(cell_state..cell_state + S::WIDTH)
                            .unwrap_or_default(),
                        next: next
                            .and_then(|next| next.get_mut(place * S::WIDTH..))
                            .unwrap_or_default(),
                        keeps,
                    };
                    rule.finish(simd, units);
                    if keeps {
                        if rule.leaves() {
                            kept.put::<S, L>(simd, row, span, lanes);
                        }
                        let after = self.cell_state.get(cell_state..cell_state + S::WIDTH);
                        kept.put_cell_state(simd, row, span, after.unwrap_or_default());
                    }
                }
            }
        }
    }

    /// The lanes of some rows and one panel, at most one tile.
    #[inline(always)]
    fn multiply<S: Simd, W: Weight, const L: usize>(
        &self,
        simd: S,
        place: usize,
        rows: Range<usize>,
        sums: &mut [f32],
    ) {
        let (count, width, panel) = (self.panels.len(), L * S::WIDTH, self.panels.start + place);
        let mut x: [&[f32]; MOST_ROWS] = [&[]; MOST_ROWS];
        let (begin, x) = match self.input {
            Input::Rows(source, inputs) => {
                for (row, &place) in x.iter_mut().zip(inputs.get(rows.clone()).unwrap_or_default()) {
                    *row = source.at(place);
                }
                let begin = Rows {
                    values: self.weights.bias.panel(panel),
                    stride: 0,
                };
                (begin, x.get(..rows.len()).unwrap_or_default())
            }
            Input::Projected(projected) => {
                let begin = Rows {
                    values: projected
                        .get((rows.start * count + place) * width..)
                        .unwrap_or_default(),
                    stride: count * width,
                };
                (begin, Default::default())
            }
        };
        let mut hidden: [&[f32]; MOST_ROWS] = [&[]; MOST_ROWS];
        for (row, number) in hidden.iter_mut().zip(rows.clone()) {
            *row = self.hidden.row(number, self.weights.units);
        }
        let x = Factors {
            rows: x,
            panel: self.weights.kernel.panel::<W>(panel),
        };
        let recurrent = Factors {
            rows: hidden.get(..rows.len()).unwrap_or_default(),
            panel: self.weights.recurrent_kernel.panel(panel),
        };
        product::<S, W, L>(simd, rows.len(), begin, [x, recurrent], sums, width);
    }
}

struct OnPath<'a> {
    path: Path,
    step: Step<'a>,
}

impl WithRule for OnPath<'_> {
    fn run<R: Rule, const L: usize>(self, rule: &R) {
        self.path.run(ByRule::<'_, R, L> { step: self.step, rule });
    }
}

struct ByRule<'a, R, const L: usize> {
    step: Step<'a>,
    rule: &'a R,
}

impl<R: Rule, const L: usize> Work for ByRule<'_, R, L> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        match self.step.weights.format() {
            Format::Full => self.step.run_with::<S, f32, R, L>(simd, self.rule),
            Format::Halves => self.step.run_with::<S, u16, R, L>(simd, self.rule),
        }
    }
}
