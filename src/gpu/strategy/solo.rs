//! `recurrent_solo`: a workgroup owns some positions for many time steps, in one dispatch.
//!
//! This is the form for software adapters; GPUs have another (`solo_made.rs`).

use std::sync::Arc;

use crate::gpu::commands::{Commands, Workgroups};
use crate::gpu::device::Gpu;
use crate::gpu::shader::{Pipeline, Shader};
use crate::gpu::strategy::chunk::Chunk;
use crate::gpu::strategy::entry::{Cells, Entry, Group, Ready};
use crate::gpu::strategy::launch::{self, Params, Workgroup, most_steps};
use crate::gpu::strategy::solo_made::SoloMade;
use crate::settings::Strategy;

pub(crate) const ENTRY: Entry = Entry {
    name: Strategy::Solo,
    waits: false,
    prepare: |gpu, cells| match cells.numbers {
        Some(numbers) => Ok(Box::new(SoloMade::make(gpu, cells, numbers)?)),
        None => Ok(Box::new(RecurrentSolo::make(gpu, cells)?)),
    },
};

pub(crate) const SHADER: Shader = Shader {
    name: "recurrent_solo",
    source: include_str!("../../../shaders/recurrent_solo.wgsl"),
    shared: launch::SHARED,
    runs_cell: true,
    params: ("Launch", size_of::<Params>()),
    bindings: launch::SOLO_BINDINGS,
    constants: launch::CONSTANTS,
};

/// The positions of a workgroup, the most first.
const HEIGHTS: [usize; 4] = [8, 4, 2, 1];

/// For each direction, the products of a step (units² · positions) up to which `solo` is the faster on a software adapter.
///
/// What step and solo cost there is even along 8² · 512 = 16² · 128 = 32² · 32 = 64² · 8 = 128² · 2 and 96² · 4 = 192²; the table stands
/// in `docs/benchmarks.md`. Two directions are two workgroups more to share the threads, so each may be as large.
const SOLO_PRODUCTS: usize = 192 * 192;

/// The workgroup for so many units: one part, for a software adapter keeps the weights in memory, where they may be many.
pub(crate) fn workgroup(units: usize, most_invocations: usize) -> Result<Workgroup, &'static str> {
    let width = units.next_multiple_of(8);
    match units > 0 && width <= most_invocations {
        true => Ok(Workgroup {
            width,
            parts: 1,
            weights: units.next_multiple_of(4),
        }),
        false => Err("so many units need more invocations than a workgroup may have"),
    }
}

/// The bytes of workgroup memory for so many positions: h before and after a step.
pub(crate) fn bytes(workgroup: Workgroup, rows: usize, lanes: usize) -> usize {
    workgroup.bytes(rows, 2, lanes)
}

/// The strategy `solo`.
#[derive(Debug)]
pub(crate) struct RecurrentSolo {
    /// One for each height that finds room in the workgroup memory.
    pipelines: Vec<(usize, Arc<Pipeline>)>,
    /// The lowest.
    lowest: (usize, Arc<Pipeline>),
    workgroup: Workgroup,
    units: usize,
    kernel_width: usize,
    directions: usize,
    /// Workgroups that run at the same time, as far as is known.
    workgroups: usize,
    most_passes: usize,
}

impl RecurrentSolo {
    /// Why not, where it cannot run the cells.
    fn make(gpu: &Gpu, cells: &Cells<'_>) -> Result<Self, &'static str> {
        if let Some(why) = cells.cell.obstacle() {
            return Err(why);
        }
        let (units, lanes) = (cells.cell.units, cells.cell.lanes().len());
        let most_invocations = gpu.limits().max_compute_invocations_per_workgroup as usize;
        let workgroup = workgroup(units, most_invocations)?;
        let bytes = |rows| bytes(workgroup, rows, lanes);
        let heights = workgroup.heights(gpu, SHADER.bindings.len(), (&HEIGHTS, bytes))?;
        let pipeline = |rows: usize| {
            (
                rows,
                gpu.pipeline_for(&SHADER, cells.variant(&workgroup.constants(rows))),
            )
        };
        let pipelines: Vec<_> = heights.into_iter().map(pipeline).collect();
        Ok(Self {
            lowest: pipelines.last().cloned().ok_or("a workgroup has no position")?,
            pipelines,
            workgroup,
            units,
            kernel_width: cells.kernel_width,
            directions: cells.directions,
            workgroups: std::thread::available_parallelism().map_or(1, usize::from),
            most_passes: gpu.most_passes(),
        })
    }

    /// The steps of one launch.
    fn launch_steps(&self, rows: usize) -> usize {
        let products = self.units * self.units * rows;
        let passes = self.workgroup.weights * (1 + rows) + rows * (2 + self.workgroup.parts) + 2;
        most_steps(products).min(self.most_passes / (2 * passes)).max(1)
    }

    /// The tallest workgroup that leaves enough of them, else the lowest.
    fn height(&self, positions: usize) -> &(usize, Arc<Pipeline>) {
        let enough = |rows: usize| self.directions * positions.div_ceil(rows) >= self.workgroups;
        let tall = self
            .pipelines
            .iter()
            .find(|(rows, _)| *rows <= positions && enough(*rows));
        tall.unwrap_or(&self.lowest)
    }
}

impl Ready for RecurrentSolo {
    fn binds(&self) -> (&'static Shader, &Pipeline) {
        (&SHADER, &self.lowest.1)
    }

    fn suits(&self, _gpu: &Gpu, positions: usize) -> Option<&'static str> {
        let products = (self.units * self.units).saturating_mul(positions);
        (products <= SOLO_PRODUCTS * self.directions)
            .then_some("on a software adapter dispatching so small a step costs more than running it")
    }

    fn dispatches(&self, positions: usize, steps: usize) -> usize {
        match positions {
            0 => 0,
            positions => steps.div_ceil(self.launch_steps(self.height(positions).0)),
        }
    }

    /// One dispatch for as many steps as a launch may have.
    fn record(&self, commands: &mut Commands, group: &Group, chunk: &Chunk<'_>) {
        let mut first = chunk.steps.start;
        while first < chunk.steps.end {
            let active = chunk.active(first);
            if active == 0 {
                return;
            }
            let (rows, pipeline) = self.height(active);
            let last = (first + self.launch_steps(*rows)).min(chunk.steps.end);
            let params = Params::new(chunk, &(first..last), self.units, self.kernel_width);
            let workgroups = Workgroups::Across(self.directions as u32, active.div_ceil(*rows) as u64);
            let rows_run = self.directions * params.rows_run(chunk, 0..active.div_ceil(*rows) * rows);
            commands.dispatch_rows(rows_run, pipeline, &group.group, params, workgroups);
            first = last;
        }
    }
}
