//! `recurrent_step_matrix`: a step of many positions in relaxed precision by the matrix units of a GPU.
//!
//! It computes what the other forms of a step compute with halves, but for h, which is rounded to halves too where it is multiplied. Each form
//! is taken only after a step on the device was compared with the same one on the host (`step_trial`).

use std::sync::{Arc, OnceLock};

use crate::gpu::commands::Workgroups;
use crate::gpu::device::Gpu;
use crate::gpu::shader::{Key, Pipeline, Shader, reads, writes};
use crate::gpu::strategy::entry::Cells;
use crate::gpu::strategy::later::Later;
use crate::gpu::strategy::numbers::Numbers;
use crate::gpu::strategy::step_forms::StepForms;
use crate::gpu::strategy::step_layer::{Allowed, Layer, POSITIONS};
use crate::gpu::strategy::step_matrix_form::{MatrixForm, SUBGROUP};
use crate::gpu::strategy::step_params::Params;
use crate::gpu::strategy::step_trial;
use crate::gpu::weights::Form;

pub(crate) const SHADER: Shader = Shader {
    name: "recurrent_step_matrix",
    source: include_str!("../../../shaders/recurrent_step_matrix.wgsl"),
    shared: &[include_str!("../../../shaders/shared/step_matrix.wgsl")],
    runs_cell: true,
    params: ("Step", size_of::<Params>()),
    // as all forms of a step
    bindings: &[
        reads("recurrent_kernel"),
        reads("projected"),
        writes("hidden"),
        writes("cell_state"),
    ],
    constants: &[
        "UNITS", "ROWS", "QUADS", "SLAB", "PARTS", "HIGH", "DEEP", "H_LOADS", "W_LOADS",
    ],
};

/// Fewer positions fill not even half of the rows of a matrix.
const FEWEST: usize = 8;

/// It has to save so much of the time by the other forms, since it rounds h.
const SAVES: f64 = 0.9;

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
