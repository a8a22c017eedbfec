//! How large every buffer of a workspace is: worked out once, for making them and for saying how much they take.

use crate::error::{Error, Result};
use crate::flow::{Flow, Gather, Input, Source, Stage};
use crate::gpu::commands::record_bytes;
use crate::gpu::device::Gpu;
use crate::gpu::rows::{RowsSize, VALUE, padded};
use crate::gpu::stage::gather::index_bytes;
use crate::gpu::strategy::recurrence::{Place, Recurrence};
use crate::model::plan::Plan;

/// The bytes of the scratch for projected rows, if the batch has so many: what is projected at once should find room in
/// the GPU's cache, and need not be there for the whole sequence.
const PROJECTED_BYTES: u64 = 64 << 20;

/// The four gates of a unit as one vec4.
const GATE_BYTES: u64 = 16;

/// A recurrent stage is cut over time: its rows into segments of a buffer each, a segment into chunks whose projected
/// rows fit the scratch.
#[derive(Clone, Debug)]
pub(crate) struct RecurrentSize {
    pub(crate) rows: RowsSize,
    pub(crate) segment_steps: usize,
    pub(crate) chunk_steps: usize,
}

#[derive(Clone, Debug)]
pub(crate) enum StageSize {
    Recurrent(RecurrentSize),
    /// Rows that are made buffer by buffer.
    Rows(RowsSize),
}

impl StageSize {
    pub(crate) fn rows(&self) -> &RowsSize {
        match self {
            Self::Recurrent(size) => &size.rows,
            Self::Rows(rows) => rows,
        }
    }
}

/// The sizes of a workspace.
#[derive(Clone, Debug)]
pub(crate) struct Sizes {
    pub(crate) batch: usize,
    pub(crate) input: RowsSize,
    pub(crate) stages: Vec<StageSize>,
    pub(crate) outputs: Vec<RowsSize>,
    /// Scratch for gathered and for projected rows.
    pub(crate) gathered: u64,
    pub(crate) projected: u64,
    /// For each stage the entries of its lists of rows, at most.
    pub(crate) entries: Vec<Vec<usize>>,
    pub(crate) output_entries: Vec<usize>,
    /// For each cell the values of its state, (batch, padded units).
    pub(crate) states: Vec<usize>,
    /// The bytes of the list of steps of a recurrence.
    pub(crate) starts: u64,
    /// For each recurrence the bytes of c.
    pub(crate) cell_states: Vec<u64>,
    /// What the workgroups of teams hand each other, if there are teams.
    pub(crate) exchange: Option<u64>,
    pub(crate) params: u64,
}

/// What sizes are measured of: a model, how its cells run, and its embeddings.
#[derive(Clone, Copy)]
pub(crate) struct Measured<'a> {
    pub(crate) parts: &'a Plan,
    pub(crate) places: &'a [Place],
    pub(crate) recurrences: &'a [Recurrence],
    pub(crate) tables: &'a [RowsSize],
}

impl Sizes {
    /// The sizes for batches of (batch, time_steps), whatever their mask.
    pub(crate) fn new(gpu: &Gpu, model: Measured<'_>, batch: usize, time_steps: usize) -> Result<Self> {
        check_uncut(gpu.largest_binding(), model, batch, time_steps)?;
        let measure = |time_steps| Self::measure(gpu, model, batch, time_steps);
        let sizes = measure(time_steps)?;
        let limit = gpu.limits().max_buffer_size.min(u64::from(u32::MAX));
        if sizes.params <= limit {
            return Ok(sizes);
        }
        let (mut most, mut too_many) = (0, time_steps);
        while too_many - most > 1 {
            let middle = most + (too_many - most) / 2;
            match measure(middle)?.params <= limit {
                true => most = middle,
                false => too_many = middle,
            }
        }
        Err(Error::TooLarge {
            what: format!("the parameters of the dispatches of {time_steps} time steps"),
            needed: sizes.params,
            limit,
            limit_name: "bytes, max_buffer_size",
            repair: match most {
                0 => "open the device with a larger max_buffer_size, or run on Device::cpu()".to_owned(),
                most => format!("{most} {PIECES_OF_TIME}"),
            },
        })
    }

    fn measure(gpu: &Gpu, model: Measured<'_>, batch: usize, time_steps: usize) -> Result<Self> {
        let Measured {
            parts,
            places,
            recurrences,
            tables,
        } = model;
        let flow = Flow::new(parts, Input::Full { batch, time_steps }, None)?;
        let builder = Builder {
            limit: gpu.largest_binding(),
            batch,
            time_steps,
        };
        let features = padded(parts.features.unwrap_or(0));
        let input = builder.rows(features, flow.input_steps.len());
        let mut sizes = Self {
            batch,
            input,
            stages: Vec::new(),
            outputs: Vec::new(),
            gathered: 0,
            projected: 0,
            entries: Vec::new(),
            output_entries: Vec::new(),
            states: Vec::new(),
            starts: 0,
            cell_states: Vec::new(),
            exchange: None,
            params: 0,
        };
        let mut dispatches = 0;
        for (stage, &width) in flow.stages.iter().zip(&flow.widths) {
            let sources = |gather: &Gather| match gather.source {
                Source::Input => sizes.input.buffers,
                Source::Table(table) => tables.get(table).map_or(1, |size| size.buffers),
                Source::Stage(stage) => sizes.stages.get(stage).map_or(1, |size| size.rows().buffers),
            };
            let (size, entries, parts_of_stage) = match stage {
                Stage::Recurrent { cell, input, .. } => {
                    let features = parts.cells.get(*cell).map_or(0, |cell| cell.features());
                    let place = *places
                        .get(*cell)
                        .ok_or_else(|| Error::defect("the cells of the model"))?;
                    let size = builder.recurrent(features, width, place);
                    let chunk_rows = (size.chunk_steps * batch) as u64;
                    let projected = place.directions as u64 * chunk_rows * width as u64 * GATE_BYTES;
                    sizes.gathered = sizes.gathered.max(chunk_rows * padded(features) as u64 * VALUE);
                    sizes.projected = sizes.projected.max(projected);
                    let steps = if batch == 0 { 0 } else { time_steps };
                    let chunks = size.rows.buffers + steps.div_ceil(size.chunk_steps);
                    let team = recurrences.get(place.recurrence).and_then(|one| one.team.as_ref().ok());
                    let launches = team.map_or(0, |team| chunks * team.dispatches(batch, size.chunk_steps));
                    let exchange = team.map(|team| team.exchange_bytes(batch, time_steps));
                    sizes.exchange = sizes.exchange.max(exchange);
                    let dispatches = steps.max(launches) + chunks * (1 + sources(input)) + size.rows.buffers;
                    (StageSize::Recurrent(size), vec![input.index.len()], dispatches)
                }
                Stage::Dense { dense, input } => {
                    let features = parts.denses.get(*dense).map_or(0, |part| part.weights.kernel.nrows());
                    let widest = padded(features).max(padded(width));
                    let rows = builder.rows(widest, stage.rows());
                    let size = RowsSize {
                        stride: padded(width),
                        ..rows
                    };
                    sizes.gathered = sizes.gathered.max(size.most as u64 * padded(features) as u64 * VALUE);
                    let dispatches = size.buffers * (2 + sources(input));
                    (StageSize::Rows(size), vec![input.index.len()], dispatches)
                }
                Stage::Merge { forward, backward, .. } => {
                    let size = builder.rows(padded(width), stage.rows());
                    let dispatches = size.buffers * (sources(forward) + sources(backward));
                    (
                        StageSize::Rows(size),
                        vec![forward.index.len(), backward.index.len()],
                        dispatches,
                    )
                }
            };
            sizes.stages.push(size);
            sizes.entries.push(entries);
            dispatches += parts_of_stage;
        }
        for placed in &flow.outputs {
            let width = placed.shape.last().copied().unwrap_or(0);
            let size = builder.rows(width, placed.gather.index.len());
            let sources = sizes
                .stages
                .iter()
                .map(|size| size.rows().buffers)
                .chain(tables.iter().map(|t| t.buffers));
            dispatches += size.buffers * sources.max().unwrap_or(1);
            sizes.output_entries.push(placed.gather.index.len());
            sizes.outputs.push(size);
        }
        sizes.states = parts.cells.iter().map(|cell| batch * padded(cell.units())).collect();
        sizes.starts = index_bytes(time_steps + 1);
        let first = places
            .iter()
            .zip(&sizes.states)
            .filter(|(place, _)| place.direction == 0);
        sizes.cell_states = first
            .map(|(place, &values)| (place.directions * values) as u64 * VALUE)
            .collect();
        sizes.params = dispatches as u64 * record_bytes(gpu);
        Ok(sizes)
    }
}

struct Builder {
    limit: u64,
    batch: usize,
    time_steps: usize,
}

impl Builder {
    /// `rows` rows in as few buffers as there can be.
    fn rows(&self, stride: usize, rows: usize) -> RowsSize {
        let most = self.limit / (stride.max(1) as u64 * VALUE);
        RowsSize::new(stride, 0, rows, most.min(u64::from(u32::MAX)) as usize)
    }

    fn recurrent(&self, features: usize, units: usize, place: Place) -> RecurrentSize {
        let directions = place.directions as u64;
        let batch = self.batch.max(1) as u64;
        let row = directions * padded(units) as u64 * VALUE;
        let projected = directions * units as u64 * GATE_BYTES;
        let gathered = padded(features) as u64 * VALUE;
        let most_steps = |bytes: u64, budget: u64| (budget / (bytes * batch)).max(1) as usize;
        let time_steps = self.time_steps.max(1);
        let segment_steps = (most_steps(row, self.limit) - 1).clamp(1, time_steps);
        let chunk_steps = most_steps(projected, self.limit.min(PROJECTED_BYTES))
            .min(most_steps(gathered, self.limit))
            .min(segment_steps);
        let rows = self.batch * self.time_steps;
        let rows = RowsSize::new(padded(units), self.batch, rows, self.batch.max(1) * segment_steps);
        RecurrentSize {
            rows: rows.of_direction(place.direction, place.directions),
            segment_steps,
            chunk_steps,
        }
    }
}

const PIECES_OF_TIME: &str = "time steps at once would fit: run the sequences piece by piece with `run_from`";

/// What cannot be cut over time has to fit a binding: the list of steps, and one time step of the batch. Looked at before
/// anything is made that is as large as the batch.
fn check_uncut(limit: u64, model: Measured<'_>, batch: usize, time_steps: usize) -> Result<()> {
    // the smallest segment is one step: the states before it, and the rows that it makes
    let steps = model.parts.cells.iter().zip(model.places).map(|(cell, place)| {
        let directions = place.directions as u64;
        let row = directions * padded(cell.units()) as u64 * VALUE;
        let gathered = padded(cell.features()) as u64 * VALUE;
        (directions * cell.units() as u64 * GATE_BYTES)
            .max(gathered)
            .max(2 * row)
    });
    let step = u128::from(steps.max().unwrap_or(0));
    // one more entry than steps: where the last one ends
    let list = (time_steps as u128 + 1) * u128::from(index_bytes(1));
    let (what, each) = if list > step {
        ("the list of the steps", list)
    } else {
        ("one time step", step)
    };
    let (needed, limit) = (each.saturating_mul(batch as u128), u128::from(limit));
    if needed <= limit {
        return Ok(());
    }
    let repair = match limit / each {
        0 if list > step => format!("{} {PIECES_OF_TIME}", limit / u128::from(index_bytes(1)) - 1),
        0 => "open the device with the limits of its adapter, or run on Device::cpu()".to_owned(),
        fits => format!("{fits} sequences at once would fit: run the batch in pieces"),
    };
    Err(Error::TooLarge {
        what: format!("{what} of {batch} sequences of {time_steps} time steps"),
        needed: u64::try_from(needed).unwrap_or(u64::MAX),
        limit: limit as u64,
        limit_name: "bytes, max_storage_buffer_binding_size",
        repair,
    })
}
