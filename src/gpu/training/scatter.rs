//! What a gather is backwards: an addition by a list of readers.

use bytemuck::{Pod, Zeroable};

use crate::error::Result;
use crate::flow::backward::Readers;
use crate::gpu::shader::{Shader, reads, writes};
use crate::gpu::training::recorder::{Matrix, Recorder, for_values};
use crate::gpu::training::texts::TYPES;

pub(crate) const SHADER: Shader = Shader {
    name: "scatter",
    source: include_str!("../../../shaders/backward/scatter.wgsl"),
    shared: &[TYPES],
    runs_cell: false,
    params: ("Scatter", size_of::<Params>()),
    bindings: &[reads("starts"), reads("readers"), reads("source"), writes("rows")],
    constants: &[],
};

/// The struct `Scatter` of types.wgsl.
#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct Params {
    rows: u32,
    width: u32,
    source_first: u32,
    source_stride: u32,
    target_first: u32,
    target_stride: u32,
    scale: u32,
}

/// The readers of each row of a source, on the GPU.
#[derive(Debug)]
pub(super) struct Uploaded {
    starts: wgpu::Buffer,
    readers: wgpu::Buffer,
    rows: usize,
}

impl Uploaded {
    /// Uploads the lists of a reading, by its number.
    pub(super) fn upload(recorder: &mut Recorder<'_>, number: usize, readers: &Readers) -> Result<Self> {
        Ok(Self {
            rows: readers.offsets.len().saturating_sub(1),
            starts: recorder.upload(("starts of readers", number), &readers.offsets)?,
            readers: recorder.upload(("readers", number), &readers.entries)?,
        })
    }

    /// Adds so many values of each row of `source`, times a number, to the row of `target` that it was read from.
    pub(super) fn add(
        &self,
        recorder: &mut Recorder<'_>,
        (source, width): (Matrix<'_>, usize),
        target: Matrix<'_>,
        scale: f32,
    ) {
        let params = Params {
            rows: self.rows as u32,
            width: width as u32,
            source_first: source.first as u32,
            source_stride: source.stride as u32,
            target_first: target.first as u32,
            target_stride: target.stride as u32,
            scale: scale.to_bits(),
        };
        let storage = [&self.starts, &self.readers, source.buffer, target.buffer];
        recorder.dispatch((&SHADER, &[]), &storage, params, for_values(self.rows * width));
    }
}
