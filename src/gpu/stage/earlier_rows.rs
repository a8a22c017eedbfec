//! A recurrent kernel that is larger than a binding: its first rows, which are multiplied before each step.
//!
//! `input_projection` adds `h · rows` to what the input has given to the lanes; the step then goes on with the other rows. The order of
//! a sum is that of the whole kernel, but `input_projection` adds four products at a time, so that last bits may differ.

use std::ops::Range;
use std::sync::Arc;

use crate::activation::Activation;
use crate::gpu::commands::Commands;
use crate::gpu::device::Gpu;
use crate::gpu::stage::input_projection::{Projection, ProjectionGroups, Span, Weights, rows_of_a_binding};
use crate::gpu::strategy::chunk::Chunk;
use crate::gpu::strategy::numbers::Numbers;
use crate::gpu::weights::{Form, by_lane, projected_width};
use crate::model::plan::PlannedCell;

/// How many rows of a recurrent kernel that does not fit a binding have to be multiplied before a step, so that the others do.
/// `None` where the cell cannot be run so.
pub(crate) fn count(gpu: &Gpu, form: Form, planned: &PlannedCell) -> Option<usize> {
    let cell = &planned.cell;
    let fits = rows_of_a_binding(gpu, form, projected_width(cell) / 4);
    // what stands behind the rows (peepholes, a projection) is read by shaders that want the whole
    let can = fits > 0 && cell.obstacle().is_none() && !cell.has_unit_parameters();
    can.then(|| cell.output.saturating_sub(fits).next_multiple_of(4))
}

/// The first rows of a recurrent kernel on the GPU.
pub(crate) fn make(
    (gpu, name): (&Gpu, &str),
    form: (Form, Option<Numbers>),
    planned: &PlannedCell,
    rows: usize,
) -> Projection {
    let PlannedCell { cell, weights } = planned;
    let label = format!("{name}.recurrent");
    Projection::make(
        gpu,
        &label,
        form,
        &Weights {
            row_values: cell.output,
            inputs: 0..rows,
            column_vectors: projected_width(cell) / 4,
            width: cell.units * cell.lanes().len(),
            kernel: &|k, column| by_lane(cell, column, |lane, unit| cell.recurrent_lane(weights, k, lane, unit)),
            bias: None,
        },
        Activation::Linear,
    )
}

/// The same, bound to the buffers of a workspace: for each buffer of h.
#[derive(Debug)]
pub(crate) struct EarlierRows {
    weights: Arc<Projection>,
    groups: Vec<ProjectionGroups>,
}

impl EarlierRows {
    pub(crate) fn make(
        (gpu, label): (&Gpu, &str),
        weights: &Arc<Projection>,
        (params, projected): (&wgpu::Buffer, &wgpu::Buffer),
        hidden: &[wgpu::Buffer],
    ) -> Self {
        let group = |hidden| weights.groups(gpu, label, params, [hidden], projected);
        Self {
            weights: Arc::clone(weights),
            groups: hidden.iter().map(group).collect(),
        }
    }

    /// Adds their part of a step to the projected rows of the step.
    pub(crate) fn record(&self, commands: &mut Commands, segment: usize, chunk: &Chunk<'_>, step: usize) {
        if let Some(groups) = self.groups.get(segment) {
            let span = Span {
                source_row: chunk.previous_row(step),
                target_row: chunk.projected_row(step),
                rows: chunk.active(step),
            };
            self.weights.record(commands, groups, 0, (span, false));
        }
    }
}

/// The steps of a chunk one by one.
pub(crate) fn one_by_one<'a>(chunk: &Chunk<'a>) -> impl Iterator<Item = (usize, Chunk<'a>)> + use<'a> {
    let chunk = chunk.clone();
    let steps: Range<usize> = chunk.steps.clone();
    steps.map(move |step| {
        let steps = step..step + 1;
        (step, Chunk { steps, ..chunk.clone() })
    })
}
