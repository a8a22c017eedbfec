//! What a model needs of a GPU, before there is one: by formula, from its plan.

use crate::error::{Error, Result};
use crate::flow::size::FlowSize;
use crate::gpu::commands::MOST_RECORD;
use crate::gpu::device::{Gpu, LARGEST_BINDING};
use crate::gpu::rows::{VALUE, padded};
use crate::gpu::stage::lists::index_bytes;
use crate::gpu::weights::{Form, projected_width, recurrent_values};
use crate::model::Model;
use crate::model::plan::{Operation, Plan};
use crate::schedule::check_steps;

/// How many dispatches a step of a recurrence has at most, with those of its input and its mask.
const DISPATCHES: u64 = 16;

/// The bytes that a plan needs at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Needed {
    /// Of a binding,
    pub(crate) binding: u64,
    /// and of a buffer.
    pub(crate) buffer: u64,
}

impl Gpu {
    /// The limits that a device has to be opened with, so that a model runs batches of (batch, time_steps) on it, by
    /// [`Runner::run`](crate::Runner::run) and in a [`GpuWorkspace`](crate::GpuWorkspace): `wgpu::Limits::default()`, which every WebGPU has, with a
    /// larger `max_storage_buffer_binding_size` and `max_buffer_size` where the model or the batch wants them.
    ///
    /// What can be cut is cut, so these are not the limits for the highest speed: [`Gpu::wanted_limits`] raises them. An application with needs of
    /// its own takes the better of both: `limits.or_better_values_from(&mine)`. A device with lower limits gives
    /// [`Error::TooLarge`](crate::Error::TooLarge), which names the limit, by [`Gpu::from_wgpu`], [`Model::on`](crate::Model::on) or the run.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`](crate::Error::TooLarge) for a batch of more than 2³¹ steps, or where one time step is more than any binding holds.
    ///
    /// ```
    /// use cellstate::{Gpu, Lstm, Model};
    ///
    /// let model = Model::builder().add(Lstm::new(2, 64)).build()?;
    /// assert_eq!(Gpu::required_limits(&model, 32, 100)?, wgpu::Limits::default());
    /// let many = Gpu::required_limits(&model, 200_000, 100)?; // one time step of 1 KiB of gates a sequence
    /// assert!(many.max_storage_buffer_binding_size >= 200_000 << 10);
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    pub fn required_limits(model: &Model, batch: usize, time_steps: usize) -> Result<wgpu::Limits> {
        let mut limits = wgpu::Limits::default();
        for plan in model.plans() {
            let needed = needed(plan, batch, plan.input_steps(time_steps)?)?;
            limits.max_storage_buffer_binding_size = limits.max_storage_buffer_binding_size.max(needed.binding);
            limits.max_buffer_size = limits.max_buffer_size.max(needed.buffer);
        }
        Ok(limits)
    }
}

/// What a plan needs for batches of (batch, time_steps), whatever their mask.
pub(crate) fn needed(plan: &Plan, batch: usize, time_steps: usize) -> Result<Needed> {
    let most_steps = plan.most_steps(time_steps);
    check_steps(batch, most_steps)?;
    let flow = FlowSize::new(plan, batch, time_steps);
    let widest = flow.stages.iter().map(|stage| padded(stage.width) as u64 * VALUE).max();
    let of_weights = weights(plan).max(widest.unwrap_or(0));
    let of_batch = step(plan, most_steps).saturating_mul(batch as u64);
    let tensors = tensors(plan, &flow, batch as u64 * time_steps as u64);
    let of_tensors = tensors.iter().map(|&(row, rows)| bound_at_once(row, rows)).max();
    let binding = of_weights.max(of_batch).max(of_tensors.unwrap_or(0));
    if binding > LARGEST_BINDING {
        return Err(Error::TooLarge {
            what: format!("a weight, or one time step, of {batch} sequences of {time_steps} time steps"),
            needed: binding,
            limit: LARGEST_BINDING,
            limit_name: "bytes of a binding that a shader can count",
            repair: match of_batch > LARGEST_BINDING {
                true => format!(
                    "{} sequences at once may fit",
                    LARGEST_BINDING / (of_batch / batch.max(1) as u64).max(1)
                ),
                false => "run on Device::cpu()".to_owned(),
            },
        });
    }
    let binding = binding.next_multiple_of(256);
    let whole = tensors
        .iter()
        .map(|&(row, rows)| row.saturating_mul(rows))
        .max()
        .unwrap_or(0);
    // the lists and the parameters of a schedule lie in one buffer
    let stages = flow.stages.len() as u64 + 2;
    let lists = (2 * stages + 4).saturating_mul(index_bytes(batch.saturating_mul(most_steps + 2)));
    let dispatches = (most_steps as u64 + 64).saturating_mul(DISPATCHES * stages);
    let parcel = lists.saturating_add(dispatches.saturating_mul(MOST_RECORD));
    Ok(Needed {
        binding,
        buffer: binding.max(whole).max(parcel).next_multiple_of(256),
    })
}

/// The bytes of the largest weight that is not cut.
fn weights(plan: &Plan) -> u64 {
    let cells = plan.cells.iter().map(|planned| {
        let cell = &planned.cell;
        let recurrent = Form::Full.bytes(recurrent_values(cell, 0, cell.units));
        recurrent.max(Form::Full.bytes(4 * projected_width(cell)))
    });
    let denses = plan.denses.iter().map(|planned| {
        let (features, units) = planned.weights.kernel.dim();
        Form::Full.bytes((4 * padded(units)).max(padded(features)))
    });
    let tables = plan.tables.iter().map(|table| padded(table.ncols()) as u64 * VALUE);
    let transforms = plan
        .transforms
        .iter()
        .map(|transform| transform.values() as u64 * VALUE);
    cells.chain(denses).chain(tables).chain(transforms).max().unwrap_or(0)
}

/// The bytes of one time step of a sequence, or of the list of its steps.
fn step(plan: &Plan, most_steps: usize) -> u64 {
    let together = plan
        .operations
        .iter()
        .any(|operation| matches!(operation, Operation::Bidirectional { .. }));
    let directions = if together { 2 } else { 1 };
    let steps = plan.cells.iter().map(|planned| {
        let cell = &planned.cell;
        let values = (2 * directions * padded(cell.output)).max(directions * projected_width(cell));
        values.max(padded(cell.features)) as u64 * VALUE
    });
    steps.max().unwrap_or(0).max(index_bytes(most_steps + 1))
}

/// The tensors of an application: the bytes of a row, and the rows.
fn tensors(plan: &Plan, flow: &FlowSize, steps: u64) -> Vec<(u64, u64)> {
    let input = if plan.takes_tokens { 1 } else { flow.features };
    let outputs = flow.outputs.iter().map(|output| (output.width, output.entries as u64));
    let all = [(input, steps)].into_iter().chain(outputs);
    all.map(|(width, rows)| (width as u64 * VALUE, rows)).collect()
}

/// How many bytes of a tensor have to be bound at once: all, or as many rows as begin where a binding may.
fn bound_at_once(row: u64, rows: u64) -> u64 {
    let alignment = u64::from(wgpu::Limits::default().min_storage_buffer_offset_alignment);
    let shared = 1 << row.trailing_zeros().min(alignment.trailing_zeros());
    row.saturating_mul(rows.min(alignment / shared))
}

#[cfg(test)]
#[path = "required_tests.rs"]
mod tests;
