//! The stages of a flow in reverse.

use std::borrow::Cow;

use ndarray::Array3;

use super::dense::DenseBackward;
use super::lists::{flat, read_back};
use super::masked::MaskedBackward;
use super::prepared::Recurrence;
use super::room::Room;
use super::rowwise;
use super::weights::Collected;
use crate::cpu::memory::buffer::Lines;
use crate::cpu::memory::workspace::Workspace;
use crate::cpu::stage::batch_normalization::Moments;
use crate::cpu::stage::dropout::leave_out;
use crate::cpu::stage::gather::{Gathered, Source};
use crate::cpu::{CpuModel, Sources, features};
use crate::error::{Error, Result};
use crate::flow::backward::{Backward, Reader, Readers};
use crate::flow::statistics::moved;
use crate::flow::{self, Flow, Gather, Input, Stage};
use crate::gradients::{PlanGradients, Upstream};
use crate::layer::bidirectional::MergeMode;
use crate::memory::OUTPUT;
use crate::model::transform::Transform;
use crate::random::Noise;
use crate::state::State;

/// What stands ready, and what a forward pass has left.
#[derive(Clone, Copy)]
pub(super) struct Prepared<'a> {
    pub(super) model: &'a CpuModel,
    pub(super) recurrences: &'a [Recurrence],
    /// Of the cells whose gates leave something out.
    pub(super) masked: &'a [Option<MaskedBackward>],
    pub(super) denses: &'a [DenseBackward],
    pub(super) workspace: &'a Workspace,
    /// The states before the first step, two lists for each cell.
    pub(super) initial: &'a [Lines],
    pub(super) noise: Option<Noise>,
}

/// One way back.
pub(super) struct Way<'a, 'i> {
    pub(super) prepared: Prepared<'a>,
    pub(super) flow: &'a Flow,
    pub(super) lists: &'a Backward,
    pub(super) input: Input<'i>,
    pub(super) upstream: &'a Upstream,
    pub(super) wants_input: bool,
}

/// The gradients of the entries of each list that is known by now.
pub(super) type Given<'a> = Vec<Option<Cow<'a, [f32]>>>;

impl<'a, 'i: 'a> Way<'a, 'i> {
    pub(super) fn back(&self, room: &mut Room) -> Result<PlanGradients> {
        let plan = &*self.prepared.model.plan;
        let mut given = self.of_outputs()?;
        let mut collected = Collected::new(plan);
        let (sources, flow) = (self.sources()?, self.flow);
        for (number, stage) in flow.stages.iter().enumerate().rev() {
            self.stage(&sources, (number, stage), (&mut given, room), &mut collected)?;
        }
        for (number, table) in plan.tables.iter().enumerate() {
            let (rows, width) = table.dim();
            let gradients = self.of_source(flow::Source::Table(number), width, rows, &mut given)?;
            if let Some(place) = collected.tables.get_mut(number) {
                *place = Some(gradients);
            }
        }
        let input = match self.input {
            Input::Values(values) if self.wants_input => Some(self.of_input(values.dim(), &mut given)?),
            _ => None,
        };
        Ok(PlanGradients {
            states: self.states(&mut collected)?,
            moved: moved(plan, &collected.moments)?,
            parameters: collected.named(plan)?,
            input,
        })
    }

    /// The rows as the stages have left them.
    fn sources(&self) -> Result<Sources<'a>> {
        let workspace = &self.prepared.workspace;
        let read = match self.input {
            Input::Values(values) => values.to_slice(),
            Input::Tokens(_) => None,
        };
        Ok(Sources {
            plan: &self.prepared.model.plan,
            input: read.unwrap_or(&workspace.input),
            features: features(self.input),
            flow: self.flow,
            stages: &workspace.stages,
            zeros: &workspace.zeros,
        })
    }

    /// What the loss says of the outputs.
    fn of_outputs(&self) -> Result<Given<'a>> {
        let mut given: Given<'a> = Vec::new();
        for reading in &self.lists.readings {
            let Reader::Output(number) = reading.by else {
                given.push(None);
                continue;
            };
            let output = self.upstream.outputs.get(number).zip(self.flow.outputs.get(number));
            let (array, _) = output
                .filter(|(array, placed)| array.shape() == placed.shape)
                .ok_or_else(|| Error::defect("the shape of the gradients of an output"))?;
            given.push(Some(flat(array)?));
        }
        Ok(given)
    }

    /// The gradients that all who read a source have of it; nobody else needs them.
    pub(super) fn readings_of(
        &self,
        source: flow::Source,
        given: &mut Given<'a>,
    ) -> Vec<(&'a Readers, Cow<'a, [f32]>)> {
        let readings = self.lists.readings.iter().zip(given);
        let of_source = readings.filter(|(reading, _)| reading.source == source);
        let known = of_source.filter_map(|(reading, given)| Some((&reading.readers, given.take()?)));
        known.collect()
    }

    /// The sum over all who read a source, whose gradients are not needed any more.
    pub(super) fn of_source(
        &self,
        source: flow::Source,
        width: usize,
        count: usize,
        given: &mut Given<'a>,
    ) -> Result<Vec<f32>> {
        let mut readings = self.readings_of(source, given);
        if let [(readers, Cow::Owned(own))] = &mut readings[..]
            && readers.are_in_order
        {
            return Ok(std::mem::take(own));
        }
        let readings: Vec<(&Readers, &[f32])> = readings.iter().map(|(readers, of)| (*readers, &**of)).collect();
        read_back(&readings, width, count)
    }

    fn give(&self, by: Reader, gradients: Vec<f32>, given: &mut Given<'a>) {
        let place = self.lists.readings.iter().position(|reading| reading.by == by);
        if let Some(place) = place.and_then(|place| given.get_mut(place)) {
            *place = Some(Cow::Owned(gradients));
        }
    }

    /// Whether somebody asks for the gradients of what a list reads.
    pub(super) fn wants(&self, list: &Gather) -> bool {
        list.source != flow::Source::Input || self.wants_input
    }

    fn stage(
        &self,
        sources: &Sources<'a>,
        (number, stage): (usize, &'a Stage),
        (given, room): (&mut Given<'a>, &mut Room),
        collected: &mut Collected,
    ) -> Result<()> {
        let defect = || Error::defect("a stage of the flow");
        let (plan, prepared) = (&self.prepared.model.plan, self.prepared);
        let width = self.flow.widths.get(number).copied().ok_or_else(defect)?;
        let own = flow::Source::Stage(number);
        if let Stage::Recurrent { cell, .. } = stage {
            let gradients = match self.masked(sources, (number, stage), (given, room))? {
                Some(gradients) => gradients,
                None => self.recurrent(sources, (number, stage), (given, room))?,
            };
            collected.cell(*cell, gradients);
            let input = collected.cell_at(*cell).map(|of| std::mem::take(&mut of.input));
            self.give(Reader::Stage(number), input.unwrap_or_default(), given);
            return Ok(());
        }
        let mut gradients = self.of_source(own, width, stage.rows(), given)?;
        let input = sources.gathered(stage.input())?;
        let input_gradients = match stage {
            Stage::Recurrent { .. } => return Err(defect()),
            Stage::Dense { dense, input: list } => {
                let made = self.made(sources, number)?;
                let ready = prepared.denses.get(*dense).zip(prepared.model.denses.get(*dense));
                let (back, forward) = ready.ok_or_else(defect)?;
                let mut of = back.backward(input, (forward, made), (gradients, self.wants(list)), &mut room.spare)?;
                let input = std::mem::take(&mut of.input);
                collected.dense(*dense, of);
                input
            }
            Stage::Transform { transform, .. } => {
                self.transform((number, *transform), (input, width), gradients, collected)?
            }
            Stage::Dropout { dropout, noise, .. } => {
                let by = plan.dropouts.get(*dropout).ok_or_else(defect)?;
                leave_out(by, prepared.noise, noise, (&mut gradients, width));
                gradients
            }
            Stage::Reshape { .. } => gradients,
            Stage::Merge { merge, backward, .. } => {
                self.merge(number, *merge, [input, sources.gathered(backward)?], &gradients, given)?;
                return Ok(());
            }
        };
        self.give(Reader::Stage(number), input_gradients, given);
        Ok(())
    }

    fn transform(
        &self,
        (number, transform): (usize, usize),
        (input, width): (Gathered<'_>, usize),
        gradients: Vec<f32>,
        collected: &mut Collected,
    ) -> Result<Vec<f32>> {
        let by = self.prepared.model.plan.transforms.get(transform);
        let by = by.ok_or_else(|| Error::defect("a transform of the flow"))?;
        let statistics = self.flow.statistics(number).filter(|_| self.prepared.noise.is_some());
        let mut of = match (by, statistics) {
            (
                Transform::Scale {
                    by: Some(by),
                    activation,
                },
                Some(statistics),
            ) => {
                let moments = Moments::new(input, statistics, width)?;
                let with = (input, statistics, &moments);
                let of = rowwise::batch_normalization((&by.of, *activation), with, gradients)?;
                if let Some(place) = collected.moments.get_mut(transform) {
                    *place = Some([moments.mean, moments.variance]);
                }
                of
            }
            _ => rowwise::transform(by, input, gradients)?,
        };
        let input = std::mem::take(&mut of.input);
        collected.transform(transform, of);
        Ok(input)
    }

    fn merge(
        &self,
        number: usize,
        mode: MergeMode,
        sides: [Gathered<'_>; 2],
        gradients: &[f32],
        given: &mut Given<'a>,
    ) -> Result<()> {
        let [forward, backward] = rowwise::merge(mode, sides, gradients)?;
        self.give(Reader::Stage(number), forward, given);
        self.give(Reader::MergedBackward(number), backward, given);
        Ok(())
    }

    /// The rows that a stage has made.
    pub(super) fn made(&self, sources: &Sources<'a>, number: usize) -> Result<Source<'a>> {
        sources.source(&Gather {
            source: flow::Source::Stage(number),
            index: Vec::new(),
        })
    }

    /// The gradients of the input, step by step; what nobody reads has none.
    fn of_input(
        &self,
        (batch, time_steps, width): (usize, usize, usize),
        given: &mut Given<'a>,
    ) -> Result<Array3<f32>> {
        let steps = &self.flow.input_steps;
        let rows = self.of_source(flow::Source::Input, width, steps.len(), given)?;
        let mut input = OUTPUT.array(ndarray::Dim([batch, time_steps, width]))?;
        if let Some(values) = input.as_slice_mut() {
            for (row, &step) in rows.chunks_exact(width.max(1)).zip(steps) {
                let begin = step as usize * width;
                if let Some(to) = values.get_mut(begin..begin + width) {
                    to.copy_from_slice(row);
                }
            }
        }
        Ok(input)
    }

    /// The gradients of the initial states; those of a cell that no stage runs are those of the final states.
    fn states(&self, collected: &mut Collected) -> Result<Vec<State>> {
        let cells = self.prepared.model.plan.cells.iter().enumerate();
        let state = |(number, planned): (usize, &crate::model::plan::PlannedCell)| match collected.cell_at(number) {
            Some(of) => Ok(std::mem::replace(&mut of.state, State::new(Default::default()))),
            None => State::zeros(self.flow.batch, planned.cell.state_widths()),
        };
        cells.map(state).collect()
    }
}
