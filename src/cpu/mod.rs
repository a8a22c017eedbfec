//! The CPU path: the stages of a flow, by the same names as on the GPU.

mod gather;
mod input_projection;
mod merge;
mod recurrent_step;

use std::sync::Arc;

use ndarray::{Array2, ArrayD, ArrayView2, IxDyn};

use crate::error::{Error, Result};
use crate::flow::{Flow, Gather, Input, Placed, Ran, Source, Stage};
use crate::model::parts::Parts;
use crate::state::State;
use recurrent_step::Recurrent;

/// A model that is ready to run on the CPU.
#[derive(Debug)]
pub(crate) struct CpuModel {
    parts: Arc<Parts>,
    cells: Vec<Recurrent>,
}

impl CpuModel {
    pub(crate) fn new(parts: Arc<Parts>) -> Self {
        let cells = parts.cells.iter().map(Recurrent::new).collect();
        Self { parts, cells }
    }

    /// Runs a flow from the states of all cells.
    pub(crate) fn run(&self, flow: &Flow, input: Input<'_>, states: &[State]) -> Result<Ran> {
        let input_rows = gather::input_rows(flow, input);
        let mut rows: Vec<Array2<f32>> = Vec::with_capacity(flow.stages.len());
        let mut finals: Vec<State> = states.to_vec();
        let mut rows_run = 0;
        for stage in &flow.stages {
            let sources = Sources {
                input: input_rows.view(),
                tables: &self.parts.tables,
                stages: &rows,
            };
            let made = match stage {
                Stage::Recurrent { cell, schedule, input } => {
                    let (Some(recurrent), Some(state)) = (self.cells.get(*cell), finals.get_mut(*cell)) else {
                        return Err(internal("a cell of the flow"));
                    };
                    let (hidden, rows) = recurrent.run(schedule, sources.get(input)?, &input.index, state);
                    rows_run += rows;
                    hidden
                }
                Stage::Dense { dense, input } => {
                    let part = self
                        .parts
                        .denses
                        .get(*dense)
                        .ok_or_else(|| internal("a Dense layer of the flow"))?;
                    let gathered = gather::gather(sources.get(input)?, &input.index);
                    input_projection::dense(gathered.view(), &part.weights, part.activation)
                }
                Stage::Merge {
                    merge,
                    forward,
                    backward,
                } => merge::merge(
                    *merge,
                    gather::gather(sources.get(forward)?, &forward.index),
                    gather::gather(sources.get(backward)?, &backward.index),
                ),
            };
            rows.push(made);
        }
        let sources = Sources {
            input: input_rows.view(),
            tables: &self.parts.tables,
            stages: &rows,
        };
        let outputs = flow
            .outputs
            .iter()
            .map(|placed| place(&sources, placed))
            .collect::<Result<_>>()?;
        Ok(Ran {
            outputs,
            states: finals,
            rows_run,
        })
    }
}

/// The rows that stages may read.
struct Sources<'a> {
    input: ArrayView2<'a, f32>,
    tables: &'a [Array2<f32>],
    stages: &'a [Array2<f32>],
}

impl<'a> Sources<'a> {
    fn get(&self, gather: &Gather) -> Result<ArrayView2<'a, f32>> {
        match gather.source {
            Source::Input => Some(self.input),
            Source::Table(table) => self.tables.get(table).map(|table| table.view()),
            Source::Stage(stage) => self.stages.get(stage).map(|rows| rows.view()),
        }
        .ok_or_else(|| internal("a source of the flow"))
    }
}

/// Puts the rows of an output to their (sequence, time step).
fn place(sources: &Sources<'_>, placed: &Placed) -> Result<ArrayD<f32>> {
    let rows = gather::gather(sources.get(&placed.gather)?, &placed.gather.index);
    rows.into_shape_with_order(IxDyn(&placed.shape))
        .map_err(|_| internal("the shape of an output"))
}

/// Cannot happen: the flow was built from the same parts.
fn internal(what: &str) -> Error {
    Error::Value {
        argument: what.to_owned(),
        expected: "to belong to this model".to_owned(),
        found: "something else".to_owned(),
        repair: "this is a defect of cellstate: please report it".to_owned(),
    }
}
