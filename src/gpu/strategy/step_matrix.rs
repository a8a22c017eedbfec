//! `recurrent_step_matrix`: a step of many positions in relaxed precision by the matrix units of a GPU.
//!
//! It computes what the other forms of a step compute with halves, but for h, which is rounded to halves too where it is multiplied. Each form
//! is taken only after a step on the device was compared with the same one on the host (`step_trial`).

use std::sync::{Arc, OnceLock};

use crate::gpu::commands::Workgroups;
use crate::gpu::device::Gpu;
use crate::gpu::shader::{Key, Pipeline, Shader};
use crate::gpu::strategy::entry::Cells;
use crate::gpu::strategy::later::Later;
use crate::gpu::strategy::numbers::Numbers;
use crate::gpu::strategy::step;
use crate::gpu::strategy::step_forms::{Allowed, Layer, POSITIONS, StepForms};
use crate::gpu::strategy::step_trial;
use crate::gpu::weights::Form;

pub(crate) const SHADER: Shader = Shader {
    name: "recurrent_step_matrix",
    source: include_str!("../../../shaders/recurrent_step_matrix.wgsl"),
    shared: &[include_str!("../../../shaders/shared/step_matrix.wgsl")],
    constants: &[
        "UNITS", "ROWS", "QUADS", "SLAB", "PARTS", "HIGH", "DEEP", "H_LOADS", "W_LOADS",
    ],
    ..step::SHADER
};

/// The side of a matrix, the invocations of a subgroup and those of a workgroup.
const SIDE: usize = 16;
const SUBGROUP: usize = 32;
const INVOCATIONS: usize = 256;

/// k of a slab; the first that fits.
const SLABS: [usize; 2] = [128, 64];

/// Fewer positions fill not even half of the rows of a matrix.
const FEWEST: usize = 8;

/// It has to save so much of the time by the other forms, since it rounds h.
const SAVES: f64 = 0.9;

/// How a step is shared out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MatrixForm {
    /// Positions of a workgroup,
    pub(crate) rows: usize,
    /// and its fours of units, which are matrices of columns.
    pub(crate) quads: usize,
    /// k of a slab.
    pub(crate) slab: usize,
    /// Parts of k.
    pub(crate) parts: usize,
    /// Matrices of a subgroup from row to row; from column to column there are two.
    pub(crate) high: usize,
}

impl MatrixForm {
    /// Those that were the fastest of twenty on an H200: for many positions and units, and for fewer.
    const FASTEST: [Self; 2] = [
        Self {
            rows: 64,
            quads: 4,
            slab: 128,
            parts: 2,
            high: 2,
        },
        Self {
            rows: 32,
            quads: 2,
            slab: 128,
            parts: 4,
            high: 1,
        },
    ];

    /// All that kernels of this width and a device allow.
    pub(crate) fn all(width: usize, allowed: Allowed) -> Vec<Self> {
        let fits = |form: &Self| {
            width.is_multiple_of(form.slab)
                && width.is_multiple_of(4 * form.quads)
                && INVOCATIONS <= allowed.invocations
                && form.bytes() <= allowed.bytes
        };
        let fitting = |form: Self| SLABS.map(|slab| Self { slab, ..form }).into_iter().find(fits);
        Self::FASTEST.into_iter().filter_map(fitting).collect()
    }

    /// The bytes of workgroup memory: the slabs, and a matrix of sums of each subgroup.
    pub(crate) fn bytes(self) -> usize {
        let h = self.rows * (self.slab / 4 + 2) * 8;
        let weights = self.slab * (4 * self.quads + 2) * 8;
        h + weights + INVOCATIONS / SUBGROUP * 4 * (SIDE * 20 + 8)
    }

    /// The constants of the text.
    pub(crate) fn constants(self, width: usize) -> Vec<u32> {
        [
            width,
            self.rows,
            self.quads,
            self.slab,
            self.parts,
            self.high,
            self.slab / SIDE / self.parts,
            self.rows * self.slab / 4 / INVOCATIONS,
            self.slab * 4 * self.quads / INVOCATIONS,
        ]
        .map(|constant| constant as u32)
        .into()
    }

    /// The workgroups of a step of so many positions.
    pub(crate) fn workgroups(self, layer: Layer, positions: usize) -> Workgroups {
        let across = layer.directions * layer.width / (4 * self.quads);
        Workgroups::Across(across as u32, positions.div_ceil(self.rows) as u64)
    }

    /// The seconds of a step of so many positions: as those of the other forms, but that reading is all that counts. The matrix units
    /// multiply what was read faster than the next slab comes.
    pub(crate) fn seconds(self, numbers: &Numbers, layer: Layer, positions: usize) -> f64 {
        let across = layer.directions * layer.width / (4 * self.quads);
        let units = numbers.workgroups.max(1);
        let waves = (across * positions.div_ceil(self.rows)).div_ceil(units) as f64;
        let bytes = layer.width * (4 * self.quads * layer.weight_bytes + 4 * self.rows);
        let barriers = 2 * layer.width / self.slab + 4 * self.high;
        let one = barriers as f64 * numbers.barrier + (units * bytes) as f64 / numbers.cache_bytes;
        numbers.dispatch + numbers.trip + waves * one
    }
}

/// The text with its pipelines.
#[derive(Debug)]
pub(crate) struct StepMatrix {
    shader: &'static Shader,
    layer: Layer,
    numbers: Numbers,
    forms: Vec<(MatrixForm, Later)>,
    /// Why it is not taken, once a trial has failed.
    refused: OnceLock<String>,
}

impl StepMatrix {
    /// `None` where it is not wanted, or a device or cells cannot run it.
    pub(crate) fn make(gpu: &Gpu, cells: &Cells<'_>, layer: Layer) -> Option<Self> {
        let numbers = cells.numbers.filter(|numbers| numbers.by_matrices)?;
        let info = gpu.info();
        let subgroups = [info.subgroup_min_size, info.subgroup_max_size];
        let runs = gpu.has_matrices() && subgroups == [SUBGROUP as u32; 2] && cells.form == Form::Half;
        let forms = MatrixForm::all(layer.width, Allowed::by(gpu.limits()));
        (runs && !forms.is_empty()).then(|| Self::by(cells, layer, numbers, (&forms, &SHADER)))
    }

    /// By a shader that computes this, for cells whose weights are halves.
    pub(crate) fn by(
        cells: &Cells<'_>,
        layer: Layer,
        numbers: Numbers,
        (forms, shader): (&[MatrixForm], &'static Shader),
    ) -> Self {
        let later = |form: &MatrixForm| Later::new(shader, cells.variant(&form.constants(layer.width)));
        Self {
            shader,
            layer,
            numbers,
            forms: forms.iter().map(|form| (*form, later(form))).collect(),
            refused: OnceLock::new(),
        }
    }

    /// The number of the form for a step of so many positions, and its seconds; `None` if the other forms are as fast.
    pub(crate) fn best(&self, positions: usize, others: &StepForms) -> Option<(usize, f64)> {
        if positions < FEWEST || self.refused.get().is_some() {
            return None;
        }
        let seconds = (self.forms.iter()).map(|(form, _)| form.seconds(&self.numbers, self.layer, positions));
        let best = seconds.enumerate().min_by(|(_, one), (_, other)| one.total_cmp(other));
        let others = others.seconds(positions)?;
        best.filter(|(_, seconds)| *seconds < SAVES * others)
    }

    /// For each form, and for each of the others, whether a batch of so many sequences can have a step by it.
    fn needed(&self, batch: usize, others: &StepForms) -> [Vec<bool>; 2] {
        let mut needed = [self.forms.len(), others.all().len()].map(|count| vec![false; count]);
        let [forms, rest] = &mut needed;
        for positions in 1..=batch.min(POSITIONS) {
            let found = match self.best(positions, others) {
                Some((number, _)) => forms.get_mut(number),
                None => others
                    .by_positions(positions)
                    .and_then(|(number, _)| rest.get_mut(number)),
            };
            if let Some(found) = found {
                *found = true;
            }
        }
        needed
    }

    /// The forms that a batch of so many sequences can have a step by.
    fn forms_needed(&self, needed: Vec<bool>) -> impl Iterator<Item = &(MatrixForm, Later)> {
        let needed = self.forms.iter().zip(needed);
        needed.filter(|(_, needed)| *needed).map(|(form, _)| form)
    }

    /// Tries those forms that a batch of so many sequences needs. One that fails speaks against all.
    pub(crate) async fn try_forms(&self, gpu: &Gpu, batch: usize, others: &StepForms) {
        let [needed, _] = self.needed(batch, others);
        for (form, _) in self.forms_needed(needed) {
            if let Err(why) = step_trial::passes(gpu, self.shader, *form).await {
                self.refused.get_or_init(|| why);
                return;
            }
        }
    }

    /// Makes the pipelines that a batch of so many sequences needs; and says for each of the other forms whether it needs that.
    pub(crate) fn make_forms(&self, gpu: &Gpu, batch: usize, others: &StepForms) -> Vec<bool> {
        let [needed, others] = self.needed(batch, others);
        self.forms_needed(needed).for_each(|(_, pipeline)| {
            pipeline.make(gpu);
        });
        others
    }

    pub(crate) fn forget(&self, known: &[Key]) {
        self.forms.iter().for_each(|(_, pipeline)| pipeline.forget(known));
    }

    /// The pipeline and the workgroups of a step of so many positions; `None` where the other forms run it.
    pub(crate) fn dispatch(&self, positions: usize, others: &StepForms) -> Option<(Arc<Pipeline>, Workgroups)> {
        let (number, _) = self.best(positions, others)?;
        let (form, pipeline) = self.forms.get(number)?;
        Some((pipeline.get()?, form.workgroups(self.layer, positions)))
    }

    /// What there is to say of it.
    pub(crate) fn line(&self, others: &StepForms) -> String {
        if let Some(why) = self.refused.get() {
            return format!("steps by matrices are not taken: {why}");
        }
        match (FEWEST..=POSITIONS).find(|&positions| self.best(positions, others).is_some()) {
            Some(positions) => format!("steps of many sequences are multiplied by matrices, from {positions} on"),
            None => "steps by matrices are not taken: the usual ones are as fast".to_owned(),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;
    use crate::gpu::strategy::numbers::H200;
    use crate::gpu::strategy::step_forms::StepForm;

    const ALLOWED: Allowed = Allowed {
        invocations: 256,
        bytes: 48 << 10,
    };

    fn lstm(units: usize) -> Layer {
        Layer {
            directions: 1,
            units,
            width: units,
            lanes: 4,
            weight_bytes: 8,
        }
    }

    /// The microseconds of a step of so many positions and units that were measured on the H200 (`docs/design.md`).
    #[test]
    fn what_was_measured_follows_from_the_numbers() {
        for ([positions, units], number, micros) in [([128, 1024], 0, 12.6), ([64, 512], 1, 7.06)] {
            let form = MatrixForm::all(units, ALLOWED)[number];
            let told = 1e6 * form.seconds(&H200, lstm(units), positions);
            println!("{positions} x {units}: {told:.2} µs, measured {micros}");
            assert!(
                (0.7..1.3).contains(&(told / micros)),
                "{positions} x {units}: {told:.2} µs"
            );
        }
    }

    #[test]
    fn forms_keep_to_what_is_allowed() {
        let slabs = |width, bytes| {
            let allowed = Allowed { bytes, ..ALLOWED };
            let forms = MatrixForm::all(width, allowed);
            assert!(
                forms
                    .iter()
                    .all(|form| form.bytes() <= bytes && width.is_multiple_of(form.slab))
            );
            forms.iter().map(|form| form.slab).collect::<Vec<_>>()
        };
        assert_eq!(slabs(1024, 48 << 10), [128, 128]);
        assert_eq!(slabs(1024, 32 << 10), [64, 128]);
        assert_eq!(slabs(320, 48 << 10), [64, 64]);
        assert!(slabs(1024, 16 << 10).is_empty() && slabs(160, 48 << 10).is_empty() && slabs(32, 48 << 10).is_empty());
        let few = Allowed {
            invocations: 128,
            ..ALLOWED
        };
        assert!(MatrixForm::all(1024, few).is_empty());
    }

    /// Few positions go by the usual forms, many by matrices, and by those of the size.
    #[test]
    fn positions_decide() {
        for units in [128, 256, 512, 1024, 2048] {
            let layer = lstm(units);
            let others = StepForms::few(layer, H200, &StepForm::all(layer, ALLOWED)).unwrap();
            let forms = MatrixForm::all(units, ALLOWED);
            let best = |positions| {
                let seconds = forms.iter().map(|form| form.seconds(&H200, layer, positions));
                seconds
                    .enumerate()
                    .min_by(|(_, one), (_, other)| one.total_cmp(other))
                    .unwrap()
            };
            for positions in [1, 8, 16, 24, 32, 33, 64, 128, 256, 512] {
                let (number, seconds) = best(positions);
                let others = others.seconds(positions).unwrap();
                println!(
                    "{positions} x {units}: {:.2} µs by form {number}, {:.2} µs by others",
                    1e6 * seconds,
                    1e6 * others
                );
                if positions == 1 {
                    assert!(seconds > SAVES * others);
                }
                if positions >= 128 && units >= 512 {
                    assert!(seconds < SAVES * others);
                }
            }
        }
    }
}
