//! `input_projection`: rows times weights plus bias, one product for many rows; with `softmax` behind it where a Dense
//! layer wants that.

use std::sync::Arc;

use bytemuck::{Pod, Zeroable};

use super::buffer::Use;
use super::commands::{Commands, Workgroups};
use super::device::Gpu;
use super::rows::padded;
use super::shader::{Pipeline, Shader, reads, writes};
use crate::activation::Activation;

pub(crate) const SHADER: Shader = Shader {
    name: "input_projection",
    source: include_str!("../../shaders/input_projection.wgsl"),
    params: ("Projection", size_of::<Params>()),
    bindings: &[reads("rows"), reads("kernel"), reads("bias"), writes("projected")],
    constants: &["COLUMNS", "ACTIVATION"],
};

pub(crate) const SOFTMAX: Shader = Shader {
    name: "softmax",
    source: include_str!("../../shaders/softmax.wgsl"),
    params: ("Projection", size_of::<Params>()),
    bindings: &[writes("projected")],
    constants: &["ACTIVATION"],
};

/// Invocations of a workgroup, and the rows that each has.
const INVOCATIONS: usize = 64;
const ROWS: usize = 8;

/// The struct `Projection` of types.wgsl.
#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct Params {
    source_row: u32,
    target_row: u32,
    count: u32,
    input_vectors: u32,
    column_vectors: u32,
    width: u32,
}

/// Weights on the GPU: `kernel` as `[k][column]` in vec4, rows up to a multiple of four, and `bias` as `[column]`.
#[derive(Debug)]
pub(crate) struct Projection {
    pipeline: Arc<Pipeline>,
    softmax: Option<Arc<Pipeline>>,
    kernel: wgpu::Buffer,
    bias: wgpu::Buffer,
    input_vectors: usize,
    column_vectors: usize,
    /// Columns of a workgroup, in vec4.
    columns: usize,
    /// Values of a projected row that count.
    width: usize,
}

/// The bind groups of a projection from each of several sources into one target.
#[derive(Debug)]
pub(crate) struct ProjectionGroups {
    sources: Vec<wgpu::BindGroup>,
    softmax: Option<wgpu::BindGroup>,
}

/// The passes of its loops that an invocation makes.
pub(crate) fn passes(features: usize) -> usize {
    padded(features) / 4 * (1 + ROWS) + 2 * ROWS
}

/// Rows to project.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    pub(crate) source_row: usize,
    pub(crate) target_row: usize,
    pub(crate) rows: usize,
}

impl Projection {
    /// Packs weights whose vec4 number `column` of row `k` is `weights(k, column)`.
    pub(crate) fn make(
        gpu: &Gpu,
        label: &str,
        (inputs, column_vectors, width): (usize, usize, usize),
        weights: impl Fn(usize, usize) -> [f32; 4],
        bias: impl Fn(usize) -> [f32; 4],
        activation: Activation,
    ) -> Self {
        let rows = padded(inputs);
        let packed: Vec<[f32; 4]> = (0..rows)
            .flat_map(|k| (0..column_vectors).map(move |column| (k, column)))
            .map(|(k, column)| if k < inputs { weights(k, column) } else { [0.0; 4] })
            .collect();
        let packed_bias: Vec<[f32; 4]> = (0..column_vectors).map(bias).collect();
        let upload = |name: &str, values: &[[f32; 4]]| {
            let bytes: &[u8] = bytemuck::cast_slice(values);
            let buffer = gpu.make_buffer(&format!("cellstate.{label}.{name}"), bytes.len() as u64, Use::Storage);
            gpu.queue().write_buffer(&buffer, 0, bytes);
            buffer
        };
        let columns = column_vectors.next_power_of_two().clamp(1, INVOCATIONS);
        let (elementwise, softmax) = match activation.is_rowwise() {
            true => (Activation::Linear, Some(gpu.pipeline(&SOFTMAX, &[activation.code()]))),
            false => (activation, None),
        };
        Self {
            pipeline: gpu.pipeline(&SHADER, &[columns as u32, elementwise.code()]),
            columns,
            softmax,
            kernel: upload("kernel", &packed),
            bias: upload("bias", &packed_bias),
            input_vectors: rows / 4,
            column_vectors,
            width,
        }
    }

    pub(crate) fn groups<'a>(
        &self,
        gpu: &Gpu,
        label: &str,
        params: &wgpu::Buffer,
        sources: impl IntoIterator<Item = &'a wgpu::Buffer>,
        target: &wgpu::Buffer,
    ) -> ProjectionGroups {
        let group =
            |pipeline: &Pipeline, storage: &[&wgpu::Buffer]| gpu.make_bind_group(label, pipeline, params, storage);
        let sources = sources
            .into_iter()
            .map(|rows| group(&self.pipeline, &[rows, &self.kernel, &self.bias, target]));
        let sources = sources.collect();
        ProjectionGroups {
            sources,
            softmax: self.softmax.as_ref().map(|softmax| group(softmax, &[target])),
        }
    }

    /// Projects a span of rows of source number `source`.
    pub(crate) fn record<'a>(
        &'a self,
        commands: &mut Commands<'a>,
        groups: &'a ProjectionGroups,
        source: usize,
        span: Span,
    ) {
        let Some(group) = groups.sources.get(source).filter(|_| span.rows > 0) else {
            return;
        };
        let params = Params {
            source_row: span.source_row as u32,
            target_row: span.target_row as u32,
            count: span.rows as u32,
            input_vectors: self.input_vectors as u32,
            column_vectors: self.column_vectors as u32,
            width: self.width as u32,
        };
        let across = self.column_vectors.div_ceil(self.columns) as u32;
        let rows = ROWS * (INVOCATIONS / self.columns);
        let workgroups = Workgroups::Across(across, span.rows.div_ceil(rows) as u64);
        commands.dispatch(&self.pipeline, group, params, workgroups);
        if let (Some(softmax), Some(group)) = (&self.softmax, &groups.softmax) {
            commands.dispatch(softmax, group, params, Workgroups::Flat(span.rows as u64));
        }
    }
}
