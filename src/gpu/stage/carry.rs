//! `carry`: a mask that only the GPU knows. The recurrence runs every step of every sequence, and what does not count is undone.

use std::ops::Range;
use std::sync::Arc;

use bytemuck::{Pod, Zeroable};

use crate::gpu::commands::{Begin, Commands, Workgroups};
use crate::gpu::device::Gpu;
use crate::gpu::device::buffer::Use;
use crate::gpu::rows::{RowsSize, VALUE};
use crate::gpu::shader::{Pipeline, Shader, reads, writes};
use crate::gpu::strategy::chunk::Chunk;
use crate::model::plan::{Operation, Plan};

pub(crate) const SHADER: Shader = Shader {
    name: "carry",
    source: include_str!("../../../shaders/carry.wgsl"),
    shared: &[],
    runs_cell: false,
    params: ("Carry", size_of::<Params>()),
    bindings: &[reads("mask"), writes("hidden"), writes("cell_state"), writes("kept")],
    constants: &[],
};

const INVOCATIONS: u64 = 256;

/// The struct `Carry` of types.wgsl.
#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct Params {
    operation: u32,
    mask_kind: u32,
    time_steps: u32,
    batch: u32,
    first_step: u32,
    count: u32,
    directions: u32,
    backward: u32,
    zeroed: u32,
    previous_row: u32,
    current_row: u32,
    output: u32,
    units: u32,
    hidden_stride: u32,
    hidden_pitch: u32,
    cell_stride: u32,
}

const CARRY: u32 = 0;
const ZERO: u32 = 1;

/// What a mask on the GPU consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum MaskKind {
    /// A u32 for each sequence: so many of its steps count, from the first on.
    Lengths = 0,
    /// A byte for each step, (batch, time_steps): not 0 where it counts.
    Bytes = 1,
}

/// A mask in a buffer of the application, and what it means for the cells.
#[derive(Clone, Debug)]
pub(crate) struct GpuMask {
    pub(crate) kind: MaskKind,
    pub(crate) buffer: wgpu::Buffer,
    pub(crate) offset: u64,
    pub(crate) bytes: u64,
    pub(crate) time_steps: usize,
    /// For each cell of the plan; none for one that sees all steps.
    pub(crate) cells: Vec<Option<MaskedCell>>,
}

/// A cell that sees the mask of the batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct MaskedCell {
    /// Whether it runs from the last time step to the first.
    is_backward: bool,
    /// Whether its output is zero at steps that do not count; else it is the output before.
    is_zeroed: bool,
}

/// Which cells of a plan see the mask of the batch.
pub(crate) fn masked_cells(plan: &Plan) -> Vec<Option<MaskedCell>> {
    let mut masked = vec![None; plan.cells.len()];
    let mut set = |cell: usize, is_backward, is_zeroed| {
        if let Some(place) = masked.get_mut(cell) {
            *place = Some(MaskedCell { is_backward, is_zeroed });
        }
    };
    for operation in &plan.operations {
        match operation {
            Operation::Recurrent { cells, options } => {
                for (number, &cell) in (1..).zip(cells) {
                    // only the last one shows its output
                    let is_zeroed = options.zero_output_for_mask && number == cells.len();
                    set(cell, options.go_backwards, is_zeroed);
                }
            }
            Operation::Bidirectional {
                forward,
                backward,
                options,
                ..
            } => {
                // Keras sets zero_output_for_mask of both layers to their return_sequences
                set(*forward, false, options.return_sequences);
                set(*backward, true, options.return_sequences);
            }
            // behind them all steps count
            Operation::RepeatVector { .. } | Operation::Reshape { .. } | Operation::LastStep | Operation::EndMask => {
                break;
            }
            Operation::Masking { .. }
            | Operation::Embedding { .. }
            | Operation::Dense { .. }
            | Operation::Transform { .. }
            | Operation::Dropout { .. }
            | Operation::Nothing => {}
        }
    }
    masked
}

/// The buffers of a recurrence, as it runs.
pub(crate) struct OfRecurrence<'a> {
    /// Its cells.
    pub(crate) cells: &'a [usize],
    pub(crate) rows: &'a RowsSize,
    pub(crate) hidden: &'a [wgpu::Buffer],
    pub(crate) cell_state: &'a wgpu::Buffer,
    /// The values of c of a sequence, and from one to the next; none where there is no such state.
    pub(crate) cell_width: (usize, usize),
    pub(crate) batch: usize,
}

/// A recurrence under a mask that only the GPU knows.
#[derive(Debug)]
pub(crate) struct Carry {
    pipeline: Arc<Pipeline>,
    /// One for each buffer of the rows.
    groups: Vec<wgpu::BindGroup>,
    /// c after the last step that counted; then for each sequence of each direction one more than its first step that counted, 0 before.
    kept: wgpu::Buffer,
    kept_bytes: u64,
    cell_state: wgpu::Buffer,
    cell_bytes: u64,
    params: Params,
}

impl Carry {
    /// `None` for cells that see all steps.
    pub(crate) fn make((gpu, params): (&Gpu, &wgpu::Buffer), mask: &GpuMask, of: &OfRecurrence<'_>) -> Option<Self> {
        let directions = of.cells.len();
        let masked: Option<Vec<MaskedCell>> = of.cells.iter().map(|&cell| *mask.cells.get(cell)?).collect();
        let masked = masked?;
        let flags = |is_set: fn(&MaskedCell) -> bool| {
            let set = (0..).zip(&masked).filter(|(_, cell)| is_set(cell));
            set.map(|(direction, _)| 1_u32 << direction).sum()
        };
        let (units, cell_stride) = of.cell_width;
        let cell_bytes = (directions * of.batch * cell_stride) as u64 * VALUE;
        let kept_bytes = cell_bytes + (directions * of.batch * size_of::<u32>()) as u64;
        let kept = gpu.make_buffer("kept", kept_bytes, Use::Storage);
        let pipeline = gpu.pipeline(&SHADER, &[]);
        let group = |hidden: &wgpu::Buffer| {
            let bound = wgpu::BufferBinding {
                buffer: &mask.buffer,
                offset: mask.offset,
                size: std::num::NonZeroU64::new(mask.bytes),
            };
            let rest = [hidden, of.cell_state, &kept].map(wgpu::Buffer::as_entire_buffer_binding);
            gpu.make_bind_group_of_parts("carry", &pipeline, params, [bound].into_iter().chain(rest))
        };
        Some(Self {
            groups: of.hidden.iter().map(group).collect(),
            cell_state: of.cell_state.clone(),
            cell_bytes,
            params: Params {
                mask_kind: mask.kind as u32,
                time_steps: mask.time_steps as u32,
                batch: of.batch as u32,
                directions: directions as u32,
                backward: flags(|cell| cell.is_backward),
                zeroed: flags(|cell| cell.is_zeroed),
                output: of.rows.width as u32,
                units: units as u32,
                hidden_stride: of.rows.stride as u32,
                hidden_pitch: of.rows.pitch() as u32,
                cell_stride: cell_stride as u32,
                ..Params::default()
            },
            pipeline,
            kept,
            kept_bytes,
        })
    }

    /// Before the first step: c of sequences that do not run it is what it begins with, and no step has counted.
    pub(crate) fn begin(&self, commands: &mut Commands) {
        commands.first.clear(&self.kept, 0..self.kept_bytes);
        commands.only_from(Begin::States, |commands| {
            commands.list.copy(&self.cell_state, 0..self.cell_bytes, &self.kept, 0);
        });
    }

    /// Behind a step of all sequences.
    pub(crate) fn record(&self, commands: &mut Commands, segment: usize, chunk: &Chunk<'_>, step: usize) {
        let params = Params {
            operation: CARRY,
            first_step: step as u32,
            count: chunk.active(step) as u32,
            previous_row: chunk.previous_row(step) as u32,
            current_row: chunk.current_row(step) as u32,
            ..self.params
        };
        self.dispatch(commands, segment, params);
    }

    /// Behind all steps of a segment, and of those behind it, and behind all that reads the states: outputs that do not count are
    /// zero where the layer says so, and before the first step that counts, where h is that of the beginning.
    pub(crate) fn end(&self, commands: &mut Commands, segment: usize, steps: &Range<usize>) {
        let params = Params {
            operation: ZERO,
            first_step: steps.start as u32,
            count: steps.len() as u32 * self.params.batch,
            current_row: self.params.batch,
            ..self.params
        };
        match self.params.zeroed {
            // where it begins with zeros they are zero already
            0 => commands.only_from(Begin::States, |commands| self.dispatch(commands, segment, params)),
            _ => self.dispatch(commands, segment, params),
        }
    }

    fn dispatch(&self, commands: &mut Commands, segment: usize, params: Params) {
        let columns = u64::from(params.output.max(params.units));
        let values = columns * u64::from(params.count) * u64::from(params.directions);
        if let Some(group) = self.groups.get(segment).filter(|_| values > 0) {
            let workgroups = Workgroups::Flat(values.div_ceil(INVOCATIONS));
            commands.dispatch(&self.pipeline, group, params, workgroups);
        }
    }
}
