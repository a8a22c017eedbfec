//! `recurrent_step`: one dispatch for each time step, product, gates and state update in one shader.

use std::sync::Arc;

use bytemuck::{Pod, Zeroable};

use super::buffer::Use;
use super::commands::{Commands, Workgroups};
use super::device::Gpu;
use super::rows::padded;
use super::shader::{Pipeline, Shader, reads, writes};
use crate::layer::weights::gates_of;
use crate::model::parts::Cell;

pub(crate) const SHADER: Shader = Shader {
    name: "recurrent_step",
    source: include_str!("../../shaders/recurrent_step.wgsl"),
    params: ("Step", size_of::<Params>()),
    bindings: &[
        reads("recurrent_kernel"),
        reads("projected"),
        writes("hidden"),
        writes("cell_state"),
    ],
    constants: &["ROWS", "ACTIVATION", "RECURRENT_ACTIVATION"],
};

pub(crate) const ROWWISE: Shader = Shader {
    name: "recurrent_step_rowwise",
    source: include_str!("../../shaders/recurrent_step_rowwise.wgsl"),
    params: ("Step", size_of::<Params>()),
    bindings: &[
        reads("recurrent_kernel"),
        writes("projected"),
        writes("hidden"),
        writes("cell_state"),
    ],
    constants: &["ACTIVATION", "RECURRENT_ACTIVATION"],
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
}

/// How one step is shared out.
#[derive(Debug)]
enum Variant {
    /// One invocation for a unit of several positions; one pipeline for each of [`HEIGHTS`].
    Elementwise([Arc<Pipeline>; HEIGHTS.len()]),
    /// One workgroup for a position.
    Rowwise(Arc<Pipeline>),
}

/// The recurrent weights of one LSTM on the GPU: `[k][unit]` as vec4 i f g o.
#[derive(Debug)]
pub(crate) struct RecurrentStep {
    variant: Variant,
    recurrent_kernel: wgpu::Buffer,
    units: usize,
}

/// One step: rows of `hidden` and `projected`, and the positions that run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    pub(crate) previous_row: usize,
    pub(crate) current_row: usize,
    pub(crate) projected_row: usize,
    pub(crate) active: usize,
}

impl RecurrentStep {
    pub(crate) fn make(gpu: &Gpu, label: &str, cell: &Cell) -> Self {
        let units = cell.units();
        let packed: Vec<[f32; 4]> = cell
            .weights
            .recurrent_kernel
            .outer_iter()
            .flat_map(|row| gates_of(row, units))
            .collect();
        let bytes: &[u8] = bytemuck::cast_slice(&packed);
        let recurrent_kernel = gpu.make_buffer(
            &format!("cellstate.{label}.recurrent_kernel"),
            bytes.len() as u64,
            Use::Storage,
        );
        gpu.queue().write_buffer(&recurrent_kernel, 0, bytes);
        let activations = [cell.activation.code(), cell.recurrent_activation.code()];
        let rowwise = cell.activation.is_rowwise() || cell.recurrent_activation.is_rowwise();
        let elementwise = |rows: usize| gpu.pipeline(&SHADER, &[rows as u32, activations[0], activations[1]]);
        let variant = match rowwise {
            true => Variant::Rowwise(gpu.pipeline(&ROWWISE, &activations)),
            false => Variant::Elementwise(HEIGHTS.map(elementwise)),
        };
        Self {
            variant,
            recurrent_kernel,
            units,
        }
    }

    pub(crate) fn group(
        &self,
        gpu: &Gpu,
        label: &str,
        params: &wgpu::Buffer,
        [projected, hidden, cell_state]: [&wgpu::Buffer; 3],
    ) -> wgpu::BindGroup {
        // the elementwise pipelines have layouts of the same entries, so one bind group serves all
        let pipeline = match &self.variant {
            Variant::Elementwise([first, ..]) => first,
            Variant::Rowwise(pipeline) => pipeline,
        };
        let storage = [&self.recurrent_kernel, projected, hidden, cell_state];
        gpu.make_bind_group(label, &pipeline.layout, (params, pipeline.params_bytes), &storage)
    }

    pub(crate) fn record<'a>(&self, commands: &mut Commands<'a>, group: &'a wgpu::BindGroup, step: Step) {
        let params = Params {
            previous_row: step.previous_row as u32,
            current_row: step.current_row as u32,
            projected_row: step.projected_row as u32,
            positions: step.active as u32,
            units: self.units as u32,
            stride: padded(self.units) as u32,
        };
        let across = self.units.div_ceil(UNITS_PER_WORKGROUP) as u32;
        match &self.variant {
            Variant::Elementwise(pipelines) => {
                let fits = HEIGHTS
                    .into_iter()
                    .zip(pipelines)
                    .find(|&(height, _)| height <= step.active);
                if let Some((height, pipeline)) = fits {
                    let workgroups = Workgroups::Across(across, step.active.div_ceil(height) as u64);
                    commands.dispatch(pipeline, group, params, workgroups);
                }
            }
            Variant::Rowwise(pipeline) => {
                commands.dispatch(pipeline, group, params, Workgroups::Flat(step.active as u64));
            }
        }
    }
}
