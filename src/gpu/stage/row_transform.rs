//! What becomes of each row by itself, over rows in place: `transform` or `normalize`, and `softmax` behind it where that is the activation.

use std::sync::Arc;

use bytemuck::{Pod, Zeroable};
use ndarray::Array1;

use crate::activation::Activation;
use crate::gpu::commands::{Commands, Workgroups};
use crate::gpu::device::Gpu;
use crate::gpu::device::buffer::Use;
use crate::gpu::rows::{RowsSize, VALUE};
use crate::gpu::shader::{Pipeline, Shader, reads, writes};
use crate::gpu::stage::softmax::{self, Softmax};
use crate::model::transform::Transform;

pub(crate) const SHADER: Shader = Shader {
    name: "transform",
    source: include_str!("../../../shaders/transform.wgsl"),
    shared: &[],
    runs_cell: false,
    params: ("Transform", size_of::<Params>()),
    bindings: &[reads("scale"), reads("shift"), writes("rows")],
    constants: &["HAS_WEIGHTS", "ACTIVATION", "ALPHA", "BETA"],
};

pub(crate) const NORMALIZE: Shader = Shader {
    name: "normalize",
    source: include_str!("../../../shaders/normalize.wgsl"),
    shared: &[include_str!("../../../shaders/shared/reduce.wgsl")],
    runs_cell: false,
    params: ("Transform", size_of::<Params>()),
    bindings: &[reads("gamma"), reads("beta"), writes("rows")],
    constants: &["ACTIVATION", "ALPHA", "BETA"],
};

/// Invocations of a workgroup of `transform`, which do a value each, and of `normalize`, which do a row together.
const INVOCATIONS: u64 = 256;
const INVOCATIONS_OF_ROW: usize = 64;

/// The struct `Transform` of types.wgsl.
#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct Params {
    count: u32,
    stride: u32,
    width: u32,
    epsilon: u32,
}

/// The most passes of its loops that an invocation makes over rows of so many values.
pub(crate) fn passes(values: usize) -> usize {
    3 * values.div_ceil(INVOCATIONS_OF_ROW)
}

/// What becomes of rows, with its weights and pipelines.
#[derive(Debug)]
pub(crate) struct RowTransform {
    /// `None` where there is nothing but an activation over the whole row.
    values: Option<Values>,
    softmax: Option<Softmax>,
    epsilon: f32,
    normalizes: bool,
    /// Of a BatchNormalization gamma, then beta, which training needs by themselves.
    gamma_beta: Option<wgpu::Buffer>,
}

#[derive(Debug)]
struct Values {
    pipeline: Arc<Pipeline>,
    weights: [wgpu::Buffer; 2],
}

/// The bind groups over one buffer of rows.
#[derive(Debug)]
pub(crate) struct TransformGroups {
    values: Option<wgpu::BindGroup>,
    softmax: Option<wgpu::BindGroup>,
}

impl RowTransform {
    pub(crate) fn make((gpu, name): (&Gpu, &str), transform: &Transform) -> Self {
        let activation = transform.activation();
        let [kind, alpha, beta] = match activation.is_rowwise() {
            true => Activation::Linear.constants(),
            false => activation.constants(),
        };
        let buffer = |values: &[f32]| {
            let buffer = gpu.make_buffer(&format!("{name}.weights"), values.len() as u64 * VALUE, Use::Storage);
            gpu.queue().write_buffer(&buffer, 0, bytemuck::cast_slice(values));
            buffer
        };
        let scaled = |has_weights: bool, weights: [&[f32]; 2]| Values {
            pipeline: gpu.pipeline(&SHADER, &[u32::from(has_weights), kind, alpha, beta]),
            weights: weights.map(buffer),
        };
        let values = match transform {
            Transform::Scale { by: Some(by), .. } => Some(scaled(true, [&by.scale, &by.shift])),
            Transform::Scale { by: None, .. } if activation.is_rowwise() => None,
            Transform::Scale { by: None, .. } => Some(scaled(false, [&[], &[]])),
            Transform::Normalize { gamma, beta: add, .. } => Some(Values {
                pipeline: gpu.pipeline(&NORMALIZE, &[kind, alpha, beta]),
                weights: [&**gamma, &**add].map(buffer),
            }),
        };
        let (normalizes, epsilon) = match transform {
            Transform::Normalize { epsilon, .. } => (true, *epsilon),
            Transform::Scale { by: Some(by), .. } => (false, by.of.epsilon),
            Transform::Scale { by: None, .. } => (false, 0.0),
        };
        Self {
            values,
            softmax: Softmax::make(gpu, activation),
            epsilon,
            normalizes,
            gamma_beta: transform.batch_weights().map(|weights| {
                let values = |vector: &Option<Array1<f32>>, absent| match vector {
                    Some(vector) => vector.to_vec(),
                    None => vec![absent; weights.mean.len()],
                };
                buffer(&[values(&weights.gamma, 1.0), values(&weights.beta, 0.0)].concat())
            }),
        }
    }

    /// The buffers of its weights.
    pub(crate) fn buffers(&self) -> impl Iterator<Item = &wgpu::Buffer> {
        let values = self.values.iter().flat_map(|values| &values.weights);
        values.chain(&self.gamma_beta)
    }

    /// Writes what a BatchNormalization multiplies by and adds.
    pub(crate) fn write_scales(&self, gpu: &Gpu, transform: &Transform) {
        if let (Some(values), Transform::Scale { by: Some(by), .. }) = (&self.values, transform) {
            for (buffer, values) in values.weights.iter().zip([&by.scale, &by.shift]) {
                gpu.queue().write_buffer(buffer, 0, bytemuck::cast_slice(values));
            }
        }
    }

    /// Of a normalisation of rows gamma and beta.
    pub(crate) fn affine(&self) -> Option<&[wgpu::Buffer; 2]> {
        let values = self.values.as_ref().filter(|_| self.normalizes)?;
        Some(&values.weights)
    }

    /// Of a BatchNormalization the epsilon, and gamma, then beta.
    pub(crate) fn batch(&self) -> Option<(f32, &wgpu::Buffer)> {
        self.gamma_beta.as_ref().map(|gamma_beta| (self.epsilon, gamma_beta))
    }

    /// The dispatches over a buffer of rows.
    pub(crate) fn dispatches(&self) -> usize {
        usize::from(self.values.is_some()) + usize::from(self.softmax.is_some())
    }

    pub(crate) fn groups(
        &self,
        (gpu, label): (&Gpu, &str),
        params: &wgpu::Buffer,
        rows: &wgpu::Buffer,
    ) -> TransformGroups {
        self.groups_with((gpu, label), params, None, rows)
    }

    /// The same with other weights.
    pub(crate) fn groups_with(
        &self,
        (gpu, label): (&Gpu, &str),
        params: &wgpu::Buffer,
        weights: Option<[&wgpu::Buffer; 2]>,
        rows: &wgpu::Buffer,
    ) -> TransformGroups {
        let values = self.values.as_ref().map(|values| {
            let [first, second] = weights.unwrap_or(values.weights.each_ref());
            gpu.make_bind_group(label, &values.pipeline, params, &[first, second, rows])
        });
        let softmax = self.softmax.as_ref();
        TransformGroups {
            values,
            softmax: softmax.map(|softmax| softmax.group(gpu, label, params, rows)),
        }
    }

    /// Over the first rows of a buffer.
    pub(crate) fn record(&self, commands: &mut Commands, groups: &TransformGroups, size: &RowsSize, count: usize) {
        if count == 0 || size.width == 0 {
            return;
        }
        let params = Params {
            count: count as u32,
            stride: size.stride as u32,
            width: size.width as u32,
            epsilon: self.epsilon.to_bits(),
        };
        if let (Some(values), Some(group)) = (&self.values, &groups.values) {
            let workgroups = match self.normalizes {
                true => count as u64,
                false => (count as u64 * size.width as u64).div_ceil(INVOCATIONS),
            };
            commands.dispatch(&values.pipeline, group, params, Workgroups::Flat(workgroups));
        }
        if let (Some(softmax), Some(group)) = (&self.softmax, &groups.softmax) {
            let finished = softmax::Params {
                count: params.count,
                column_vectors: params.stride / 4,
                width: params.width,
                ..softmax::Params::default()
            };
            softmax.record(commands, group, finished);
        }
    }
}
