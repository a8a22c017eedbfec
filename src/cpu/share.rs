//! What one thread computes: some positions of a schedule, some panels of the weights.

use std::ops::Range;

use crate::cpu::list::List;

use super::buffer::{Buffer, Buffers};
use super::gates::{Input, Projection, Step, Weights};
use super::hand::Hand;
use super::path::Path;
use super::simd::GATES;
use crate::error::Result;

/// With fewer rows in a step the projection is made for several steps at once: its weights are read once for all of them.
const PROJECTED_ROWS: usize = 48;

/// The state of a share between two steps.
#[derive(Debug)]
pub(super) struct Share<'a> {
    path: Path,
    weights: &'a Weights,
    hand: Hand<'a>,
    panels: Range<usize>,
    /// The step that comes next.
    step: usize,
    /// c, `[position][panel][lane]`.
    cell: Buffer<'a>,
    /// `[row][panel][gate][lane]` of the steps `projected_steps`, of which the rows before `projected_row` are done.
    projected: Buffer<'a>,
    projected_until: usize,
    projected_row: usize,
    x: List<'a, &'a [f32]>,
    /// Where h of all steps goes, the units of the panels alone; those of the steps that were run are taken out.
    outputs: List<'a, &'a mut [f32]>,
    next: List<'a, &'a mut [f32]>,
    rows_run: usize,
}

impl<'a> Share<'a> {
    /// `cells` has c of each sequence of the batch, (batch, units).
    pub(super) fn new(
        path: Path,
        weights: &'a Weights,
        hand: Hand<'a>,
        panels: Range<usize>,
        cells: &[f32],
        buffers: &'a Buffers,
    ) -> Result<Self> {
        let (lanes, _) = path.tile();
        let positions = hand.active(0);
        let width = panels.len() * lanes;
        let units = weights.recurrent_kernel.depth();
        let mut cell = buffers.take(positions * width)?;
        for (row, sequence) in cell.chunks_exact_mut(width.max(1)).zip(hand.sequences()) {
            row.fill(0.0);
            let begin = sequence * units;
            let units = begin + panels.start * lanes..(begin + panels.end * lanes).min(begin + units);
            let from = cells.get(units).unwrap_or_default();
            row.iter_mut().zip(from).for_each(|(cell, &from)| *cell = from);
        }
        let most = positions.max(PROJECTED_ROWS);
        Ok(Self {
            path,
            weights,
            hand,
            cell,
            projected: buffers.take(most * width * GATES)?,
            projected_until: 0,
            projected_row: 0,
            x: buffers.list(most)?,
            outputs: buffers.list(hand.rows())?,
            next: buffers.list(positions)?,
            panels,
            step: 0,
            rows_run: 0,
        })
    }

    /// Takes its columns of a row of h, and gives the rest. Rows come in the order in which they are run.
    pub(super) fn deal(&mut self, row: &'a mut [f32]) -> &'a mut [f32] {
        let columns = self.panels.len() * self.path.tile().0;
        let (own, rest) = row.split_at_mut(columns.min(row.len()));
        self.outputs.push(own);
        rest
    }

    /// The step that comes next.
    pub(super) fn step(&self) -> usize {
        self.step
    }

    /// How many rows were run.
    pub(super) fn rows_run(&self) -> usize {
        self.rows_run
    }

    /// The first unit.
    pub(super) fn first_unit(&self) -> usize {
        self.panels.start * self.path.tile().0
    }

    /// h of the last step that was run, taken out.
    pub(super) fn take_next(&mut self) -> impl Iterator<Item = &'a [f32]> {
        self.next.drain(..).map(|row| &*row)
    }

    /// h of the last step that was run, the units of the share.
    pub(super) fn next(&self) -> &[&'a mut [f32]] {
        &self.next
    }

    /// Runs the next step, from h of all units.
    pub(super) fn run(&mut self, hidden: &[&[f32]]) {
        let active = self.hand.active(self.step);
        let hidden = hidden.get(..active).unwrap_or(hidden);
        let outputs = self.outputs.iter_mut().skip(self.rows_run).take(active);
        self.next.clear();
        self.next.extend(outputs.map(std::mem::take));
        let (lanes, rows) = self.path.tile();
        let width = self.panels.len() * lanes * GATES;
        let input = if active >= rows {
            self.x.clear();
            self.x.extend(self.hand.inputs(self.step));
            Input::Rows(self.x.as_slice())
        } else {
            if self.step >= self.projected_until {
                self.project();
            }
            let begin = self.projected_row * width;
            self.projected_row += active;
            Input::Projected(self.projected.get(begin..).unwrap_or_default())
        };
        self.path.run(Step {
            weights: self.weights,
            panels: self.panels.clone(),
            backwards: self.step % 2 == 1,
            input,
            hidden,
            cell: &mut self.cell,
            next: &mut self.next,
        });
        self.step += 1;
        self.rows_run += self.next.len();
    }

    fn project(&mut self) {
        self.x.clear();
        self.projected_until = self.step;
        self.projected_row = 0;
        loop {
            let active = self.hand.active(self.projected_until);
            if active == 0 || (!self.x.is_empty() && self.x.len() + active > PROJECTED_ROWS) {
                break;
            }
            self.x.extend(self.hand.inputs(self.projected_until));
            self.projected_until += 1;
        }
        self.path.run(Projection {
            weights: self.weights,
            panels: self.panels.clone(),
            x: &self.x,
            projected: &mut self.projected,
        });
    }

    /// c of each sequence after the last step, into (batch, units).
    pub(super) fn finish(&self, cells: &mut [f32]) {
        let (lanes, _) = self.path.tile();
        let units = self.weights.recurrent_kernel.depth();
        let width = self.panels.len() * lanes;
        for (row, sequence) in self.cell.chunks_exact(width.max(1)).zip(self.hand.sequences()) {
            let begin = sequence * units;
            let units = begin + self.panels.start * lanes..(begin + self.panels.end * lanes).min(begin + units);
            let to = cells.get_mut(units).unwrap_or_default();
            to.iter_mut().zip(row).for_each(|(to, &cell)| *to = cell);
        }
    }
}
