//! A recurrence backwards: its gates once more for all rows at once, the steps from the last to the first, and large products over all rows.

use rayon::prelude::*;

use super::crews::CrewMemory;
use super::peepholes::{PeepholeRow, peepholes};
use super::prepared::{Recurrence, Work};
use super::spare::Spare;
use super::steps::{HandSteps, Memory};
use super::sums::{Factor, Rows, Summed, Sums};
use crate::cell::Lane;
use crate::cpu::cell::by_lane::LaneMatrices;
use crate::cpu::cell::rule::{Rule, WithRule};
use crate::cpu::memory::buffer::Lines;
use crate::cpu::memory::workspace::Kept;
use crate::cpu::product::rows::{add, multiply, over_rows, row_of};
use crate::error::Result;
use crate::flow::NONE;
use crate::memory::RUN;
use crate::state::State;

/// The gradients of a cell: each in the shape of the weight, row by row.
#[derive(Debug)]
pub(super) struct CellGradients {
    pub(super) kernel: Vec<f32>,
    pub(super) recurrent_kernel: Vec<f32>,
    /// A row for each row of the bias.
    pub(super) bias: Vec<f32>,
    pub(super) peepholes: Vec<f32>,
    pub(super) projection: Vec<f32>,
    /// Of the entries of its list, in the order of the schedule.
    pub(super) input: Vec<f32>,
    pub(super) state: State,
}

impl CellGradients {
    /// Adds those of the weights, and gives the largest lists back.
    pub(super) fn add(&mut self, others: Self) -> [Vec<f32>; 2] {
        let pairs = [
            (&mut self.bias, &others.bias),
            (&mut self.peepholes, &others.peepholes),
            (&mut self.projection, &others.projection),
            (&mut self.kernel, &others.kernel),
            (&mut self.recurrent_kernel, &others.recurrent_kernel),
        ];
        for (to, from) in pairs {
            to.iter_mut().zip(from).for_each(|(to, from)| *to += from);
        }
        [others.kernel, others.recurrent_kernel]
    }
}

impl Recurrence {
    /// From what the recurrence has kept, of which nothing is left then; a cell by rows has kept nothing, and its lanes are made again.
    pub(super) fn backward(
        &self,
        work: &Work<'_>,
        kept: &mut Kept,
        (turned, spare): (&mut Lines, &mut Spare),
    ) -> Result<CellGradients> {
        let rows = work.schedule.rows();
        let reset = match work.by_rows {
            Some(matrices) => self.lanes_again(work, matrices, kept)?,
            None => Vec::new(),
        };
        let hands = std::mem::take(&mut kept.hands);
        let of_projection = |width| if self.cell.has_projection() { rows * width } else { 0 };
        let mut unprojected = RUN.zeros(of_projection(self.cell.units))?;
        let mut gradients = RUN.zeros(of_projection(self.cell.output))?;
        let state = if hands > 0 && self.has_crews(work, kept.members) {
            let memory = CrewMemory {
                kept: &kept.lanes,
                cell_states: &kept.cell_states,
                gradients: turned.resize(kept.lanes.len())?,
            };
            let state = self.steps_by_crews(work, kept.members, memory)?;
            std::mem::swap(&mut kept.lanes, turned);
            state
        } else {
            let memory = Memory {
                lanes: &mut kept.lanes,
                cell_states: &mut kept.cell_states,
                unprojected: &mut unprojected,
                gradients: &mut gradients,
            };
            self.steps(work, memory)?
        };
        let sums = AllRows {
            recurrence: self,
            work,
            lanes: &kept.lanes,
            reset: &reset,
            cell_states: &kept.cell_states,
            unprojected: &unprojected,
            gradients: &gradients,
        };
        let [kernel, recurrent_kernel, bias] = sums.kernels(spare)?;
        Ok(CellGradients {
            kernel,
            recurrent_kernel,
            bias,
            peepholes: sums.peepholes()?,
            projection: sums.projection()?,
            input: sums.input()?,
            state,
        })
    }

    /// Makes the lanes of a cell by rows, and room for its cell states.
    fn lanes_again(&self, work: &Work<'_>, matrices: &LaneMatrices, kept: &mut Kept) -> Result<Vec<f32>> {
        let rows = work.schedule.rows();
        let states = match self.cell.has_cell_state() {
            true => work.schedule.active(0) + rows,
            false => 0,
        };
        kept.cell_states.resize(states * self.cell.units)?;
        let lanes = kept.lanes.resize(rows * self.stride())?;
        self.lanes(work, matrices, lanes)
    }

    /// `lanes = bias + x·kernel + h_before·recurrent_kernel` of every row, in blocks. Gives r * h of every row where a lane multiplies that.
    fn lanes(&self, work: &Work<'_>, matrices: &LaneMatrices, lanes: &mut [f32]) -> Result<Vec<f32>> {
        let (stride, units, output) = (self.stride(), self.cell.units, self.cell.output);
        let Work {
            before, input, blocks, ..
        } = work;
        let LaneMatrices {
            kernel,
            recurrent_kernel,
            bias,
            reset,
        } = matrices;
        over_rows((&mut *lanes, stride), |lanes, first| {
            let x = |place| input.row(blocks.row(first + place));
            multiply(self.path, (kernel, Some(bias)), x, (&mut *lanes, stride));
            let h = |place| before.row(blocks.row(first + place));
            add(self.path, recurrent_kernel, h, (lanes, stride));
        });
        let Some(reset) = reset else { return Ok(Vec::new()) };
        let mut products = RUN.zeros(work.schedule.rows() * output)?;
        over_rows((&mut products, output), |products, first| {
            for (place, product) in (first..).zip(products.chunks_exact_mut(output.max(1))) {
                self.rule.with(ResetRow {
                    lanes: row_of(lanes, stride, place),
                    hidden: before.row(blocks.row(place)),
                    product,
                });
            }
        });
        over_rows((lanes, stride), |lanes, first| {
            let row = |place| row_of(&products, output, first + place);
            let lane = lanes.get_mut(reset.lane * units..).unwrap_or_default();
            add(self.path, &reset.kernel, row, (lane, stride));
        });
        Ok(products)
    }

    /// All steps, the hands beside each other: leaves the gradients of the lanes in their place, and gives those of the initial state.
    fn steps(&self, work: &Work<'_>, mut memory: Memory<'_>) -> Result<State> {
        let mut hands = Vec::new();
        let mut place = 0;
        for hand in work.blocks.hands() {
            hands.push(HandSteps::new(self, work, hand, place, &mut memory)?);
            place += hand.rows();
        }
        match &mut hands[..] {
            [hand] => hand.run(),
            hands => hands.par_iter_mut().with_max_len(1).for_each(HandSteps::run),
        }
        let mut state = State::zeros(work.schedule.batch(), self.cell.state_widths())?;
        for hand in &hands {
            for (array, rows) in state.arrays_mut().zip(hand.carried()) {
                for (sequence, from) in hand.sequences().zip(rows.chunks_exact(array.ncols().max(1))) {
                    if sequence < array.nrows() {
                        array
                            .row_mut(sequence)
                            .iter_mut()
                            .zip(from)
                            .for_each(|(to, &from)| *to = from);
                    }
                }
            }
        }
        Ok(state)
    }
}

/// `product = r * h` of one row.
struct ResetRow<'a> {
    lanes: &'a [f32],
    hidden: &'a [f32],
    product: &'a mut [f32],
}

impl WithRule for ResetRow<'_> {
    fn run<R: Rule, const L: usize>(self, rule: &R) {
        rule.reset(self.lanes, self.hidden, self.product);
    }
}

/// What is summed up over all rows.
struct AllRows<'a> {
    recurrence: &'a Recurrence,
    work: &'a Work<'a>,
    /// The gradients of the lanes, in blocks as all of these.
    lanes: &'a [f32],
    /// r * h
    reset: &'a [f32],
    cell_states: &'a [f32],
    unprojected: &'a [f32],
    /// All of the gradients of h.
    gradients: &'a [f32],
}

impl AllRows<'_> {
    fn lane_row(&self, row: usize) -> &[f32] {
        row_of(self.lanes, self.recurrence.stride(), self.work.blocks.place(row))
    }

    /// The gradients of kernel, recurrent kernel and bias.
    fn kernels(&self, spare: &mut Spare) -> Result<[Vec<f32>; 3]> {
        let (cell, work) = (&self.recurrence.cell, self.work);
        let (lanes, units) = (cell.lanes(), cell.units);
        let lane_of = |gate: usize, is_it: fn(&Lane, usize) -> bool| lanes.iter().position(|lane| is_it(lane, gate));
        let parts = |is_it| (0..cell.gates()).map(|gate| lane_of(gate, is_it)).collect::<Vec<_>>();
        let of_kernel = parts(|lane, gate| lane.kernel == Some(gate));
        let of_recurrent = parts(|lane, gate| lane.recurrent == Some(gate));
        // the gate whose lane multiplies r * h is the last one
        let reset = lanes.iter().position(|lane| lane.of_reset);
        let of_hidden: Vec<_> = of_recurrent
            .iter()
            .copied()
            .filter(|lane| lane.is_none() || *lane != reset)
            .collect();
        let of_reset = [reset];
        let x = |row: usize| work.input.row(row);
        let hidden = |row: usize| work.before.row(row);
        let product = |row: usize| row_of(self.reset, cell.output, work.blocks.place(row));
        let factor = |x, features, parts| Factor { x, features, parts };
        let mut factors = vec![
            factor(&x as &dyn Rows<'_>, cell.features, &of_kernel[..]),
            factor(&hidden, cell.output, &of_hidden),
        ];
        if reset.is_some() {
            factors.push(factor(&product, cell.output, &of_reset));
        }
        let Summed { products, d } = self.sums(&factors, spare)?;
        let mut products = products.into_iter();
        let kernel = products.next().unwrap_or_default();
        let mut recurrent = products.next().unwrap_or_default();
        if let Some(behind) = products.next() {
            let mut both = spare.list(recurrent.len() + behind.len())?;
            beside((&recurrent, of_hidden.len() * units), (&behind, units), &mut both);
            recurrent = both;
        }
        let parts = of_kernel
            .iter()
            .chain(of_recurrent.iter().filter(|_| cell.bias_rows() == 2));
        let bias = parts.flat_map(|lane| (0..units).map(move |unit| lane.map(|lane| lane * units + unit)));
        let bias = bias.map(|place| place.and_then(|place| d.get(place).copied()).unwrap_or(0.0));
        Ok([kernel, recurrent, RUN.collected(bias)?])
    }

    fn sums(&self, factors: &[Factor<'_, '_>], spare: &mut Spare) -> Result<Summed> {
        Sums {
            path: self.recurrence.path,
            count: self.work.schedule.rows(),
            d: |row| self.lane_row(row),
            lanes: self.recurrence.cell.lanes().len(),
            width: self.recurrence.cell.units,
            factors,
        }
        .run_in(spare)
    }

    fn peepholes(&self) -> Result<Vec<f32>> {
        let (cell, work) = (&self.recurrence.cell, self.work);
        if !cell.has_unit_parameters() {
            return Ok(Vec::new());
        }
        let units = cell.units;
        let mut starts = RUN.list(work.schedule.rows())?; // of each place, how many initial states lie before
        let mut initial = 0;
        for hand in work.blocks.hands() {
            initial += hand.active(0);
            starts.extend(std::iter::repeat_n(initial, hand.rows()));
        }
        let state = |row: usize| {
            let place = work.blocks.place(row);
            let initial = starts.get(place).copied().unwrap_or(0);
            row_of(self.cell_states, units, initial + place)
        };
        let before = |row: usize| match work.before.in_time.before.get(row) {
            Some(&NONE) | None => {
                let sequence = work.schedule.order().get(row);
                let sequence = sequence.map_or(usize::MAX, |&sequence| sequence as usize);
                row_of(work.initial_cell, units, sequence)
            }
            Some(&before) => state(before as usize),
        };
        let row = |row| PeepholeRow {
            lanes: self.lane_row(row),
            cell_states: [before(row), state(row)],
        };
        peepholes(units, (0..work.schedule.rows()).map(row))
    }

    /// `∂P = Σ unprojectedᵀ ∂h`
    fn projection(&self) -> Result<Vec<f32>> {
        let cell = &self.recurrence.cell;
        if !cell.has_projection() {
            return Ok(Vec::new());
        }
        let x = |row| row_of(self.unprojected, cell.units, self.work.blocks.place(row));
        let Summed { products, .. } = Sums {
            path: self.recurrence.path,
            count: self.work.schedule.rows(),
            d: |row| row_of(self.gradients, cell.output, self.work.blocks.place(row)),
            lanes: 1,
            width: cell.output,
            factors: &[Factor {
                x: &x,
                features: cell.units,
                parts: &[Some(0)],
            }],
        }
        .run()?;
        Ok(products.into_iter().next().unwrap_or_default())
    }

    /// `∂x = ∂lanes · kernelᵀ` of every row.
    fn input(&self) -> Result<Vec<f32>> {
        let features = self.recurrence.cell.features;
        if !self.work.wants_input {
            return Ok(Vec::new());
        }
        let mut gradients = RUN.zeros(self.work.schedule.rows() * features)?;
        let kernel = self.recurrence.back.kernel(self.work.planned, self.recurrence.path)?;
        over_rows((&mut gradients, features), |gradients, first| {
            let row = |place| self.lane_row(first + place);
            add(self.recurrence.path, kernel, row, (gradients, features));
        });
        Ok(gradients)
    }
}

/// Two matrices of as many rows beside each other, each with its columns.
fn beside((one, columns): (&[f32], usize), (other, further): (&[f32], usize), both: &mut [f32]) {
    let rows = one.chunks_exact(columns.max(1)).zip(other.chunks_exact(further.max(1)));
    for (row, (one, other)) in both.chunks_exact_mut((columns + further).max(1)).zip(rows) {
        let (left, right) = row.split_at_mut(columns);
        left.copy_from_slice(one);
        right.copy_from_slice(other);
    }
}
