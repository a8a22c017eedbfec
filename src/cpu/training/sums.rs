//! Sums over rows: the gradients of weights, `xᵀ · d` with a row for each feature of x and a column for each number of d.

use std::ops::Range;

use rayon::prelude::*;

use super::spare::Spare;
use crate::cpu::memory::buffer::Lines;
use crate::cpu::product::outer::{ColumnSums, Outer, PackedRows, panel_vectors};
use crate::cpu::product::path::Path;
use crate::cpu::product::rows::over_rows;
use crate::cpu::threads::pool;
use crate::error::{Error, Result};
use crate::memory::RUN;

/// The rows that are summed up at once, which with a panel of d as wide as a tile fit into the first cache; then the sums of all blocks are
/// added, in their order. The size depends on nothing: so neither do the bits.
const BLOCK: usize = 128;

/// The most panels that a thread does at once: for all of them the rows of x of a block are put in order once.
const PANELS: usize = 8;

/// So many features of a panel are worth that another thread takes its rows of d together, too.
const FEATURES: usize = 48;

/// With fewer products in all no other thread is woken.
const WORTH_SHARING: usize = 1 << 19;

/// Rows of one width by their number.
pub(super) trait Rows<'a>: Fn(usize) -> &'a [f32] + Sync {}
impl<'a, F: Fn(usize) -> &'a [f32] + Sync> Rows<'a> for F {}

/// What is summed up.
pub(super) struct Sums<'s, 'a, D> {
    pub(super) path: Path,
    /// How many rows there are.
    pub(super) count: usize,
    pub(super) d: D,
    /// d has so many lanes of `width` numbers.
    pub(super) lanes: usize,
    pub(super) width: usize,
    pub(super) factors: &'s [Factor<'s, 'a>],
}

/// x, and of which lanes of d it is a factor: part after part, each by its lane.
pub(super) struct Factor<'s, 'a> {
    pub(super) x: &'s dyn Rows<'a>,
    pub(super) features: usize,
    pub(super) parts: &'s [Option<usize>],
}

/// What was summed up.
#[derive(Debug)]
pub(super) struct Summed {
    /// For each factor (features, parts · width).
    pub(super) products: Vec<Vec<f32>>,
    /// The sums of d alone, (lanes · width), which are the gradient of a bias.
    pub(super) d: Vec<f32>,
}

/// Some columns of d as wide as a tile.
#[derive(Clone, Copy, Debug)]
struct Panel {
    first: usize,
    columns: usize,
    vectors: usize,
    /// The numbers of its vectors.
    width: usize,
}

/// What one thread does: for some panels some of the rows of sums, which are those of the features of all factors and one for d alone.
struct Task<'t> {
    panels: &'t [Panel],
    rows: Range<usize>,
    /// `[panel][row][column]`
    sums: &'t mut [f32],
}

impl<'a, 'd, D: Rows<'d>> Sums<'_, 'a, D> {
    pub(super) fn run(&self) -> Result<Summed> {
        self.run_in(&mut Spare::default())
    }

    /// The same in memory that was used before.
    pub(super) fn run_in(&self, spare: &mut Spare) -> Result<Summed> {
        let panels = self.panels()?;
        let rows = self.factors.iter().map(|factor| factor.features).sum::<usize>() + 1;
        let length: usize = panels.iter().map(|panel| panel.width).sum();
        let mut added = std::mem::take(&mut spare.added);
        let sums = added.resize(rows * length)?;
        let threads = match self.count.saturating_mul(rows).saturating_mul(length) < WORTH_SHARING {
            true => 1,
            false => pool::count(),
        };
        let mut rest: &mut [f32] = &mut *sums;
        let mut tasks = Vec::new();
        // a panel with less than its share of the threads is split by its rows
        let each = panels.len().div_ceil(2 * threads).clamp(1, PANELS);
        let splits = threads.div_ceil(panels.len().max(1)).clamp(1, rows.div_ceil(FEATURES));
        let span = if splits > 1 {
            rows.div_ceil(splits).next_multiple_of(FEATURES)
        } else {
            rows
        };
        for panels in panels.chunks(each) {
            let width: usize = panels.iter().map(|panel| panel.width).sum();
            for first in (0..rows).step_by(span) {
                let rows = first..rows.min(first + span);
                let (sums, behind) = std::mem::take(&mut rest).split_at_mut(rows.len() * width);
                rest = behind;
                tasks.push(Task { panels, rows, sums });
            }
        }
        let done: Result<()> = match tasks.len() {
            0 | 1 => tasks.into_iter().try_for_each(|task| self.task(task)),
            _ => tasks
                .into_par_iter()
                .with_max_len(1)
                .try_for_each(|task| self.task(task)),
        };
        done?;
        let summed = self.arranged(&panels, (rows, sums), spare);
        spare.added = added;
        summed
    }

    fn panels(&self) -> Result<Vec<Panel>> {
        let (numbers, _) = self.path.tile();
        let columns = self.lanes * self.width;
        let mut panels = RUN.list(columns.div_ceil(numbers))?;
        let mut first = 0;
        while first < columns {
            let vectors = panel_vectors(columns - first, numbers);
            let width = vectors * numbers;
            panels.push(Panel {
                first,
                columns: width.min(columns - first),
                vectors,
                width,
            });
            first += width;
        }
        Ok(panels)
    }

    fn task(&self, task: Task<'_>) -> Result<()> {
        let Task { panels, rows, sums } = task;
        sums.fill(0.0);
        let (mut packed, mut packed_x) = (Lines::default(), Lines::default());
        let mut x = RUN.list(BLOCK)?;
        let width: usize = panels.iter().map(|panel| panel.width).sum();
        packed.resize(BLOCK.min(self.count) * width)?;
        packed_x.resize(BLOCK.min(self.count) * rows.len())?;
        for begin in (0..self.count).step_by(BLOCK) {
            let block = begin..self.count.min(begin + BLOCK);
            let mut to: &mut [f32] = &mut packed_x;
            for (factor, features) in self.features(&rows) {
                x.clear();
                x.extend(block.clone().map(factor.x));
                let (own, behind) = to.split_at_mut(block.len() * features.len());
                to = behind;
                self.path.run(PackedRows {
                    rows: &x,
                    features,
                    to: own,
                });
            }
            self.pack(block.clone(), panels, &mut packed)?;
            let (mut sums, mut packed): (&mut [f32], &[f32]) = (&mut *sums, &packed);
            for panel in panels {
                let (own, behind) = sums.split_at_mut(rows.len() * panel.width);
                let (of_panel, packed_behind) = packed.split_at(block.len() * panel.width);
                (sums, packed) = (behind, packed_behind);
                self.block(*panel, &rows, (of_panel, &packed_x), own);
            }
        }
        Ok(())
    }

    /// Rows of d as their products want them, `[panel][row][column]`: of each row all panels at once, which lie beside each other there.
    fn pack(&self, block: Range<usize>, panels: &[Panel], packed: &mut [f32]) -> Result<()> {
        let begin = panels.first().map_or(0, |panel| panel.first);
        for (number, row) in block.clone().enumerate() {
            let row = (self.d)(row);
            for panel in panels {
                let place = block.len() * (panel.first - begin) + number * panel.width;
                let to = packed.get_mut(place..place + panel.width).unwrap_or_default();
                let (to, beyond) = to.split_at_mut(panel.columns.min(to.len()));
                let from = row.get(panel.first..panel.first + to.len());
                to.copy_from_slice(from.ok_or_else(|| Error::defect("a row of gradients"))?);
                beyond.fill(0.0);
            }
        }
        Ok(())
    }

    /// Of which factors some rows of sums are, and of which of their features.
    fn features(&self, rows: &Range<usize>) -> impl Iterator<Item = (&Factor<'_, 'a>, Range<usize>)> {
        let rows = rows.clone();
        let mut first = 0;
        let of_factor = self.factors.iter().map(move |factor| {
            let features = rows.start.max(first) - first..rows.end.min(first + factor.features).max(first) - first;
            first += factor.features;
            (factor, features)
        });
        of_factor.filter(|(_, features)| !features.is_empty())
    }

    /// A block of rows into some rows of sums of a panel. x and d are those of the block, as their products want them.
    fn block(&self, panel: Panel, rows: &Range<usize>, (packed, mut x): (&[f32], &[f32]), mut sums: &mut [f32]) {
        let count = packed.len() / panel.width.max(1);
        for (factor, features) in self.features(rows) {
            let (own, behind) = std::mem::take(&mut sums).split_at_mut(features.len() * panel.width);
            let (own_x, behind_x) = x.split_at(count * features.len());
            (sums, x) = (behind, behind_x);
            if self.reads(factor, panel) {
                self.path.run(Outer {
                    x: own_x,
                    features: features.len(),
                    panel: packed,
                    vectors: panel.vectors,
                    sums: own,
                });
            }
        }
        // behind those of all factors there is one of d alone
        if !sums.is_empty() {
            self.path.run(ColumnSums { panel: packed, sums });
        }
    }

    /// Whether a factor has a part in a panel.
    fn reads(&self, factor: &Factor<'_, '_>, panel: Panel) -> bool {
        let lanes = panel.first / self.width.max(1)..=(panel.first + panel.columns - 1) / self.width.max(1);
        factor.parts.iter().flatten().any(|lane| lanes.contains(lane))
    }

    /// The sums of the panels, `[panel][row][column]`, as matrices.
    fn arranged(&self, panels: &[Panel], (rows, sums): (usize, &[f32]), spare: &mut Spare) -> Result<Summed> {
        let whole = panels.first().map_or(1, |panel| panel.width);
        // columns of d from `first` on, of a row of sums
        let copy = |row: usize, mut first: usize, mut to: &mut [f32]| {
            while let Some(panel) = panels.get(first / whole).filter(|_| !to.is_empty()) {
                let inside = first - panel.first;
                let length = to.len().min(panel.columns - inside);
                let (now, later) = std::mem::take(&mut to).split_at_mut(length);
                let begin = rows * panel.first + row * panel.width + inside;
                if let Some(from) = sums.get(begin..begin + now.len()) {
                    now.copy_from_slice(from);
                }
                (first, to) = (first + now.len(), later);
            }
        };
        let mut products = Vec::with_capacity(self.factors.len());
        let mut first = 0;
        for factor in self.factors {
            let columns = factor.parts.len() * self.width;
            let mut product = spare.list(factor.features * columns)?;
            over_rows((&mut product, columns), |product, begin| {
                for (row, to) in (first + begin..).zip(product.chunks_exact_mut(columns.max(1))) {
                    for (lane, to) in factor.parts.iter().zip(to.chunks_exact_mut(self.width.max(1))) {
                        match lane {
                            Some(lane) => copy(row, lane * self.width, to),
                            None => to.fill(0.0),
                        }
                    }
                }
            });
            products.push(product);
            first += factor.features;
        }
        let mut d = RUN.zeros(self.lanes * self.width)?;
        copy(first, 0, &mut d);
        Ok(Summed { products, d })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;

    fn number(a: usize, b: usize) -> f32 {
        ((a * 31 + b * 17) % 101) as f32 / 50.0 - 1.0
    }

    fn in_used_memory<'d>(sums: &Sums<'_, '_, impl Rows<'d>>, length: usize) -> Summed {
        let mut spare = Spare::default();
        sums.run_in(&mut spare).unwrap();
        spare.added.fill(f32::NAN);
        spare.take_back([vec![f32::NAN; length]].into_iter());
        sums.run_in(&mut spare).unwrap()
    }

    /// Around the edges of blocks, groups, panels and threads, against a loop in f64; and the same bits for any number of threads, whatever lay in the
    /// memory before.
    #[test]
    fn they_are_the_sums_and_the_same_bits_for_any_threads() {
        for (count, features, width, places) in [
            (0, 3, 4, &[0][..]),
            (1, 1, 1, &[0]),
            (17, 5, 3, &[0, 2]),
            (255, 2, 65, &[0, 1, 3]),
            (257, 33, 16, &[2, 0]),
            (600, 7, 130, &[0]),
            (600, 97, 16, &[0]), // several threads share the rows of sums
        ] {
            let parts: Vec<Option<usize>> = places.iter().copied().map(Some).collect();
            let widest = places.iter().max().map_or(0, |part| part + 1) * width;
            let x: Vec<Vec<f32>> = (0..count)
                .map(|row| (0..features).map(|f| number(row, f)).collect())
                .collect();
            let d: Vec<Vec<f32>> = (0..count)
                .map(|row| (0..widest).map(|c| number(c, row + 3)).collect())
                .collect();
            let mut first = None;
            for threads in [1, 2, 3] {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                for path in Path::all() {
                    let (rows, row_of_x) = (&x, |row: usize| x[row].as_slice());
                    let (x, parts) = (&row_of_x, &parts[..]);
                    let factor = Factor { x, features, parts };
                    let sums = Sums {
                        path,
                        count,
                        d: |row: usize| d[row].as_slice(),
                        lanes: widest / width,
                        width,
                        factors: &[factor],
                    };
                    let summed = pool.install(|| in_used_memory(&sums, features * places.len() * width));
                    let mut sums = summed.products[0].clone();
                    let alone = places.iter().map(|place| &summed.d[place * width..][..width]);
                    alone.for_each(|d| sums.extend(d));
                    let columns = places.len() * width;
                    assert_eq!(sums.len(), (features + 1) * columns);
                    for (place, &sum) in sums.iter().enumerate() {
                        let (feature, column) = (place / columns, place % columns);
                        let column = places[column / width] * width + column % width;
                        let terms = (0..count).map(|row| {
                            let x = rows[row].get(feature).map_or(1.0, |&x| f64::from(x));
                            x * f64::from(d[row][column])
                        });
                        let wanted: f64 = terms.sum();
                        assert!(
                            (f64::from(sum) - wanted).abs() < 1e-4,
                            "{count}, {place}: {sum}, {wanted}"
                        );
                    }
                    if path.name() == Path::all()[0].name() {
                        let bits: Vec<u32> = sums.iter().map(|sum| sum.to_bits()).collect();
                        assert_eq!(first.get_or_insert_with(|| bits.clone()), &bits, "{threads} threads");
                    }
                }
            }
        }
    }
}
