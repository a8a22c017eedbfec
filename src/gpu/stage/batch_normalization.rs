//! `batch_normalization`: in training, each feature by the mean and the variance of the batch; in inference it is a `transform`.

use bytemuck::{Pod, Zeroable};

use crate::flow::BatchStatistics;
use crate::gpu::commands::{Commands, Workgroups};
use crate::gpu::device::buffer::{Use, buffer_bytes};
use crate::gpu::device::writes::Writes;
use crate::gpu::rows::{RowsSize, VALUE, most_parts, parts};
use crate::gpu::shader::{Shader, reads, writes};
use crate::gpu::stage::interface::Maker;
use crate::gpu::stage::lists::{index_bytes, make_list, upload_list};
use crate::gpu::stage::moments::Moments;
use crate::gpu::stage::row_transform::{RowTransform, TransformGroups};

/// The sums over the rows of a batch,
pub(crate) const SUMS: Shader = Shader {
    name: "batch_sums",
    source: include_str!("../../../shaders/batch_sums.wgsl"),
    shared: &[],
    runs_cell: false,
    params: ("BatchSums", size_of::<SumsParams>()),
    bindings: &[reads("counts"), reads("moments"), reads("rows"), writes("sums")],
    constants: &["OF_SQUARES"],
};

/// and what they make.
pub(crate) const MOMENTS: Shader = Shader {
    name: "batch_moments",
    source: include_str!("../../../shaders/batch_moments.wgsl"),
    shared: &[],
    runs_cell: false,
    params: ("BatchMoments", size_of::<MomentsParams>()),
    bindings: &[
        reads("sums"),
        reads("weights"),
        writes("moments"),
        writes("scale"),
        writes("shift"),
    ],
    constants: &["OF_SQUARES"],
};

/// Its dispatches besides those of the transform.
pub(crate) const DISPATCHES: usize = 4;

/// The invocations of a workgroup.
const INVOCATIONS: u64 = 256;

/// The struct `BatchSums` of types.wgsl.
#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct SumsParams {
    rows: u32,
    width: u32,
    stride: u32,
    part: u32,
}

/// The struct `BatchMoments` of types.wgsl.
#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct MomentsParams {
    width: u32,
    parts: u32,
    count: u32,
    epsilon: u32,
}

/// A BatchNormalization in training, over one buffer of rows.
#[derive(Debug)]
pub(crate) struct BatchNormalization {
    of_batch: Moments,
    epsilon: f32,
    groups: [[wgpu::BindGroup; 2]; 2],
    transform: TransformGroups,
}

/// The bytes of its buffers.
pub(crate) fn bytes(size: &RowsSize, entries: usize) -> u64 {
    let columns =
        [2, 1, 1, most_parts(entries, size.width)].map(|columns| buffer_bytes((columns * size.width) as u64 * VALUE));
    columns.iter().sum::<u64>() + buffer_bytes(index_bytes(entries))
}

impl BatchNormalization {
    /// Over so many rows at most; `None` where no weights say how they are normalised.
    pub(crate) fn make(
        maker: &Maker<'_>,
        (weights, size): (&RowTransform, &RowsSize),
        entries: usize,
        rows: &wgpu::Buffer,
    ) -> Option<Self> {
        let (epsilon, gamma_beta) = weights.batch()?;
        let gpu = maker.gpu;
        let label = maker.label("batch_normalization");
        let columns = |count: usize| {
            let bytes = (count * size.width) as u64 * VALUE;
            gpu.make_buffer(&label, bytes, Use::Storage)
        };
        let sums = columns(most_parts(entries, size.width));
        let of_batch = Moments {
            moments: columns(2),
            scale: columns(1),
            shift: columns(1),
            counts: make_list(gpu, &label, entries),
        };
        let Moments {
            moments,
            scale,
            shift,
            counts,
        } = &of_batch;
        let groups = [0, 1].map(|of_squares| {
            let group = |shader, storage: &[&wgpu::Buffer]| {
                let pipeline = gpu.pipeline(shader, &[of_squares]);
                gpu.make_bind_group(&label, &pipeline, maker.params, storage)
            };
            [
                group(&SUMS, &[counts, moments, rows, &sums]),
                group(&MOMENTS, &[&sums, gamma_beta, moments, scale, shift]),
            ]
        });
        let transform = weights.groups_with((gpu, &label), maker.params, Some([scale, shift]), rows);
        Some(Self {
            epsilon,
            groups,
            transform,
            of_batch,
        })
    }

    /// What the way back reads.
    pub(crate) fn of_batch(&self) -> &Moments {
        &self.of_batch
    }

    pub(crate) fn upload_lists(&self, to: &mut dyn Writes, statistics: &BatchStatistics) {
        upload_list(to, &self.of_batch.counts, &statistics.counts);
    }

    /// Over all rows of a batch.
    pub(crate) fn record(
        &self,
        gpu: &crate::gpu::device::Gpu,
        commands: &mut Commands,
        (weights, size): (&RowTransform, &RowsSize),
        statistics: &BatchStatistics,
    ) {
        let (rows, width) = (statistics.counts.len(), size.width);
        if rows == 0 || width == 0 {
            return;
        }
        let (count, part) = parts(rows, width);
        let sums = SumsParams {
            rows: rows as u32,
            width: width as u32,
            stride: size.stride as u32,
            part: part as u32,
        };
        let moments = MomentsParams {
            width: width as u32,
            parts: count as u32,
            count: (statistics.count() as f32).to_bits(),
            epsilon: self.epsilon.to_bits(),
        };
        let workgroups = |values: usize| Workgroups::Flat((values as u64).div_ceil(INVOCATIONS));
        for ([of_sums, of_moments], of_squares) in self.groups.iter().zip([0, 1]) {
            let pipeline = gpu.pipeline(&SUMS, &[of_squares]);
            commands.dispatch(&pipeline, of_sums, sums, workgroups(count * width));
            let pipeline = gpu.pipeline(&MOMENTS, &[of_squares]);
            commands.dispatch(&pipeline, of_moments, moments, workgroups(width));
        }
        weights.record(commands, &self.transform, size, rows);
    }
}
