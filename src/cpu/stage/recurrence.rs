//! `recurrence`: one cell over all steps of a schedule, the work split over threads.

use super::gather::{Gathered, Source};
use super::panelled::Panelled;
use super::rowwise_step::Rowwise;
use crate::cpu::cell::Weights;
use crate::cpu::cell::storage::Storage;
use crate::cpu::memory::workspace::{Scratch, StageRows};
use crate::cpu::product::path::Path;
use crate::cpu::threads::plan::{Plan, Sizes};
use crate::cpu::threads::pool;
use crate::error::Result;
use crate::model::parts::Cell;
use crate::schedule::Schedule;
use crate::settings::Precision;

/// One cell, ready to run.
#[derive(Debug)]
pub(crate) struct Recurrence {
    path: Path,
    units: usize,
    features: usize,
    prepared: Prepared,
    storage: Storage,
}

#[derive(Debug)]
enum Prepared {
    Panels(Box<Weights>),
    /// An activation that needs all units of a row at once.
    Rowwise(Box<Rowwise>),
}

/// What a recurrence runs over.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Work<'a> {
    pub(crate) schedule: &'a Schedule,
    pub(crate) gathered: Gathered<'a>,
}

/// h and the state beside it of each sequence, (batch, units) each.
#[derive(Debug)]
pub(crate) struct States<'a> {
    pub(crate) hidden: &'a mut [f32],
    pub(crate) beside: &'a mut [f32],
}

impl Recurrence {
    pub(crate) fn new(cell: &Cell, path: Path, precision: Precision) -> Self {
        let (cell, storage) = Storage::choose(cell, path, precision);
        let prepared = if cell.activation.is_rowwise() || cell.recurrent_activation.is_rowwise() {
            Prepared::Rowwise(Box::new(Rowwise::new(cell.as_ref().clone())))
        } else {
            Prepared::Panels(Box::new(Weights::new(&cell, path.tile().0, storage.format())))
        };
        Self {
            path,
            units: cell.units(),
            features: cell.features(),
            prepared,
            storage,
        }
    }

    /// Runs a schedule from the states and leaves the final ones there. h of every row goes to `rows`. Gives how many rows were
    /// run.
    ///
    /// # Errors
    ///
    /// [`Error::Memory`](crate::Error::Memory); then nothing has run.
    pub(crate) fn run(
        &self,
        work: Work<'_>,
        states: States<'_>,
        scratch: &mut Vec<Scratch>,
        rows: &mut StageRows,
    ) -> Result<usize> {
        rows.places.clear();
        if work.schedule.rows() == 0 {
            rows.values.resize(0)?;
            return Ok(0);
        }
        let States { hidden, beside } = states;
        let rows_run = match &self.prepared {
            Prepared::Panels(weights) => {
                let plan = self.plan(work.schedule.active(0), work.schedule.rows());
                let count = plan.hands * plan.members;
                if scratch.len() < count {
                    scratch.resize_with(count, Scratch::default);
                }
                let scratch = scratch.get_mut(..count).unwrap_or_default();
                let run = Panelled {
                    path: self.path,
                    weights,
                    work,
                    plan,
                };
                run.run((&*hidden, &mut *beside), scratch, rows)?
            }
            Prepared::Rowwise(cell) => cell.run(work, (&*hidden, &mut *beside), rows)?,
        };
        let source = Source::of_stage(rows, self.units, &[]);
        for (position, &sequence) in work.schedule.order().iter().enumerate() {
            let sequence = sequence as usize;
            let to = hidden.get_mut(sequence * self.units..(sequence + 1) * self.units);
            if let (Some(row), Some(to)) = (work.schedule.last_row(position), to) {
                to.iter_mut()
                    .zip(source.row(row as u32))
                    .for_each(|(to, &from)| *to = from);
            }
        }
        Ok(rows_run)
    }

    /// How a run of `rows` valid steps of `batch` sequences is split.
    fn plan(&self, batch: usize, rows: usize) -> Plan {
        let (_, tile_rows) = self.path.tile();
        Plan::new(
            pool::count,
            Sizes {
                batch,
                rows,
                features: self.features,
                units: self.units,
                tile_rows,
            },
        )
    }

    /// How a run of so many sequences, none of them padded, goes.
    pub(crate) fn explain(&self, batch: usize, time_steps: usize) -> String {
        let (_, tile_rows) = self.path.tile();
        let work = match self.prepared {
            Prepared::Rowwise(_) => "an activation over all units of a row: one product of arrays a step".to_owned(),
            Prepared::Panels(_) => self
                .plan(batch, batch.saturating_mul(time_steps))
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
