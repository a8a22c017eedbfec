//! `merge`: the rows of two directions become one, by `gather`.

use crate::error::Result;
use crate::flow::size::StageSize as FlowStageSize;
use crate::flow::{Flow, Source, Stage as FlowStage};
use crate::gpu::commands::Commands;
use crate::gpu::device::buffer::buffer_bytes;
use crate::gpu::device::writes::Writes;
use crate::gpu::rows::{RowsSize, padded};
use crate::gpu::stage::gather::{Fold, GatherBuffers, Target};
use crate::gpu::stage::interface::{Maker, Run, Scratch, Sizer, Stage, StageSize, defect};
use crate::gpu::stage::lists::index_bytes;
use crate::layer::bidirectional::MergeMode;

/// What the merging of two directions takes.
#[derive(Debug)]
pub(crate) struct MergeSize {
    /// Its number among the stages of the flow.
    number: usize,
    rows: RowsSize,
    entries: usize,
    merge: MergeMode,
    sources: [Source; 2],
    source_buffers: usize,
}

/// The merging of two directions: forward, backward.
#[derive(Debug)]
pub(crate) struct Merge {
    number: usize,
    rows: RowsSize,
    merge: MergeMode,
    directions: [GatherBuffers; 2],
}

impl MergeSize {
    pub(crate) fn new(
        sizer: &Sizer<'_>,
        stage: &FlowStageSize,
        merge: MergeMode,
        [forward, backward]: [Source; 2],
    ) -> Result<Self> {
        Ok(Self {
            number: sizer.stages.len(),
            rows: RowsSize::new(stage.width, padded(stage.width), stage.rows, sizer.limit),
            entries: stage.rows,
            merge,
            sources: [forward, backward],
            source_buffers: sizer.source(forward)?.buffers + sizer.source(backward)?.buffers,
        })
    }
}

impl StageSize for MergeSize {
    fn rows(&self) -> &[RowsSize] {
        std::slice::from_ref(&self.rows)
    }

    fn sources(&self) -> Vec<Source> {
        self.sources.to_vec()
    }

    fn bytes(&self) -> u64 {
        2 * buffer_bytes(index_bytes(self.entries))
    }

    fn scratch(&self) -> Scratch {
        Scratch::default()
    }

    fn dispatches(&self) -> usize {
        self.rows.buffers * self.source_buffers
    }

    fn make(&self, maker: &Maker<'_>) -> Result<Box<dyn Stage>> {
        let rows = maker.source(Source::Stage(self.number))?;
        let list = |source: Source| {
            let source = maker.source(source)?;
            Ok(GatherBuffers::make(maker, "merge", self.entries, source, &rows.buffers))
        };
        let [forward, backward] = self.sources;
        Ok(Box::new(Merge {
            number: self.number,
            rows: self.rows.clone(),
            merge: self.merge,
            directions: [list(forward)?, list(backward)?],
        }))
    }
}

impl Stage for Merge {
    fn upload_lists(&self, to: &mut dyn Writes, flow: &Flow) -> Result<()> {
        let FlowStage::Merge { forward, backward, .. } = flow.stage(self.number)? else {
            return Err(defect());
        };
        for (buffers, gather) in self.directions.iter().zip([forward, backward]) {
            buffers.upload(to, gather);
        }
        Ok(())
    }

    fn record(&self, run: &Run<'_>, commands: &mut Commands) -> Result<()> {
        commands.begin_stage("merge");
        let FlowStage::Merge { forward, backward, .. } = run.flow.stage(self.number)? else {
            return Err(defect());
        };
        let fold = match self.merge {
            MergeMode::Concat | MergeMode::Separate => Fold::Set,
            MergeMode::Sum => Fold::Add,
            MergeMode::Multiply => Fold::Multiply,
            MergeMode::Average => Fold::Average,
        };
        let [first, second] = &self.directions;
        let column = match self.merge {
            MergeMode::Concat => first.source().width,
            _ => 0,
        };
        for (buffers, gather, fold, column) in [(first, forward, Fold::Set, 0), (second, backward, fold, column)] {
            let width = buffers.source().width;
            let target = Target {
                row: 0,
                stride: self.rows.stride,
                column,
                width,
                written: width,
                fold,
                keeps: false,
            };
            let held = run.held(gather.source)?;
            for (number, rows) in self.rows.held(gather.index.len()).into_iter().enumerate() {
                buffers.record(commands, rows, held, number, target);
            }
        }
        Ok(())
    }
}
