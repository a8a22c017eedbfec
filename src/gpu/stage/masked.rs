//! A recurrence in training whose gates leave out inputs and hidden values of their own, of each sequence the same at every step.
//!
//! The host draws the factors of a batch; the input is projected by gates, and the steps are those of `recurrent_step_rowwise`, whatever the
//! cell, so that no strategy has to know of factors.

use std::ops::Range;
use std::sync::Arc;

use bytemuck::{Pod, Zeroable};

use crate::cell::Cell;
use crate::error::{Error, Result};
use crate::gpu::commands::{Commands, Workgroups};
use crate::gpu::device::Gpu;
use crate::gpu::device::buffer::{Use, buffer_bytes};
use crate::gpu::device::writes::Writes;
use crate::gpu::rows::{VALUE, padded};
use crate::gpu::shader::cell::CellText;
use crate::gpu::shader::{Pipeline, Shader, Variant, reads, writes};
use crate::gpu::stage::input_projection::Projection;
use crate::gpu::stage::interface::{Maker, Sizer, at};
use crate::gpu::stage::left_out::LeftOut;
use crate::gpu::stage::lists::{index_bytes, make_list, upload_list};
use crate::gpu::stage::prepared::check_passes;
use crate::gpu::strategy::chunk::Chunk;
use crate::gpu::strategy::recurrence::Recurrence;
use crate::gpu::strategy::{step, step_params};
use crate::gpu::weights::{projected_width, recurrent_values};
use crate::memory::{RUN, STEPS};
use crate::model::planned_dropout::GateDropout;
use crate::random::Noise;
use crate::schedule::Schedule;

const LEFT: &str = include_str!("../../../shaders/shared/left_masked.wgsl");

/// A step of all cells.
pub(crate) const STEP: Shader = Shader {
    name: "recurrent_step_masked",
    shared: &[step::REDUCE, step::STEP_PLACE, LEFT],
    bindings: &[
        reads("recurrent_kernel"),
        writes("projected"),
        writes("hidden"),
        writes("cell_state"),
        reads("factors"),
    ],
    constants: &["DIRECTIONS", "GATES"],
    ..step::ROWWISE
};

/// What the input gives to the lanes.
pub(crate) const PROJECTION: Shader = Shader {
    name: "masked_projection",
    source: include_str!("../../../shaders/masked_projection.wgsl"),
    shared: &[LEFT],
    runs_cell: true,
    params: ("MaskedProjection", size_of::<Params>()),
    bindings: &[
        reads("rows"),
        reads("kernel"),
        reads("bias"),
        writes("projected"),
        reads("factors"),
        reads("positions"),
    ],
    constants: &["GATES"],
};

/// The struct `MaskedProjection` of its text.
#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct Params {
    count: u32,
    target_row: u32,
    first_entry: u32,
    units: u32,
    width: u32,
    row_stride: u32,
    first_k: u32,
    last_k: u32,
    kernel_stride: u32,
    continues: u32,
}

/// What it takes.
#[derive(Debug)]
pub(crate) struct MaskedSize {
    recurrence: Arc<Recurrence>,
    /// Of each direction what its gates leave out, if they do, and the kernel of its input.
    directions: Vec<(Option<GateDropout>, Arc<Projection>)>,
    batch: usize,
    entries: usize,
}

/// What of the input is left out in one direction.
#[derive(Debug)]
struct MaskedInput {
    weights: Arc<Projection>,
    pipeline: Arc<Pipeline>,
    factors: wgpu::Buffer,
    /// One for each part of the kernel.
    groups: Vec<wgpu::BindGroup>,
}

/// The same over the buffers of a workspace.
#[derive(Debug)]
pub(crate) struct Masked {
    recurrence: Arc<Recurrence>,
    batch: usize,
    /// The position of each row.
    positions: wgpu::Buffer,
    /// Of h, by direction, position, gate and value.
    factors: wgpu::Buffer,
    step: Arc<Pipeline>,
    /// One for each buffer of h.
    groups: Vec<wgpu::BindGroup>,
    directions: Vec<(Option<GateDropout>, Option<MaskedInput>)>,
}

impl MaskedSize {
    /// Of a recurrence over so many sequences and rows; `None` where it leaves nothing out, as in every inference.
    pub(crate) fn new(
        sizer: &Sizer<'_>,
        (recurrence, cells): (&Arc<Recurrence>, &[usize]),
        (batch, entries): (usize, usize),
    ) -> Result<Option<Self>> {
        let by_gate = |&cell: &usize| sizer.prepared.cell_dropouts.get(cell).and_then(|of| of.by_gate);
        if !sizer.trains || cells.iter().all(|cell| by_gate(cell).is_none()) {
            return Ok(None);
        }
        let directions = cells
            .iter()
            .map(|cell| Ok((by_gate(cell), Arc::clone(at(&sizer.prepared.projections, *cell)?))));
        let size = Self {
            recurrence: Arc::clone(recurrence),
            directions: directions.collect::<Result<_>>()?,
            batch,
            entries,
        };
        size.check(sizer, cells)?;
        Ok(Some(size))
    }

    fn check(&self, sizer: &Sizer<'_>, cells: &[usize]) -> Result<()> {
        let recurrence = &self.recurrence;
        let cell = &recurrence.cell;
        let layer = || {
            format!(
                "{} with {} features and {} units",
                cell.class(),
                cell.features,
                cell.units
            )
        };
        let loses_input = self.directions.iter().any(|(dropout, _)| loses_input(*dropout));
        let features = if loses_input { cell.features } else { 0 };
        check_passes(sizer.gpu, layer(), step::rowwise_passes(cell).max(features))?;
        let too_large = |what: &str, needed, repair: &str| Error::TooLarge {
            what: format!("{what} of {}, with recurrent_dropout on {}", layer(), sizer.gpu.name()),
            needed,
            limit: sizer.limit,
            limit_name: "bytes, max_storage_buffer_binding_size",
            repair: repair.to_owned(),
        };
        // the steps read the whole of a recurrent kernel
        let kernel = recurrence
            .form
            .bytes(recurrent_values(cell, 0, recurrence.kernel_width));
        let is_cut = sizer
            .prepared
            .earlier_rows(cells.first().copied().unwrap_or_default())
            .is_some();
        if is_cut && kernel > sizer.limit {
            let repair = "train a layer of fewer units, or train on Device::cpu()";
            return Err(too_large("the recurrent kernel", kernel, repair));
        }
        let factors = self.of_hidden().max(if loses_input { self.of_input() } else { 0 });
        match factors <= sizer.limit {
            true => Ok(()),
            false => Err(too_large(
                "what is left out",
                factors,
                "train on fewer sequences at once, or on Device::cpu()",
            )),
        }
    }

    /// The bytes of so many factors for each sequence and gate.
    fn factors(&self, width: usize) -> u64 {
        (self.batch * self.recurrence.cell.gates()) as u64 * width as u64 * VALUE
    }

    /// Those of the factors of the input of a direction,
    fn of_input(&self) -> u64 {
        self.factors(self.recurrence.cell.features)
    }

    /// and of h, of all directions.
    fn of_hidden(&self) -> u64 {
        self.directions.len() as u64 * self.factors(self.recurrence.cell.output)
    }

    /// The bytes of its buffers.
    pub(crate) fn bytes(&self) -> u64 {
        let inputs = self
            .directions
            .iter()
            .filter(|(dropout, _)| loses_input(*dropout))
            .count();
        let list = buffer_bytes(index_bytes(self.entries));
        inputs as u64 * buffer_bytes(self.of_input()) + buffer_bytes(self.of_hidden()) + list
    }

    /// Over the buffers of h and the one of the cell state.
    pub(crate) fn make(&self, maker: &Maker<'_>, hidden: &[wgpu::Buffer], cell_state: &wgpu::Buffer) -> Masked {
        let (gpu, recurrence) = (maker.gpu, &self.recurrence);
        let label = maker.label("masked");
        let buffer = |bytes: u64| gpu.make_buffer(&label, bytes, Use::Storage);
        let variant = |constants: &[usize]| Variant {
            form: recurrence.form,
            cell: Some(CellText::of(&recurrence.cell)),
            constants: constants.iter().map(|&constant| constant as u32).collect(),
        };
        let gates = recurrence.cell.gates();
        let step = gpu.pipeline_for(&STEP, variant(&[self.directions.len(), gates]));
        let (positions, factors) = (make_list(gpu, &label, self.entries), buffer(self.of_hidden()));
        let group = |hidden| {
            let storage = [
                &recurrence.recurrent_kernel,
                maker.projected,
                hidden,
                cell_state,
                &factors,
            ];
            gpu.make_bind_group(&label, &step, maker.params, &storage)
        };
        let input = |weights: &Arc<Projection>| {
            let (pipeline, factors) = (
                gpu.pipeline_for(&PROJECTION, variant(&[gates])),
                buffer(self.of_input()),
            );
            let group = |kernel| {
                let storage = [
                    maker.gathered,
                    kernel,
                    &weights.bias,
                    maker.projected,
                    &factors,
                    &positions,
                ];
                gpu.make_bind_group(&label, &pipeline, maker.params, &storage)
            };
            MaskedInput {
                groups: weights.kernel.iter().map(|part| group(&part.buffer)).collect(),
                weights: Arc::clone(weights),
                factors,
                pipeline,
            }
        };
        let directions = self.directions.iter();
        let directions = directions.map(|(dropout, weights)| (*dropout, loses_input(*dropout).then(|| input(weights))));
        Masked {
            recurrence: Arc::clone(recurrence),
            batch: self.batch,
            groups: hidden.iter().map(group).collect(),
            directions: directions.collect(),
            positions,
            factors,
            step,
        }
    }
}

/// Whether anything is left out of the input.
fn loses_input(dropout: Option<GateDropout>) -> bool {
    dropout.is_some_and(|dropout| dropout.rates.input > 0.0)
}

impl Masked {
    /// Uploads the position of each row.
    pub(crate) fn upload_lists(&self, to: &mut dyn Writes, schedule: &Schedule) -> Result<()> {
        let mut positions = STEPS.list(schedule.rows())?;
        positions.extend((0..schedule.steps()).flat_map(|step| 0..schedule.active(step) as u32));
        upload_list(to, &self.positions, &positions);
        Ok(())
    }

    /// The factors of h of one direction.
    fn of_direction(&self) -> usize {
        self.batch * self.recurrence.cell.gates() * self.recurrence.cell.output
    }

    /// Draws what a batch leaves out. The directions have their sequences in the same order.
    pub(crate) fn draw(&self, gpu: &Gpu, noise: Noise, schedule: &Schedule) -> Result<()> {
        let Cell { features, output, .. } = self.recurrence.cell;
        let gates = self.recurrence.cell.gates();
        let upload = |buffer: &wgpu::Buffer, factors: &[f32]| {
            gpu.queue().write_buffer(buffer, 0, bytemuck::cast_slice(factors));
        };
        // a direction without a rate keeps everything
        let mut of_hidden = RUN.filled(self.directions.len() * self.of_direction(), 1.0_f32)?;
        let parts = of_hidden.chunks_exact_mut(self.of_direction().max(1));
        for ((dropout, input), factors) in self.directions.iter().zip(parts) {
            let Some(dropout) = dropout else { continue };
            dropout.of_hidden(noise, schedule.order(), (gates, output), factors);
            if let Some(input) = input {
                let mut factors = RUN.zeros(self.batch * gates * features)?;
                dropout.of_input(noise, schedule.order(), (gates, features), &mut factors);
                upload(&input.factors, &factors);
            }
        }
        upload(&self.factors, &of_hidden);
        Ok(())
    }

    /// Whether a direction leaves out anything of its input.
    pub(crate) fn loses_input(&self, direction: usize) -> bool {
        self.directions.get(direction).is_some_and(|(_, input)| input.is_some())
    }

    /// Projects gathered rows of a direction, which leaves out some of its input; `rows` are their numbers in the schedule.
    pub(crate) fn project(&self, commands: &mut Commands, direction: usize, rows: Range<usize>, target_row: usize) {
        const INVOCATIONS: u64 = 256;
        let Some((_, Some(input))) = self.directions.get(direction) else {
            return;
        };
        let Cell { features, units, .. } = self.recurrence.cell;
        let workgroups = (rows.len() as u64 * units as u64).div_ceil(INVOCATIONS);
        commands.begin_stage(PROJECTION.name);
        for (number, (part, group)) in input.weights.kernel.iter().zip(&input.groups).enumerate() {
            let params = Params {
                count: rows.len() as u32,
                target_row: target_row as u32,
                first_entry: rows.start as u32,
                units: units as u32,
                width: features as u32,
                row_stride: padded(features) as u32,
                first_k: (4 * part.vectors.start) as u32,
                last_k: features.min(4 * part.vectors.end) as u32,
                kernel_stride: (projected_width(&self.recurrence.cell) / self.recurrence.cell.lanes().len()) as u32,
                continues: u32::from(number > 0),
            };
            commands.dispatch(&input.pipeline, group, params, Workgroups::Flat(workgroups));
        }
    }

    /// Runs the steps of a chunk, whose rows lie in buffer number `segment`.
    pub(crate) fn steps(&self, commands: &mut Commands, segment: usize, chunk: &Chunk<'_>) {
        let Some(group) = self.groups.get(segment) else {
            return;
        };
        let cell = &self.recurrence.cell;
        commands.begin_stage(STEP.name);
        for step in chunk.steps.clone().filter(|&step| chunk.active(step) > 0) {
            let kernel = (0, self.recurrence.kernel_width);
            let params = step_params::Params::new((chunk, step), [cell.units, cell.output], kernel);
            let rows = self.directions.len() * params.positions as usize;
            commands.dispatch_rows(rows, &self.step, group, params, Workgroups::Flat(rows as u64));
        }
    }

    /// What a direction has left out; `None` where its gates leave out nothing of their own.
    pub(crate) fn left_out(&self, direction: usize) -> Option<LeftOut<'_>> {
        let (Some(_), input) = self.directions.get(direction)? else {
            return None;
        };
        Some(LeftOut {
            positions: &self.positions,
            of_hidden: (&self.factors, direction * self.of_direction()),
            of_input: input.as_ref().map(|input| &input.factors),
        })
    }
}
