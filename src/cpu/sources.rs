//! The rows that the stages of a flow may read.

use super::memory::workspace::StageRows;
use super::stage::gather::{Gathered, Source};
use crate::error::{Error, Result};
use crate::flow::{self, Flow, Gather, Input};
use crate::model::plan::Plan;

/// The features of an input of numbers.
pub(super) fn features(input: Input<'_>) -> usize {
    match input {
        Input::Values(values) => values.dim().2,
        Input::Tokens(_) => 0,
    }
}

/// The rows that stages may read.
#[derive(Clone, Copy)]
pub(super) struct Sources<'a> {
    pub(super) plan: &'a Plan,
    pub(super) input: &'a [f32],
    pub(super) features: usize,
    pub(super) flow: &'a Flow,
    /// The rows of the stages that have run.
    pub(super) stages: &'a [StageRows],
    pub(super) zeros: &'a [f32],
}

impl<'a> Sources<'a> {
    pub(super) fn source(&self, gather: &Gather) -> Result<Source<'a>> {
        match gather.source {
            flow::Source::Input => {
                Some(Source::new(self.input, self.features, self.zeros).placed(&self.flow.input_steps))
            }
            flow::Source::Table(table) => {
                let table = self.plan.tables.get(table);
                table.and_then(|table| Some(Source::new(table.as_slice()?, table.ncols(), self.zeros)))
            }
            flow::Source::Stage(stage) => {
                let rows = self.stages.get(stage).zip(self.flow.widths.get(stage));
                rows.map(|(rows, &width)| Source::of_stage(rows, width, self.zeros))
            }
        }
        .ok_or_else(|| Error::defect("a source of the flow"))
    }

    pub(super) fn gathered<'b>(&self, gather: &'b Gather) -> Result<Gathered<'b>>
    where
        'a: 'b,
    {
        Ok(Gathered {
            source: self.source(gather)?,
            index: &gather.index,
        })
    }
}
