//! `recurrent_solo`: a workgroup owns some positions for many time steps, in one dispatch.

use std::sync::Arc;

use crate::gpu::commands::{Commands, Workgroups};
use crate::gpu::device::Gpu;
use crate::gpu::shader::{Pipeline, Shader, reads, writes};
use crate::gpu::strategy::chunk::Chunk;
use crate::gpu::strategy::entry::{Cells, Entry, Group, Ready};
use crate::gpu::strategy::launch::{self, Params, Workgroup, most_steps};
use crate::settings::Strategy;

pub(crate) const ENTRY: Entry = Entry {
    name: Strategy::Solo,
    waits: false,
    prepare: |gpu, cells| Ok(Box::new(RecurrentSolo::make(gpu, cells)?)),
    probe: None,
};

pub(crate) const SHADER: Shader = Shader {
    name: "recurrent_solo",
    source: include_str!("../../../shaders/recurrent_solo.wgsl"),
    shared: launch::SHARED,
    runs_cell: true,
    params: ("Launch", size_of::<Params>()),
    bindings: &[
        reads("recurrent_kernel"),
        reads("projected"),
        writes("hidden"),
        writes("cell_state"),
        reads("starts"),
    ],
    constants: launch::CONSTANTS,
};

/// The positions of a workgroup, the most first.
const HEIGHTS: [usize; 4] = [8, 4, 2, 1];

/// The bytes of weights that a workgroup of a GPU keeps, at most: what is known of register files leaves room for so many
/// and for the sums.
const WEIGHT_BYTES: usize = 144 << 10;

/// Workgroups of a dispatch that a GPU should have before its workgroups get taller; an estimate, for none was measured.
const WORKGROUPS: usize = 64;

/// For each direction, the products of a step (units² · positions) up to which `solo` is the faster on a software adapter.
///
/// What step and solo cost there is even along 8² · 512 = 16² · 128 = 32² · 32 = 64² · 8 = 128² · 2 and 96² · 4 = 192²; the table stands
/// in `docs/benchmarks.md`. Two directions are two workgroups more to share the threads, so each may be as large.
const SOLO_PRODUCTS: usize = 192 * 192;

/// The workgroup for so many units: as few parts as there can be. A software adapter keeps the weights in memory either
/// way, where they may be many; a GPU should keep them in registers.
pub(crate) fn workgroup(
    units: usize,
    lanes: usize,
    most_invocations: usize,
    in_software: bool,
) -> Result<Workgroup, &'static str> {
    if !in_software && 4 * lanes * units * units > WEIGHT_BYTES {
        return Err("the weights do not fit the registers of a workgroup");
    }
    let width = units.next_multiple_of(8);
    let most_weights = if in_software { usize::MAX } else { launch::WEIGHTS };
    let fewest = [1, 2, 4, 8, 16]
        .into_iter()
        .find(|parts| units.div_ceil(*parts) <= most_weights);
    match fewest {
        Some(parts) if units > 0 && width * parts <= most_invocations => Ok(Workgroup {
            width,
            parts,
            weights: units.div_ceil(parts).next_multiple_of(4),
        }),
        _ => Err("so many units need more invocations than a workgroup may have"),
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
        let in_software = gpu.info().device_type == wgpu::DeviceType::Cpu;
        let (units, lanes) = (cells.cell.units, cells.cell.lanes().len());
        let most_invocations = gpu.limits().max_compute_invocations_per_workgroup as usize;
        let workgroup = workgroup(units, lanes, most_invocations, in_software)?;
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
            workgroups: match in_software {
                true => std::thread::available_parallelism().map_or(1, usize::from),
                false => WORKGROUPS,
            },
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

    fn suits(&self, gpu: &Gpu, positions: usize) -> Option<&'static str> {
        if gpu.info().device_type == wgpu::DeviceType::Cpu {
            let products = (self.units * self.units).saturating_mul(positions);
            return (products <= SOLO_PRODUCTS * self.directions)
                .then_some("on a software adapter dispatching so small a step costs more than running it");
        }
        // an estimate: no GPU was measured
        Some(
            "the weights should find room in the registers of a workgroup, so they are read once and no step is dispatched",
        )
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
            commands.dispatch(pipeline, &group.group, params, workgroups);
            first = last;
        }
    }
}
