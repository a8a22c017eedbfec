//! The CPU path: the stages of a flow, by the same names as on the GPU.

mod buffer;
mod dense;
mod exchange;
mod explain;
mod gates;
mod hand;
mod input_projection;
mod kept;
mod list;
mod merge;
mod panels;
mod path;
mod plan;
mod product;
mod recurrent_step;
mod rowwise_step;
mod share;
mod simd;
mod slots;
mod source;
mod team;
mod threads;
mod vector_activation;
mod workspace;

use std::sync::Arc;

use ndarray::{Array2, ArrayD, IxDyn};

use crate::error::{Error, Result};
use crate::flow::{Flow, Gather, Input, Placed, Source as From, Stage};
use crate::memory::OUTPUT;
use crate::model::plan::Plan;
use crate::output::Output;
use crate::settings::Settings;
use crate::state::State;
use buffer::Buffer;
use dense::Dense;
use hand::Reading;
use list::List;
use merge::{Side, merge};
use path::Path;
use recurrent_step::Recurrent;
use source::Source;
use workspace::{Workspace, Workspaces};

/// A model that is ready to run on the CPU.
#[derive(Debug)]
pub(crate) struct CpuModel {
    parts: Arc<Plan>,
    path: Path,
    cells: Vec<Recurrent>,
    denses: Vec<Dense>,
    workspaces: Workspaces,
    name: Arc<str>,
}

impl CpuModel {
    /// `name` is what its outputs call the device.
    pub(crate) fn new(parts: Arc<Plan>, settings: &Settings, name: Arc<str>) -> Result<Self> {
        parts.cells.iter().try_for_each(|cell| cell.check_is_run())?;
        let path = Path::choose(settings.wanted_instructions())?;
        Ok(Self {
            cells: parts
                .cells
                .iter()
                .map(|cell| Recurrent::new(cell, path, settings.wanted_precision()))
                .collect(),
            denses: parts.denses.iter().map(|part| Dense::new(part, path)).collect(),
            parts,
            path,
            workspaces: Workspaces::default(),
            name,
        })
    }

    /// Runs a flow from the states of all cells, and leaves the final ones there; without states it begins at zero. On an
    /// error the states are as they were.
    pub(crate) fn run(&self, flow: &Flow, input: Input<'_>, states: Option<&mut [State]>) -> Result<Output> {
        let (batch, time_steps) = input.size();
        let workspace = self.workspaces.take(batch, time_steps);
        let output = self.run_in(&workspace, flow, input, states)?;
        self.workspaces.keep(workspace);
        Ok(output)
    }

    /// Gives the memory that is kept for later runs back.
    pub(crate) fn release_memory(&self) {
        self.workspaces.clear();
    }

    fn run_in(
        &self,
        workspace: &Workspace,
        flow: &Flow,
        input: Input<'_>,
        states: Option<&mut [State]>,
    ) -> Result<Output> {
        let kept = &workspace.whole_run;
        let (values, features) = match input {
            Input::Values(values) => (Some(values), values.dim().2),
            Input::Tokens(_) => (None, 0),
        };
        let mut copied =
            kept.take(values.map_or(0, |values| if values.is_standard_layout() { 0 } else { values.len() }))?;
        let tables = self.parts.tables.iter().map(|table| table.ncols());
        let widest = flow
            .widths
            .iter()
            .copied()
            .chain(tables)
            .max()
            .unwrap_or(0)
            .max(features);
        let mut zeros = kept.take(widest)?;
        zeros.fill(0.0);
        let mut finals = self.begin(workspace, flow.batch, states.as_deref())?;
        if let Some(values) = values.filter(|values| !values.is_standard_layout()) {
            copied.iter_mut().zip(values).for_each(|(to, &from)| *to = from);
        }
        let mut sources = Sources {
            parts: &self.parts,
            input: values.and_then(|values| values.to_slice()).unwrap_or(&copied),
            features,
            flow,
            stages: kept.list(flow.stages.len())?,
            zeros: &zeros,
        };
        let mut rows_run = 0;
        for (stage, &width) in flow.stages.iter().zip(&flow.widths) {
            workspace.stage.rewind();
            let mut rows = kept.take(stage.rows() * width)?;
            match stage {
                Stage::Recurrent { cell, schedule, input } => {
                    let state = finals.chunks_exact_mut(2).nth(*cell);
                    let (Some(recurrent), Some([hidden, cell])) = (self.cells.get(*cell), state) else {
                        return Err(Error::defect("a cell of the flow"));
                    };
                    let reading = Reading {
                        schedule,
                        index: &input.index,
                        source: sources.get(input)?,
                    };
                    rows_run += recurrent.run(reading, (hidden, cell), &workspace.stage, &mut rows)?;
                }
                Stage::Dense { dense, input } => {
                    let dense = self.denses.get(*dense);
                    let dense = dense.ok_or_else(|| Error::defect("a Dense layer of the flow"))?;
                    dense.run(sources.get(input)?, &input.index, &mut rows);
                }
                Stage::Merge {
                    merge: mode,
                    forward,
                    backward,
                } => {
                    let [forward, backward] = [sources.side(forward)?, sources.side(backward)?];
                    merge(*mode, forward, backward, width, &mut rows);
                }
            }
            sources.stages.push(rows);
        }
        let mut outputs = flow.outputs.iter().map(|placed| sources.place(placed));
        let output = Output {
            values: outputs.next().transpose()?.unwrap_or_default(),
            backward: outputs.next().transpose()?,
            states: self.returned(&finals, flow.batch)?,
            device: Arc::clone(&self.name),
            rows_run,
            timing: None,
        };
        if let Some(states) = states {
            for (part, numbers) in states.iter_mut().flat_map(State::arrays_mut).zip(finals.iter()) {
                part.iter_mut().zip(&**numbers).for_each(|(to, &from)| *to = from);
            }
        }
        Ok(output)
    }

    /// h and c of every cell before the first step, (batch, units) each.
    fn begin<'a>(
        &self,
        workspace: &'a Workspace,
        batch: usize,
        states: Option<&[State]>,
    ) -> Result<List<'a, Buffer<'a>>> {
        let kept = &workspace.whole_run;
        let mut begin = kept.list(2 * self.parts.cells.len())?;
        for (number, cell) in self.parts.cells.iter().enumerate() {
            let state = states.and_then(|states| states.get(number));
            for part in 0..2 {
                let part = state.and_then(|state| state.arrays().nth(part));
                let mut numbers = kept.take(batch * cell.units())?;
                match part {
                    Some(part) => numbers.iter_mut().zip(part).for_each(|(to, &from)| *to = from),
                    None => numbers.fill(0.0),
                }
                begin.push(numbers);
            }
        }
        Ok(begin)
    }

    /// The final states that belong to the output.
    fn returned(&self, finals: &[Buffer<'_>], batch: usize) -> Result<Vec<State>> {
        let numbers = |number: usize, units| {
            let numbers = finals.get(number).map_or(&[][..], |numbers| numbers);
            let array = Array2::from_shape_vec((batch, units), OUTPUT.listed(numbers.iter().copied())?);
            array.map_err(|_| Error::defect("the shape of a state"))
        };
        let state = |&cell: &usize| {
            let units = self.parts.cells.get(cell).map_or(0, |cell| cell.units());
            State::with_cell(numbers(2 * cell, units)?, numbers(2 * cell + 1, units)?)
        };
        let mut returned = Vec::with_capacity(self.parts.returned_states.len());
        for cell in &self.parts.returned_states {
            returned.push(state(cell)?);
        }
        Ok(returned)
    }
}

/// The rows that stages may read.
struct Sources<'a> {
    parts: &'a Plan,
    input: &'a [f32],
    features: usize,
    flow: &'a Flow,
    /// The rows of each stage.
    stages: List<'a, Buffer<'a>>,
    zeros: &'a [f32],
}

impl Sources<'_> {
    fn get(&self, gather: &Gather) -> Result<Source<'_>> {
        match gather.source {
            From::Input => Some(Source::new(self.input, self.features, self.zeros).chosen(&self.flow.input_steps)),
            From::Table(table) => {
                let table = self.parts.tables.get(table);
                table.and_then(|table| Some(Source::new(table.as_slice()?, table.ncols(), self.zeros)))
            }
            From::Stage(stage) => {
                let rows = self.stages.get(stage).zip(self.flow.widths.get(stage));
                rows.map(|(rows, &width)| Source::new(rows, width, self.zeros))
            }
        }
        .ok_or_else(|| Error::defect("a source of the flow"))
    }

    fn side<'a>(&'a self, gather: &'a Gather) -> Result<Side<'a>> {
        Ok(Side {
            source: self.get(gather)?,
            index: &gather.index,
        })
    }

    /// Puts the rows of an output to their (sequence, time step).
    fn place(&self, placed: &Placed) -> Result<ArrayD<f32>> {
        let values = self.get(&placed.gather)?.gather(&placed.gather.index)?;
        ArrayD::from_shape_vec(IxDyn(&placed.shape), values).map_err(|_| Error::defect("the shape of an output"))
    }
}
