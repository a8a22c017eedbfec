//! `softmax`: softmax or log_softmax over each projected row, in place.

use std::sync::Arc;

use bytemuck::{Pod, Zeroable};

use crate::activation::Activation;
use crate::gpu::commands::{Commands, Workgroups};
use crate::gpu::device::Gpu;
use crate::gpu::shader::{Pipeline, Shader, writes};

pub(crate) const SHADER: Shader = Shader {
    name: "softmax",
    source: include_str!("../../../shaders/softmax.wgsl"),
    shared: &[include_str!("../../../shaders/shared/reduce.wgsl")],
    runs_cell: false,
    params: ("Projection", size_of::<Params>()),
    bindings: &[writes("projected")],
    constants: &["ACTIVATION"],
};

/// The struct `Projection` of types.wgsl: rows that are projected, by `input_projection`, and then finished here.
#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct Params {
    pub(crate) source_row: u32,
    pub(crate) target_row: u32,
    pub(crate) count: u32,
    pub(crate) row_vectors: u32,
    pub(crate) first_vector: u32,
    pub(crate) input_vectors: u32,
    pub(crate) continues: u32,
    pub(crate) finishes: u32,
    pub(crate) column_vectors: u32,
    pub(crate) width: u32,
}

/// An activation over rows.
#[derive(Debug)]
pub(crate) struct Softmax {
    pipeline: Arc<Pipeline>,
}

impl Softmax {
    /// `None` for an activation that is no matter of a whole row.
    pub(crate) fn make(gpu: &Gpu, activation: Activation) -> Option<Self> {
        let pipeline = || gpu.pipeline(&SHADER, &[activation.code()]);
        activation.is_rowwise().then(|| Self { pipeline: pipeline() })
    }

    pub(crate) fn group(&self, gpu: &Gpu, label: &str, params: &wgpu::Buffer, rows: &wgpu::Buffer) -> wgpu::BindGroup {
        gpu.make_bind_group(label, &self.pipeline, params, &[rows])
    }

    /// Over the rows that have been projected.
    pub(crate) fn record(&self, commands: &mut Commands, group: &wgpu::BindGroup, projected: Params) {
        let workgroups = Workgroups::Flat(projected.count.into());
        commands.dispatch(&self.pipeline, group, projected, workgroups);
    }
}
