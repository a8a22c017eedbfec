//! `recurrent_step`: one dispatch for each time step, product, lanes and state update in one shader.

use std::sync::Arc;

use crate::cell::Cell;
use crate::gpu::commands::{Commands, Workgroups};
use crate::gpu::device::Gpu;
use crate::gpu::shader::{Key, Pipeline, Shader, reads, writes};
use crate::gpu::strategy::chunk::Chunk;
use crate::gpu::strategy::entry::{Cells, Entry, Group, Probing, Ready, Work};
use crate::gpu::strategy::later::Later;
use crate::gpu::strategy::step_forms::{Kind, StepForm, StepForms};
use crate::gpu::strategy::step_layer::{Allowed, Layer};
use crate::gpu::strategy::step_matrix::StepMatrix;
use crate::gpu::strategy::step_params::Params;
use crate::gpu::strategy::step_wide;
use crate::gpu::weights::class_of;
use crate::settings::Strategy;

pub(crate) const ENTRY: Entry = Entry {
    name: Strategy::Step,
    waits: false,
    prepare: |gpu, cells| Ok(Box::new(RecurrentStep::make(gpu, cells))),
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
    constants: &["ROWS", "BLOCK", "SHARES"],
};

/// The same on a GPU, for few positions,
pub(crate) const SPLIT: Shader = Shader {
    name: "recurrent_step_split",
    source: include_str!("../../../shaders/recurrent_step_split.wgsl"),
    shared: &[include_str!("../../../shaders/shared/step_rows.wgsl")],
    constants: &[
        "UNITS",
        "TILE",
        "PARTS",
        "QUADS",
        "LOADS",
        "KEPT",
        "PART_QUADS",
        "PART_REST",
        "GROUPS",
        "GROUP",
        "IS_ONE",
        "IS_FOUR",
    ],
    ..SHADER
};

/// and for many.
pub(crate) const TILE: Shader = Shader {
    name: "recurrent_step_tile",
    source: include_str!("../../../shaders/recurrent_step_tile.wgsl"),
    shared: &[include_str!("../../../shaders/shared/step_fours.wgsl")],
    constants: &["UNITS", "ROWS", "LOADS"],
    ..SHADER
};

/// For many positions and units, where subgroups are of a known size.
pub(crate) const WIDE: Shader = Shader {
    name: "recurrent_step_wide",
    source: include_str!("../../../shaders/recurrent_step_wide.wgsl"),
    shared: &[include_str!("../../../shaders/shared/step_wide.wgsl")],
    constants: &[
        "UNITS",
        "BLOCK",
        "GROUP",
        "LANES_OF_SUBGROUP",
        "SPLIT",
        "TILES",
        "IS_FULL",
        "IS_EVEN",
        "FOURS",
        "LOADS",
    ],
    ..SHADER
};

/// What [`ROWWISE`] shares with the same step in training.
pub(crate) const REDUCE: &str = include_str!("../../../shaders/shared/reduce.wgsl");
pub(crate) const STEP_PLACE: &str = include_str!("../../../shaders/shared/step_place.wgsl");

/// The same for cells with an obstacle ([`Cell::obstacle`]).
pub(crate) const ROWWISE: Shader = Shader {
    name: "recurrent_step_rowwise",
    source: include_str!("../../../shaders/recurrent_step_rowwise.wgsl"),
    shared: &[
        REDUCE,
        STEP_PLACE,
        include_str!("../../../shaders/shared/left_whole.wgsl"),
    ],
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

/// The most passes of its loops that an invocation makes for a cell.
pub(crate) fn passes(cell: &Cell) -> usize {
    match cell.obstacle() {
        Some(_) => rowwise_passes(cell),
        None => cell.units,
    }
}

/// Those of the rowwise shader.
pub(crate) fn rowwise_passes(cell: &Cell) -> usize {
    cell.units.div_ceil(ROWWISE_UNITS) * (2 * cell.units.max(cell.output) + 8)
}

/// How one step is shared out.
#[derive(Debug)]
enum Shared {
    /// On a GPU, by the form that is the fastest for the positions that run.
    Forms(Box<Made>),
    /// One invocation for a unit of several positions; one pipeline for each of [`HEIGHTS`].
    Elementwise([Arc<Pipeline>; HEIGHTS.len()]),
    /// One workgroup for a position.
    Rowwise(Arc<Pipeline>),
}

/// The forms of a GPU, with their pipelines.
#[derive(Debug)]
struct Made {
    forms: StepForms,
    slots: Vec<Later>,
    /// The form for a single position, which any batch may come to.
    first: (StepForm, Arc<Pipeline>),
    /// For many positions in relaxed precision.
    matrix: Option<StepMatrix>,
}

impl Made {
    fn new(gpu: &Gpu, cells: &Cells<'_>, forms: StepForms) -> Option<Self> {
        let slot = |&form: &StepForm| Later::new(shader_of(form), cells.variant(&form.constants(forms.layer())));
        let slots: Vec<Later> = forms.all().iter().map(slot).collect();
        let (number, first) = forms.by_positions(1)?;
        Some(Self {
            first: (first, slots.get(number)?.make(gpu)),
            matrix: StepMatrix::make(gpu, cells, forms.layer()),
            forms,
            slots,
        })
    }

    /// The form for so many positions, with its pipeline.
    fn form(&self, positions: usize) -> (StepForm, Arc<Pipeline>) {
        let (first, pipeline) = &self.first;
        let found = self.forms.by_positions(positions);
        let found = found.and_then(|(number, form)| Some((form, self.slots.get(number)?.get()?)));
        found.unwrap_or_else(|| (*first, Arc::clone(pipeline)))
    }

    /// A step of so many positions by matrices, if that is worth it and its pipeline was made.
    fn by_matrices(&self, positions: usize) -> Option<(Arc<Pipeline>, Workgroups)> {
        self.matrix.as_ref()?.dispatch(positions, &self.forms)
    }

    fn make_for(&self, gpu: &Gpu, sequences: usize) {
        let needed = match &self.matrix {
            Some(matrix) => matrix.make_forms(gpu, sequences, &self.forms),
            None => self.forms.needed(sequences),
        };
        let needed = self.slots.iter().zip(needed).filter(|(_, needed)| *needed);
        needed.for_each(|(slot, _)| {
            slot.make(gpu);
        });
    }

    fn forget(&self, known: &[Key]) {
        self.slots.iter().for_each(|slot| slot.forget(known));
        if let Some(matrix) = &self.matrix {
            matrix.forget(known);
        }
    }

    /// The seconds of a step of so many positions.
    fn seconds(&self, positions: usize) -> Option<f64> {
        let by_matrices = self.matrix.as_ref();
        let best = by_matrices.and_then(|matrix| matrix.best(positions, &self.forms));
        best.map(|(_, seconds)| seconds)
            .or_else(|| self.forms.seconds(positions))
    }
}

fn shader_of(form: StepForm) -> &'static Shader {
    match form.kind {
        Kind::Split { .. } => &SPLIT,
        Kind::Tile => &TILE,
        Kind::Wide(_) => &WIDE,
    }
}

/// What the forms of a GPU have to know of cells; `None` where they cannot run them: the texts count on rows and columns up to
/// the size class, and on the whole of the recurrent kernel.
pub(crate) fn layer_of(cells: &Cells<'_>) -> Option<Layer> {
    let lanes = cells.cell.lanes().len();
    let is_whole = cells.first_k == 0 && cells.kernel_width == class_of(cells.cell);
    (is_whole && cells.cell.obstacle().is_none()).then_some(Layer {
        directions: cells.directions,
        units: cells.cell.units,
        width: cells.kernel_width,
        lanes,
        weight_bytes: cells.form.bytes(lanes) as usize,
    })
}

/// The strategy `step`.
#[derive(Debug)]
pub(crate) struct RecurrentStep {
    shared: Shared,
    units: usize,
    output: usize,
    directions: usize,
    first_k: usize,
    kernel_width: usize,
}

impl RecurrentStep {
    fn make(gpu: &Gpu, cells: &Cells<'_>) -> Self {
        let few = |(layer, numbers)| {
            let allowed = Allowed::by(gpu.limits());
            let mut all = StepForm::all(layer, allowed);
            all.extend(StepForm::wide(layer, allowed, step_wide::lanes(gpu)));
            StepForms::few(layer, numbers, &all)
        };
        let forms = layer_of(cells).zip(cells.numbers).and_then(few);
        match forms.and_then(|forms| Made::new(gpu, cells, forms)) {
            Some(made) => Self::by(cells, Shared::Forms(Box::new(made))),
            None => Self::kept(gpu, cells),
        }
    }

    /// By the texts that run everywhere.
    fn kept(gpu: &Gpu, cells: &Cells<'_>) -> Self {
        let [block, shares] = gpu.shared_in_software().map_or([1, 0], |block| [block, 1]);
        let elementwise = |rows: usize| gpu.pipeline_for(&SHADER, cells.variant(&[rows as u32, block, shares]));
        let shared = match cells.cell.obstacle() {
            Some(_) => Shared::Rowwise(gpu.pipeline_for(&ROWWISE, cells.variant(&[]))),
            None => Shared::Elementwise(HEIGHTS.map(elementwise)),
        };
        Self::by(cells, shared)
    }

    fn by(cells: &Cells<'_>, shared: Shared) -> Self {
        Self {
            shared,
            units: cells.cell.units,
            output: cells.cell.output,
            directions: cells.directions,
            first_k: cells.first_k,
            kernel_width: cells.kernel_width,
        }
    }

    fn params(&self, chunk: &Chunk<'_>, step: usize) -> Params {
        Params::new(
            (chunk, step),
            [self.units, self.output],
            (self.first_k, self.kernel_width),
        )
    }

    /// A step of so many positions: the pipeline, and its workgroups. `None` where nothing is to be done.
    fn dispatch(&self, active: usize) -> Option<(Arc<Pipeline>, Workgroups)> {
        let across = |units: usize, rows: usize| {
            let across = self.directions * self.units.div_ceil(units);
            Workgroups::Across(across as u32, active.div_ceil(rows) as u64)
        };
        match &self.shared {
            _ if active == 0 => None,
            Shared::Forms(made) => made.by_matrices(active).or_else(|| {
                let (form, pipeline) = made.form(active);
                Some((pipeline, across(form.tile, form.rows)))
            }),
            Shared::Elementwise(pipelines) => {
                let mut heights = HEIGHTS.into_iter().zip(pipelines);
                let (height, pipeline) = heights.find(|&(height, _)| height <= active)?;
                Some((Arc::clone(pipeline), across(UNITS_PER_WORKGROUP, height)))
            }
            Shared::Rowwise(pipeline) => Some((Arc::clone(pipeline), Workgroups::Flat(active as u64))),
        }
    }

    /// The rows that a dispatch with these parameters runs.
    fn rows_run(&self, params: &Params) -> usize {
        self.directions * params.positions as usize
    }
}

impl Ready for RecurrentStep {
    fn binds(&self) -> (&'static Shader, &Pipeline) {
        match &self.shared {
            Shared::Forms(made) => (shader_of(made.first.0), &made.first.1),
            Shared::Elementwise([first, ..]) => (&SHADER, first),
            Shared::Rowwise(pipeline) => (&ROWWISE, pipeline),
        }
    }

    fn make_room<'a>(&'a self, gpu: &'a Gpu, batch: usize) -> Option<Probing<'a>> {
        let Shared::Forms(made) = &self.shared else {
            return None;
        };
        let matrix = made.matrix.as_ref()?;
        Some(Box::pin(async move {
            matrix.try_forms(gpu, batch, &made.forms).await;
            Ok(())
        }))
    }

    fn make_for(&self, gpu: &Gpu, sequences: usize) {
        if let Shared::Forms(made) = &self.shared {
            made.make_for(gpu, sequences);
        }
    }

    fn forget(&self, known: &[Key]) {
        if let Shared::Forms(made) = &self.shared {
            made.forget(known);
        }
    }

    fn says(&self) -> Option<String> {
        let Shared::Forms(made) = &self.shared else {
            return None;
        };
        Some(made.matrix.as_ref()?.line(&made.forms))
    }

    fn suits(&self, gpu: &Gpu, _positions: usize) -> Option<&'static str> {
        Some(match gpu.info().device_type {
            wgpu::DeviceType::Cpu => "on a software adapter so large a step is worth all threads",
            _ => "every GPU and every size can be run by it",
        })
    }

    fn seconds(&self, work: Work) -> Option<f64> {
        let Shared::Forms(made) = &self.shared else {
            return None;
        };
        let positions = work.rows.div_ceil(work.steps.max(1));
        Some(work.steps as f64 * made.seconds(positions)?)
    }

    fn dispatches(&self, _positions: usize, steps: usize) -> usize {
        steps
    }

    fn record(&self, commands: &mut Commands, group: &Group, chunk: &Chunk<'_>) {
        for step in chunk.steps.clone() {
            if let Some((pipeline, workgroups)) = self.dispatch(chunk.active(step)) {
                let params = self.params(chunk, step);
                commands.dispatch_rows(self.rows_run(&params), &pipeline, &group.group, params, workgroups);
            }
        }
    }
}

#[cfg(test)]
#[path = "step_tests.rs"]
mod tests;
