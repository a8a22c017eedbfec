//! `recurrence`: one cell over all steps of a schedule, the work split over threads.

use super::gather::Source;
use super::panelled::Panelled;
use super::rowwise_step::Rowwise;
use super::work::Work;
use crate::cpu::cell::Weights;
use crate::cpu::cell::by_lane::LaneMatrices;
use crate::cpu::cell::storage::Storage;
use crate::cpu::memory::workspace::{Kept, Scratch, StageRows};
use crate::cpu::product::path::Path;
use crate::cpu::threads::crew::MOST_TOGETHER;
use crate::cpu::threads::pool;
use crate::cpu::threads::split::{Sizes, Split};
use crate::error::Result;
use crate::model::plan::PlannedCell;
use crate::settings::Precision;

/// One cell, ready to run.
#[derive(Debug)]
pub(crate) struct Recurrence {
    path: Path,
    class: &'static str,
    features: usize,
    units: usize,
    /// The width of h.
    output: usize,
    lanes: usize,
    prepared: Prepared,
    storage: Storage,
}

#[derive(Debug)]
enum Prepared {
    Panels(Box<Weights>),
    /// Why the units of a panel cannot be finished by themselves.
    Rowwise(Box<Rowwise>, &'static str),
}

/// h, (batch, output), and the cell state, (batch, units), of each sequence; the latter empty for a cell without one.
#[derive(Debug)]
pub(crate) struct States<'a> {
    pub(crate) hidden: &'a mut [f32],
    pub(crate) cell_state: &'a mut [f32],
}

impl Recurrence {
    pub(crate) fn new(planned: &PlannedCell, path: Path, precision: Precision) -> Result<Self> {
        let (planned, storage) = Storage::choose(planned, path, precision);
        let cell = &planned.cell;
        let prepared = match cell.obstacle() {
            Some(obstacle) => Prepared::Rowwise(Box::new(Rowwise::new(&planned, path)?), obstacle),
            None => Prepared::Panels(Box::new(Weights::new(&planned, path.tile().0, storage.format()))),
        };
        Ok(Self {
            path,
            class: cell.class(),
            features: cell.features,
            units: cell.units,
            output: cell.output,
            lanes: cell.lanes().len(),
            prepared,
            storage,
        })
    }

    /// Other weights of the same cell, in the same memory where they are kept as they are.
    pub(crate) fn refill(&mut self, planned: &PlannedCell, precision: Precision) -> Result<()> {
        match &mut self.prepared {
            Prepared::Panels(weights) if precision == Precision::Full => weights.refill(planned),
            _ => *self = Self::new(planned, self.path, precision)?,
        }
        Ok(())
    }

    /// The weights of a cell by rows, which keeps nothing.
    pub(crate) fn by_rows(&self) -> Option<&LaneMatrices> {
        match &self.prepared {
            Prepared::Rowwise(rowwise, _) => Some(rowwise.matrices()),
            Prepared::Panels(_) => None,
        }
    }

    /// The width of h.
    pub(super) fn output(&self) -> usize {
        self.output
    }

    /// The name of the layer class of the cell.
    pub(crate) fn class(&self) -> &'static str {
        self.class
    }

    /// Runs a schedule from the states and leaves the final ones there. h of every row goes to `rows`. Gives how many rows were
    /// run.
    ///
    /// # Errors
    ///
    /// [`Error::Memory`](crate::Error::Memory); then nothing has run.
    #[cfg(test)]
    pub(crate) fn run(
        &self,
        work: Work<'_>,
        states: States<'_>,
        scratch: &mut Vec<Scratch>,
        rows: &mut StageRows,
    ) -> Result<usize> {
        self.run_keeping(work, states, (scratch, None), rows)
    }

    /// The same; if there is room to keep something for the way back, what a cell by panels leaves is kept there.
    ///
    /// # Errors
    ///
    /// [`Error::Memory`](crate::Error::Memory); then nothing has run.
    pub(crate) fn run_keeping(
        &self,
        work: Work<'_>,
        states: States<'_>,
        (scratch, kept): (&mut Vec<Scratch>, Option<&mut Kept>),
        rows: &mut StageRows,
    ) -> Result<usize> {
        rows.places.clear();
        if work.schedule.rows() == 0 {
            rows.values.resize(0)?;
            return Ok(0);
        }
        let States { hidden, cell_state } = states;
        let rows_run = match &self.prepared {
            Prepared::Panels(weights) => {
                let split = self.split(work.schedule.active(0), work.schedule.rows());
                let count = split.hands * split.members;
                if scratch.len() < count {
                    scratch.resize_with(count, Scratch::default);
                }
                let scratch = scratch.get_mut(..count).unwrap_or_default();
                let run = Panelled {
                    path: self.path,
                    weights,
                    work,
                    split,
                };
                run.run((&*hidden, &mut *cell_state), (scratch, kept), rows)?
            }
            Prepared::Rowwise(cell, _) => cell.run(work, (&*hidden, &mut *cell_state), rows)?,
        };
        let source = Source::of_stage(rows, self.output, &[]);
        for (position, &sequence) in work.schedule.order().iter().enumerate() {
            let sequence = sequence as usize;
            let to = hidden.get_mut(sequence * self.output..(sequence + 1) * self.output);
            if let (Some(row), Some(to)) = (work.schedule.last_row(position), to) {
                to.iter_mut()
                    .zip(source.row(row as u32))
                    .for_each(|(to, &from)| *to = from);
            }
        }
        Ok(rows_run)
    }

    /// The largest batch, of at most so many sequences, whose units are split over crews.
    pub(crate) fn most_of_crews(&self, batch: usize, time_steps: usize) -> usize {
        let most = batch.min(pool::count().saturating_mul(MOST_TOGETHER));
        let is_split = |&batch: &usize| self.split(batch, batch.saturating_mul(time_steps)).members > 1;
        match self.prepared {
            Prepared::Panels(_) => (1..=most).rev().find(is_split).unwrap_or(0),
            Prepared::Rowwise(..) => 0,
        }
    }

    /// How a run of `rows` valid steps of `batch` sequences is split.
    fn split(&self, batch: usize, rows: usize) -> Split {
        let (_, tile_rows) = self.path.tile();
        Split::new(
            pool::count,
            Sizes {
                batch,
                rows,
                features: self.features,
                units: self.units,
                lanes: self.lanes,
                tile_rows,
            },
        )
    }

    /// How a run of so many sequences, none of them padded, goes.
    pub(crate) fn explain(&self, batch: usize, time_steps: usize) -> String {
        let (_, tile_rows) = self.path.tile();
        let work = match self.prepared {
            Prepared::Rowwise(_, obstacle) => format!("{obstacle}: whole rows, a step at a time"),
            Prepared::Panels(_) => self
                .split(batch, batch.saturating_mul(time_steps))
                .explain(batch, tile_rows),
        };
        format!(
            "{} features, {} units: {work}; {}",
            self.features,
            self.units,
            self.storage.explain()
        )
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
#[path = "recurrence_tests.rs"]
mod tests;
