//! `transform`: each distinct row of the input becomes another of the same width. The rows are gathered, and changed in place.

use std::sync::Arc;

use crate::error::Result;
use crate::flow::size::StageSize as FlowStageSize;
use crate::flow::{Flow, Source};
use crate::gpu::commands::Commands;
use crate::gpu::device::buffer::buffer_bytes;
use crate::gpu::device::writes::Writes;
use crate::gpu::rows::{RowsSize, padded};
use crate::gpu::stage::batch_normalization::{self, BatchNormalization, DISPATCHES};
use crate::gpu::stage::gather::{GatherBuffers, Target};
use crate::gpu::stage::interface::{Maker, Run, Scratch, Sizer, Stage, StageSize, at};
use crate::gpu::stage::lists::index_bytes;
use crate::gpu::stage::moments::Moments;
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
    /// Whether mean and variance are those of the batch.
    of_batch: bool,
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
    /// What it is in training, if that is something else.
    of_batch: Option<BatchNormalization>,
}

impl TransformSize {
    pub(crate) fn new(sizer: &Sizer<'_>, stage: &FlowStageSize, transform: usize, input: Source) -> Result<Self> {
        let weights = at(&sizer.prepared.transforms, transform)?;
        Ok(Self {
            of_batch: sizer.trains && weights.batch().is_some(),
            number: sizer.stages.len(),
            rows: RowsSize::new(stage.width, padded(stage.width), stage.rows, sizer.limit),
            entries: stage.rows,
            input,
            source_buffers: sizer.source(input)?.buffers,
            weights: Arc::clone(weights),
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
        let of_batch = match self.of_batch {
            true => batch_normalization::bytes(&self.rows, self.entries),
            false => 0,
        };
        buffer_bytes(index_bytes(self.entries)) + of_batch
    }

    fn scratch(&self) -> Scratch {
        Scratch::default()
    }

    fn dispatches(&self) -> usize {
        let of_batch = if self.of_batch { DISPATCHES } else { 0 };
        self.rows.buffers * (self.source_buffers + self.weights.dispatches()) + of_batch
    }

    fn make(&self, maker: &Maker<'_>) -> Result<Box<dyn Stage>> {
        let rows = maker.source(Source::Stage(self.number))?;
        let source = maker.source(self.input)?;
        let label = maker.label("transform");
        let of_batch = match self.of_batch {
            true => BatchNormalization::make(maker, (&self.weights, &self.rows), self.entries, rows.whole()?),
            false => None,
        };
        let groups = rows.buffers.iter();
        let groups = groups.map(|rows| self.weights.groups((maker.gpu, &label), maker.params, rows));
        Ok(Box::new(Transform {
            number: self.number,
            rows: self.rows.clone(),
            gather: GatherBuffers::make(maker, "transform", self.entries, source, &rows.buffers),
            groups: groups.collect(),
            of_batch,
            weights: Arc::clone(&self.weights),
        }))
    }
}

impl Stage for Transform {
    fn upload_lists(&self, to: &mut dyn Writes, flow: &Flow) -> Result<()> {
        self.gather.upload(to, flow.stage(self.number)?.input());
        if let (Some(of_batch), Some(statistics)) = (&self.of_batch, flow.statistics(self.number)) {
            of_batch.upload_lists(to, statistics);
        }
        Ok(())
    }

    fn moments(&self, stage: usize) -> Option<&Moments> {
        let of_batch = self.of_batch.as_ref().filter(|_| stage == self.number);
        of_batch.map(BatchNormalization::of_batch)
    }

    fn record(&self, run: &Run<'_>, commands: &mut Commands) -> Result<()> {
        commands.begin_stage("transform");
        let input = run.flow.stage(self.number)?.input();
        let held = run.held(input.source)?;
        let statistics = run.flow.statistics(self.number).filter(|_| run.noise.is_some());
        let of_batch = self.of_batch.as_ref().zip(statistics);
        for (number, rows) in self.rows.held(input.index.len()).into_iter().enumerate() {
            let target = Target::rows(self.rows.width, self.rows.stride);
            self.gather.record(commands, rows.clone(), held, number, target);
            match of_batch {
                // there is one buffer then
                Some((of_batch, statistics)) => {
                    of_batch.record(run.gpu, commands, (&self.weights, &self.rows), statistics);
                }
                None => self
                    .weights
                    .record(commands, at(&self.groups, number)?, &self.rows, rows.len()),
            }
        }
        Ok(())
    }
}
