//! A cell that is ready to go backwards, and what it has run over.

use super::blocks::{Blocks, row_of};
use crate::cell::Cell;
use crate::cpu::cell::by_lane::{BackMatrices, LaneMatrices};
use crate::cpu::cell::{AnyRule, parameters_of};
use crate::cpu::memory::buffer::Lines;
use crate::cpu::product::path::Path;
use crate::cpu::stage::gather::{Gathered, Source};
use crate::flow::NONE;
use crate::flow::backward::InTime;
use crate::model::plan::PlannedCell;
use crate::schedule::Schedule;
use crate::state::State;

/// One cell, ready to go backwards.
#[derive(Debug)]
pub(super) struct Recurrence {
    pub(super) path: Path,
    pub(super) cell: Cell,
    pub(super) matrices: LaneMatrices,
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
    /// The gradients of h of every row, in blocks.
    pub(super) gradients: Vec<f32>,
    /// The gradients of the final state.
    pub(super) finals: Option<&'a State>,
    pub(super) wants_input: bool,
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
    pub(super) fn new(planned: &PlannedCell, path: Path) -> Self {
        Self {
            path,
            cell: planned.cell.clone(),
            matrices: LaneMatrices::new(planned, path),
            back: BackMatrices::new(planned, path),
            parameters: parameters_of(planned),
            rule: AnyRule::new(&planned.cell),
        }
    }

    /// The numbers of the lanes of a row.
    pub(super) fn stride(&self) -> usize {
        self.cell.lanes().len() * self.cell.units
    }
}
