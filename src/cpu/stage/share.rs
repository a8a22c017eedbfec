//! What one thread computes of a recurrence: some positions of a schedule, some panels of the weights.

use std::ops::Range;

use super::gather::Gathered;
use super::input_projection::Projection;
use super::recurrent_step::{Input, KeptRows, ROWS_TOGETHER, Step};
use crate::cpu::cell::Weights;
use crate::cpu::memory::buffer::reserve;
use crate::cpu::memory::workspace::Scratch;
use crate::cpu::product::path::Path;
use crate::cpu::product::tile::Rows;
use crate::cpu::threads::crew::Share;
use crate::cpu::threads::hand::Hand;
use crate::error::Result;

/// With fewer rows in a step the projection is made for several steps at once: its weights are read once for all of them.
pub(crate) const PROJECTED_ROWS: usize = 48;

/// Which part of a recurrence a share is.
#[derive(Clone, Debug)]
pub(super) struct Part<'a> {
    pub(super) path: Path,
    pub(super) weights: &'a Weights,
    pub(super) gathered: Gathered<'a>,
    pub(super) hand: Hand<'a>,
    pub(super) panels: Range<usize>,
}

/// Where a share computes.
#[derive(Debug)]
pub(super) struct Memory<'a> {
    pub(super) cell_state: &'a mut [f32],
    pub(super) projected: &'a mut [f32],
    pub(super) sums: &'a mut [f32],
    pub(super) inputs: &'a mut Vec<u32>,
    pub(super) outputs: &'a mut [f32],
    pub(super) kept: KeptRows<'a>,
}

/// A part on its way from step to step.
#[derive(Debug)]
pub(super) struct PanelShare<'a> {
    part: Part<'a>,
    /// The step that comes next.
    step: usize,
    /// The cell state, `[position][panel][unit]`; empty for a cell without one.
    cell_state: &'a mut [f32],
    /// `[row][panel][lane][unit]` of the steps before `projected_until`, of which the rows before `projected_row` are done.
    projected: &'a mut [f32],
    projected_until: usize,
    projected_row: usize,
    /// The sums of some rows and one panel.
    sums: &'a mut [f32],
    /// The places of the rows of the input that are read together.
    inputs: &'a mut Vec<u32>,
    /// h before the first step, a row for each position, then h of each row that was run: the units of the panels.
    outputs: &'a mut [f32],
    /// The row of `outputs` where h of the step that was run last begins.
    last: usize,
    rows_run: usize,
    /// What is kept of the rows to come, nothing where nothing is kept.
    kept: KeptRows<'a>,
}

impl Part<'_> {
    fn width(&self) -> usize {
        self.path.tile().0
    }

    /// The units of the panels.
    pub(super) fn units(&self) -> Range<usize> {
        let units = self.weights.units;
        (self.panels.start * self.width()).min(units)..(self.panels.end * self.width()).min(units)
    }

    /// The numbers of its units with those that fill the last panel up.
    fn filled(&self) -> usize {
        self.panels.len() * self.width()
    }

    /// The length of a row of the cell state.
    fn cell_state(&self) -> usize {
        if self.weights.has_cell_state { self.filled() } else { 0 }
    }

    /// The place of the units in an array (batch, units).
    fn of_sequence(&self, sequence: usize) -> Range<usize> {
        let (begin, units) = (sequence * self.weights.units, self.units());
        begin + units.start..begin + units.end
    }

    /// Makes room for a share; to be called before the threads begin.
    pub(super) fn prepare(&self, scratch: &mut Scratch) -> Result<()> {
        let positions = self.hand.active(0);
        let most = positions.max(PROJECTED_ROWS);
        scratch.cell_state.resize(positions * self.cell_state())?;
        scratch.projected.resize(most * self.filled() * self.weights.lanes)?;
        let rows = positions.min(ROWS_TOGETHER);
        scratch.sums.resize(rows * self.width() * self.weights.lanes)?;
        scratch.inputs.clear();
        reserve(&mut scratch.inputs, most)
    }

    /// The numbers of its outputs: h before the first step, and of each row.
    pub(super) fn outputs(&self) -> usize {
        (self.hand.active(0) + self.hand.rows()) * self.units().len()
    }

    /// The numbers that are kept of lanes and of cell states.
    pub(super) fn kept(&self) -> [usize; 2] {
        let (rows, units) = (self.hand.rows(), self.units().len());
        let states = if self.weights.has_cell_state {
            self.hand.active(0) + rows
        } else {
            0
        };
        [rows * self.weights.lanes * units, states * units]
    }

    /// Puts the cell state of each sequence after the last step into (batch, units).
    pub(super) fn finish(&self, from: &[f32], cell_state: &mut [f32]) {
        for (row, sequence) in from.chunks_exact(self.cell_state().max(1)).zip(self.hand.sequences()) {
            let to = cell_state.get_mut(self.of_sequence(sequence)).unwrap_or_default();
            to.iter_mut().zip(row).for_each(|(to, &from)| *to = from);
        }
    }

    /// Puts h and the cell state of each sequence before the first step, (batch, units) each, to where a share has them.
    fn begin(&self, (hidden, cell_state): (&[f32], &[f32]), memory: &mut Memory<'_>) {
        let outputs = memory.outputs.chunks_exact_mut(self.units().len().max(1));
        for (to, sequence) in outputs.zip(self.hand.sequences()).take(self.hand.active(0)) {
            let from = hidden.get(self.of_sequence(sequence)).unwrap_or_default();
            to.iter_mut().zip(from).for_each(|(to, &from)| *to = from);
        }
        let cell_states = memory.cell_state.chunks_exact_mut(self.cell_state().max(1));
        for (to, sequence) in cell_states.zip(self.hand.sequences()) {
            to.fill(0.0);
            let from = cell_state.get(self.of_sequence(sequence)).unwrap_or_default();
            to.iter_mut().zip(from).for_each(|(to, &from)| *to = from);
        }
        let kept = memory.kept.cell_states.chunks_exact_mut(self.units().len().max(1));
        for (to, sequence) in kept.zip(self.hand.sequences()).take(self.hand.active(0)) {
            let from = cell_state.get(self.of_sequence(sequence)).unwrap_or_default();
            to.iter_mut().zip(from).for_each(|(to, &from)| *to = from);
        }
    }
}

impl<'a> PanelShare<'a> {
    /// A share over the memory that [`Part::prepare`] has made, from h and the cell state of each sequence of the batch,
    /// (batch, units) each.
    pub(super) fn new(part: Part<'a>, mut memory: Memory<'a>, before: (&[f32], &[f32])) -> Self {
        part.begin(before, &mut memory);
        let Memory {
            cell_state,
            projected,
            sums,
            inputs,
            outputs,
            mut kept,
        } = memory;
        kept.taken([0, part.hand.active(0) * part.units().len()]);
        Self {
            part,
            step: 0,
            cell_state,
            projected,
            projected_until: 0,
            projected_row: 0,
            sums,
            inputs,
            outputs,
            last: 0,
            rows_run: 0,
            kept,
        }
    }

    /// Runs all steps, if the share is the whole hand: h before a step is what the step before has put out. Gives how many
    /// rows were run.
    pub(super) fn run_alone(mut self) -> usize {
        for _ in 0..self.part.hand.steps() {
            self.run_step(None);
        }
        self.rows_run
    }

    /// How many rows were run.
    pub(super) fn rows_run(&self) -> usize {
        self.rows_run
    }

    /// The units of the panels.
    pub(super) fn units(&self) -> Range<usize> {
        self.part.units()
    }

    /// h of every row that was run, (rows, units of the panels).
    pub(super) fn outputs(&self) -> impl Iterator<Item = &[f32]> {
        let columns = self.part.units().len();
        let rows = self.outputs.chunks_exact(columns.max(1));
        rows.skip(self.part.hand.active(0)).take(self.rows_run)
    }

    /// Runs the next step, from h of all units; of its own ones, if there are no others.
    fn run_step(&mut self, hidden: Option<Rows<'_>>) {
        let active = self.part.hand.active(self.step);
        if active >= self.part.path.tile().1 {
            self.inputs.clear();
            self.inputs
                .extend(self.part.gathered.places(&self.part.hand, self.step));
        } else if self.step >= self.projected_until {
            self.project();
        }
        let Part { path, weights, .. } = self.part;
        let columns = self.part.units().len();
        let kept = self.kept.taken([active * columns * weights.lanes, active * columns]);
        let next = self.part.hand.active(0) + self.rows_run;
        let (before, after) = self.outputs.split_at_mut((next * columns).min(self.outputs.len()));
        let input = if active >= path.tile().1 {
            Input::Rows(self.part.gathered.source, self.inputs)
        } else {
            let begin = self.projected_row * self.part.filled() * weights.lanes;
            self.projected_row += active;
            Input::Projected(self.projected.get(begin..).unwrap_or_default())
        };
        let own = Rows {
            values: before.get(self.last * columns..).unwrap_or_default(),
            stride: columns,
        };
        let step = Step {
            weights,
            panels: self.part.panels.clone(),
            backwards: self.step % 2 == 1,
            rows: active,
            input,
            hidden: hidden.unwrap_or(own),
            cell_state: self.cell_state,
            sums: self.sums,
            next: after,
            columns,
            kept,
        };
        step.run(path);
        self.step += 1;
        self.last = next;
        self.rows_run += active;
    }

    fn project(&mut self) {
        self.inputs.clear();
        self.projected_until = self.step;
        self.projected_row = 0;
        loop {
            let active = self.part.hand.active(self.projected_until);
            if active == 0 || (!self.inputs.is_empty() && self.inputs.len() + active > PROJECTED_ROWS) {
                break;
            }
            self.inputs
                .extend(self.part.gathered.places(&self.part.hand, self.projected_until));
            self.projected_until += 1;
        }
        let projection = Projection {
            weights: self.part.weights,
            panels: self.part.panels.clone(),
            source: self.part.gathered.source,
            inputs: self.inputs,
            projected: self.projected,
        };
        projection.run(self.part.path);
    }
}

impl Share for PanelShare<'_> {
    fn step(&self) -> usize {
        self.step
    }

    fn first_unit(&self) -> usize {
        self.part.units().start
    }

    fn run(&mut self, hidden: Rows<'_>) {
        self.run_step(Some(hidden));
    }

    fn next(&self) -> impl Iterator<Item = &[f32]> {
        let columns = self.part.units().len();
        let rows = self.outputs.get(self.last * columns..).unwrap_or_default();
        let count = match self.step {
            0 => 0,
            step => self.part.hand.active(step - 1),
        };
        rows.chunks_exact(columns.max(1)).take(count)
    }
}
