//! `step_back`: a step of a cell backwards, product and rule in one dispatch.

use bytemuck::{Pod, Zeroable};

use crate::cell::{Cell, Rule};
use crate::gpu::shader::{Binding, Shader, reads, writes};
use crate::gpu::training::rule::{
    GRU, LSTM, OF_GRU, OF_LSTM, OF_SIMPLE_RNN, SIMPLE_RNN, constants_for, constants_with, joined,
};
use crate::gpu::training::texts::{RULE, STEP_VALUES, UNIT};

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
    shared: &[RULE, UNIT, STEP_VALUES, LSTM],
    runs_cell: false,
    params: ("StepBack", size_of::<StepParams>()),
    bindings: STEP_BINDINGS,
    constants: OF_LSTM,
};

pub(crate) const STEP_OF_GRU: Shader = Shader {
    name: "step_back_gru",
    shared: &[RULE, UNIT, STEP_VALUES, GRU],
    constants: OF_GRU,
    ..STEP_OF_LSTM
};

pub(crate) const STEP_OF_SIMPLE_RNN: Shader = Shader {
    name: "step_back_simple_rnn",
    shared: &[RULE, UNIT, STEP_VALUES, SIMPLE_RNN],
    constants: OF_SIMPLE_RNN,
    ..STEP_OF_LSTM
};

/// The same where each invocation does a unit of some positions by itself.
const ALONE: &str = include_str!("../../../shaders/backward/step_back_alone.wgsl");

pub(crate) const STEP_ALONE_OF_LSTM: Shader = Shader {
    name: "step_back_alone_lstm",
    source: ALONE,
    constants: &joined::<{ 1 + OF_LSTM.len() }>(&["ROWS"], OF_LSTM),
    ..STEP_OF_LSTM
};

pub(crate) const STEP_ALONE_OF_GRU: Shader = Shader {
    name: "step_back_alone_gru",
    source: ALONE,
    constants: &joined::<{ 1 + OF_GRU.len() }>(&["ROWS"], OF_GRU),
    ..STEP_OF_GRU
};

pub(crate) const STEP_ALONE_OF_SIMPLE_RNN: Shader = Shader {
    name: "step_back_alone_simple_rnn",
    source: ALONE,
    constants: &joined::<{ 1 + OF_SIMPLE_RNN.len() }>(&["ROWS"], OF_SIMPLE_RNN),
    ..STEP_OF_SIMPLE_RNN
};

/// The positions and units of a workgroup that does a step, and how far the sum runs between two barriers.
pub(super) const TILE: usize = 16;
pub(super) const SLAB: usize = 64;

/// The positions of an invocation that does a step by itself, where there are several, and the units of a workgroup of these.
const ROWS_ALONE: usize = 4;
const UNITS_ALONE: usize = 64;

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
    pub(super) rows: u32,
    pub(super) states_pitch: u32,
    pub(super) directions: u32,
}

/// How a step of a cell goes backwards: the shader, its constants, and the positions and units of a workgroup.
pub(super) type StepBack = (&'static Shader, Vec<u32>, [usize; 2]);

/// On a GPU, or in software with so many positions at most.
pub(super) fn step_of(cell: &Cell, in_software: Option<usize>) -> StepBack {
    let Some(most) = in_software else {
        let shader = match &cell.rule {
            Rule::Lstm(_) => &STEP_OF_LSTM,
            Rule::Gru(_) => &STEP_OF_GRU,
            Rule::SimpleRnn(_) => &STEP_OF_SIMPLE_RNN,
        };
        return (shader, constants_for(shader, cell), [TILE, TILE]);
    };
    let shader = match &cell.rule {
        Rule::Lstm(_) => &STEP_ALONE_OF_LSTM,
        Rule::Gru(_) => &STEP_ALONE_OF_GRU,
        Rule::SimpleRnn(_) => &STEP_ALONE_OF_SIMPLE_RNN,
    };
    let rows = if most > 1 { ROWS_ALONE } else { 1 };
    (shader, alone_constants(shader, cell, rows), [rows, UNITS_ALONE])
}

/// The constants of a step in software, whose invocations have so many positions.
pub(crate) fn alone_constants(shader: &Shader, cell: &Cell, rows: usize) -> Vec<u32> {
    constants_with(shader, cell, &[("ROWS", rows as u32)])
}
