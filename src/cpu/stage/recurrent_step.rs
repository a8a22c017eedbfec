//! `recurrent_step`: the lanes of some rows and panels, and the cell's rule as the epilogue of their product.

use std::ops::Range;

use super::gather::Source;
use crate::cpu::cell::Weights;
use crate::cpu::cell::rule::{Rule, Units, WithRule};
use crate::cpu::memory::buffer::taken;
use crate::cpu::memory::workspace::Kept;
use crate::cpu::product::panels::{Format, Weight};
use crate::cpu::product::path::Path;
use crate::cpu::product::simd::{LINE, MOST_ROWS, Simd, Work};
use crate::cpu::product::tile::{Factors, Rows, product};

/// The rows whose sums of a panel are made together, several tiles: then their cells are finished.
pub(super) const ROWS_TOGETHER: usize = 48;

/// So many numbers of x or of h meet their weights before the next ones: these fit into the first cache.
const DEPTH: usize = 128;

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
    /// Room for the sums of a panel and the rows, or [`ROWS_TOGETHER`] of them.
    pub(super) sums: &'a mut [f32],
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
        Self {
            lanes: taken(&mut self.lanes, lanes),
            cell_states: taken(&mut self.cell_states, cell_states),
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
        let sums = std::mem::take(&mut self.sums);
        let count = self.panels.len();
        let mut kept = std::mem::take(&mut self.kept);
        let keeps = !kept.lanes.is_empty();
        for number in 0..count {
            let place = if self.backwards { count - 1 - number } else { number };
            for first in (0..self.rows).step_by(ROWS_TOGETHER) {
                let rows = first..self.rows.min(first + ROWS_TOGETHER);
                self.multiply::<S, W, L>(simd, place, rows.clone(), sums);
                for (row, lanes) in rows.zip(sums.chunks_exact_mut(L * S::WIDTH)) {
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

    /// The lanes of some rows and one panel.
    ///
    /// More rows than a tile has meet a part of the weights after the other, which stays in the first cache until all of them have.
    #[inline(always)]
    fn multiply<S: Simd, W: Weight, const L: usize>(
        &self,
        simd: S,
        place: usize,
        rows: Range<usize>,
        sums: &mut [f32],
    ) {
        let width = L * S::WIDTH;
        let (most, next) = match (rows.len() > S::ROWS, rows.end < self.rows, self.backwards) {
            (false, ..) => (usize::MAX, usize::MAX),
            (_, true, _) => (DEPTH, place),
            (_, _, true) => (DEPTH, place.wrapping_sub(1)),
            (_, _, false) => (DEPTH, place + 1),
        };
        let mut begin = Some(self.begin(place, rows.start, width));
        let mut part = self.part::<W>(place, (0, most), width);
        let mut number = 0;
        while let Some(now) = part {
            number += 1;
            part = self.part(place, (number, most), width);
            let mut ahead = match &part {
                Some(part) => part.first(),
                None => self
                    .part(next, (0, most), width)
                    .map_or(now.first(), |part| part.first()),
            };
            let mut sums = &mut *sums;
            for first in (rows.clone()).step_by(S::ROWS) {
                let of_tile = first..rows.end.min(first + S::ROWS);
                let (x, hidden) = (
                    self.rows_of(true, of_tile.clone()),
                    self.rows_of(false, of_tile.clone()),
                );
                let count = of_tile.len();
                let x = x.get(..count).unwrap_or_default();
                let hidden = hidden.get(..count).unwrap_or_default();
                let summands = [now.of_x.factors(x, ahead), now.of_hidden.factors(hidden, ahead)];
                let begin = begin.map(|begin| begin.from(first - rows.start));
                product::<S, W, L>(simd, count, begin, summands, sums, width);
                sums = sums.get_mut(count * width..).unwrap_or_default();
                ahead = ahead
                    .get(most.min(DEPTH) * (LINE / size_of::<W>())..)
                    .unwrap_or(now.first());
            }
            begin = None;
        }
    }

    /// x or h of the rows of a tile.
    #[inline(always)]
    fn rows_of(&self, of_x: bool, rows: Range<usize>) -> [&[f32]; MOST_ROWS] {
        let mut list: [&[f32]; MOST_ROWS] = [&[]; MOST_ROWS];
        match self.input {
            Input::Rows(source, inputs) if of_x => {
                for (row, &place) in list.iter_mut().zip(inputs.get(rows).unwrap_or_default()) {
                    *row = source.at(place);
                }
            }
            Input::Projected(_) if of_x => {}
            _ => {
                for (row, number) in list.iter_mut().zip(rows) {
                    *row = self.hidden.row(number, self.weights.units);
                }
            }
        }
        list
    }

    /// What the sums of a panel begin from.
    #[inline(always)]
    fn begin(&self, place: usize, row: usize, width: usize) -> Rows<'_> {
        match self.input {
            Input::Rows(..) => Rows {
                values: self.weights.bias.panel(self.panels.start + place),
                stride: 0,
            },
            Input::Projected(projected) => {
                let stride = self.panels.len() * width;
                Rows {
                    values: projected.get(row * stride + place * width..).unwrap_or_default(),
                    stride,
                }
            }
        }
    }

    /// Part `number` of the weights of a panel, of at most so many numbers of x and, behind them, of h.
    #[inline(always)]
    fn part<W: Weight>(&self, place: usize, (number, most): (usize, usize), width: usize) -> Option<Part<'_, W>> {
        let Weights {
            kernel,
            recurrent_kernel,
            ..
        } = self.weights;
        let of_x = match self.input {
            Input::Rows(..) => kernel.depth(),
            Input::Projected(_) => 0,
        };
        let (begin, all) = (number.saturating_mul(most), of_x + recurrent_kernel.depth());
        if place >= self.panels.len() || begin >= all {
            return None;
        }
        let end = all.min(begin.saturating_add(most));
        let panel = self.panels.start + place;
        let of_hidden = begin.max(of_x) - of_x..end.max(of_x) - of_x;
        Some(Part {
            of_x: Span::new(kernel.panel(panel), begin.min(of_x)..end.min(of_x), width),
            of_hidden: Span::new(recurrent_kernel.panel(panel), of_hidden, width),
        })
    }
}

/// Some weights of a panel.
struct Part<'a, W> {
    of_x: Span<'a, W>,
    of_hidden: Span<'a, W>,
}

/// Weights, and the numbers of x or of h that they belong to.
struct Span<'a, W> {
    numbers: Range<usize>,
    weights: &'a [W],
}

impl<'a, W> Part<'a, W> {
    /// The weights that come first.
    #[inline(always)]
    fn first(&self) -> &'a [W] {
        match self.of_x.weights {
            [] => self.of_hidden.weights,
            weights => weights,
        }
    }
}

impl<'a, W> Span<'a, W> {
    #[inline(always)]
    fn new(panel: &'a [W], numbers: Range<usize>, width: usize) -> Self {
        let weights = panel.get(numbers.start * width..numbers.end * width);
        Self {
            numbers,
            weights: weights.unwrap_or_default(),
        }
    }

    #[inline(always)]
    fn factors<'f>(&self, rows: &'f [&'f [f32]], ahead: &'f [W]) -> Factors<'f, W>
    where
        'a: 'f,
    {
        Factors {
            rows: if self.numbers.is_empty() { &[] } else { rows },
            numbers: self.numbers.clone(),
            weights: self.weights,
            ahead,
        }
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
