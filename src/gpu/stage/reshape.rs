//! `reshape`: the values of all rows of the input, one row behind the other, as rows of another width.

use std::ops::Range;
use std::sync::Arc;

use bytemuck::{Pod, Zeroable};

use crate::error::Result;
use crate::flow::size::StageSize as FlowStageSize;
use crate::flow::{Flow, Source};
use crate::gpu::commands::{Commands, Workgroups};
use crate::gpu::device::buffer::buffer_bytes;
use crate::gpu::device::writes::Writes;
use crate::gpu::rows::{RowsSize, padded};
use crate::gpu::shader::{Pipeline, Shader, reads, writes};
use crate::gpu::stage::interface::{Maker, Run, Scratch, Sizer, Stage, StageSize, at};
use crate::gpu::stage::lists::{index_bytes, make_list, upload_list};

pub(crate) const SHADER: Shader = Shader {
    name: "reshape",
    source: include_str!("../../../shaders/reshape.wgsl"),
    shared: &[],
    runs_cell: false,
    params: ("Reshape", size_of::<Params>()),
    bindings: &[reads("index"), reads("source"), writes("rows")],
    constants: &[],
};

/// Invocations of a workgroup, which write a value each.
const INVOCATIONS: u64 = 256;

/// The struct `Reshape` of types.wgsl.
#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct Params {
    first_entry: u32,
    first_value: u32,
    count: u32,
    width: u32,
    stride: u32,
    source_width: u32,
    source_stride: u32,
    source_start: u32,
    source_end: u32,
    source_row: u32,
    handles_none: u32,
}

/// What a change of shape takes.
#[derive(Debug)]
pub(crate) struct ReshapeSize {
    /// Its number among the stages of the flow.
    number: usize,
    rows: RowsSize,
    /// Of its list.
    entries: usize,
    input: Source,
    source: RowsSize,
}

/// A change of shape.
#[derive(Debug)]
pub(crate) struct Reshape {
    number: usize,
    rows: RowsSize,
    source: RowsSize,
    index: wgpu::Buffer,
    pipeline: Arc<Pipeline>,
    /// `[target buffer][source buffer]`
    groups: Vec<Vec<wgpu::BindGroup>>,
}

impl ReshapeSize {
    pub(crate) fn new(sizer: &Sizer<'_>, stage: &FlowStageSize, entries: usize, input: Source) -> Result<Self> {
        Ok(Self {
            number: sizer.stages.len(),
            rows: RowsSize::new(stage.width, padded(stage.width), stage.rows, sizer.limit),
            entries,
            input,
            source: sizer.source(input)?.clone(),
        })
    }
}

impl StageSize for ReshapeSize {
    fn rows(&self) -> &[RowsSize] {
        std::slice::from_ref(&self.rows)
    }

    fn sources(&self) -> Vec<Source> {
        vec![self.input]
    }

    fn bytes(&self) -> u64 {
        buffer_bytes(index_bytes(self.entries))
    }

    fn scratch(&self) -> Scratch {
        Scratch::default()
    }

    fn dispatches(&self) -> usize {
        self.rows.buffers * self.source.buffers
    }

    fn make(&self, maker: &Maker<'_>) -> Result<Box<dyn Stage>> {
        let (gpu, params) = (maker.gpu, maker.params);
        let pipeline = gpu.pipeline(&SHADER, &[]);
        let index = make_list(gpu, &maker.label("reshape"), self.entries);
        let (rows, source) = (maker.source(Source::Stage(self.number))?, maker.source(self.input)?);
        let group = |to: &wgpu::Buffer, from: &wgpu::Buffer| {
            gpu.make_bind_group(&maker.label("reshape"), &pipeline, params, &[&index, from, to])
        };
        let groups = rows.buffers.iter();
        let groups = groups.map(|to| source.buffers.iter().map(|from| group(to, from)).collect());
        Ok(Box::new(Reshape {
            number: self.number,
            rows: self.rows.clone(),
            source: self.source.clone(),
            groups: groups.collect(),
            index,
            pipeline,
        }))
    }
}

impl Reshape {
    /// Rows of a target from a buffer of the source, which holds some of its rows.
    fn params(&self, rows: &Range<usize>, source: usize, held: &Range<usize>) -> Params {
        let first = rows.start as u64 * self.rows.width as u64;
        let source_width = (self.source.width as u64).max(1);
        Params {
            first_entry: (first / source_width) as u32,
            first_value: (first % source_width) as u32,
            count: rows.len() as u32,
            width: self.rows.width as u32,
            stride: self.rows.stride as u32,
            source_width: source_width as u32,
            source_stride: self.source.stride as u32,
            source_start: held.start as u32,
            source_end: held.end as u32,
            source_row: self.source.first_row() as u32,
            handles_none: u32::from(source == 0),
        }
    }
}

impl Stage for Reshape {
    fn upload_lists(&self, to: &mut dyn Writes, flow: &Flow) -> Result<()> {
        upload_list(to, &self.index, &flow.stage(self.number)?.input().index);
        Ok(())
    }

    fn record(&self, run: &Run<'_>, commands: &mut Commands) -> Result<()> {
        commands.begin_stage("reshape");
        let stage = run.flow.stage(self.number)?;
        let held = run.held(stage.input().source)?;
        for (target, rows) in self.rows.held(stage.rows()).into_iter().enumerate() {
            let values = rows.len() as u64 * self.rows.stride as u64;
            if values == 0 {
                continue;
            }
            for (source, (group, held)) in at(&self.groups, target)?.iter().zip(held).enumerate() {
                if source > 0 && held.is_empty() {
                    continue;
                }
                let params = self.params(&rows, source, held);
                let workgroups = Workgroups::Flat(values.div_ceil(INVOCATIONS));
                commands.dispatch(&self.pipeline, group, params, workgroups);
            }
        }
        Ok(())
    }
}
