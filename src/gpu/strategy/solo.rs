//! `recurrent_solo`: a workgroup owns some positions for many time steps, in one dispatch.

use std::ops::Range;
use std::sync::Arc;

use bytemuck::{Pod, Zeroable};

use crate::gpu::commands::{Commands, Workgroups};
use crate::gpu::device::Gpu;
use crate::gpu::rows::padded;
use crate::gpu::shader::{Pipeline, Shader, reads, writes};
use crate::gpu::strategy::chunk::{Bound, Chunk};
use crate::gpu::weights::{Form, is_rowwise};
use crate::model::plan::PlannedCell as Cell;

pub(crate) const SHADER: Shader = Shader {
    name: "recurrent_solo",
    source: include_str!("../../../shaders/recurrent_solo.wgsl"),
    params: ("Solo", size_of::<Params>()),
    bindings: &[
        reads("recurrent_kernel"),
        reads("projected"),
        writes("hidden"),
        writes("cell_state"),
        reads("starts"),
    ],
    constants: &[
        "ACTIVATION",
        "ALPHA",
        "BETA",
        "RECURRENT_ACTIVATION",
        "RECURRENT_ALPHA",
        "RECURRENT_BETA",
        "ROWS",
        "WIDTH",
        "PARTS",
        "WEIGHTS",
    ],
};

/// The positions of a workgroup, the most first.
const HEIGHTS: [usize; 4] = [8, 4, 2, 1];

/// Rows of the recurrent kernel that an invocation of a GPU keeps in its registers, at most.
const WEIGHTS: usize = 32;

/// The bytes of weights that a workgroup of a GPU keeps, at most: what is known of register files leaves room for so many
/// and for the sums.
const WEIGHT_BYTES: usize = 144 << 10;

/// Workgroups of a dispatch that a GPU should have before its workgroups get taller; an estimate, for none was measured.
const WORKGROUPS: usize = 64;

/// Products of a launch and workgroup, at most: no driver should take it for one that hangs.
const LAUNCH: usize = 1 << 27;

/// How a workgroup is made up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Invocations of a part.
    pub(crate) width: usize,
    pub(crate) parts: usize,
    /// Rows of the recurrent kernel of a part.
    pub(crate) weights: usize,
}

impl Shape {
    /// The workgroup for so many units: as few parts as there can be. A software adapter keeps the weights in memory either
    /// way, where they may be many; a GPU should keep them in registers.
    pub(crate) fn of(units: usize, most_invocations: usize, in_software: bool) -> Option<Self> {
        if !in_software && 16 * units * units > WEIGHT_BYTES {
            return None;
        }
        let width = units.next_multiple_of(8);
        let most_weights = if in_software { usize::MAX } else { WEIGHTS };
        let parts = [1, 2, 4, 8, 16]
            .into_iter()
            .find(|parts| units.div_ceil(*parts) <= most_weights)?;
        (units > 0 && width * parts <= most_invocations).then_some(Self {
            width,
            parts,
            weights: units.div_ceil(parts).next_multiple_of(4),
        })
    }

    /// The bytes of workgroup memory for so many positions.
    pub(crate) fn bytes(self, rows: usize) -> usize {
        let tile = 2 * rows * self.parts * self.weights / 4;
        let partial = if self.parts == 1 {
            0
        } else {
            self.parts * rows * self.width
        };
        (tile + partial + 1) * 16
    }
}

/// The struct `Solo` of types.wgsl.
#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct Params {
    previous_row: u32,
    hidden_base: u32,
    projected_base: u32,
    first_step: u32,
    last_step: u32,
    positions: u32,
    units: u32,
    stride: u32,
    hidden_pitch: u32,
    projected_pitch: u32,
    cell_pitch: u32,
}

/// The strategy `solo`.
#[derive(Debug)]
pub(crate) struct RecurrentSolo {
    /// One for each height that finds room in the workgroup memory.
    pipelines: Vec<(usize, Arc<Pipeline>)>,
    shape: Shape,
    units: usize,
    directions: usize,
    /// Workgroups that run at the same time, as far as is known.
    workgroups: usize,
    most_passes: usize,
}

/// Whether a workgroup may be so wide and so high.
pub(crate) fn fits_axes(gpu: &Gpu, width: usize, height: usize) -> bool {
    let limits = gpu.limits();
    width <= limits.max_compute_workgroup_size_x as usize && height <= limits.max_compute_workgroup_size_y as usize
}

impl RecurrentSolo {
    /// `None` where it cannot run the cells.
    pub(crate) fn make(gpu: &Gpu, form: Form, cells: &[&Cell]) -> Option<Self> {
        let cell = cells.first().filter(|cell| !is_rowwise(cell))?;
        let limits = gpu.limits();
        if (limits.max_storage_buffers_per_shader_stage as usize) < SHADER.bindings.len() {
            return None;
        }
        let in_software = gpu.info().device_type == wgpu::DeviceType::Cpu;
        let units = cell.units();
        let shape = Shape::of(
            units,
            limits.max_compute_invocations_per_workgroup as usize,
            in_software,
        )?;
        if !fits_axes(gpu, shape.width, shape.parts) {
            return None;
        }
        let activations = [cell.activation().constants(), cell.recurrent_activation().constants()].concat();
        let pipeline = |rows: usize| {
            let sizes = [rows, shape.width, shape.parts, shape.weights].map(|size| size as u32);
            (
                rows,
                gpu.pipeline_for(&SHADER, form, &[&activations[..], &sizes].concat()),
            )
        };
        let fits = |&rows: &usize| shape.bytes(rows) <= limits.max_compute_workgroup_storage_size as usize;
        let pipelines: Vec<_> = HEIGHTS.into_iter().filter(fits).map(pipeline).collect();
        (!pipelines.is_empty()).then(|| Self {
            pipelines,
            shape,
            units,
            directions: cells.len(),
            workgroups: match in_software {
                true => std::thread::available_parallelism().map_or(1, usize::from),
                false => WORKGROUPS,
            },
            most_passes: gpu.most_passes(),
        })
    }

    pub(crate) fn group(&self, gpu: &Gpu, bound: Bound<'_>) -> Option<wgpu::BindGroup> {
        let (_, pipeline) = self.pipelines.first()?; // all have the same entries
        let storage = [
            bound.recurrent_kernel,
            bound.projected,
            bound.hidden,
            bound.cell_state,
            bound.starts,
        ];
        Some(gpu.make_bind_group("recurrent_solo", pipeline, bound.params, &storage))
    }

    /// The steps of one launch.
    fn launch_steps(&self, rows: usize) -> usize {
        let products = self.units * self.units * rows;
        let passes = self.shape.weights * (1 + rows) + rows * (2 + self.shape.parts) + 2;
        (LAUNCH / products.max(1)).min(self.most_passes / (2 * passes)).max(1)
    }

    /// The dispatches for so many steps, all of so many positions.
    pub(crate) fn launches(&self, positions: usize, steps: usize) -> usize {
        self.height(positions)
            .map_or(0, |(rows, _)| steps.div_ceil(self.launch_steps(*rows)))
    }

    /// The tallest workgroup that leaves enough of them, else the lowest.
    fn height(&self, positions: usize) -> Option<&(usize, Arc<Pipeline>)> {
        let enough = |rows: usize| self.directions * positions.div_ceil(rows) >= self.workgroups;
        let tall = self
            .pipelines
            .iter()
            .find(|(rows, _)| *rows <= positions && enough(*rows));
        tall.or(self.pipelines.last().filter(|_| positions > 0))
    }

    /// One dispatch for as many steps as a launch may have.
    pub(crate) fn record(&self, commands: &mut Commands, group: &wgpu::BindGroup, chunk: &Chunk<'_>) {
        let mut first = chunk.steps.start;
        while first < chunk.steps.end {
            let active = chunk.active(first);
            let Some((rows, pipeline)) = self.height(active) else {
                return;
            };
            let last = (first + self.launch_steps(*rows)).min(chunk.steps.end);
            let params = self.params(chunk, first..last);
            let workgroups = Workgroups::Across(self.directions as u32, active.div_ceil(*rows) as u64);
            commands.dispatch(pipeline, group, params, workgroups);
            first = last;
        }
    }

    fn params(&self, chunk: &Chunk<'_>, steps: Range<usize>) -> Params {
        let start = chunk.start(steps.start) as u32;
        Params {
            previous_row: chunk.previous_row(steps.start) as u32,
            hidden_base: start.wrapping_sub(chunk.current_row(steps.start) as u32),
            projected_base: start.wrapping_sub(chunk.projected_row(steps.start) as u32),
            first_step: steps.start as u32,
            last_step: steps.end as u32,
            positions: chunk.active(steps.start) as u32,
            units: self.units as u32,
            stride: padded(self.units) as u32,
            hidden_pitch: chunk.hidden_pitch as u32,
            projected_pitch: chunk.projected_pitch as u32,
            cell_pitch: chunk.batch as u32,
        }
    }
}
