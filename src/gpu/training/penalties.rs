//! The penalties of weights where the weights are: a part of the loss, and of its gradient.

use bytemuck::{Pod, Zeroable};

use super::recorder::{CHUNK, Matrix, Recorder};
use super::tensors::{Counted, current, stage};
use super::texts::{CHUNK_SUMS, UPDATE_TYPES};
use super::weights::Weights;
use crate::error::Result;
use crate::gpu::rows::Rows;
use crate::gpu::shader::{Shader, reads, writes};
use crate::gpu::stage::interface::at;
use crate::model::plan::Plan;
use crate::regularizer::{Factors, Regularizers};

pub(crate) const SHADER: Shader = Shader {
    name: "penalty",
    source: include_str!("../../../shaders/backward/penalty.wgsl"),
    shared: &[UPDATE_TYPES, CHUNK_SUMS],
    runs_cell: false,
    params: ("Penalty", size_of::<Params>()),
    bindings: &[reads("weights"), writes("gradient"), writes("sums")],
    constants: &[],
};

/// The struct `Penalty` of update_types.wgsl.
#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct Params {
    count: u32,
    width: u32,
    stride: u32,
    first: u32,
    l1: u32,
    twice_l2: u32,
}

/// The sums that the shader leaves of each chunk.
const SUMS: usize = 2;

/// The penalties of the weights of a plan.
#[derive(Debug, Default)]
pub(super) struct Penalties {
    each: Vec<Penalty>,
}

/// The penalty of a weight.
#[derive(Debug)]
struct Penalty {
    /// The number of the weight in the plan.
    number: usize,
    /// Its values.
    count: usize,
    factors: Factors,
}

impl Penalty {
    fn chunks(&self) -> usize {
        self.count.div_ceil(CHUNK)
    }
}

impl Penalties {
    pub(super) fn of(plan: &Plan, regularizers: &Regularizers) -> Self {
        let weights = plan.weights.iter().enumerate();
        let each = weights.filter_map(|(number, weight)| {
            Some(Penalty {
                number,
                count: weight.shape.iter().product(),
                factors: regularizers.factors_of(&weight.path)?,
            })
        });
        Self { each: each.collect() }
    }

    /// How many sums the shader leaves of all weights.
    pub(super) fn sums(&self) -> usize {
        self.each.iter().map(|penalty| SUMS * penalty.chunks()).sum()
    }

    /// Records the gradients, which are added to those of the loss.
    pub(super) fn record(&self, recorder: &mut Recorder<'_>, plan: &Plan, from: (&Weights, &[Rows])) -> Result<()> {
        if self.sums() == 0 {
            return Ok(());
        }
        let sums = recorder.buffer(("penalties", 0), self.sums())?;
        let mut first = 0;
        for penalty in &self.each {
            let weight = at(&plan.weights, penalty.number)?;
            let gradient = recorder.buffer(("gradient", penalty.number), penalty.count)?;
            let (weights, width) = current(weight, (from.0.values(penalty.number)?, from.1))?;
            let params = penalty.params(first, (&weights, width));
            let storage = [weights.buffer, &gradient, &sums];
            recorder.dispatch((&SHADER, &[]), &storage, params, penalty.chunks() as u64);
            first += penalty.chunks();
        }
        Ok(())
    }

    /// Has the host read the sums, if there are any.
    pub(super) fn stage(&self, recorder: &mut Recorder<'_>) -> Result<Option<Counted>> {
        if self.sums() == 0 {
            return Ok(None);
        }
        let sums = recorder.buffer(("penalties", 0), self.sums())?;
        stage(recorder, ("staged penalties", 0), (&sums, self.sums())).map(Some)
    }

    /// What they add to the loss, from the sums that were read. Squares may be beyond what the GPU can say: then it is infinite.
    pub(super) fn loss(&self, sums: &[f32]) -> f64 {
        let mut chunks = sums.chunks_exact(SUMS);
        let of_weights = self.each.iter().map(|penalty| {
            let mut sums = [0.0; SUMS];
            for chunk in chunks.by_ref().take(penalty.chunks()) {
                for (sum, &of_chunk) in sums.iter_mut().zip(chunk) {
                    *sum += f64::from(of_chunk);
                }
            }
            penalty.factors.loss(sums)
        });
        of_weights.sum()
    }
}

impl Penalty {
    fn params(&self, first: usize, (weights, width): (&Matrix<'_>, usize)) -> Params {
        let [l1, twice_l2] = self.factors.of_gradient();
        Params {
            count: self.count as u32,
            width: width as u32,
            stride: weights.stride as u32,
            first: first as u32,
            l1: l1.to_bits(),
            twice_l2: twice_l2.to_bits(),
        }
    }
}
