//! `recurrent_step`: one dispatch for each time step, product, gates and state update in one shader.

use std::sync::Arc;

use bytemuck::{Pod, Zeroable};

use crate::gpu::commands::{Commands, Workgroups};
use crate::gpu::device::Gpu;
use crate::gpu::rows::padded;
use crate::gpu::shader::{Pipeline, Shader, reads, writes};
use crate::gpu::strategy::chunk::{Bound, Chunk};
use crate::gpu::weights::{Form, is_rowwise};
use crate::model::plan::PlannedCell as Cell;

pub(crate) const SHADER: Shader = Shader {
    name: "recurrent_step",
    source: include_str!("../../../shaders/recurrent_step.wgsl"),
    params: ("Step", size_of::<Params>()),
    bindings: &[
        reads("recurrent_kernel"),
        reads("projected"),
        writes("hidden"),
        writes("cell_state"),
    ],
    constants: &[
        "ROWS",
        "ACTIVATION",
        "ALPHA",
        "BETA",
        "RECURRENT_ACTIVATION",
        "RECURRENT_ALPHA",
        "RECURRENT_BETA",
    ],
};

pub(crate) const ROWWISE: Shader = Shader {
    name: "recurrent_step_rowwise",
    source: include_str!("../../../shaders/recurrent_step_rowwise.wgsl"),
    params: ("Step", size_of::<Params>()),
    bindings: &[
        reads("recurrent_kernel"),
        writes("projected"),
        writes("hidden"),
        writes("cell_state"),
    ],
    constants: &[
        "ACTIVATION",
        "ALPHA",
        "BETA",
        "RECURRENT_ACTIVATION",
        "RECURRENT_ALPHA",
        "RECURRENT_BETA",
    ],
};

/// Units of a workgroup.
const UNITS_PER_WORKGROUP: usize = 64;

/// Invocations that share the units of a position in the rowwise shader.
pub(crate) const ROWWISE_UNITS: usize = 64;

/// The positions of an invocation, the most first: as many as run, for then a weight is used for each of them.
pub(crate) const HEIGHTS: [usize; 3] = [8, 4, 1];

/// The struct `Step` of types.wgsl.
#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct Params {
    previous_row: u32,
    current_row: u32,
    projected_row: u32,
    positions: u32,
    units: u32,
    stride: u32,
    hidden_pitch: u32,
    projected_pitch: u32,
    cell_pitch: u32,
}

/// How one step is shared out.
#[derive(Debug)]
enum Variant {
    /// One invocation for a unit of several positions; one pipeline for each of [`HEIGHTS`].
    Elementwise([Arc<Pipeline>; HEIGHTS.len()]),
    /// One workgroup for a position.
    Rowwise(Arc<Pipeline>),
}

/// The strategy `step`.
#[derive(Debug)]
pub(crate) struct RecurrentStep {
    variant: Variant,
    units: usize,
    directions: usize,
}

impl RecurrentStep {
    pub(crate) fn make(gpu: &Gpu, form: Form, cells: &[&Cell]) -> Self {
        let activations = cells.first().map_or(vec![0; 6], |cell| {
            [cell.activation().constants(), cell.recurrent_activation().constants()].concat()
        });
        let elementwise = |rows: usize| gpu.pipeline_for(&SHADER, form, &[&[rows as u32], &activations[..]].concat());
        let variant = match cells.iter().any(|cell| is_rowwise(cell)) {
            true => Variant::Rowwise(gpu.pipeline(&ROWWISE, &activations)),
            false => Variant::Elementwise(HEIGHTS.map(elementwise)),
        };
        Self {
            variant,
            units: cells.first().map_or(0, |cell| cell.units()),
            directions: cells.len(),
        }
    }

    pub(crate) fn group(&self, gpu: &Gpu, bound: Bound<'_>) -> wgpu::BindGroup {
        // the elementwise pipelines have layouts of the same entries, so one bind group serves all
        let pipeline = match &self.variant {
            Variant::Elementwise([first, ..]) => first,
            Variant::Rowwise(pipeline) => pipeline,
        };
        let storage = [bound.recurrent_kernel, bound.projected, bound.hidden, bound.cell_state];
        gpu.make_bind_group("recurrent_step", pipeline, bound.params, &storage)
    }

    /// One dispatch for each step.
    pub(crate) fn record(&self, commands: &mut Commands, group: &wgpu::BindGroup, chunk: &Chunk<'_>) {
        let across = self.directions * self.units.div_ceil(UNITS_PER_WORKGROUP);
        for step in chunk.steps.clone() {
            let active = chunk.active(step);
            let params = Params {
                previous_row: chunk.previous_row(step) as u32,
                current_row: chunk.current_row(step) as u32,
                projected_row: chunk.projected_row(step) as u32,
                positions: active as u32,
                units: self.units as u32,
                stride: padded(self.units) as u32,
                hidden_pitch: chunk.hidden_pitch as u32,
                projected_pitch: chunk.projected_pitch as u32,
                cell_pitch: chunk.batch as u32,
            };
            match &self.variant {
                Variant::Elementwise(pipelines) => {
                    let fits = HEIGHTS.into_iter().zip(pipelines).find(|&(height, _)| height <= active);
                    if let Some((height, pipeline)) = fits {
                        let workgroups = Workgroups::Across(across as u32, active.div_ceil(height) as u64);
                        commands.dispatch(pipeline, group, params, workgroups);
                    }
                }
                Variant::Rowwise(pipeline) => {
                    commands.dispatch(pipeline, group, params, Workgroups::Flat(active as u64));
                }
            }
        }
    }
}
