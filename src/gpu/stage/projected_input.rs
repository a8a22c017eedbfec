//! What a recurrence and a Dense layer read: rows made ready by `gather`, and projected by `input_projection`.

use std::ops::Range;
use std::sync::Arc;

use crate::error::Result;
use crate::flow::Gather;
use crate::gpu::commands::Commands;
use crate::gpu::device::writes::Writes;
use crate::gpu::rows::{Rows, padded};
use crate::gpu::stage::gather::{GatherBuffers, Target, neighbours};
use crate::gpu::stage::input_projection::{Projection, ProjectionGroups, Span};
use crate::gpu::stage::interface::{Maker, Run, at, defect};

/// The rows that a stage reads of its source, projected into buffers of its own.
#[derive(Debug)]
pub(crate) struct ProjectedInput {
    /// What the stage is called.
    name: &'static str,
    weights: Arc<Projection>,
    gather: GatherBuffers,
    /// For each target buffer from the gathered rows, and then from each buffer of the source.
    groups: Vec<ProjectionGroups>,
}

/// Where projected rows go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ProjectedTo {
    pub(crate) buffer: usize,
    pub(crate) row: usize,
}

impl ProjectedInput {
    pub(crate) fn make(
        maker: &Maker<'_>,
        name: &'static str,
        weights: &Arc<Projection>,
        (source, entries): (&Rows, usize),
        targets: &[wgpu::Buffer],
    ) -> Self {
        let gathered = std::slice::from_ref(maker.gathered);
        let label = maker.label(name);
        let group = |target| {
            let sources = gathered.iter().chain(&source.buffers);
            weights.groups(maker.gpu, &label, maker.params, sources, target)
        };
        Self {
            name,
            gather: GatherBuffers::make(maker, "gather", entries, source, gathered),
            groups: targets.iter().map(group).collect(),
            weights: Arc::clone(weights),
        }
    }

    pub(crate) fn upload(&self, to: &mut dyn Writes, input: &Gather) {
        self.gather.upload(to, input);
    }

    /// Projects the rows that entries `rows` of the list name. They are gathered first, unless they lie side by side already.
    pub(crate) fn record(
        &self,
        run: &Run<'_>,
        commands: &mut Commands,
        (input, rows): (&Gather, Range<usize>),
        to: ProjectedTo,
    ) -> Result<()> {
        let groups = at(&self.groups, to.buffer)?;
        let held = run.held(input.source)?;
        let entries = input.index.get(rows.clone()).ok_or_else(defect)?;
        let size = self.gather.source();
        let (source, source_row) = match neighbours(entries, held) {
            Some((buffer, row)) => (buffer + 1, row + size.first_row()),
            None => {
                self.gather(commands, rows.clone(), held);
                (0, 0)
            }
        };
        let span = Span {
            source_row,
            target_row: to.row,
            rows: rows.len(),
        };
        commands.begin_stage(self.name);
        let fits = run.fits.of_source(input.source);
        self.weights.record(commands, groups, source, (span, fits));
        Ok(())
    }

    /// Gathers the rows that entries `rows` of the list name.
    pub(crate) fn gather(&self, commands: &mut Commands, rows: Range<usize>, held: &[Range<usize>]) {
        let width = self.gather.source().width;
        commands.begin_stage("gather");
        self.gather
            .record(commands, rows, held, 0, Target::rows(width, padded(width)));
    }
}
