//! The cells on the way back: the shaders with their rules, and which cells there are.

use bytemuck::{Pod, Zeroable};

use crate::cell::{Cell, Rule};
use crate::gpu::shader::cell::CellText;
use crate::gpu::shader::{Binding, Shader, reads, writes};
use crate::gpu::training::texts::{DERIVATIVES, TYPES};

const RULE: &str = include_str!("../../../shaders/backward/rule.wgsl");
const LSTM: &str = include_str!("../../../shaders/backward/cell/lstm.wgsl");
const GRU: &str = include_str!("../../../shaders/backward/cell/gru.wgsl");
const SIMPLE_RNN: &str = include_str!("../../../shaders/backward/cell/simple_rnn.wgsl");

/// The cell state of every row.
pub(crate) const SCAN: Shader = Shader {
    name: "scan",
    source: include_str!("../../../shaders/backward/scan.wgsl"),
    shared: &[TYPES, DERIVATIVES, RULE, LSTM],
    runs_cell: false,
    params: ("Scan", size_of::<ScanParams>()),
    bindings: &[
        reads("starts"),
        reads("lanes"),
        reads("unit_weights"),
        reads("carry"),
        writes("cells"),
    ],
    constants: OF_LSTM,
};

const STEP_BINDINGS: &[Binding] = &[
    reads("recurrent_kernel"),
    reads("unit_weights"),
    reads("states"),
    reads("upstream"),
    writes("lanes"),
    writes("recurrent_lanes"),
    writes("carry"),
];

const STEP: &str = include_str!("../../../shaders/backward/step_back.wgsl");

/// A step backwards, of each cell.
pub(crate) const STEP_OF_LSTM: Shader = Shader {
    name: "step_back_lstm",
    source: STEP,
    shared: &[TYPES, DERIVATIVES, RULE, LSTM],
    runs_cell: false,
    params: ("StepBack", size_of::<StepParams>()),
    bindings: STEP_BINDINGS,
    constants: OF_LSTM,
};

pub(crate) const STEP_OF_GRU: Shader = Shader {
    name: "step_back_gru",
    shared: &[TYPES, DERIVATIVES, RULE, GRU],
    constants: OF_GRU,
    ..STEP_OF_LSTM
};

pub(crate) const STEP_OF_SIMPLE_RNN: Shader = Shader {
    name: "step_back_simple_rnn",
    shared: &[TYPES, DERIVATIVES, RULE, SIMPLE_RNN],
    constants: OF_SIMPLE_RNN,
    ..STEP_OF_LSTM
};

const OF_SIMPLE_RNN: &[&str] = &["GATES", "SEPARATES", "HAS_CLIP", "CLIP", "ACTIVATION", "ALPHA", "BETA"];

const OF_GRU: &[&str] = &[
    "GATES",
    "SEPARATES",
    "HAS_CLIP",
    "CLIP",
    "ACTIVATION",
    "ALPHA",
    "BETA",
    "RECURRENT_ACTIVATION",
    "RECURRENT_ALPHA",
    "RECURRENT_BETA",
];

const OF_LSTM: &[&str] = &[
    "GATES",
    "SEPARATES",
    "HAS_CLIP",
    "CLIP",
    "ACTIVATION",
    "ALPHA",
    "BETA",
    "RECURRENT_ACTIVATION",
    "RECURRENT_ALPHA",
    "RECURRENT_BETA",
    "OUTPUT_ACTIVATION",
    "OUTPUT_ALPHA",
    "OUTPUT_BETA",
    "HAS_UNIT_WEIGHTS",
    "INPUT_FORGET",
];

/// The struct `Scan` of types.wgsl.
#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct ScanParams {
    pub(super) first_step: u32,
    pub(super) last_step: u32,
    pub(super) positions: u32,
    pub(super) units: u32,
    pub(super) lanes_stride: u32,
    pub(super) room: u32,
    pub(super) start_first: u32,
}

/// The struct `StepBack` of types.wgsl.
#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct StepParams {
    pub(super) positions: u32,
    pub(super) row: u32,
    pub(super) next_positions: u32,
    pub(super) next_row: u32,
    pub(super) before_row: u32,
    pub(super) units: u32,
    pub(super) lanes_stride: u32,
    pub(super) states_first: u32,
    pub(super) states_stride: u32,
    pub(super) cell_first: u32,
    pub(super) runs_rule: u32,
}

/// The shader that does a step of a cell backwards.
pub(super) fn step_of(cell: &Cell) -> &'static Shader {
    match cell.rule {
        Rule::Lstm(_) => &STEP_OF_LSTM,
        Rule::Gru(_) => &STEP_OF_GRU,
        Rule::SimpleRnn(_) => &STEP_OF_SIMPLE_RNN,
    }
}

/// Whether the recurrent product has lanes of its own.
pub(super) fn separates(cell: &Cell) -> bool {
    matches!(cell.rule, Rule::Gru(_))
}

/// The constants of a shader for a cell.
pub(crate) fn constants_for(shader: &Shader, cell: &Cell) -> Vec<u32> {
    let known = CellText::of(cell).constants;
    let own = [("GATES", cell.gates() as u32), ("SEPARATES", separates(cell).into())];
    let value = |name: &&str| {
        let mut all = own.iter().chain(&known);
        all.find(|(known, _)| known == name).map_or(0, |&(_, value)| value)
    };
    shader.constants.iter().map(value).collect()
}

/// The option of a cell by which no step is done backwards here, and `None` where all of them are.
pub(crate) fn refused(cell: &Cell) -> Option<&'static str> {
    match cell.rule {
        _ if cell.activations().iter().any(|activation| activation.is_rowwise()) => {
            Some("training with softmax or log_softmax in a cell")
        }
        Rule::Lstm(options) if options.projection.is_some() => Some("training with a projection"),
        Rule::Gru(options) if !options.reset_after => Some("training with reset_after(false)"),
        _ => None,
    }
}
