//! How much memory training takes on the CPU, known before a batch is run.

use super::CpuTraining;
use crate::cell::Cell;
use crate::cpu::stage::pieces::{most_rows_of_piece, steps_of_piece};
use crate::cpu::stage::share::PROJECTED_ROWS;
use crate::cpu::threads::pool;
use crate::error::Result;
use crate::flow::Source;
use crate::flow::size::{FlowSize, StageKind, StageSize};
use crate::model::plan::Plan;
use crate::recent::MOST;
use crate::schedule::check_steps;

/// A number in memory.
const VALUE: u64 = size_of::<f32>() as u64;

impl CpuTraining {
    /// The most bytes that training on batches of (batch, time_steps) takes, whatever their mask: packed weights, what a pass forward leaves, and what the
    /// way back computes in.
    pub(crate) fn memory(&self, (batch, time_steps): (usize, usize), wants_input: bool) -> Result<u64> {
        let plan = &*self.model.plan;
        check_steps(batch, plan.most_steps(time_steps))?;
        let size = FlowSize::in_training(plan, batch, time_steps);
        let counting = Counting {
            training: self,
            plan,
            size: &size,
            wants_input: wants_input && !plan.takes_tokens,
        };
        let values = [
            counting.weights(),
            counting.lists(),
            counting.rows(),
            counting.scratch(),
            counting.outputs(),
            counting.back(),
        ];
        let values = values.into_iter().fold(0, u64::saturating_add);
        Ok(values.saturating_mul(VALUE))
    }
}

struct Counting<'a> {
    training: &'a CpuTraining,
    plan: &'a Plan,
    size: &'a FlowSize,
    wants_input: bool,
}

/// All of these in values of four bytes.
impl Counting<'_> {
    fn width(&self) -> usize {
        self.training.model.path.tile().0
    }

    /// A matrix in panels.
    fn matrix(&self, rows: usize, columns: usize) -> u64 {
        product(&[rows, columns.next_multiple_of(self.width())])
    }

    /// Weights for each way, gradients, and the sums of one layer as they are added up.
    fn weights(&self) -> u64 {
        let mut values = 0_u64;
        let mut sums = 0;
        for (number, planned) in self.plan.cells.iter().enumerate() {
            let cell = &planned.cell;
            let (rows, columns) = (cell.features + cell.output + 2, cell.lanes().len() * cell.units);
            let units = cell.units.next_multiple_of(self.width());
            let forward = product(&[rows, cell.lanes().len(), units]);
            let back = self.matrix(columns, cell.output) + self.matrix(columns, cell.features);
            let more = match cell.has_projection() {
                true => self.matrix(cell.units, cell.output) + self.matrix(cell.output, cell.units),
                false => 0,
            };
            let is_masked = matches!(self.training.masked.get(number), Some(Some(_)));
            let twice = if is_masked { 2 } else { 1 };
            // a cell by rows has its next weights beside the last ones
            let next = if cell.obstacle().is_some() { forward + more } else { 0 };
            values += twice * (forward + back + more) + next;
            // those of the lane that multiplies r * h are put beside the others
            let beside = if cell.multiplies_reset() {
                product(&[cell.output, columns])
            } else {
                0
            };
            sums = sums.max(self.matrix(rows, columns) + beside);
        }
        for planned in &self.plan.denses {
            let (features, units) = planned.weights.kernel.dim();
            // the plan that runs and the next one have a copy each, beside the panels
            values += 3 * self.matrix(features + 1, units) + self.matrix(units, features);
            sums = sums.max(self.matrix(features + 1, units));
        }
        let gradients = self.plan.weights.iter().map(|weight| product(&weight.shape));
        // of a piece they are beside those of the pieces behind it
        let mut recurrent = self.size.stages.iter().filter(|stage| is_recurrent(stage));
        let has_pieces = recurrent.any(|stage| self.at_once(stage).is_piece());
        let of_piece = if has_pieces { sums } else { 0 };
        values + sums + of_piece + gradients.sum::<u64>()
    }

    /// The lists of the flow, forward and backward, of the batch that runs and of those before.
    fn lists(&self) -> u64 {
        let size = self.size;
        let steps = size
            .schedules
            .iter()
            .map(|&steps| 4 * (steps as u64 + size.batch as u64));
        let schedules: u64 = steps.sum();
        let (mut forward, mut back) = (size.input_rows as u64 + schedules, 0);
        let outputs = size.outputs.iter();
        let lists = outputs.map(|output| (output.source, output.entries));
        let stages = size
            .stages
            .iter()
            .flat_map(|stage| lists_of(stage).into_iter().flatten());
        for (source, entries) in lists.chain(stages) {
            forward += 2 * entries as u64; // a Dropout has numbers besides
            back += self.rows_of(source) as u64 + 1 + entries as u64;
        }
        for stage in size.stages.iter().filter(|stage| is_recurrent(stage)) {
            back += 2 * (stage.rows as u64 + size.batch as u64);
            let at_once = self.at_once(stage);
            if at_once.is_piece() {
                back += 8 * (at_once.rows as u64 + size.batch as u64);
            }
        }
        // the mask, and tokens
        let steps = product(&[size.batch, size.schedules.iter().copied().max().unwrap_or(0)]);
        (MOST as u64 + 1).saturating_mul(forward + 2 * steps) + back
    }

    fn rows_of(&self, source: Source) -> usize {
        match source {
            Source::Input => self.size.input_rows,
            Source::Table(table) => self.plan.tables.get(table).map_or(0, |table| table.nrows()),
            Source::Stage(stage) => self.size.stages.get(stage).map_or(0, |stage| stage.rows),
        }
    }

    fn width_of(&self, source: Source) -> usize {
        match source {
            Source::Input => self.size.features,
            Source::Table(table) => self.plan.tables.get(table).map_or(0, |table| table.ncols()),
            Source::Stage(stage) => self.size.stages.get(stage).map_or(0, |stage| stage.width),
        }
    }

    fn cell(&self, number: usize) -> Option<&Cell> {
        self.plan.cells.get(number).map(|planned| &planned.cell)
    }

    /// What each stage leaves: its rows, and of a recurrence what its way back needs.
    fn rows(&self) -> u64 {
        let batch = self.size.batch;
        let of_rows = |stage: &StageSize| {
            let rows = product(&[stage.rows, stage.width]);
            match is_recurrent(stage) {
                true => rows + product(&[batch, stage.width]) + stage.rows as u64,
                false => rows,
            }
        };
        let stages = || self.size.stages.iter();
        let states = self.plan.cells.iter().flat_map(|planned| planned.cell.state_widths());
        // before the first step, behind the last one, and three copies for a caller
        let states: u64 = states.map(|width| product(&[batch, width])).sum();
        let kept = match self.training.model.keeps_gates {
            true => stages().map(|stage| self.of_gates(stage)).sum::<u64>(),
            // of one piece after the other, which runs again, and the states before each
            false => {
                let recurrent = || stages().filter(|stage| is_recurrent(stage));
                let most = |of: &dyn Fn(&StageSize) -> u64| {
                    let pieces = recurrent().map(|stage| StageSize {
                        rows: self.at_once(stage).rows,
                        ..stage.clone()
                    });
                    pieces.map(|piece| of(&piece)).max().unwrap_or(0)
                };
                let saved: u64 = recurrent().map(|stage| self.of_saved_states(stage)).sum();
                most(&|stage| self.of_gates(stage)) + most(&of_rows) + states + saved
            }
        };
        stages().map(of_rows).sum::<u64>()
            + kept
            + stages().map(|stage| self.of_masked(stage)).sum::<u64>()
            + 5 * states
    }

    /// The steps of a recurrence, and how many of them and of its rows go backwards at once: those of a piece with little memory, where the gates leave
    /// nothing out.
    fn at_once(&self, stage: &StageSize) -> AtOnce {
        let StageKind::Recurrent { schedule, .. } = stage.kind else {
            return AtOnce::default();
        };
        let all = self.size.schedules.get(schedule).copied().unwrap_or(0);
        let is_masked = matches!(self.recurrence_of(stage), Some((_, true)));
        let steps = match self.training.model.keeps_gates || is_masked {
            true => all,
            false => steps_of_piece(all, self.size.batch),
        };
        let rows = match steps < all {
            true => stage.rows.min(most_rows_of_piece(all, self.size.batch)),
            false => stage.rows,
        };
        AtOnce { all, steps, rows }
    }

    /// The states before each piece.
    fn of_saved_states(&self, stage: &StageSize) -> u64 {
        let Some((cell, false)) = self.recurrence_of(stage) else {
            return 0;
        };
        let AtOnce { all, steps, .. } = self.at_once(stage);
        let pieces = all.div_ceil(steps.max(1)).max(1);
        let widths = cell.state_widths();
        widths.map(|width| product(&[pieces, self.size.batch, width])).sum()
    }

    /// The gates and cell states of a recurrence; nothing of one whose gates leave something out.
    fn of_gates(&self, stage: &StageSize) -> u64 {
        match self.recurrence_of(stage) {
            Some((cell, false)) => self.of_lanes(stage.rows, cell),
            _ => 0,
        }
    }

    fn of_lanes(&self, rows: usize, cell: &Cell) -> u64 {
        let states = if cell.has_cell_state() { cell.units } else { 0 };
        let with_first = rows.saturating_add(self.size.batch);
        product(&[rows, cell.lanes().len(), cell.units]) + product(&[with_first, states])
    }

    /// What a recurrence has whose gates leave something out: besides these factors, h of each row once more, r * h, and what the way back
    /// has of a row.
    fn of_masked(&self, stage: &StageSize) -> u64 {
        let Some((cell, true)) = self.recurrence_of(stage) else {
            return 0;
        };
        let batch = self.size.batch;
        let factors = product(&[batch, cell.gates(), cell.features + cell.output]);
        let hidden = product(&[stage.rows.saturating_add(batch), cell.output]);
        self.of_lanes(stage.rows, cell) + factors + 3 * hidden
    }

    /// The cell of a recurrent stage, and whether its gates leave something out.
    fn recurrence_of(&self, stage: &StageSize) -> Option<(&Cell, bool)> {
        let StageKind::Recurrent { cell: number, .. } = stage.kind else {
            return None;
        };
        let is_masked = matches!(self.training.masked.get(number), Some(Some(_)));
        Some((self.cell(number)?, is_masked))
    }

    /// What the threads compute in: of the stage that takes the most, as the next one takes it again.
    fn scratch(&self) -> u64 {
        let model = &self.training.model;
        let of_stage = |stage: &StageSize| {
            let StageKind::Recurrent { cell: number, .. } = stage.kind else {
                return 0;
            };
            let (Some(cell), Some(forward)) = (self.cell(number), model.recurrences.get(number)) else {
                return 0;
            };
            let (units, lanes) = (cell.units.next_multiple_of(self.width()), cell.lanes().len());
            let threads = pool::count();
            let positions = self.size.batch.saturating_add(threads.saturating_mul(PROJECTED_ROWS));
            let common = product(&[positions, units, lanes + 2]) + product(&[3, self.size.batch, cell.output]);
            let at_once = self.at_once(stage);
            let of_crews = forward.most_of_crews(self.size.batch, at_once.all);
            // rows and what is kept of them by member, and the gradients of lanes beside what was kept
            let rows = match at_once.is_piece() && of_crews > 0 {
                true => most_rows_of_piece(at_once.all, of_crews).saturating_add(of_crews),
                false => of_crews.saturating_mul(at_once.all.saturating_add(1)),
            };
            common + product(&[rows, 2 * lanes + 2, cell.units]) + product(&[16, of_crews, cell.units])
        };
        self.size.stages.iter().map(of_stage).max().unwrap_or(0)
    }

    /// The output and its gradient.
    fn outputs(&self) -> u64 {
        let outputs = self.size.outputs.iter();
        outputs.map(|output| 2 * product(&[output.entries, output.width])).sum()
    }

    /// The gradients of rows at the stage where there are the most of them: those that were given and not yet taken, and those that it makes.
    fn back(&self) -> u64 {
        let stages = &self.size.stages;
        let mut given = vec![0_u64; stages.len()];
        let (mut input, mut most) = (0, 0);
        for (number, stage) in stages.iter().enumerate().rev() {
            let rows = product(&[stage.rows, stage.width]);
            let mut here = match stage.kind {
                StageKind::Recurrent { cell, .. } => self.of_recurrence(cell, stage),
                // the sum over those who read it, and the arguments of an activation
                _ => 2 * rows,
            };
            let before = given.iter().sum::<u64>() + input;
            if let Some(taken) = given.get_mut(number) {
                *taken = 0;
            }
            for (source, entries) in lists_of(stage).into_iter().flatten() {
                let values = product(&[entries, self.width_of(source)]);
                let to = match source {
                    Source::Input if !self.wants_input => continue,
                    Source::Stage(read) => given.get_mut(read),
                    Source::Input | Source::Table(_) => Some(&mut input),
                };
                here += values;
                if let Some(to) = to {
                    *to += values;
                }
            }
            most = most.max(before + here);
        }
        // at last those of the input
        let values = if self.wants_input {
            product(&[self.size.input_rows, self.size.features])
        } else {
            0
        };
        most.max(input + values)
    }

    /// What a recurrence computes in besides the gradients of its lanes, which lie where these were kept.
    fn of_recurrence(&self, number: usize, stage: &StageSize) -> u64 {
        let Some(cell) = self.cell(number) else { return 0 };
        let at_once = self.at_once(stage);
        let projection = if cell.has_projection() {
            cell.units + cell.output
        } else {
            0
        };
        let reset = if cell.multiplies_reset() { cell.output } else { 0 };
        // where gates leave something out, the lanes once more, and what a gate leaves of x or of h
        let masked = match self.training.masked.get(number) {
            Some(Some(_)) => cell.lanes().len() * cell.units + cell.features.max(cell.output),
            _ => 0,
        };
        let input = if at_once.is_piece() { cell.features } else { 0 };
        product(&[at_once.rows, projection + reset + input]) + product(&[stage.rows, masked])
    }
}

/// How a recurrence goes backwards.
#[derive(Clone, Copy, Debug, Default)]
struct AtOnce {
    all: usize,
    steps: usize,
    rows: usize,
}

impl AtOnce {
    fn is_piece(self) -> bool {
        self.steps < self.all
    }
}

fn is_recurrent(stage: &StageSize) -> bool {
    matches!(stage.kind, StageKind::Recurrent { .. })
}

/// The lists of a stage: what each reads, and its entries.
fn lists_of(stage: &StageSize) -> [Option<(Source, usize)>; 2] {
    match stage.kind {
        StageKind::Recurrent { input, .. }
        | StageKind::Dense { input, .. }
        | StageKind::Transform { input, .. }
        | StageKind::Dropout { input, .. } => [Some((input, stage.rows)), None],
        StageKind::Reshape { input, entries } => [Some((input, entries)), None],
        StageKind::Merge { forward, backward, .. } => [forward, backward].map(|source| Some((source, stage.rows))),
    }
}

/// Capped where no machine has so much, so that no sum of these overflows.
fn product(sizes: &[usize]) -> u64 {
    const MOST: u64 = 1 << 48;
    let product = sizes
        .iter()
        .fold(1, |product: u64, &size| product.saturating_mul(size as u64));
    product.min(MOST)
}
