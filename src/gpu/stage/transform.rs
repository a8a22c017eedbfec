//! `transform`: each distinct row of the input becomes another of the same width. The rows are gathered, and changed in place.

use std::sync::Arc;

use crate::error::Result;
use crate::flow::size::StageSize as FlowStageSize;
use crate::flow::{Flow, Source};
use crate::gpu::commands::Commands;
use crate::gpu::device::buffer::buffer_bytes;
use crate::gpu::device::writes::Writes;
use crate::gpu::rows::{RowsSize, padded};
use crate::gpu::stage::gather::{GatherBuffers, Target};
use crate::gpu::stage::interface::{Maker, Run, Scratch, Sizer, Stage, StageSize, at};
use crate::gpu::stage::lists::index_bytes;
use crate::gpu::stage::row_transform::{RowTransform, TransformGroups};

/// What a transform takes.
#[derive(Debug)]
pub(crate) struct TransformSize {
    /// Its number among the stages of the flow.
    number: usize,
    rows: RowsSize,
    entries: usize,
    input: Source,
    source_buffers: usize,
    weights: Arc<RowTransform>,
}

/// A transform.
#[derive(Debug)]
pub(crate) struct Transform {
    number: usize,
    rows: RowsSize,
    gather: GatherBuffers,
    weights: Arc<RowTransform>,
    /// For each buffer of the rows.
    groups: Vec<TransformGroups>,
}

impl TransformSize {
    pub(crate) fn new(sizer: &Sizer<'_>, stage: &FlowStageSize, transform: usize, input: Source) -> Result<Self> {
        Ok(Self {
            number: sizer.stages.len(),
            rows: RowsSize::new(stage.width, padded(stage.width), stage.rows, sizer.limit),
            entries: stage.rows,
            input,
            source_buffers: sizer.source(input)?.buffers,
            weights: Arc::clone(at(&sizer.prepared.transforms, transform)?),
        })
    }
}

impl StageSize for TransformSize {
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
        self.rows.buffers * (self.source_buffers + self.weights.dispatches())
    }

    fn make(&self, maker: &Maker<'_>) -> Result<Box<dyn Stage>> {
        let rows = maker.source(Source::Stage(self.number))?;
        let source = maker.source(self.input)?;
        let label = maker.label("transform");
        let groups = rows.buffers.iter();
        let groups = groups.map(|rows| self.weights.groups((maker.gpu, &label), maker.params, rows));
        Ok(Box::new(Transform {
            number: self.number,
            rows: self.rows.clone(),
            gather: GatherBuffers::make(maker, "transform", self.entries, source, &rows.buffers),
            groups: groups.collect(),
            weights: Arc::clone(&self.weights),
        }))
    }
}

impl Stage for Transform {
    fn upload_lists(&self, to: &mut dyn Writes, flow: &Flow) -> Result<()> {
        self.gather.upload(to, flow.stage(self.number)?.input());
        Ok(())
    }

    fn record(&self, run: &Run<'_>, commands: &mut Commands) -> Result<()> {
        commands.begin_stage("transform");
        let input = run.flow.stage(self.number)?.input();
        let held = run.held(input.source)?;
        for (number, rows) in self.rows.held(input.index.len()).into_iter().enumerate() {
            let target = Target::rows(self.rows.width, self.rows.stride);
            self.gather.record(commands, rows.clone(), held, number, target);
            self.weights
                .record(commands, at(&self.groups, number)?, &self.rows, rows.len());
        }
        Ok(())
    }
}
