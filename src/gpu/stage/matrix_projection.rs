//! `matrix_projection`: what `input_projection` does with weights in half precision, by the matrix units of a GPU.
//!
//! Its interface in `wgpu` is experimental. So it runs only after a product on the device was compared with the same one on the host
//! (`matrix_trial`), and a program can turn it off.

use std::env;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::{Error, Result};
use crate::gpu::commands::Workgroups;
use crate::gpu::device::Gpu;
use crate::gpu::shader::{Pipeline, Shader, Variant, reads, writes};
use crate::gpu::stage::matrix_trial;
use crate::gpu::stage::softmax::Params;
use crate::gpu::weights::Form;
use crate::settings::{Precision, Settings};

pub(crate) const SHADER: Shader = Shader {
    name: "matrix_projection",
    source: include_str!("../../../shaders/matrix_projection.wgsl"),
    shared: &[],
    runs_cell: false,
    params: ("Projection", size_of::<Params>()),
    bindings: &[reads("rows"), reads("kernel"), reads("bias"), writes("projected")],
    constants: &["SUBGROUP", "PIECES"],
};

/// Rows of a workgroup, and vec4 of its columns and of a slab of k.
const ROWS: usize = 128;
const COLUMNS: usize = 32;
const SLAB: usize = 8;

/// Subgroups of a workgroup, and its bytes of workgroup memory.
pub(crate) const SUBGROUPS: u32 = 8;
pub(crate) const WORKGROUP_BYTES: u32 = 27_136;

/// The environment variable that turns matrices off where the settings say nothing: `CELLSTATE_MATRIX=0`.
const VARIABLE: &str = "CELLSTATE_MATRIX";

const NOT_OFFERED: &str =
    "it offers no matrices of 16 × 16 halves with sums in f32, or the device was opened without that feature";
const NO_FIXED_SUBGROUP: &str = "its subgroups have no fixed size of 32 or 64";
const TOO_SMALL: &str = "its workgroups are too small";
const FULL_PRECISION: &str = "they have operands in half precision, so that Precision::Relaxed must be asked for";
const NOT_EXACT: &str = "a product of whole numbers by matrices differed from the same one on the host";
const NO_HALVES: &str = "no layer of the model keeps its kernel in half precision";

/// A shader that multiplies so, and the constants of its text on a GPU, or why that cannot run it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Means {
    pub(crate) shader: &'static Shader,
    pub(crate) constants: fn(&Gpu) -> std::result::Result<Vec<u32>, &'static str>,
}

impl Default for Means {
    fn default() -> Self {
        Self {
            shader: &SHADER,
            constants,
        }
    }
}

/// The constants of the text.
fn constants(gpu: &Gpu) -> std::result::Result<Vec<u32>, &'static str> {
    if !gpu.has_matrices() {
        return Err(NOT_OFFERED);
    }
    let (info, limits) = (gpu.info(), gpu.limits());
    let subgroup = info.subgroup_min_size;
    if subgroup != info.subgroup_max_size {
        return Err(NO_FIXED_SUBGROUP);
    }
    let offered = [
        limits.max_compute_invocations_per_workgroup,
        limits.max_compute_workgroup_size_x,
        limits.max_compute_workgroup_storage_size,
    ];
    of_subgroup(subgroup, offered)
}

/// The same, by the size of a subgroup and what a workgroup may have: invocations, those along x, and bytes.
pub(crate) fn of_subgroup(
    subgroup: u32,
    [invocations, along_x, bytes]: [u32; 3],
) -> std::result::Result<Vec<u32>, &'static str> {
    if ![32, 64].contains(&subgroup) {
        return Err(NO_FIXED_SUBGROUP);
    }
    match SUBGROUPS * subgroup <= invocations.min(along_x) && WORKGROUP_BYTES <= bytes {
        true => Ok(vec![subgroup, 128 / subgroup]),
        false => Err(TOO_SMALL),
    }
}

/// What is known of a GPU: by what it multiplies, and what came of the trial, if there was one.
#[derive(Debug, Default)]
pub(crate) struct Trust {
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    means: Means,
    answer: Option<std::result::Result<Arc<Pipeline>, String>>,
}

impl Trust {
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has a GPU multiply by other means.
    #[cfg(test)]
    pub(crate) fn replace(&self, means: Means) {
        *self.lock() = Known { means, answer: None };
    }
}

/// The pipeline, once it has passed the trial; else why there is none. The trial is made once.
async fn trusted(gpu: &Gpu) -> std::result::Result<Arc<Pipeline>, String> {
    let trust = gpu.shared::<Trust>();
    let (means, known) = {
        let known = trust.lock();
        (known.means, known.answer.clone())
    };
    if let Some(answer) = known {
        return answer;
    }
    let answer = match (means.constants)(gpu) {
        Ok(constants) => tried(gpu, means.shader, constants).await,
        Err(why) => Err(why.to_owned()),
    };
    // no lock was held while the GPU worked; another thread has found the same
    trust.lock().answer = Some(answer.clone());
    answer
}

/// Makes the pipeline and has it multiply. What fails leaves no pipeline.
async fn tried(gpu: &Gpu, shader: &'static Shader, constants: Vec<u32>) -> std::result::Result<Arc<Pipeline>, String> {
    let known = gpu.known_pipelines();
    let variant = Variant {
        form: Form::Half,
        constants,
        cell: None,
    };
    let make = || Ok(gpu.pipeline_for(shader, variant));
    let result = match gpu.guarded("making a pipeline for matrices", make).await {
        Ok(pipeline) => matrix_trial::is_exact(gpu, &pipeline, workgroups)
            .await
            .map(|exact| exact.then_some(pipeline)),
        Err(error) => Err(error),
    };
    let answer = match result {
        Ok(Some(pipeline)) => return Ok(pipeline),
        Ok(None) => NOT_EXACT.to_owned(),
        Err(error) => format!("the trial failed: {error}"),
    };
    gpu.forget_pipelines_but(&known);
    Err(answer)
}

/// What a model does about matrices.
#[derive(Clone, Debug)]
pub(crate) enum Matrices {
    /// In full precision, or where they were turned off.
    Off,
    /// The GPU cannot do them.
    Refused(String),
    Ready(Arc<Pipeline>),
}

impl Matrices {
    /// # Errors
    ///
    /// [`Error::Unsupported`] if the settings insist on matrices and there are none.
    pub(crate) async fn new(gpu: &Gpu, settings: &Settings) -> Result<Self> {
        let insists = settings.wanted_matrices() == Some(true);
        let is_off = || env::var_os(VARIABLE).is_some_and(|value| value == "0");
        let wanted = settings.wanted_matrices().unwrap_or_else(|| !is_off());
        let answer = match settings.wanted_precision() {
            _ if !wanted => return Ok(Self::Off),
            Precision::Full if !insists => return Ok(Self::Off),
            Precision::Full => Err(FULL_PRECISION.to_owned()),
            Precision::Relaxed => trusted(gpu).await,
        };
        match answer {
            Ok(pipeline) => Ok(Self::Ready(pipeline)),
            Err(why) if insists => Err(refusal(gpu, &why)),
            Err(why) => Ok(Self::Refused(why)),
        }
    }

    /// The pipeline by which a kernel in this form is multiplied.
    pub(crate) fn pipeline(&self, form: Form) -> Option<&Arc<Pipeline>> {
        match self {
            Self::Ready(pipeline) if form == Form::Half => Some(pipeline),
            _ => None,
        }
    }

    /// Whether anything is multiplied by them.
    pub(crate) fn are_ready(&self) -> bool {
        matches!(self, Self::Ready(_))
    }

    /// What there is to say of it.
    pub(crate) fn line(&self) -> Option<String> {
        match self {
            Self::Off => None,
            Self::Refused(why) => Some(format!("matrices: none, for {why}")),
            Self::Ready(_) => Some(format!(
                "matrices: kernels in half precision are multiplied by them, from {ROWS} rows, {} columns and {} inputs on",
                4 * COLUMNS,
                4 * SLAB
            )),
        }
    }
}

/// Refuses matrices that the settings ask for where a model has recurrent layers and none takes them.
pub(crate) fn check(gpu: &Gpu, settings: &Settings, taken: impl Iterator<Item = bool>) -> Result<()> {
    let taken: Vec<bool> = taken.collect();
    match settings.wanted_matrices() == Some(true) && !taken.is_empty() && !taken.contains(&true) {
        true => Err(refusal(gpu, NO_HALVES)),
        false => Ok(()),
    }
}

fn refusal(gpu: &Gpu, why: &str) -> Error {
    Error::Unsupported {
        layer: "Settings".to_owned(),
        option: format!("matrices(true) on {}: {why}", gpu.name()),
        instead: "leave it out of the settings, and products are made as usual".to_owned(),
    }
}

/// Whether a product is large enough: below a tile in any direction most of the work would be for nothing. The vec4 are those of the
/// columns and of the inputs.
pub(crate) fn suits(rows: usize, columns: usize, inputs: usize) -> bool {
    rows >= ROWS && columns >= COLUMNS && inputs >= SLAB
}

/// The workgroups for so many rows and vec4 of columns.
pub(crate) fn workgroups(rows: usize, columns: usize) -> Workgroups {
    Workgroups::Across(columns.div_ceil(COLUMNS) as u32, rows.div_ceil(ROWS) as u64)
}

#[cfg(test)]
#[path = "matrix_projection_tests.rs"]
mod tests;
