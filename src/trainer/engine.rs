//! A model on a device, ready to train: its sections, each forward and backward.

mod judging;
mod options;
mod pass;
mod updating;

use std::sync::Arc;

use ndarray::{ArrayD, Axis, IxDyn};

use super::moved::{moved, moved_back};
use crate::cpu::training::CpuTraining;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::flow::{Flow, Flows, Input};
use crate::gpu::training::GpuTraining;
use crate::gradients::{PlanGradients, Upstream, Wants};
use crate::model::plan::{Plan, PlannedCell};
use crate::optimizer::OptimizerState;
use crate::output::Output;
use crate::random::Noise;
use crate::recent::ForSize;
use crate::runner::check::{input_of, states_fit, steps_fit};
use crate::runner::section::{steps_of_last, with_time, without_time};
use crate::sequences::Sequences;
use crate::settings::Settings;
use crate::state::State;
pub(super) use pass::Pass;
use pass::Spare;

/// The sections of a model, the one nearest to the input first.
#[derive(Debug)]
pub(super) struct Engine {
    sections: Vec<Section>,
    /// The largest of the last batches: their memory stays from one to the next.
    largest: ForSize<()>,
    spare: Spare,
}

#[derive(Debug)]
struct Section {
    plan: Arc<Plan>,
    flows: Flows,
    path: Path,
    /// Whether the path has other weights than the plan: nothing runs before it has these.
    is_behind: bool,
    name: Arc<str>,
}

#[derive(Debug)]
enum Path {
    Cpu(Box<CpuTraining>),
    Gpu(Box<GpuTraining>),
    /// Steps are set to zero or repeated, and nothing is computed.
    Nothing,
}

impl Engine {
    /// Makes everything that training needs on a device.
    pub(super) async fn new(plans: &[Arc<Plan>], device: &Device, settings: &Settings) -> Result<Self> {
        let name: Arc<str> = device.name().into();
        settings.check_for(&name, device.gpu().is_some())?;
        let mut sections = Vec::new();
        for plan in plans {
            let path = match device {
                _ if plan.computes_nothing() => Path::Nothing,
                Device::Cpu => Path::Cpu(Box::new(CpuTraining::new(
                    Arc::clone(plan),
                    settings,
                    Arc::clone(&name),
                )?)),
                Device::Gpu(gpu) => {
                    let made = GpuTraining::new(gpu, Arc::clone(plan), settings, Arc::clone(&name));
                    Path::Gpu(Box::new(made.await?))
                }
            };
            sections.push(Section {
                flows: Flows::in_training(plan),
                plan: Arc::clone(plan),
                path,
                is_behind: false,
                name: Arc::clone(&name),
            });
        }
        Ok(Self {
            sections,
            largest: ForSize::new((0, 0), ()),
            spare: Spare::default(),
        })
    }

    /// Other weights, of the same shapes: those of the next pass. The device takes them when that begins, so that a device which cannot take them
    /// fails that pass and not the step that made them.
    pub(super) fn set_plans(&mut self, plans: &[Arc<Plan>]) {
        for (section, plan) in self.sections.iter_mut().zip(plans) {
            section.plan = Arc::clone(plan);
            section.is_behind = true;
        }
    }

    /// Whether the sequences are what the model takes.
    pub(super) fn check<'s>(&self, sequences: &'s Sequences<'_>) -> Result<Input<'s>> {
        let first = self
            .sections
            .first()
            .ok_or_else(|| Error::defect("a model without sections"))?;
        let input = input_of(&first.plan, sequences)?;
        let mut sections = self.sections.iter();
        sections.try_for_each(|section| steps_fit(&section.plan, sequences))?;
        Ok(input)
    }

    /// Whether the states are those of the model, for this batch.
    pub(super) fn check_states(&self, states: &[State], batch: usize) -> Result<()> {
        states_fit(self.cells(), states, batch)
    }

    /// The cells whose states last: those of inner sequences end with them.
    fn cells(&self) -> impl Iterator<Item = &PlannedCell> + Clone {
        let sections = self.sections.iter().filter(|section| !section.plan.is_inner);
        sections.flat_map(|section| &section.plan.cells)
    }

    /// The states in which a batch begins: zeros.
    pub(super) fn zero_states(&self, batch: usize) -> Result<Vec<State>> {
        self.cells()
            .map(|cell| State::zeros(batch, cell.cell.state_widths()))
            .collect()
    }

    /// Whether a GPU trains it.
    pub(super) fn is_on_gpu(&self) -> bool {
        let mut sections = self.sections.iter();
        sections.any(|section| matches!(section.path, Path::Gpu(_)))
    }

    /// The bytes that training on batches of (batch, time_steps), whose inner sequences have so many steps, takes on the device.
    pub(super) fn memory(
        &self,
        (batch, time_steps, within): (usize, usize, usize),
        optimizer: Option<&OptimizerState>,
    ) -> Result<u64> {
        let mut sections = self.sections.iter().enumerate();
        sections.try_fold(0, |bytes: u64, (number, section)| {
            let size = section.plan.size_within((batch, time_steps, within))?;
            let more = match &section.path {
                Path::Cpu(training) => training.memory(size, number > 0)?,
                Path::Gpu(training) => training.memory(size, number > 0, optimizer)?,
                Path::Nothing => 0,
            };
            Ok(bytes.saturating_add(more))
        })
    }

    /// Gives back what batches of another size have taken, and the device the weights.
    async fn catch_up(&mut self, size: (usize, usize)) -> Result<()> {
        let stays = self.largest.stays_for(size);
        if !stays {
            self.spare = Spare::default();
        }
        for section in &mut self.sections {
            if !stays {
                section.release_memory();
            }
            section.catch_up().await?;
        }
        Ok(())
    }

    /// Runs a batch: as in training with `noise`, else as in inference; from the states of all cells, if there are any, which become the
    /// final ones.
    pub(super) async fn forward<'s>(
        &mut self,
        sequences: &'s Sequences<'_>,
        states: Option<&mut [State]>,
        noise: Option<Noise>,
    ) -> Result<Pass<'s>> {
        self.run(sequences, states, (noise, true)).await
    }

    /// The same, and whether the host reads the output.
    async fn run<'s>(
        &mut self,
        sequences: &'s Sequences<'_>,
        states: Option<&mut [State]>,
        (noise, reads_output): (Option<Noise>, bool),
    ) -> Result<Pass<'s>> {
        let input = self.check(sequences)?;
        self.catch_up(input.size()).await?;
        let mut pass = Pass {
            input,
            between: Vec::new(),
            flows: Vec::new(),
            output: Output::default(),
        };
        let within = sequences.mask_within()?;
        let (mut left, mut was_inner) = (states, false);
        let last = self.sections.len().saturating_sub(1);
        for (number, section) in self.sections.iter_mut().enumerate() {
            let is_inner = section.plan.is_inner;
            let (own, rest) = match left {
                Some(states) => {
                    let split = states.split_at_mut_checked(section.lasting_cells());
                    let (own, rest) = split.ok_or_else(|| Error::defect("the states of a model"))?;
                    (Some(own).filter(|_| !is_inner), Some(rest))
                }
                None => (None, None),
            };
            left = rest;
            let leaves = was_inner && !is_inner;
            if number > 0 {
                let values = std::mem::take(&mut pass.output.values);
                pass.between.push(match leaves {
                    true => steps_of_last(values, (sequences.batch(), sequences.time_steps()))?,
                    false => with_time(values, section.plan.takes_last())?,
                });
            }
            let mask = match (number, is_inner) {
                (0, true) => within.as_ref().map(|mask| mask.view()),
                // the Masking layer with which another section begins takes the place of any mask
                _ => sequences
                    .mask()
                    .map(|mask| mask.view())
                    .filter(|_| number == 0 || leaves),
            };
            was_inner = is_inner;
            let mut output = self.spare.output(number == last && reads_output);
            let input = pass.input_of(number)?;
            let flow = section.flows.flow(&section.plan, input, mask)?;
            section
                .forward(&flow, input, own, noise, (&mut output, reads_output))
                .await?;
            if number > 0 && section.plan.gives_last() {
                output.values = without_time(std::mem::take(&mut output.values));
            }
            output.rows_run += pass.output.rows_run;
            pass.output = output;
            pass.flows.push(flow);
        }
        Ok(pass)
    }

    /// Runs the pass backwards that ran last, from the gradients of its outputs and final states.
    pub(super) async fn backward(
        &mut self,
        pass: &Pass<'_>,
        upstream: Upstream,
        wants: Wants,
    ) -> Result<PlanGradients> {
        let mut found = PlanGradients::default();
        let Upstream { mut outputs, states } = upstream;
        let mut states = states;
        let mut leaves = false;
        let last = self.sections.len().saturating_sub(1);
        for (number, section) in self.sections.iter_mut().enumerate().rev() {
            let own = match &mut states {
                Some(states) => {
                    let before = states.len().checked_sub(section.lasting_cells());
                    let before = before.ok_or_else(|| Error::defect("the states of a model"))?;
                    Some(states.split_off(before)).filter(|_| !section.plan.is_inner)
                }
                None => None,
            };
            let flow = pass.flow_of(number)?;
            // each time step was one value of an inner sequence
            if leaves && section.plan.is_inner {
                outputs = outputs.into_iter().map(last_of_steps).collect::<Result<_>>()?;
            }
            with_time_steps(&mut outputs, flow);
            let upstream = Upstream { outputs, states: own };
            let input = wants.input || number > 0;
            let wants = Wants { input, ..wants };
            let made = section.backward(flow, pass.input_of(number)?, &upstream, wants).await?;
            if let Some(gradient) = upstream.outputs.into_iter().next().filter(|_| number == last) {
                self.spare.gradient = gradient;
            }
            let PlanGradients {
                parameters,
                input,
                states: initial,
                moved,
            } = made;
            found.parameters.splice(0..0, parameters);
            if !section.plan.is_inner {
                found.states.splice(0..0, initial);
            }
            found.moved.splice(0..0, moved);
            outputs = Vec::new();
            match number {
                0 => found.input = input,
                _ => {
                    let input = input.ok_or_else(|| Error::defect("the gradient of a section's input"))?;
                    outputs.push(match section.plan.takes_last() {
                        true => input.index_axis_move(Axis(1), 0).into_dyn(),
                        false => input.into_dyn(),
                    });
                    leaves = !section.plan.is_inner;
                }
            }
        }
        Ok(found)
    }
}

/// A section whose one time step is no axis of the output has it again on the way back.
fn with_time_steps(outputs: &mut [ArrayD<f32>], flow: &Flow) {
    for (gradient, placed) in outputs.iter_mut().zip(&flow.outputs) {
        if gradient.ndim() + 1 == placed.shape.len() {
            *gradient = std::mem::take(gradient).insert_axis(Axis(1));
        }
    }
}

/// The gradient of the time steps of the sequences as that of the one value of each inner sequence.
fn last_of_steps(gradient: ArrayD<f32>) -> Result<ArrayD<f32>> {
    let width = gradient.shape().last().copied().unwrap_or(0);
    let count = gradient.shape().iter().rev().skip(1).product();
    let gradient = gradient.into_shape_with_order(IxDyn(&[count, width]));
    gradient.map_err(|_| Error::defect("the gradient of inner sequences"))
}

impl Section {
    /// The number of cells whose states last beyond a sequence within a time step.
    fn lasting_cells(&self) -> usize {
        match self.plan.is_inner {
            true => 0,
            false => self.plan.cells.len(),
        }
    }

    /// Gives the memory back that batches have taken.
    fn release_memory(&mut self) {
        match &mut self.path {
            Path::Cpu(training) => training.release_memory(),
            Path::Gpu(training) => training.release_memory(),
            Path::Nothing => {}
        }
    }

    /// Gives the path the weights of the plan.
    async fn catch_up(&mut self) -> Result<()> {
        if self.is_behind {
            match &mut self.path {
                Path::Cpu(training) => training.set_plan(Arc::clone(&self.plan))?,
                Path::Gpu(training) => training.set_plan(Arc::clone(&self.plan)).await?,
                Path::Nothing => {}
            }
            self.is_behind = false;
        }
        Ok(())
    }

    async fn forward(
        &mut self,
        flow: &Arc<Flow>,
        input: Input<'_>,
        states: Option<&mut [State]>,
        noise: Option<Noise>,
        (output, reads_output): (&mut Output, bool),
    ) -> Result<()> {
        match &mut self.path {
            Path::Cpu(training) => training.forward(flow, input, states, noise, output),
            Path::Gpu(training) if reads_output => training.forward(flow, input, states, noise, output).await,
            Path::Gpu(training) => training.forward_there(flow, input, states, noise).await,
            Path::Nothing => {
                *output = Output {
                    values: moved(flow, input)?,
                    device: Arc::clone(&self.name),
                    ..Output::default()
                };
                Ok(())
            }
        }
    }

    async fn backward(
        &mut self,
        flow: &Arc<Flow>,
        input: Input<'_>,
        upstream: &Upstream,
        wants: Wants,
    ) -> Result<PlanGradients> {
        match &mut self.path {
            Path::Cpu(training) => training.backward(flow, input, upstream, wants.input),
            Path::Gpu(training) => training.backward(flow, input, upstream, wants).await,
            Path::Nothing => Ok(PlanGradients {
                input: Some(moved_back(flow, input, upstream)?),
                ..PlanGradients::default()
            }),
        }
    }
}
