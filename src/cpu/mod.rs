//! The CPU path: the stages of a flow, by the same names as on the GPU.

mod cell;
mod explain;
mod memory;
mod product;
mod sources;
mod stage;
mod threads;
pub(crate) mod training;

use std::sync::Arc;

use ndarray::Array2;

use crate::error::{Error, Result};
use crate::flow::{Flow, Input, Stage};
use crate::memory::OUTPUT;
use crate::model::plan::Plan;
use crate::model::transform::Transform;
use crate::output::Output;
use crate::random::Noise;
use crate::recent::{ForSize, Recent};
use crate::settings::Settings;
use crate::state::State;
use memory::buffer::{Lines, reserve};
use memory::workspace::{Keeping, StageRows, Workspace};
use product::path::Path;
use sources::{Sources, features};
use stage::batch_normalization::batch_normalization;
use stage::dense::Dense;
use stage::dropout::dropout;
use stage::gather::Gathered;
use stage::masked::Masked;
use stage::merge::merge;
use stage::place::Placing;
use stage::recurrence::{Recurrence, States};
use stage::reshape::reshape;
use stage::transform::transform;
use stage::work::Work;
pub(crate) use threads::pool::count as threads;

/// A model that is ready to run on the CPU.
#[derive(Debug)]
pub(crate) struct CpuModel {
    plan: Arc<Plan>,
    path: Path,
    recurrences: Vec<Recurrence>,
    /// Of a training: for each cell how it runs where its gates leave something out.
    masked: Vec<Option<Masked>>,
    /// Of a training: whether recurrences keep their gates for the way back. Else they run piece by piece and save states.
    keeps_gates: bool,
    denses: Vec<Dense>,
    workspaces: Recent<Workspace>,
    name: Arc<str>,
}

impl CpuModel {
    /// `name` is what its outputs call the device.
    pub(crate) fn new(plan: Arc<Plan>, settings: &Settings, name: Arc<str>) -> Result<Self> {
        let path = Path::choose(settings.wanted_instructions())?;
        Ok(Self {
            recurrences: plan
                .cells
                .iter()
                .map(|cell| Recurrence::new(cell, path, settings.wanted_precision()))
                .collect::<Result<_>>()?,
            masked: Vec::new(),
            keeps_gates: true,
            denses: (plan.denses.iter().map(|part| Dense::new(part, path))).collect::<Result<_>>()?,
            plan,
            path,
            workspaces: Recent::default(),
            name,
        })
    }

    /// Runs a flow from the states of all cells, and leaves the final ones there; without states it begins at zero. What it gives
    /// takes the place of an earlier output, and its memory where that has the shape. On an error both are as they were.
    pub(crate) fn run(
        &self,
        flow: &Flow,
        input: Input<'_>,
        states: Option<&mut [State]>,
        output: &mut Output,
    ) -> Result<()> {
        let (batch, time_steps) = input.size();
        let size = (batch, time_steps);
        let kept = self.workspaces.take(size);
        let mut workspace = kept.unwrap_or_else(|| ForSize::new(size, Workspace::default()));
        self.run_in(&mut workspace.value, (flow, None), input, states, output)?;
        self.workspaces.keep(workspace, size);
        Ok(())
    }

    /// Other weights, of the same shapes.
    fn set_plan(&mut self, plan: Arc<Plan>, settings: &Settings) -> Result<()> {
        for (recurrence, planned) in self.recurrences.iter_mut().zip(&plan.cells) {
            recurrence.refill(planned, settings.wanted_precision())?;
        }
        for (dense, part) in self.denses.iter_mut().zip(&plan.denses) {
            dense.refill(part)?;
        }
        self.plan = plan;
        Ok(())
    }

    /// Gives the memory that is kept for later runs back.
    pub(crate) fn release_memory(&self) {
        self.workspaces.clear();
    }

    /// The same in a workspace, with the noise of a training, if it is one: then recurrences keep there what their way back needs.
    fn run_in(
        &self,
        workspace: &mut Workspace,
        (flow, noise): (&Flow, Option<Noise>),
        input: Input<'_>,
        states: Option<&mut [State]>,
        output: &mut Output,
    ) -> Result<()> {
        self.begin(&mut workspace.states, flow.batch, states.as_deref())?;
        let read = self.prepare(workspace, flow, input)?;
        let Workspace {
            input: copied,
            zeros,
            states: finals,
            stages,
            recurrent,
        } = workspace;
        let mut sources = Sources {
            plan: &self.plan,
            input: read.unwrap_or(copied),
            features: features(input),
            flow,
            stages: &[],
            zeros,
        };
        let mut rows_run = 0;
        for number in 0..flow.stages.len() {
            let Some((done, [rows, ..])) = stages.split_at_mut_checked(number) else {
                return Err(Error::defect("a stage of the flow"));
            };
            let sources = Sources {
                stages: done,
                ..sources
            };
            rows_run += self.run_stage((number, noise), &sources, finals, recurrent.of_stage(number), rows)?;
        }
        sources.stages = stages;
        let placing = |number: usize, earlier| {
            let placed = flow.outputs.get(number);
            let placing = placed.map(|placed| Placing::new(sources.source(&placed.gather)?, placed, earlier));
            placing.transpose()
        };
        let (values, backward) = (placing(0, Some(&output.values))?, placing(1, output.backward.as_ref())?);
        let returned = self.returned(finals, flow.batch)?;
        // nothing fails from here on, so what there was may go
        *output = Output {
            values: values
                .map(|placing| placing.over(&mut output.values))
                .unwrap_or_default(),
            backward: backward.map(|placing| placing.over(output.backward.get_or_insert_default())),
            states: returned,
            device: Arc::clone(&self.name),
            rows_run,
            was_replayed: false,
            timing: None,
        };
        leave_states(finals, states.unwrap_or_default());
        Ok(())
    }

    /// Makes room for a run: for its stages, for an input that does not lie row by row, and for a row of zeros. Gives the
    /// input where it need not be copied.
    fn prepare<'a>(&self, workspace: &mut Workspace, flow: &Flow, input: Input<'a>) -> Result<Option<&'a [f32]>> {
        let stages = flow.stages.len();
        if workspace.stages.len() < stages {
            reserve(&mut workspace.stages, stages)?;
            workspace.stages.resize_with(stages, StageRows::default);
        }
        workspace.recurrent.begin(stages)?;
        let tables = self.plan.tables.iter().map(|table| table.ncols());
        let widths = flow.widths.iter().copied().chain(tables);
        let widest = widths.chain([features(input)]).max().unwrap_or(0);
        workspace.zeros.resize(widest)?.fill(0.0);
        let Input::Values(values) = input else {
            return Ok(None);
        };
        let read = values.to_slice();
        if read.is_none() {
            let copied = workspace.input.resize(values.len())?;
            copied.iter_mut().zip(values).for_each(|(to, &from)| *to = from);
        }
        Ok(read)
    }

    /// Runs one stage, which makes `rows`. Gives how many rows of a recurrence were run.
    fn run_stage(
        &self,
        (number, noise): (usize, Option<Noise>),
        sources: &Sources<'_>,
        finals: &mut [Lines],
        keeping: Keeping<'_>,
        rows: &mut StageRows,
    ) -> Result<usize> {
        let flow = sources.flow;
        let (Some(stage), Some(&width)) = (flow.stages.get(number), flow.widths.get(number)) else {
            return Err(Error::defect("a stage of the flow"));
        };
        match stage {
            Stage::Recurrent { cell, schedule, input } => {
                let states = finals.chunks_exact_mut(2).nth(*cell);
                let (Some(recurrence), Some([hidden, cell_state])) = (self.recurrences.get(*cell), states) else {
                    return Err(Error::defect("a cell of the flow"));
                };
                let work = Work {
                    schedule,
                    gathered: sources.gathered(input)?,
                };
                let states = States { hidden, cell_state };
                let masked = self.masked.get(*cell).and_then(Option::as_ref);
                if let Some((masked, noise)) = masked.zip(noise) {
                    return masked.run(noise, work, states, rows);
                }
                if let (false, Some(saved)) = (self.keeps_gates, keeping.saved) {
                    return recurrence.run_in_pieces(&work, states, (keeping.scratch, saved, keeping.piece), rows);
                }
                let kept = keeping.kept.filter(|_| noise.is_some());
                return recurrence.run_keeping(work, states, (keeping.scratch, kept), rows);
            }
            Stage::Dense { dense, input } => {
                let dense = self.denses.get(*dense);
                let dense = dense.ok_or_else(|| Error::defect("a Dense layer of the flow"))?;
                let Gathered { source, index } = sources.gathered(input)?;
                dense.run(source, index, rows.in_order(stage.rows() * width)?);
            }
            Stage::Transform { .. } | Stage::Dropout { .. } => {
                let rows = rows.in_order(stage.rows() * width)?;
                self.run_rowwise((number, stage, noise), sources, (rows, width))?;
            }
            Stage::Reshape { input, .. } => {
                reshape(sources.gathered(input)?, rows.in_order(stage.rows() * width)?);
            }
            Stage::Merge {
                merge: mode,
                forward,
                backward,
            } => {
                let [forward, backward] = [sources.gathered(forward)?, sources.gathered(backward)?];
                merge(*mode, forward, backward, width, rows.in_order(stage.rows() * width)?);
            }
        }
        Ok(0)
    }

    /// A stage that makes a row of each row.
    fn run_rowwise(
        &self,
        (number, stage, noise): (usize, &Stage, Option<Noise>),
        sources: &Sources<'_>,
        (rows, width): (&mut [f32], usize),
    ) -> Result<()> {
        match stage {
            Stage::Transform { transform: by, input } => {
                let by = self.plan.transforms.get(*by);
                let by = by.ok_or_else(|| Error::defect("a transform of the flow"))?;
                let input = sources.gathered(input)?;
                let statistics = sources.flow.statistics(number).filter(|_| noise.is_some());
                match (by, statistics) {
                    (
                        Transform::Scale {
                            by: Some(by),
                            activation,
                        },
                        Some(statistics),
                    ) => {
                        batch_normalization((&by.of, *activation), input, statistics, (rows, width))?;
                    }
                    _ => transform(by, input.source, input.index, width, rows),
                }
            }
            Stage::Dropout {
                dropout: by,
                input,
                noise: numbers,
            } => {
                let by = self.plan.dropouts.get(*by);
                let by = by.ok_or_else(|| Error::defect("a Dropout of the flow"))?;
                dropout(by, noise, (sources.gathered(input)?, numbers), (rows, width));
            }
            _ => return Err(Error::defect("a stage of rows by themselves")),
        }
        Ok(())
    }

    /// Puts the states of every cell before the first step into two lists for each.
    fn begin(&self, lines: &mut Vec<Lines>, batch: usize, states: Option<&[State]>) -> Result<()> {
        let count = 2 * self.plan.cells.len();
        if lines.len() < count {
            reserve(lines, count)?;
            lines.resize_with(count, Lines::default);
        }
        let pairs = lines.chunks_exact_mut(2).zip(&self.plan.cells).enumerate();
        for (number, (pair, planned)) in pairs {
            let state = states.and_then(|states| states.get(number));
            let mut widths = planned.cell.state_widths();
            let mut before = state.into_iter().flat_map(State::arrays);
            for numbers in pair {
                let numbers = numbers.resize(batch * widths.next().unwrap_or(0))?;
                match before.next() {
                    Some(before) => numbers.iter_mut().zip(before).for_each(|(to, &from)| *to = from),
                    None => numbers.fill(0.0),
                }
            }
        }
        Ok(())
    }

    /// The final states that belong to the output.
    fn returned(&self, finals: &[Lines], batch: usize) -> Result<Vec<State>> {
        let array = |numbers: &Lines, width| {
            let copy = OUTPUT.listed(numbers.iter().copied())?;
            Array2::from_shape_vec((batch, width), copy).map_err(|_| Error::defect("the shape of a state"))
        };
        let mut returned = Vec::with_capacity(self.plan.returned_states.len());
        for &number in &self.plan.returned_states {
            let of_cell = self.plan.cells.get(number).zip(finals.chunks_exact(2).nth(number));
            let (planned, finals) = of_cell.ok_or_else(|| Error::defect("a cell of the plan"))?;
            let mut arrays = planned
                .cell
                .state_widths()
                .zip(finals)
                .map(|(width, numbers)| array(numbers, width));
            let hidden = arrays.next().transpose()?.unwrap_or_default();
            returned.push(match arrays.next() {
                Some(cell_state) => State::with_cell(hidden, cell_state?)?,
                None => State::new(hidden),
            });
        }
        Ok(returned)
    }
}

/// The final states of all cells become the caller's.
fn leave_states(finals: &[Lines], states: &mut [State]) {
    for (state, numbers) in states.iter_mut().zip(finals.chunks_exact(2)) {
        for (array, numbers) in state.arrays_mut().zip(numbers) {
            array.iter_mut().zip(&**numbers).for_each(|(to, &from)| *to = from);
        }
    }
}
