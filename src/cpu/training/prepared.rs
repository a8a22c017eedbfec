//! A cell that is ready to go backwards, and what it has run over.

use std::borrow::Cow;

use super::blocks::Blocks;
use crate::cell::Cell;
use crate::cpu::cell::by_lane::{BackMatrices, LaneMatrices};
use crate::cpu::cell::{AnyRule, parameters_of};
use crate::cpu::memory::buffer::Lines;
use crate::cpu::product::path::Path;
use crate::cpu::product::rows::row_of;
use crate::cpu::stage::gather::{Gathered, Source};
use crate::error::Result;
use crate::flow::NONE;
use crate::flow::backward::{InTime, Readers};
use crate::model::plan::PlannedCell;
use crate::schedule::Schedule;
use crate::state::State;

/// One cell, ready to go backwards.
#[derive(Debug)]
pub(super) struct Recurrence {
    pub(super) path: Path,
    pub(super) cell: Cell,
    pub(super) back: BackMatrices,
    /// `[parameter][unit]`
    pub(super) parameters: Lines,
    pub(super) rule: AnyRule,
}

/// What a recurrence has run over.
pub(super) struct Work<'a> {
    pub(super) schedule: &'a Schedule,
    pub(super) before: Before<'a>,
    pub(super) input: Gathered<'a>,
    /// The cell state before the first step, (batch, units).
    pub(super) initial_cell: &'a [f32],
    pub(super) blocks: &'a Blocks<'a>,
    /// Who has read h, with the gradients of what was read.
    pub(super) given: &'a [(&'a Readers, Cow<'a, [f32]>)],
    /// The row of these readers with which it begins.
    pub(super) first_row: usize,
    /// The gradients of the final state.
    pub(super) finals: Option<&'a State>,
    pub(super) wants_input: bool,
    pub(super) planned: &'a PlannedCell,
    /// The weights of a cell that has kept nothing.
    pub(super) by_rows: Option<&'a LaneMatrices>,
}

impl Work<'_> {
    /// The gradients of h of a row: the sum over its readers, list by list, entry by entry.
    pub(super) fn given(&self, row: usize, sums: &mut [f32]) {
        sums.fill(0.0);
        for (readers, entries) in self.given {
            for &entry in readers.of(self.first_row + row) {
                let from = row_of(entries, sums.len(), entry as usize);
                sums.iter_mut().zip(from).for_each(|(to, from)| *to += from);
            }
        }
    }
}

/// h before each row.
#[derive(Clone, Copy)]
pub(super) struct Before<'a> {
    pub(super) in_time: &'a InTime,
    pub(super) rows: Source<'a>,
    /// h before the first step, (batch, output).
    pub(super) initial: &'a [f32],
    pub(super) order: &'a [u32],
    pub(super) width: usize,
}

impl<'a> Before<'a> {
    pub(super) fn row(&self, row: usize) -> &'a [f32] {
        match self.in_time.before.get(row) {
            Some(&NONE) | None => {
                let sequence = self.order.get(row).map_or(usize::MAX, |&sequence| sequence as usize);
                row_of(self.initial, self.width, sequence)
            }
            Some(&before) => self.rows.row(before),
        }
    }
}

impl Recurrence {
    pub(super) fn new(planned: &PlannedCell, path: Path) -> Result<Self> {
        Ok(Self {
            path,
            cell: planned.cell.clone(),
            back: BackMatrices::new(planned, path)?,
            parameters: parameters_of(planned),
            rule: AnyRule::new(&planned.cell),
        })
    }

    /// Other weights of the same cell.
    pub(super) fn refill(&mut self, planned: &PlannedCell) -> Result<()> {
        self.parameters = parameters_of(planned);
        self.back.refill(planned, self.path)
    }

    /// The numbers of the lanes of a row.
    pub(super) fn stride(&self) -> usize {
        self.cell.lanes().len() * self.cell.units
    }
}
