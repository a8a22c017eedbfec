//! A step of an optimiser for one tensor of weights, on the GPU.

use bytemuck::{Pod, Zeroable};

use crate::gpu::shader::{Shader, reads, writes};
use crate::gpu::training::recorder::{Matrix, Recorder, for_values};
use crate::gpu::training::texts::UPDATE_TYPES;
use crate::optimizer::{LARGEST, Rule, Update};

pub(crate) const SHADER: Shader = Shader {
    name: "update",
    source: include_str!("../../../shaders/backward/update.wgsl"),
    shared: &[UPDATE_TYPES, include_str!("../../../shaders/backward/values_ones.wgsl")],
    runs_cell: false,
    params: ("Update", size_of::<Params>()),
    bindings: &[
        reads("gradients"),
        reads("weights"),
        reads("slots"),
        writes("new_weights"),
        writes("new_slots"),
        writes("not_finite"),
    ],
    constants: &[
        "RULE",
        "CLIPS",
        "NESTEROV",
        "CENTERED",
        "HAS_MOMENTUM",
        "AMSGRAD",
        "HAS_GAPS",
    ],
};

/// The same four values at a time, where there are whole numbers of fours.
pub(crate) const IN_FOURS: Shader = Shader {
    name: "update_fours",
    shared: &[
        UPDATE_TYPES,
        include_str!("../../../shaders/backward/values_fours.wgsl"),
    ],
    ..SHADER
};

/// The struct `Update` of update_types.wgsl.
#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct Params {
    count: u32,
    width: u32,
    stride: u32,
    scale: u32,
    limit: u32,
    coupled_decay: u32,
    weight_decay: u32,
    learning_rate: u32,
    momentum: u32,
    gradient: u32,
    step: u32,
    keep_1: u32,
    rest_1: u32,
    keep_2: u32,
    rest_2: u32,
    epsilon_inside: u32,
    epsilon_outside: u32,
    largest: u32,
}

/// What a step reads and writes of a tensor: its gradient, its weights row by row, and what the optimiser remembers of it, before and after.
pub(super) struct Tensors<'a> {
    pub(super) gradient: &'a wgpu::Buffer,
    pub(super) weights: Matrix<'a>,
    /// The values of all weights, and of a row.
    pub(super) count: usize,
    pub(super) width: usize,
    pub(super) slots: &'a wgpu::Buffer,
    pub(super) new_weights: &'a wgpu::Buffer,
    pub(super) new_slots: &'a wgpu::Buffer,
    pub(super) not_finite: &'a wgpu::Buffer,
}

/// Records the step.
pub(super) fn record(recorder: &mut Recorder<'_>, update: &Update, tensors: &Tensors<'_>) {
    let sizes = [tensors.count, tensors.width, tensors.weights.stride];
    let (shader, values) = match sizes.iter().all(|size| size % 4 == 0) {
        true => (&IN_FOURS, 4),
        false => (&SHADER, 1),
    };
    let (mut params, constants) = of(update, tensors.weights.stride != tensors.width);
    [params.count, params.width, params.stride] = sizes.map(|size| (size / values) as u32);
    let storage = [
        tensors.gradient,
        tensors.weights.buffer,
        tensors.slots,
        tensors.new_weights,
        tensors.new_slots,
        tensors.not_finite,
    ];
    let workgroups = for_values(tensors.count / values);
    recorder.dispatch((shader, &constants), &storage, params, workgroups);
}

/// The numbers and the constants of an update of weights, between whose rows there may be gaps.
fn of(update: &Update, has_gaps: bool) -> (Params, [u32; 7]) {
    let (kind, options) = kind_of(&update.rule);
    let clips = update.limit < f32::INFINITY;
    let params = Params {
        scale: update.scale.to_bits(),
        limit: if clips { update.limit.to_bits() } else { 0 },
        coupled_decay: update.coupled_decay.to_bits(),
        weight_decay: update.weight_decay.to_bits(),
        learning_rate: update.learning_rate.to_bits(),
        largest: LARGEST.to_bits(),
        ..numbers_of(&update.rule)
    };
    let [nesterov, centered, has_momentum, amsgrad] = options;
    let options = [clips, nesterov, centered, has_momentum, amsgrad, has_gaps];
    let [clips, nesterov, centered, has_momentum, amsgrad, has_gaps] = options.map(u32::from);
    (
        params,
        [kind as u32, clips, nesterov, centered, has_momentum, amsgrad, has_gaps],
    )
}

/// What `RULE` may be, in its order.
#[derive(Clone, Copy)]
enum Kind {
    Descent,
    Momentum,
    RmsProp,
    Moments,
    Adagrad,
    Lion,
}

/// The kind of a rule, and its options: Nesterov's, centered, with momentum, AMSGrad.
fn kind_of(rule: &Rule) -> (Kind, [bool; 4]) {
    let plain = [false; 4];
    match rule {
        Rule::Descent { .. } => (Kind::Descent, plain),
        Rule::Momentum(rule) => (Kind::Momentum, [rule.nesterov, false, false, false]),
        Rule::RmsProp(rule) => (Kind::RmsProp, [false, rule.centered, rule.momentum != 0.0, false]),
        Rule::Moments(rule) => (Kind::Moments, [false, false, false, rule.amsgrad]),
        Rule::Adagrad(_) => (Kind::Adagrad, plain),
        Rule::Lion(_) => (Kind::Lion, plain),
    }
}

/// The numbers of a rule.
fn numbers_of(rule: &Rule) -> Params {
    let none = Params::default();
    let bits = f32::to_bits;
    match rule {
        Rule::Descent { rate } => Params {
            step: bits(-rate),
            ..none
        },
        Rule::Momentum(rule) => Params {
            momentum: bits(rule.momentum),
            gradient: bits(rule.gradient),
            step: bits(rule.step),
            ..none
        },
        Rule::RmsProp(rule) => Params {
            keep_1: bits(rule.rho),
            rest_1: bits(rule.rest),
            epsilon_inside: bits(rule.epsilon.inside),
            epsilon_outside: bits(rule.epsilon.outside),
            momentum: bits(rule.momentum),
            gradient: bits(rule.gradient),
            step: bits(rule.step),
            ..none
        },
        Rule::Moments(rule) => Params {
            rest_1: bits(rule.rest_1),
            rest_2: bits(rule.rest_2),
            momentum: bits(rule.momentum),
            gradient: bits(rule.gradient),
            epsilon_outside: bits(rule.epsilon),
            ..none
        },
        Rule::Adagrad(rule) => Params {
            step: bits(-rule.rate),
            epsilon_inside: bits(rule.epsilon.inside),
            epsilon_outside: bits(rule.epsilon.outside),
            ..none
        },
        Rule::Lion(rule) => Params {
            step: bits(-rule.rate),
            keep_1: bits(rule.beta_1),
            rest_1: bits(rule.rest_1),
            keep_2: bits(rule.beta_2),
            rest_2: bits(rule.rest_2),
            ..none
        },
    }
}
