//! `dense`: a Dense layer over the distinct rows of its input, by `input_projection`.

use std::sync::Arc;

use crate::error::Result;
use crate::flow::size::StageSize as FlowStageSize;
use crate::flow::{Flow, Source};
use crate::gpu::commands::Commands;
use crate::gpu::device::buffer::buffer_bytes;
use crate::gpu::device::writes::Writes;
use crate::gpu::rows::{RowsSize, VALUE, padded};
use crate::gpu::stage::input_projection::Projection;
use crate::gpu::stage::interface::{Maker, Run, Scratch, Sizer, Stage, StageSize, at};
use crate::gpu::stage::lists::index_bytes;
use crate::gpu::stage::projected_input::{ProjectedInput, ProjectedTo};

/// What a Dense layer takes.
#[derive(Debug)]
pub(crate) struct DenseSize {
    /// Its number among the stages of the flow.
    number: usize,
    rows: RowsSize,
    entries: usize,
    input: Source,
    source: RowsSize,
    weights: Arc<Projection>,
}

/// A Dense layer.
#[derive(Debug)]
pub(crate) struct Dense {
    number: usize,
    rows: RowsSize,
    input: ProjectedInput,
}

impl DenseSize {
    pub(crate) fn new(sizer: &Sizer<'_>, stage: &FlowStageSize, dense: usize, input: Source) -> Result<Self> {
        let source = sizer.source(input)?.clone();
        // the rows of a buffer are gathered at once
        let widest = padded(source.width).max(padded(stage.width));
        let rows = RowsSize::new(stage.width, widest, stage.rows, sizer.limit);
        Ok(Self {
            number: sizer.stages.len(),
            rows: RowsSize {
                stride: padded(stage.width),
                ..rows
            },
            entries: stage.rows,
            input,
            source,
            weights: Arc::clone(at(&sizer.prepared.denses, dense)?),
        })
    }
}

impl StageSize for DenseSize {
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
        Scratch {
            gathered: (self.rows.rows_of_buffer * padded(self.source.width)) as u64 * VALUE,
            ..Scratch::default()
        }
    }

    fn dispatches(&self) -> usize {
        self.rows.buffers * (1 + self.weights.parts() + self.source.buffers)
    }

    fn make(&self, maker: &Maker<'_>) -> Result<Box<dyn Stage>> {
        let rows = maker.source(Source::Stage(self.number))?;
        let source = (maker.source(self.input)?, self.entries);
        Ok(Box::new(Dense {
            number: self.number,
            rows: self.rows.clone(),
            input: ProjectedInput::make(maker, "dense", &self.weights, source, &rows.buffers),
        }))
    }
}

impl Stage for Dense {
    fn upload_lists(&self, to: &mut dyn Writes, flow: &Flow) -> Result<()> {
        self.input.upload(to, flow.stage(self.number)?.input());
        Ok(())
    }

    fn record(&self, run: &Run<'_>, commands: &mut Commands) -> Result<()> {
        let input = run.flow.stage(self.number)?.input();
        for (buffer, rows) in self.rows.held(input.index.len()).into_iter().enumerate() {
            let to = ProjectedTo { buffer, row: 0 };
            self.input.record(run, commands, (input, rows), to)?;
        }
        Ok(())
    }
}
