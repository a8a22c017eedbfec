//! `gather`: rows by their numbers. `place` and `merge` are done by it too.

use std::ops::Range;
use std::sync::Arc;

use bytemuck::{Pod, Zeroable};

use crate::flow::{Gather, NONE};
use crate::gpu::commands::{Commands, Workgroups};
use crate::gpu::device::Gpu;
use crate::gpu::device::writes::Writes;
use crate::gpu::rows::{Rows, RowsSize};
use crate::gpu::shader::{Pipeline, Shader, reads, writes};
use crate::gpu::stage::interface::Maker;
use crate::gpu::stage::lists::{make_list, upload_list};

pub(crate) const SHADER: Shader = Shader {
    name: "gather",
    source: include_str!("../../../shaders/gather.wgsl"),
    shared: &[],
    runs_cell: false,
    params: ("Gather", size_of::<Params>()),
    bindings: &[reads("index"), reads("source"), writes("rows")],
    constants: &[],
};

/// The values that a workgroup writes: `VALUES` of the text for each of its invocations.
const VALUES: u64 = 4 * 256;

/// The struct `Gather` of types.wgsl.
#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct Params {
    first_index: u32,
    target_row: u32,
    count: u32,
    target_stride: u32,
    target_column: u32,
    width: u32,
    written: u32,
    source_stride: u32,
    source_start: u32,
    source_end: u32,
    source_row: u32,
    handles_none: u32,
    operation: u32,
}

/// What is done with the value that a target holds already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Fold {
    Set = 0,
    Add = 1,
    Multiply = 2,
    Average = 3,
}

/// Where gathered rows go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target {
    pub(crate) row: usize,
    pub(crate) stride: usize,
    pub(crate) column: usize,
    /// Values copied from each row.
    pub(crate) width: usize,
    /// Values written to each row; those past `width` become zero.
    pub(crate) written: usize,
    pub(crate) fold: Fold,
    /// Whether rows for which the list names none stay as they are; else they become zero.
    pub(crate) keeps: bool,
}

impl Target {
    /// Rows of their own from the first one on, zero from `width` to `stride`.
    pub(crate) fn rows(width: usize, stride: usize) -> Self {
        Self {
            row: 0,
            stride,
            column: 0,
            width,
            written: stride,
            fold: Fold::Set,
            keeps: false,
        }
    }
}

/// A list of rows on the GPU, and the bind groups for each pair of target and source buffer.
#[derive(Debug)]
pub(crate) struct GatherBuffers {
    pipeline: Arc<Pipeline>,
    index: wgpu::Buffer,
    /// `[target buffer][source buffer]`
    groups: Vec<Vec<wgpu::BindGroup>>,
    source: RowsSize,
}

impl GatherBuffers {
    /// With a list of its own.
    pub(crate) fn make(
        maker: &Maker<'_>,
        label: &str,
        entries: usize,
        source: &Rows,
        targets: &[wgpu::Buffer],
    ) -> Self {
        let list = make_list(maker.gpu, &maker.label(label), entries);
        Self::by(maker, label, list, source, targets)
    }

    /// With a list that others have too.
    pub(crate) fn by(
        maker: &Maker<'_>,
        label: &str,
        index: wgpu::Buffer,
        source: &Rows,
        targets: &[wgpu::Buffer],
    ) -> Self {
        let (from, to) = (whole(&source.buffers), whole(targets));
        Self::between(
            (maker.gpu, maker.params),
            &maker.label(label),
            index,
            (&source.size, &from),
            &to,
        )
    }

    /// From parts of buffers to parts of others.
    pub(crate) fn between(
        (gpu, params): (&Gpu, &wgpu::Buffer),
        label: &str,
        index: wgpu::Buffer,
        (size, from): (&RowsSize, &[wgpu::BufferBinding<'_>]),
        to: &[wgpu::BufferBinding<'_>],
    ) -> Self {
        let pipeline = gpu.pipeline(&SHADER, &[]);
        let group = |target: &wgpu::BufferBinding<'_>, source: &wgpu::BufferBinding<'_>| {
            let storage = [index.as_entire_buffer_binding(), source.clone(), target.clone()];
            gpu.make_bind_group_of_parts(label, &pipeline, params, storage)
        };
        let groups = to
            .iter()
            .map(|target| from.iter().map(|from| group(target, from)).collect());
        let groups = groups.collect();
        Self {
            pipeline,
            groups,
            index,
            source: size.clone(),
        }
    }

    pub(crate) fn upload(&self, to: &mut dyn Writes, gather: &Gather) {
        upload_list(to, &self.index, &gather.index);
    }

    /// How the rows lie that it reads.
    pub(crate) fn source(&self) -> &RowsSize {
        &self.source
    }

    /// Gathers the rows that entries `entries` of the list name into buffer number `target_buffer`. `held` says which rows
    /// each source buffer holds.
    pub(crate) fn record(
        &self,
        commands: &mut Commands,
        entries: Range<usize>,
        held: &[Range<usize>],
        target_buffer: usize,
        target: Target,
    ) {
        let Some(groups) = self
            .groups
            .get(target_buffer)
            .filter(|_| !entries.is_empty() && target.written > 0)
        else {
            return;
        };
        for (number, (group, held)) in groups.iter().zip(held).enumerate() {
            if number > 0 && held.is_empty() {
                continue;
            }
            let params = Params {
                first_index: entries.start as u32,
                target_row: target.row as u32,
                count: entries.len() as u32,
                target_stride: target.stride as u32,
                target_column: target.column as u32,
                width: target.width as u32,
                written: target.written as u32,
                source_stride: self.source.stride as u32,
                source_start: held.start as u32,
                source_end: held.end as u32,
                source_row: self.source.first_row() as u32,
                handles_none: u32::from(number == 0 && !target.keeps),
                operation: target.fold as u32,
            };
            let values = entries.len() as u64 * target.written as u64;
            commands.dispatch(&self.pipeline, group, params, Workgroups::Flat(values.div_ceil(VALUES)));
        }
    }
}

/// Buffers as they are bound, from their first byte to the last.
pub(crate) fn whole(buffers: &[wgpu::Buffer]) -> Vec<wgpu::BufferBinding<'_>> {
    buffers.iter().map(|buffer| buffer.as_entire_buffer_binding()).collect()
}

/// The first row, if the entries name neighbours that lie in one source buffer: then they need no gathering.
pub(crate) fn neighbours(index: &[u32], held: &[Range<usize>]) -> Option<(usize, usize)> {
    let first = *index.first().filter(|&&first| first != NONE)?;
    let follow = index.iter().zip(first..).all(|(&entry, expected)| entry == expected);
    let buffer = held
        .iter()
        .position(|held| held.contains(&(first as usize)) && first as usize + index.len() <= held.end);
    let buffer = buffer.filter(|_| follow)?;
    Some((buffer, first as usize - held.get(buffer)?.start))
}
