//! How large every buffer of a workspace is: worked out once, for making them and for saying how much they take.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::flow::Source;
use crate::flow::size::FlowSize;
use crate::gpu::commands::record_bytes;
use crate::gpu::device::Gpu;
use crate::gpu::device::buffer::buffer_bytes;
use crate::gpu::rows::{RowsSize, VALUE, padded};
use crate::gpu::stage::interface::{Ends, Scratch, Sizer, StageSize};
use crate::gpu::stage::list::{self, StageSizes};
use crate::gpu::stage::lists::ScheduleLists;
use crate::gpu::stage::lists::index_bytes;
use crate::gpu::stage::prepared::Prepared;
use crate::gpu::strategy::exchange::ExchangeBuffers;
use crate::gpu::weights::projected_width;
use crate::model::plan::Plan;
use crate::schedule::check_steps;

/// What a workspace keeps until the end of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keep {
    /// The rows of a stage until the last stage that reads them; then another stage takes their buffers.
    Nothing,
    /// The rows of every stage, as training needs them.
    All,
}

/// The buffers of rows that the stages of a run use, one after the other.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    /// The bytes of each buffer.
    pub(crate) bytes: Vec<u64>,
    /// For each stage of the flow its buffers, by their numbers.
    pub(crate) of_stage: Vec<Vec<usize>>,
    /// Whether no earlier stage has used them.
    pub(crate) fresh: Vec<bool>,
}

/// The sizes of a workspace.
#[derive(Debug)]
pub(crate) struct Sizes {
    pub(crate) batch: usize,
    pub(crate) input: RowsSize,
    /// For each stage of the flow its rows.
    pub(crate) rows: Vec<RowsSize>,
    pub(crate) shared: Shared,
    pub(crate) stages: Vec<Box<dyn StageSize>>,
    /// The layer of each.
    pub(crate) layers: Vec<Arc<str>>,
    pub(crate) scratch: Scratch,
    /// For each schedule its steps.
    pub(crate) schedules: Vec<usize>,
    pub(crate) params: u64,
}

impl Sizes {
    /// The sizes for batches of (batch, time_steps), whatever their mask.
    pub(crate) fn new(
        gpu: &Gpu,
        (plan, prepared): (&Plan, &Prepared),
        (batch, time_steps): (usize, usize),
        (keep, ends): (Keep, Ends),
    ) -> Result<Self> {
        let most_steps = plan.most_steps(time_steps);
        check_uncut(gpu.largest_binding(), plan, prepared, batch, most_steps)?;
        check_steps(batch, most_steps)?;
        let flow = |time_steps| match keep {
            Keep::Nothing => FlowSize::new(plan, batch, time_steps),
            Keep::All => FlowSize::in_training(plan, batch, time_steps),
        };
        let measure = |time_steps| Self::measure(gpu, prepared, flow(time_steps), (keep, ends));
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

    fn measure(gpu: &Gpu, prepared: &Prepared, flow: FlowSize, (keep, ends): (Keep, Ends)) -> Result<Self> {
        let limit = gpu.largest_binding();
        let features = flow.features;
        let input = RowsSize::new(features, padded(features), flow.input_rows, limit);
        let sizer = Sizer {
            gpu,
            ends,
            trains: keep == Keep::All,
            limit,
            prepared,
            flow: &flow,
            input: input.clone(),
            stages: Vec::new(),
        };
        let StageSizes { stages, layers, rows } = list::sizes(sizer)?;
        let made = stages.iter().flat_map(|stage| stage.rows());
        std::iter::once(&input)
            .chain(made)
            .try_for_each(|rows| check_row(limit, rows))?;
        let dispatches: usize = stages.iter().map(|stage| stage.dispatches()).sum();
        let scratch = stages.iter().map(|stage| stage.scratch());
        let mut scratch = scratch.fold(Scratch::default(), Scratch::max);
        if ends != Ends::Host {
            // nobody waits for another where the host cannot see that one waited in vain
            scratch.exchange = None;
        }
        Ok(Self {
            batch: flow.batch,
            input,
            shared: Shared::new(&stages, keep),
            scratch,
            rows,
            stages,
            layers,
            schedules: flow.schedules,
            params: dispatches as u64 * record_bytes(gpu),
        })
    }

    /// The bytes of all buffers that a workspace makes.
    pub(crate) fn total(&self) -> u64 {
        let schedules = self
            .schedules
            .iter()
            .map(|&steps| ScheduleLists::bytes(self.batch, steps));
        [
            self.input.bytes().sum(),
            self.shared.bytes.iter().sum(),
            self.stages.iter().map(|stage| stage.bytes()).sum(),
            schedules.sum(),
            buffer_bytes(self.scratch.gathered),
            buffer_bytes(self.scratch.projected),
            self.scratch.exchange.map_or(0, ExchangeBuffers::bytes),
            buffer_bytes(self.params),
        ]
        .iter()
        .sum()
    }
}

impl Shared {
    /// Gives each stage the buffers of stages that nobody reads any more, and new ones where there are none.
    ///
    /// What stands behind the width of a row has to stay zero, so rows with such a rest only follow rows of the same make.
    fn new(stages: &[Box<dyn StageSize>], keep: Keep) -> Self {
        let last_reader = last_readers(stages);
        let mut shared = Self::default();
        // for each buffer what rows it may hold, and the stage after which it is free
        let mut uses: Vec<(Option<(usize, bool)>, usize)> = Vec::new();
        for (number, stage) in stages.iter().enumerate() {
            let Some(rows) = stage.rows().first() else { continue };
            let is_recurrent = rows.recurrent.is_some();
            let make = (rows.width != rows.stride).then_some((rows.width, is_recurrent));
            let first = shared.of_stage.len();
            let readers = last_reader.get(first..first + stage.rows().len());
            let until = readers
                .and_then(|readers| readers.iter().max())
                .map_or(number, |&last| last.max(number));
            let (mut taken, mut is_fresh) = (Vec::new(), true);
            for bytes in rows.bytes() {
                let free = |&at: &usize| {
                    keep == Keep::Nothing && uses.get(at).is_some_and(|&(of, last)| of == make && last < number)
                };
                let free = (0..uses.len()).filter(free);
                // the smallest that holds it, else the largest, which grows
                let size = |&at: &usize| shared.bytes.get(at).copied().unwrap_or(0);
                let best = free.min_by_key(|at| (size(at) < bytes, size(at).abs_diff(bytes)));
                let at = best.unwrap_or(uses.len());
                is_fresh &= best.is_none();
                match (uses.get_mut(at), shared.bytes.get_mut(at)) {
                    (Some(used), Some(size)) => {
                        *used = (make, until);
                        *size = bytes.max(*size);
                    }
                    _ => {
                        uses.push((make, until));
                        shared.bytes.push(bytes);
                    }
                }
                taken.push(at);
            }
            for _ in stage.rows() {
                shared.of_stage.push(taken.clone());
                shared.fresh.push(is_fresh);
            }
        }
        shared
    }
}

/// For each stage of the flow the last stage that reads it.
fn last_readers(stages: &[Box<dyn StageSize>]) -> Vec<usize> {
    let rows = stages.iter().map(|stage| stage.rows().len()).sum();
    let mut last = vec![0; rows];
    for (number, stage) in stages.iter().enumerate() {
        for source in stage.sources() {
            if let Source::Stage(read) = source
                && let Some(last) = last.get_mut(read)
            {
                *last = number;
            }
        }
    }
    last
}

/// Rows are cut between them, so a row has to fit a binding by itself.
fn check_row(limit: u64, rows: &RowsSize) -> Result<()> {
    if rows.row_bytes() <= limit {
        return Ok(());
    }
    Err(Error::TooLarge {
        what: format!("one row of {} values", rows.width),
        needed: rows.row_bytes(),
        limit,
        limit_name: "bytes, max_storage_buffer_binding_size",
        repair: "open the device with the limits of its adapter, or run on Device::cpu()".to_owned(),
    })
}

const PIECES_OF_TIME: &str = "time steps at once would fit: run the sequences piece by piece with `run_from`";

/// What cannot be cut over time has to fit a binding: the list of steps, and one time step of the batch. Looked at before
/// anything is made that is as large as the batch.
fn check_uncut(limit: u64, plan: &Plan, prepared: &Prepared, batch: usize, time_steps: usize) -> Result<()> {
    // the smallest segment is one step: the states before it, and the rows that it makes
    let steps = plan.cells.iter().enumerate().map(|(number, cell)| {
        let directions = prepared.directions(number) as u64;
        let row = directions * padded(cell.output()) as u64 * VALUE;
        let gathered = padded(cell.features()) as u64 * VALUE;
        let projected = directions * projected_width(&cell.cell) as u64 * VALUE;
        projected.max(gathered).max(2 * row)
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
