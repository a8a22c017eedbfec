//! What the texts of the way back share.

/// What the host tells each dispatch.
pub(super) const TYPES: &str = include_str!("../../../shaders/backward/types.wgsl");

/// The same of a step of an optimiser.
pub(super) const UPDATE_TYPES: &str = include_str!("../../../shaders/backward/update_types.wgsl");

/// A chunk of values that a workgroup does.
pub(super) const CHUNK_SUMS: &str = include_str!("../../../shaders/backward/chunk.wgsl");

/// The slopes of the activations.
pub(super) const DERIVATIVES: &str = include_str!("../../../shaders/backward/derivatives.wgsl");

/// One number of all invocations of a workgroup.
pub(super) const REDUCE: &str = include_str!("../../../shaders/shared/reduce.wgsl");

/// What every text has that runs the rule of a cell: the parameters, the slopes of the activations, what one over a row has to know of it, and what
/// the rules have in common.
pub(super) const RULE: &str = concat!(
    include_str!("../../../shaders/backward/types.wgsl"),
    include_str!("../../../shaders/backward/derivatives.wgsl"),
    include_str!("../../../shaders/shared/row_activation.wgsl"),
    include_str!("../../../shaders/backward/rule.wgsl")
);

/// The lanes of a unit.
pub(super) const UNIT_LANES: &str = include_str!("../../../shaders/backward/unit_lanes.wgsl");

/// The same with the states of the unit around a step.
pub(super) const UNIT: &str = concat!(
    include_str!("../../../shaders/backward/unit_lanes.wgsl"),
    include_str!("../../../shaders/backward/unit_states.wgsl")
);

/// What a step backwards reads and writes.
pub(super) const STEP_VALUES: &str = include_str!("../../../shaders/backward/step_values.wgsl");
