//! `recurrent_step`: one dispatch for each time step, product, lanes and state update in one shader.

use std::sync::Arc;

use bytemuck::{Pod, Zeroable};

use crate::cell::Cell;
use crate::gpu::commands::{Commands, Workgroups};
use crate::gpu::device::Gpu;
use crate::gpu::rows::padded;
use crate::gpu::shader::{Pipeline, Shader, reads, writes};
use crate::gpu::strategy::chunk::Chunk;
use crate::gpu::strategy::entry::{Cells, Entry, Group, Ready};
use crate::settings::Strategy;

pub(crate) const ENTRY: Entry = Entry {
    name: Strategy::Step,
    waits: false,
    prepare: |gpu, cells| Ok(Box::new(RecurrentStep::make(gpu, cells))),
    probe: None,
};

pub(crate) const SHADER: Shader = Shader {
    name: "recurrent_step",
    source: include_str!("../../../shaders/recurrent_step.wgsl"),
    shared: &[include_str!("../../../shaders/shared/finish.wgsl")],
    runs_cell: true,
    params: ("Step", size_of::<Params>()),
    bindings: &[
        reads("recurrent_kernel"),
        reads("projected"),
        writes("hidden"),
        writes("cell_state"),
    ],
    constants: &["ROWS"],
};

/// The same for cells with an obstacle ([`Cell::obstacle`]).
pub(crate) const ROWWISE: Shader = Shader {
    name: "recurrent_step_rowwise",
    source: include_str!("../../../shaders/recurrent_step_rowwise.wgsl"),
    shared: &[include_str!("../../../shaders/shared/reduce.wgsl")],
    runs_cell: true,
    params: ("Step", size_of::<Params>()),
    bindings: &[
        reads("recurrent_kernel"),
        writes("projected"),
        writes("hidden"),
        writes("cell_state"),
    ],
    constants: &[],
};

/// Units of a workgroup.
const UNITS_PER_WORKGROUP: usize = 64;

/// Invocations that share the units of a position in the rowwise shader.
const ROWWISE_UNITS: usize = 64;

/// The positions of an invocation, the most first: as many as run, for then a weight is used for each of them.
pub(crate) const HEIGHTS: [usize; 3] = [8, 4, 1];

/// The struct `Step` of types.wgsl.
#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct Params {
    previous_row: u32,
    current_row: u32,
    projected_row: u32,
    positions: u32,
    units: u32,
    output: u32,
    hidden_stride: u32,
    cell_stride: u32,
    hidden_pitch: u32,
    projected_pitch: u32,
    cell_pitch: u32,
    first_k: u32,
    kernel_width: u32,
}

/// The most passes of its loops that an invocation makes for a cell.
pub(crate) fn passes(cell: &Cell) -> usize {
    let (units, output) = (cell.units, cell.output);
    match cell.obstacle() {
        Some(_) => units.div_ceil(ROWWISE_UNITS) * (2 * units.max(output) + 8),
        None => units * (1 + HEIGHTS[0]),
    }
}

/// How one step is shared out.
#[derive(Debug)]
enum Variant {
    /// One invocation for a unit of several positions; one pipeline for each of [`HEIGHTS`].
    Elementwise([Arc<Pipeline>; HEIGHTS.len()]),
    /// One workgroup for a position.
    Rowwise(Arc<Pipeline>),
}

/// The strategy `step`.
#[derive(Debug)]
pub(crate) struct RecurrentStep {
    variant: Variant,
    units: usize,
    output: usize,
    directions: usize,
    first_k: usize,
    kernel_width: usize,
}

impl RecurrentStep {
    fn make(gpu: &Gpu, cells: &Cells<'_>) -> Self {
        let elementwise = |rows: usize| gpu.pipeline_for(&SHADER, cells.variant(&[rows as u32]));
        Self {
            variant: match cells.cell.obstacle() {
                Some(_) => Variant::Rowwise(gpu.pipeline_for(&ROWWISE, cells.variant(&[]))),
                None => Variant::Elementwise(HEIGHTS.map(elementwise)),
            },
            units: cells.cell.units,
            output: cells.cell.output,
            directions: cells.directions,
            first_k: cells.first_k,
            kernel_width: cells.kernel_width,
        }
    }

    /// The rows that a dispatch with these parameters runs.
    fn rows_run(&self, params: &Params) -> usize {
        self.directions * params.positions as usize
    }
}

impl Ready for RecurrentStep {
    fn binds(&self) -> (&'static Shader, &Pipeline) {
        match &self.variant {
            Variant::Elementwise([first, ..]) => (&SHADER, first),
            Variant::Rowwise(pipeline) => (&ROWWISE, pipeline),
        }
    }

    fn suits(&self, gpu: &Gpu, _positions: usize) -> Option<&'static str> {
        Some(match gpu.info().device_type {
            wgpu::DeviceType::Cpu => "on a software adapter so large a step is worth all threads",
            _ => "every GPU and every size can be run by it",
        })
    }

    fn dispatches(&self, _positions: usize, steps: usize) -> usize {
        steps
    }

    fn record(&self, commands: &mut Commands, group: &Group, chunk: &Chunk<'_>) {
        let across = self.directions * self.units.div_ceil(UNITS_PER_WORKGROUP);
        for step in chunk.steps.clone() {
            let active = chunk.active(step);
            let params = Params {
                previous_row: chunk.previous_row(step) as u32,
                current_row: chunk.current_row(step) as u32,
                projected_row: chunk.projected_row(step) as u32,
                positions: active as u32,
                units: self.units as u32,
                output: self.output as u32,
                hidden_stride: padded(self.output) as u32,
                cell_stride: padded(self.units) as u32,
                hidden_pitch: chunk.hidden_pitch as u32,
                projected_pitch: chunk.projected_pitch as u32,
                cell_pitch: chunk.batch as u32,
                first_k: self.first_k as u32,
                kernel_width: self.kernel_width as u32,
            };
            match &self.variant {
                Variant::Elementwise(pipelines) => {
                    let fits = HEIGHTS.into_iter().zip(pipelines).find(|&(height, _)| height <= active);
                    if let Some((height, pipeline)) = fits {
                        let workgroups = Workgroups::Across(across as u32, active.div_ceil(height) as u64);
                        commands.dispatch_rows(self.rows_run(&params), pipeline, &group.group, params, workgroups);
                    }
                }
                Variant::Rowwise(pipeline) => {
                    let workgroups = Workgroups::Flat(active as u64);
                    commands.dispatch_rows(self.rows_run(&params), pipeline, &group.group, params, workgroups);
                }
            }
        }
    }
}
