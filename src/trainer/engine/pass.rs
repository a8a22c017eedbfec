//! A pass forward, and what stays of it for the next one.

use std::sync::Arc;

use ndarray::{Array3, ArrayD, ArrayView2};

use crate::error::{Error, Result};
use crate::flow::{Flow, Input};
use crate::output::Output;

/// A pass forward: what it gave, and what the way back needs.
#[derive(Debug)]
pub(crate) struct Pass<'a> {
    pub(super) input: Input<'a>,
    /// What each section but the first has read.
    pub(super) between: Vec<Array3<f32>>,
    pub(super) flows: Vec<Arc<Flow>>,
    pub(crate) output: Output,
}

impl Pass<'_> {
    /// The shape of the output, whether it was read or not.
    pub(crate) fn shape(&self) -> Result<&[usize]> {
        let placed = self.flows.last().and_then(|flow| flow.outputs.first());
        placed
            .map(|placed| &placed.shape[..])
            .ok_or_else(|| Error::defect("an output of a model"))
    }

    /// Which time steps of the output count, if there is a mask.
    pub(crate) fn mask(&self) -> Option<ArrayView2<'_, bool>> {
        self.flows.last()?.mask.as_ref().map(|mask| mask.view())
    }

    /// What a section has read.
    pub(super) fn input_of(&self, section: usize) -> Result<Input<'_>> {
        match section.checked_sub(1) {
            None => Ok(match &self.input {
                Input::Values(values) => Input::Values(values.view()),
                Input::Tokens(tokens) => Input::Tokens(tokens.view()),
            }),
            Some(before) => {
                let read = self.between.get(before).map(|values| Input::Values(values.view()));
                read.ok_or_else(|| Error::defect("the input of a section"))
            }
        }
    }

    pub(super) fn flow_of(&self, section: usize) -> Result<&Arc<Flow>> {
        self.flows
            .get(section)
            .ok_or_else(|| Error::defect("the flow of a section"))
    }
}

/// Arrays of the last batch, whose memory is that of the next one.
#[derive(Debug, Default)]
pub(super) struct Spare {
    pub(super) output: ArrayD<f32>,
    /// With respect to the output.
    pub(super) gradient: ArrayD<f32>,
    /// What a device is told of the targets.
    pub(super) targets: Vec<f32>,
}

impl Spare {
    /// What the last section gives may lie where it lay before.
    pub(super) fn output(&mut self, is_last: bool) -> Output {
        let mut output = Output::default();
        if is_last {
            output.values = std::mem::take(&mut self.output);
        }
        output
    }
}
