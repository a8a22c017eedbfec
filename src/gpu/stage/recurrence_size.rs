//! What a recurrence takes in a workspace, and its stage there.

use std::sync::Arc;

use crate::error::Result;
use crate::flow::Source;
use crate::flow::size::{StageKind, StageSize as FlowStageSize};
use crate::gpu::device::buffer::{Use, buffer_bytes};
use crate::gpu::rows::{RecurrentRows, RowsSize, VALUE, padded};
use crate::gpu::stage::carry;
use crate::gpu::stage::direction::{CellPart, DirectionBuffers};
use crate::gpu::stage::earlier_rows::EarlierRows;
use crate::gpu::stage::gather::GatherBuffers;
use crate::gpu::stage::home::Home;
use crate::gpu::stage::input_projection::Projection;
use crate::gpu::stage::interface::{Ends, Maker, Scratch, Sizer, Stage, StageSize, at, defect};
use crate::gpu::stage::lists::index_bytes;
use crate::gpu::stage::masked::MaskedSize;
use crate::gpu::stage::pieces::Pieces;
use crate::gpu::stage::projected_input::ProjectedInput;
use crate::gpu::stage::recurrence::RecurrenceStage;
use crate::gpu::strategy::recurrence::Recurrence;
use crate::gpu::weights::projected_width;

/// What a recurrence takes.
#[derive(Debug)]
pub(crate) struct RecurrenceSize {
    /// The number of its first stage in the flow; the other direction is the next one.
    number: usize,
    schedule: usize,
    /// For each direction its rows, its cell and what it reads.
    rows: Vec<RowsSize>,
    directions: Vec<(usize, Source)>,
    entries: usize,
    features: usize,
    source_buffers: usize,
    /// The dispatches that project rows once, of all directions.
    projections: usize,
    pieces: Pieces,
    recurrence: Arc<Recurrence>,
    earlier_rows: Option<Arc<Projection>>,
    masked: Option<MaskedSize>,
    /// Whether a mask on the GPU may undo steps.
    may_carry: bool,
}

impl RecurrenceSize {
    /// The recurrence whose first cell this is.
    pub(crate) fn new(sizer: &Sizer<'_>, stage: &FlowStageSize, cell: usize, schedule: usize) -> Result<Self> {
        let number = sizer.stages.len();
        let recurrence = Arc::clone(sizer.prepared.recurrence(cell).ok_or_else(defect)?);
        let stages = sizer.flow.stages.get(number..number + recurrence.directions);
        let stages = stages.ok_or_else(defect)?;
        let (mut directions, mut features, mut source_buffers, mut projections) = (Vec::new(), 0, 0, 0);
        for stage in stages {
            let StageKind::Recurrent { cell, input, .. } = stage.kind else {
                return Err(defect());
            };
            let source = sizer.source(input)?;
            features = features.max(source.width);
            source_buffers += source.buffers;
            projections += at(&sizer.prepared.projections, cell)?.parts();
            directions.push((cell, input));
        }
        let batch = sizer.flow.batch;
        let steps = *at(&sizer.flow.schedules, schedule)?;
        let pieces = Pieces::of(sizer.limit, (batch, steps), features, &recurrence);
        let width = recurrence.cell.output;
        let cells: Vec<usize> = directions.iter().map(|&(cell, _)| cell).collect();
        let masked = MaskedSize::new(sizer, (&recurrence, &cells), (batch, stage.rows))?;
        let rows = |direction| RowsSize {
            recurrent: Some(RecurrentRows {
                batch,
                segment_steps: pieces.segment_steps,
                direction,
                directions: directions.len(),
            }),
            ..RowsSize::cut(width, padded(width), stage.rows, pieces.segment_rows())
        };
        Ok(Self {
            number,
            schedule,
            rows: (0..directions.len()).map(rows).collect(),
            directions,
            entries: stage.rows,
            features,
            source_buffers,
            projections,
            pieces,
            recurrence,
            earlier_rows: sizer.prepared.earlier_rows(cell).cloned(),
            masked,
            may_carry: sizer.ends != Ends::Host,
        })
    }

    /// The buffers that the rows of all directions share.
    fn buffers(&self) -> usize {
        self.rows.first().map_or(0, |rows| rows.buffers)
    }

    /// The bytes of c of one direction; none where the cell has no such state.
    fn cell_bytes(&self) -> u64 {
        let cell = &self.recurrence.cell;
        let width = if cell.has_cell_state() { padded(cell.units) } else { 0 };
        (self.pieces.batch * width) as u64 * VALUE
    }

    fn direction(&self, maker: &Maker<'_>, direction: usize, cell_state: &wgpu::Buffer) -> Result<DirectionBuffers> {
        let (gpu, batch, widths) = (maker.gpu, self.pieces.batch, self.recurrence.cell.state_widths());
        let rows = maker.source(Source::Stage(self.number + direction))?.clone();
        let &(cell, input) = at(&self.directions, direction)?;
        let source = maker.source(input)?;
        let weights = at(&maker.prepared.projections, cell)?;
        let projected = std::slice::from_ref(maker.projected);
        let list = &at(maker.schedules, self.schedule)?.sequences;
        let [state, staging] = ["state", "state.staging"].map(|what| maker.label(what));
        let home = Home::make((gpu, &state), batch, widths.clone());
        let hidden = at(&home.parts, 0)?.rows(batch);
        let of_cell = home.parts.get(1).map(|part| {
            let place = (direction, self.directions.len(), batch);
            CellPart::make(maker, list, cell_state, &part.rows(batch), place)
        });
        Ok(DirectionBuffers {
            cell,
            input: ProjectedInput::make(maker, "input_projection", weights, (source, self.entries), projected),
            start: GatherBuffers::by(maker, "start_hidden", list.clone(), &hidden, rows.first()),
            finals: GatherBuffers::by(maker, "final_hidden", list.clone(), &rows, &hidden.buffers),
            cell_state: of_cell,
            staging: gpu.make_buffer(&staging, Home::staging_bytes(batch, widths), Use::Readback),
            home,
            rows,
        })
    }
}

impl StageSize for RecurrenceSize {
    fn rows(&self) -> &[RowsSize] {
        &self.rows
    }

    fn sources(&self) -> Vec<Source> {
        self.directions.iter().map(|&(_, input)| input).collect()
    }

    fn bytes(&self) -> u64 {
        let directions = self.directions.len() as u64;
        let list = buffer_bytes(index_bytes(self.entries));
        let (batch, widths) = (self.pieces.batch, self.recurrence.cell.state_widths());
        let staging = buffer_bytes(Home::staging_bytes(batch, widths.clone()));
        let state = Home::memory(batch, widths) + staging;
        let masked = self.masked.as_ref().map_or(0, MaskedSize::bytes);
        directions * (list + state) + buffer_bytes(directions * self.cell_bytes()) + masked
    }

    fn scratch(&self) -> Scratch {
        let chunk_rows = (self.pieces.chunk_steps * self.pieces.batch) as u64;
        let projected = projected_width(&self.recurrence.cell) as u64 * VALUE;
        Scratch {
            gathered: chunk_rows * padded(self.features) as u64 * VALUE,
            projected: self.directions.len() as u64 * chunk_rows * projected,
            exchange: self.recurrence.exchange_bytes(self.pieces.batch, self.pieces.steps),
        }
    }

    fn dispatches(&self) -> usize {
        let Pieces { steps, chunk_steps, .. } = self.pieces;
        let chunks = self.buffers() + steps.div_ceil(chunk_steps);
        let strategies = self.recurrence.ready();
        let launches = strategies.map(|(strategy, _)| self.pieces.dispatches(&self.recurrence, strategy));
        // each direction is gathered and projected, h and c are fetched, and brought home: h from all buffers
        let states = self.directions.len() * (self.buffers() + 3);
        let others = chunks * (self.projections + self.source_buffers) + states;
        let earlier = self.earlier_rows.as_ref().map_or(0, |rows| steps * rows.parts());
        // behind each step, and behind all of a buffer
        let carried = if self.may_carry { steps + self.buffers() } else { 0 };
        launches.max().unwrap_or(0) + others + earlier + carried
    }

    fn make(&self, maker: &Maker<'_>) -> Result<Box<dyn Stage>> {
        self.recurrence.make_for(maker.gpu, self.pieces.batch);
        if self.may_carry {
            // kept for the mask that may be set later
            drop(maker.gpu.pipeline(&carry::SHADER, &[]));
        }
        // where there is no such state the shaders bind an empty buffer
        let bytes = self.directions.len() as u64 * self.cell_bytes();
        let cell_state = maker.gpu.make_buffer(&maker.label("cell_state"), bytes, Use::Storage);
        let directions: Vec<DirectionBuffers> = (0..self.directions.len())
            .map(|direction| self.direction(maker, direction, &cell_state))
            .collect::<Result<_>>()?;
        let starts = &at(maker.schedules, self.schedule)?.starts;
        let group = |hidden| {
            let buffers = [maker.projected, hidden, &cell_state, starts];
            self.recurrence
                .groups((maker.gpu, maker.layer), maker.params, buffers, maker.exchange)
        };
        let rows = &at(&directions, 0)?.rows;
        let of = (maker.gpu, &*maker.label("earlier_rows"));
        Ok(Box::new(RecurrenceStage {
            number: self.number,
            hidden_pitch: rows.size.pitch(),
            pieces: self.pieces,
            is_fresh: maker.fresh.get(self.number).copied().unwrap_or(false),
            groups: rows.buffers.iter().map(group).collect(),
            earlier_rows: self
                .earlier_rows
                .as_ref()
                .map(|weights| EarlierRows::make(of, weights, (maker.params, maker.projected), &rows.buffers)),
            masked: self
                .masked
                .as_ref()
                .map(|masked| masked.make(maker, &rows.buffers, &cell_state)),
            directions,
            carry: None,
            cell_state,
            recurrence: Arc::clone(&self.recurrence),
            starts: starts.clone(),
        }))
    }

    fn pieces(&self) -> Option<&Pieces> {
        Some(&self.pieces)
    }
}
