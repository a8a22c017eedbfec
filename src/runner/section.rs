//! A section of a model on a device: what is run without the host looking at a value in between.

use std::sync::Arc;

use ndarray::{Array3, ArrayD, ArrayView2, Axis, Dim, Ix3};

use crate::cpu::CpuModel;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::flow::{Flow, Flows, Input};
use crate::gpu::recording::{Batch, Initial};
use crate::gpu::run::give;
use crate::gpu::stage::interface::HostReads;
use crate::gpu::{GpuModel, GpuStates};
use crate::memory;
use crate::model::plan::{Operation, Plan};
use crate::output::{Output, Timing};
use crate::schedule::check_steps;
use crate::settings::Settings;
use crate::state::State;

/// A section of a model, ready to run.
#[derive(Debug)]
pub(super) struct Section {
    pub(super) plan: Arc<Plan>,
    pub(super) prepared: Prepared,
    pub(super) flows: Flows,
    name: Arc<str>,
}

#[derive(Debug)]
pub(super) enum Prepared {
    Cpu(CpuModel),
    Gpu(Arc<GpuModel>),
    /// Masking, RepeatVector and Dropout alone: they set steps to zero or repeat them, and there is nothing to compute.
    Nothing,
}

impl Section {
    pub(super) async fn new(plan: &Arc<Plan>, device: &Device, settings: &Settings, name: &Arc<str>) -> Result<Self> {
        let prepared = match device {
            _ if plan.computes_nothing() => Prepared::Nothing,
            Device::Cpu => Prepared::Cpu(CpuModel::new(Arc::clone(plan), settings, Arc::clone(name))?),
            Device::Gpu(gpu) => {
                let model = GpuModel::new(gpu.clone(), Arc::clone(plan), settings).await?;
                Prepared::Gpu(Arc::new(model))
            }
        };
        Ok(Self {
            flows: Flows::new(plan),
            plan: Arc::clone(plan),
            prepared,
            name: Arc::clone(name),
        })
    }

    /// Runs a batch from the states of the section's cells, and leaves the final ones there. What it gives takes the place of an
    /// earlier output, and its memory where that has the shape. On an error both are as they were.
    pub(super) async fn run(
        &self,
        input: Input<'_>,
        mask: Option<ArrayView2<'_, bool>>,
        states: Option<&mut [State]>,
        output: &mut Output,
    ) -> Result<()> {
        if let Prepared::Gpu(model) = &self.prepared {
            model.check_size(input.size())?;
        }
        match &self.prepared {
            Prepared::Cpu(model) => {
                let flow = self.flows.flow(&self.plan, input, mask)?;
                model.run(&flow, input, states, output)
            }
            Prepared::Gpu(model) => {
                let flow = self.flows.flow(&self.plan, input, mask)?;
                self.run_on_gpu(model, &flow, input, states, output).await
            }
            Prepared::Nothing => {
                *output = self.move_values(input)?;
                Ok(())
            }
        }
    }

    async fn run_on_gpu(
        &self,
        model: &GpuModel,
        flow: &Arc<Flow>,
        input: Input<'_>,
        states: Option<&mut [State]>,
        output: &mut Output,
    ) -> Result<()> {
        let size = input.size();
        let workspace = model.workspace(size).await?;
        let to = (&self.name, output, true);
        let workspace = model.run_from_host(workspace, (flow, input), states, to).await?;
        model.keep_workspace(workspace, size);
        Ok(())
    }

    /// Runs a batch from states on the GPU, and leaves the final ones there; on an error they are as they were.
    pub(super) async fn run_from_gpu(
        &self,
        model: &GpuModel,
        (input, mask): (Input<'_>, Option<ArrayView2<'_, bool>>),
        states: &mut GpuStates,
        output: &mut Output,
    ) -> Result<()> {
        model.check_size(input.size())?;
        model.check_gpu_states(states, input.size().0)?;
        let batch = Batch {
            flow: &self.flows.flow(&self.plan, input, mask)?,
            input,
            initial: Initial::Gpu(states),
            reads: HostReads::outputs_and(!self.plan.returned_states.is_empty()),
        };
        let ran = model.run(batch, output).await?;
        states.ran(&model.weights.fits);
        give(ran, (&self.plan, &self.name), false, output)?;
        Ok(())
    }

    /// What Masking and RepeatVector make of the input: steps whose values all equal a mask value are set to zero, one step
    /// becomes several.
    fn move_values(&self, input: Input<'_>) -> Result<Output> {
        const REPAIR: &str = "run fewer sequences at once";
        let Input::Values(values) = input else {
            return Err(Error::defect("the input of a Masking layer"));
        };
        check_steps(values.len_of(Axis(0)), values.len_of(Axis(1)))?;
        let mut moved = memory::zeros("the output", values.raw_dim(), REPAIR)?;
        moved.assign(&values);
        for operation in &self.plan.operations {
            match operation {
                Operation::Masking { mask_value } => {
                    for mut step in moved.lanes_mut(Axis(2)) {
                        if step.iter().all(|value| value == mask_value) {
                            step.fill(0.0);
                        }
                    }
                }
                Operation::RepeatVector { time_steps } => {
                    let (batch, _, width) = moved.dim();
                    check_steps(batch, *time_steps)?;
                    let mut repeated = memory::zeros("the output", Dim([batch, *time_steps, width]), REPAIR)?;
                    if let Some(one) = moved.broadcast(repeated.raw_dim()) {
                        repeated.assign(&one);
                    }
                    moved = repeated;
                }
                Operation::EndMask | Operation::Dropout { .. } | Operation::Nothing => {}
                _ => return Err(Error::defect("a section that computes nothing")),
            }
        }
        Ok(Output {
            values: moved.into_dyn(),
            backward: None,
            states: Vec::new(),
            device: Arc::clone(&self.name),
            rows_run: 0,
            was_replayed: false,
            timing: None,
        })
    }
}

/// What a model of several sections reads.
pub(super) struct Inputs<'b> {
    /// Of the first section.
    pub(super) input: Input<'b>,
    /// Batch and time steps of the sequences, and which steps of them count.
    pub(super) size: (usize, usize),
    pub(super) mask: Option<ArrayView2<'b, bool>>,
    /// Which steps count of the sequences within the time steps, if there are such.
    pub(super) within: Option<ArrayView2<'b, bool>>,
}

/// Runs sections one behind the other, each over the output of the one before, from the states of all their cells but inner ones. What
/// the last one gives takes the place of an earlier output.
pub(super) async fn run_sections(
    sections: &[Section],
    batch: Inputs<'_>,
    mut states: Option<&mut [State]>,
    output: &mut Output,
) -> Result<()> {
    let mut before: Option<(Output, bool)> = None;
    for (number, section) in sections.iter().enumerate() {
        let is_inner = section.plan.is_inner;
        let cells = if is_inner { 0 } else { section.plan.cells.len() };
        let (own, rest) = match states {
            Some(states) if states.len() >= cells => {
                let (own, rest) = states.split_at_mut(cells);
                (Some(own).filter(|_| !is_inner), Some(rest))
            }
            _ => (None, None),
        };
        states = rest;
        let mut between = Output::default();
        let is_last = number + 1 == sections.len();
        let made = if is_last { &mut *output } else { &mut between };
        match before.take() {
            None => {
                let mask = if is_inner { batch.within } else { batch.mask };
                section.run(batch.input, mask, own, made).await?;
            }
            Some((before, was_inner)) => {
                let leaves = was_inner && !is_inner;
                let values = match leaves {
                    true => steps_of_last(before.values, batch.size)?,
                    false => with_time(before.values, section.plan.takes_last())?,
                };
                // the Masking layer with which another section begins takes the place of any mask
                let mask = batch.mask.filter(|_| leaves);
                section.run(Input::Values(values.view()), mask, own, made).await?;
                if section.plan.gives_last() {
                    made.values = without_time(std::mem::take(&mut made.values));
                }
                made.rows_run += before.rows_run;
                made.was_replayed |= before.was_replayed;
                made.timing = sum(before.timing, made.timing);
            }
        }
        before = Some((between, is_inner));
    }
    Ok(())
}

/// The one value of each inner sequence as the time steps of the sequences of this batch and these time steps.
pub(crate) fn steps_of_last(values: ArrayD<f32>, (batch, time_steps): (usize, usize)) -> Result<Array3<f32>> {
    let width = values.shape().last().copied().unwrap_or(0);
    let values = values.into_shape_with_order((batch, time_steps, width));
    values.map_err(|_| Error::defect("the output of inner sequences"))
}

/// The output of a section as the input of the next one; one value for each sequence is a single time step.
pub(crate) fn with_time(values: ArrayD<f32>, is_last: bool) -> Result<Array3<f32>> {
    let values = match is_last {
        true => values.insert_axis(Axis(1)),
        false => values,
    };
    let values = values.into_dimensionality::<Ix3>();
    values.map_err(|_| Error::defect("the output of a section"))
}

pub(crate) fn without_time(values: ArrayD<f32>) -> ArrayD<f32> {
    match values.ndim() == 3 && values.len_of(Axis(1)) == 1 {
        true => values.index_axis_move(Axis(1), 0),
        false => values,
    }
}

fn sum(one: Option<Timing>, other: Option<Timing>) -> Option<Timing> {
    match (one, other) {
        (Some(one), Some(other)) => Some(Timing {
            recording: one.recording + other.recording,
            gpu: one.gpu.zip(other.gpu).map(|(one, other)| one + other),
        }),
        (one, other) => one.or(other),
    }
}
