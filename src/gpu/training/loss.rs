//! The loss of a batch where the outputs are, and its gradient with respect to these.

use bytemuck::{Pod, Zeroable};

use crate::error::Result;
use crate::gpu::device::buffer::Use;
use crate::gpu::shader::{Shader, reads, writes};
use crate::gpu::training::buffers::Name;
use crate::gpu::training::recorder::{CHUNK, Recorder};
use crate::gpu::training::texts::{CHUNK_SUMS, REDUCE, TYPES};
use crate::loss::elsewhere::{DeviceLoss, DeviceRule};

const LOG_1P: &str = include_str!("../../../shaders/backward/log_1p.wgsl");

pub(crate) const BY_FEATURE: Shader = Shader {
    name: "loss_by_feature",
    source: include_str!("../../../shaders/backward/loss_by_feature.wgsl"),
    shared: &[TYPES, CHUNK_SUMS, LOG_1P],
    runs_cell: false,
    params: ("Loss", size_of::<Params>()),
    bindings: &[
        reads("steps"),
        reads("outputs"),
        reads("targets"),
        writes("gradient"),
        writes("sums"),
    ],
    constants: &["RULE"],
};

pub(crate) const BY_CLASS: Shader = Shader {
    name: "loss_by_class",
    source: include_str!("../../../shaders/backward/loss_by_class.wgsl"),
    shared: &[TYPES, REDUCE, LOG_1P],
    constants: &["HAS_CLASS"],
    ..BY_FEATURE
};

/// The struct `Loss` of types.wgsl.
#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct Params {
    count: u32,
    width: u32,
    delta: u32,
}

/// The sums of losses that are left of so many steps.
pub(super) fn sums(rule: DeviceRule, steps: usize, width: usize) -> usize {
    match rule.is_by_feature() {
        true => steps.saturating_mul(width).div_ceil(CHUNK),
        false => steps,
    }
}

/// The buffers of a loss of so many steps, of so many features each: their values or entries.
pub(super) fn buffers(rule: DeviceRule, (steps, width): (usize, usize)) -> impl Iterator<Item = (Name, u64, Use)> {
    let product = |one: usize, other: usize| (one as u64).saturating_mul(other as u64);
    let sums = sums(rule, steps, width) as u64;
    let targets = rule.has_targets().then(|| product(steps, width));
    let others = [
        (("steps of the loss", 0), product(steps, 4), Use::Storage),
        (("losses", 0), sums, Use::Storage),
        (("staged losses", 0), sums, Use::Readback),
    ];
    let targets = targets.map(|count| (("targets", 0), count, Use::Storage));
    others.into_iter().chain(targets)
}

impl DeviceLoss {
    /// The sums of losses that are left of it.
    pub(super) fn sums(&self) -> usize {
        sums(self.rule, self.steps.len(), self.width)
    }

    /// Records it for outputs, and gives the gradient with respect to these: a buffer of so many values.
    pub(super) fn record(
        &self,
        recorder: &mut Recorder<'_>,
        (outputs, count): (&wgpu::Buffer, usize),
    ) -> Result<wgpu::Buffer> {
        let gradient = recorder.zeros(("upstream", 0), count)?;
        if self.steps.is_empty() || self.width == 0 {
            return Ok(gradient);
        }
        let steps = recorder.upload(("steps of the loss", 0), self.steps.as_flattened())?;
        let targets = match self.rule.has_targets() {
            true => recorder.upload(("targets", 0), &self.targets)?,
            false => recorder.nothing(),
        };
        let sums = recorder.buffer(("losses", 0), self.sums())?;
        let storage = [&steps, outputs, &targets, &gradient, &sums];
        let (shader, constant, delta) = match self.rule {
            DeviceRule::Squared => (&BY_FEATURE, 0, 0.0),
            DeviceRule::Absolute => (&BY_FEATURE, 1, 0.0),
            DeviceRule::Huber { delta } => (&BY_FEATURE, 2, delta),
            DeviceRule::BinaryLogits => (&BY_FEATURE, 3, 0.0),
            DeviceRule::Probabilities => (&BY_CLASS, 0, 0.0),
            DeviceRule::Class => (&BY_CLASS, 1, 0.0),
        };
        let params = Params {
            count: self.steps.len() as u32,
            width: self.width as u32,
            delta: delta.to_bits(),
        };
        recorder.dispatch((shader, &[constant]), &storage, params, self.sums() as u64);
        Ok(gradient)
    }
}
