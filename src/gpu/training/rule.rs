//! The cells on the way back: the shaders with their rules, and which cells there are.

use bytemuck::{Pod, Zeroable};

use crate::cell::{Cell, Rule};
use crate::gpu::shader::cell::CellText;
use crate::gpu::shader::{Shader, reads, writes};
use crate::gpu::training::texts::{REDUCE, RULE, UNIT};

pub(super) const LSTM: &str = include_str!("../../../shaders/backward/cell/lstm.wgsl");
pub(super) const GRU: &str = include_str!("../../../shaders/backward/cell/gru.wgsl");
pub(super) const SIMPLE_RNN: &str = include_str!("../../../shaders/backward/cell/simple_rnn.wgsl");

/// The cell state of every row.
pub(crate) const SCAN: Shader = Shader {
    name: "scan",
    source: include_str!("../../../shaders/backward/scan.wgsl"),
    shared: &[RULE, LSTM],
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

/// The same where an activation is one over all units.
pub(crate) const SCAN_ROWWISE: Shader = Shader {
    name: "scan_rowwise",
    source: include_str!("../../../shaders/backward/scan_rowwise.wgsl"),
    shared: &[RULE, REDUCE, LSTM],
    ..SCAN
};

/// The rule of a step, position by position, of each cell: of those with an obstacle, and of those whose gates leave out values of their own.
pub(crate) const ROWWISE_OF_LSTM: Shader = Shader {
    name: "step_back_rowwise_lstm",
    source: include_str!("../../../shaders/backward/step_back_rowwise.wgsl"),
    shared: &[RULE, REDUCE, UNIT, LSTM],
    runs_cell: false,
    params: ("PositionsBack", size_of::<PositionsParams>()),
    bindings: &[
        reads("unit_weights"),
        reads("states"),
        reads("gradients"),
        writes("lanes"),
        writes("recurrent_lanes"),
        writes("carry"),
        writes("unprojected"),
    ],
    constants: OF_LSTM,
};

pub(crate) const ROWWISE_OF_GRU: Shader = Shader {
    name: "step_back_rowwise_gru",
    shared: &[RULE, REDUCE, UNIT, GRU],
    constants: OF_GRU,
    ..ROWWISE_OF_LSTM
};

pub(crate) const ROWWISE_OF_SIMPLE_RNN: Shader = Shader {
    name: "step_back_rowwise_simple_rnn",
    shared: &[RULE, REDUCE, UNIT, SIMPLE_RNN],
    constants: OF_SIMPLE_RNN,
    ..ROWWISE_OF_LSTM
};

/// r * h where that is multiplied again, and the same backwards.
pub(crate) const RESET: Shader = Shader {
    name: "reset",
    source: include_str!("../../../shaders/backward/reset.wgsl"),
    shared: &[RULE, REDUCE, GRU],
    runs_cell: false,
    params: ("Reset", size_of::<ResetParams>()),
    bindings: &[
        reads("before"),
        reads("states"),
        writes("lanes"),
        writes("products"),
        writes("carry"),
    ],
    constants: OF_RESET,
};

/// Two lists of constants.
pub(super) const fn joined<const ALL: usize>(first: &[&'static str], second: &[&'static str]) -> [&'static str; ALL] {
    let mut all = [""; ALL];
    let mut number = 0;
    while number < ALL {
        all[number] = match number < first.len() {
            true => first[number],
            false => second[number - first.len()],
        };
        number += 1;
    }
    all
}

pub(super) const OF_SIMPLE_RNN: &[&str] = &[
    "GATES",
    "SEPARATES",
    "HAS_ROWS",
    "HAS_PROJECTION",
    "HAS_CLIP",
    "CLIP",
    "ACTIVATION",
    "ALPHA",
    "BETA",
];

pub(super) const OF_GRU: &[&str] = &[
    "GATES",
    "SEPARATES",
    "MULTIPLIES_RESET",
    "HAS_ROWS",
    "HAS_PROJECTION",
    "HAS_CLIP",
    "CLIP",
    "ACTIVATION",
    "ALPHA",
    "BETA",
    "RECURRENT_ACTIVATION",
    "RECURRENT_ALPHA",
    "RECURRENT_BETA",
];

const OF_RESET: &[&str] = &[
    "BACK",
    "GATES",
    "SEPARATES",
    "MULTIPLIES_RESET",
    "HAS_ROWS",
    "HAS_PROJECTION",
    "HAS_CLIP",
    "CLIP",
    "ACTIVATION",
    "ALPHA",
    "BETA",
    "RECURRENT_ACTIVATION",
    "RECURRENT_ALPHA",
    "RECURRENT_BETA",
];

pub(super) const OF_LSTM: &[&str] = &[
    "GATES",
    "SEPARATES",
    "HAS_ROWS",
    "HAS_PROJECTION",
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
    pub(super) rows: u32,
    pub(super) directions: u32,
}

/// The struct `PositionsBack` of types.wgsl.
#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct PositionsParams {
    pub(super) positions: u32,
    pub(super) row: u32,
    pub(super) before_row: u32,
    pub(super) units: u32,
    pub(super) lanes_stride: u32,
    pub(super) states_first: u32,
    pub(super) states_stride: u32,
    pub(super) gradients_first: u32,
    pub(super) cell_first: u32,
}

/// The struct `Reset` of types.wgsl.
#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct ResetParams {
    pub(super) rows: u32,
    pub(super) row: u32,
    pub(super) units: u32,
    pub(super) lanes_stride: u32,
    pub(super) states_first: u32,
    pub(super) states_stride: u32,
}

/// The shader that does the rule of a step backwards position by position.
pub(super) fn rowwise_of(cell: &Cell) -> &'static Shader {
    match cell.rule {
        Rule::Lstm(_) => &ROWWISE_OF_LSTM,
        Rule::Gru(_) => &ROWWISE_OF_GRU,
        Rule::SimpleRnn(_) => &ROWWISE_OF_SIMPLE_RNN,
    }
}

/// Whether the recurrent product has lanes of its own.
pub(super) fn separates(cell: &Cell) -> bool {
    matches!(cell.rule, Rule::Gru(options) if options.reset_after)
}

/// Whether an activation is one over all units.
pub(super) fn has_rows(cell: &Cell) -> bool {
    cell.activations().iter().any(|activation| activation.is_rowwise())
}

/// The constants of a shader for a cell.
pub(crate) fn constants_for(shader: &Shader, cell: &Cell) -> Vec<u32> {
    constants_with(shader, cell, &[])
}

/// The same with some of its own.
pub(super) fn constants_with(shader: &Shader, cell: &Cell, own: &[(&str, u32)]) -> Vec<u32> {
    let known = CellText::of(cell).constants;
    let of_cell = [("GATES", cell.gates() as u32), ("SEPARATES", separates(cell).into())];
    let value = |name: &&str| {
        let mut all = own.iter().chain(&of_cell).chain(&known);
        all.find(|(known, _)| known == name).map_or(0, |&(_, value)| value)
    };
    shader.constants.iter().map(value).collect()
}
