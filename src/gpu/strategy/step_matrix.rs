//! `recurrent_step_matrix`: a step of many positions in relaxed precision by the matrix units of a GPU.

use std::sync::Arc;

use crate::gpu::commands::Workgroups;
use crate::gpu::device::Gpu;
use crate::gpu::shader::{Key, Pipeline, Shader, reads, writes};
use crate::gpu::strategy::entry::Cells;
use crate::gpu::strategy::later::Later;
use crate::gpu::strategy::step;
use crate::gpu::weights::Form;

pub(crate) const SHADER: Shader = Shader {
    name: "recurrent_step_matrix",
    source: include_str!("../../../shaders/recurrent_step_matrix.wgsl"),
    shared: &[],
    runs_cell: true,
    params: ("Step", size_of::<step::Params>()),
    bindings: &[
        reads("recurrent_kernel"),
        reads("projected"),
        writes("hidden"),
        writes("cell_state"),
        writes("halves"),
    ],
    constants: &[
        "UNITS",
        "ROWS",
        "QUADS",
        "SLAB",
        "PLACES",
        "IS_SINGLE",
        "AHEAD",
        "PARTS",
        "HIGH",
        "WIDE",
        "DEEP",
        "INVOCATIONS",
        "H_LOADS",
        "W_LOADS",
        "FROM_HALVES",
        "FROM_FLOATS",
        "BY_ROW",
        "BY_ONE",
    ],
};

/// The side of a matrix, and the invocations of a subgroup.
const SIDE: usize = 16;
const SUBGROUP: usize = 32;

/// From so many positions on.
const POSITIONS: usize = 33;

/// How a step is shared out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MatrixForm {
    /// Positions of a workgroup,
    pub(crate) rows: usize,
    /// and its fours of units, which are matrices of columns.
    pub(crate) quads: usize,
    /// k of a slab.
    pub(crate) slab: usize,
    /// Slabs that find room in workgroup memory at once.
    pub(crate) places: usize,
    /// Slabs that wait in registers.
    pub(crate) ahead: usize,
    /// Parts of k.
    pub(crate) parts: usize,
    /// The matrices of a subgroup: from row to row,
    pub(crate) high: usize,
    /// and from column to column.
    pub(crate) wide: usize,
}

impl MatrixForm {
    fn subgroups(self) -> usize {
        self.parts * (self.rows / SIDE / self.high) * (self.quads / self.wide)
    }

    pub(crate) fn invocations(self) -> usize {
        SUBGROUP * self.subgroups()
    }

    /// The bytes of workgroup memory with so many matrices of sums of a subgroup.
    pub(crate) fn bytes(self, held: usize) -> usize {
        let h = self.rows * (self.slab / 4 + 2) * 8;
        let weights = self.slab * (4 * self.quads + 2) * 8;
        self.places * (h + weights) + self.subgroups() * held * 4 * (SIDE * 20 + 8)
    }

    /// Whether the sums of a row of matrices go through workgroup memory at once: where that has the room.
    pub(crate) fn is_by_row(self, most_bytes: usize) -> bool {
        self.bytes(self.wide) <= most_bytes
    }

    /// Why it is none for kernels of this width, and workgroups of so many invocations and bytes.
    pub(crate) fn check(self, width: usize, [invocations, bytes]: [usize; 2]) -> Result<(), &'static str> {
        let Self {
            rows,
            quads,
            slab,
            parts,
            high,
            wide,
            places,
            ahead,
        } = self;
        if [rows, quads, slab, ahead, parts, high, wide].contains(&0) || ![1, 2].contains(&places) {
            return Err("a size of zero");
        }
        if !rows.is_multiple_of(SIDE * high) || !quads.is_multiple_of(wide) || !slab.is_multiple_of(SIDE * parts) {
            return Err("matrices that do not fill it");
        }
        if !width.is_multiple_of(slab * ahead) || !width.is_multiple_of(4 * quads) {
            return Err("a width that it does not fill");
        }
        let all = self.invocations();
        if all < rows * quads || !(rows * slab / 4).is_multiple_of(all) || !(slab * 4 * quads).is_multiple_of(all) {
            return Err("invocations that have nothing to load, or too few of them");
        }
        match all <= invocations && self.bytes(1) <= bytes {
            true => Ok(()),
            false => Err("workgroups that are too small"),
        }
    }

    /// The constants of the text.
    pub(crate) fn constants(self, width: usize, from_halves: bool, by_row: bool) -> Vec<u32> {
        let all = self.invocations();
        [
            width,
            self.rows,
            self.quads,
            self.slab,
            self.places,
            usize::from(self.places == 1),
            self.ahead,
            self.parts,
            self.high,
            self.wide,
            self.slab / SIDE / self.parts,
            all,
            self.rows * self.slab / 4 / all,
            self.slab * 4 * self.quads / all,
            usize::from(from_halves),
            usize::from(!from_halves),
            usize::from(by_row),
            usize::from(!by_row),
        ]
        .map(|constant| constant as u32)
        .into()
    }
}

/// The text with its pipelines.
#[derive(Debug)]
pub(crate) struct StepMatrix {
    form: MatrixForm,
    shader: &'static Shader,
    /// The first step of a chunk, and those that follow.
    first: Later,
    next: Later,
    directions: usize,
    width: usize,
}

impl StepMatrix {
    /// `None` where it was not asked for, or a device or cells cannot run it.
    pub(crate) fn make(gpu: &Gpu, cells: &Cells<'_>) -> Option<Self> {
        let asked = std::env::var("SWEEP_MATRIX_STEP").ok()?; // SWEEP
        if !gpu.has_matrices() || cells.form != Form::Half {
            eprintln!("matrix step: no matrices, or no halves"); // SWEEP
            return None;
        }
        let numbers: Vec<usize> = asked.split(',').filter_map(|number| number.parse().ok()).collect(); // SWEEP
        let &[rows, quads, slab, places, ahead, parts, high, wide] = numbers.as_slice() else {
            eprintln!("matrix step: {asked} are not eight numbers"); // SWEEP
            return None;
        };
        let form = MatrixForm {
            rows,
            quads,
            slab,
            places,
            ahead,
            parts,
            high,
            wide,
        };
        match Self::by(gpu, cells, form, &SHADER) {
            Ok(made) => Some(made),
            Err(why) => {
                eprintln!("matrix step: {form:?}: {why}"); // SWEEP
                None
            }
        }
    }

    /// By a shader that computes this, for cells whose weights are halves.
    pub(crate) fn by(
        gpu: &Gpu,
        cells: &Cells<'_>,
        form: MatrixForm,
        shader: &'static Shader,
    ) -> Result<Self, &'static str> {
        let layer = step::layer_of(cells).ok_or("cells with an obstacle")?;
        let limits = gpu.limits();
        let invocations = limits
            .max_compute_invocations_per_workgroup
            .min(limits.max_compute_workgroup_size_x);
        let bytes = limits.max_compute_workgroup_storage_size as usize;
        form.check(layer.width, [invocations as usize, bytes])?;
        let by_row = form.is_by_row(bytes);
        let later = |from_halves| Later::new(shader, cells.variant(&form.constants(layer.width, from_halves, by_row)));
        let keeps_halves = std::env::var_os("SWEEP_MATRIX_FLOATS").is_none(); // SWEEP
        Ok(Self {
            form,
            shader,
            first: later(false),
            next: later(keeps_halves),
            directions: layer.directions,
            width: layer.width,
        })
    }

    pub(crate) fn make_for(&self, gpu: &Gpu, sequences: usize) {
        if sequences >= POSITIONS {
            self.first.make(gpu);
            self.next.make(gpu);
        }
    }

    pub(crate) fn forget(&self, known: &[Key]) {
        self.first.forget(known);
        self.next.forget(known);
    }

    pub(crate) fn binds(&self) -> Option<(&'static Shader, Arc<Pipeline>)> {
        Some((self.shader, self.first.get()?))
    }

    /// The bytes of the rounded h of two steps.
    pub(crate) fn halves_bytes(&self, batch: usize) -> u64 {
        match batch >= POSITIONS {
            true => (2 * 2 * self.directions * batch * self.width) as u64,
            false => 0,
        }
    }

    /// The pipeline and the workgroups of a step of so many positions; `None` if another form runs it. Before it there may be such a step
    /// in the same chunk.
    pub(crate) fn dispatch(&self, active: usize, follows: bool) -> Option<(Arc<Pipeline>, Workgroups)> {
        if active < POSITIONS {
            return None;
        }
        let pipeline = if follows { self.next.get() } else { self.first.get() }?;
        let across = self.directions * self.width / (4 * self.form.quads);
        let along = active.div_ceil(self.form.rows);
        Some((pipeline, Workgroups::Across(across as u32, along as u64)))
    }
}
