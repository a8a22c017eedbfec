//! `step_back`: a step of a cell backwards, product and rule in one dispatch.

use bytemuck::{Pod, Zeroable};

use crate::cell::{Cell, Rule};
use crate::error::Result;
use crate::gpu::rows::VALUE;
use crate::gpu::shader::{Binding, Shader, reads, writes};
use crate::gpu::training::recorder::Recorder;
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
    constants: &joined::<{ 2 + OF_LSTM.len() }>(&["ROWS", "FOURS"], OF_LSTM),
    ..STEP_OF_LSTM
};

pub(crate) const STEP_ALONE_OF_GRU: Shader = Shader {
    name: "step_back_alone_gru",
    source: ALONE,
    constants: &joined::<{ 2 + OF_GRU.len() }>(&["ROWS", "FOURS"], OF_GRU),
    ..STEP_OF_GRU
};

pub(crate) const STEP_ALONE_OF_SIMPLE_RNN: Shader = Shader {
    name: "step_back_alone_simple_rnn",
    source: ALONE,
    constants: &joined::<{ 2 + OF_SIMPLE_RNN.len() }>(&["ROWS", "FOURS"], OF_SIMPLE_RNN),
    ..STEP_OF_SIMPLE_RNN
};

/// The recurrent kernel in the order in which they read it.
pub(crate) const TURN_FOURS: Shader = Shader {
    name: "turn_fours",
    source: include_str!("../../../shaders/backward/turn_fours.wgsl"),
    shared: &[],
    runs_cell: false,
    params: ("TurnFours", size_of::<TurnFoursParams>()),
    bindings: &[reads("recurrent_kernel"), writes("turned_kernel")],
    constants: &[],
};

/// The struct `TurnFours` of `turn_fours.wgsl`.
#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct TurnFoursParams {
    units: u32,
    columns: u32,
    directions: u32,
}

/// The positions and units of a workgroup that does a step, and how far the sum runs between two barriers.
pub(super) const TILE: usize = 16;
pub(super) const SLAB: usize = 64;

/// The positions of an invocation that does a step by itself, where there are several, and the units of a workgroup of these.
const ROWS_ALONE: usize = 4;
const UNITS_ALONE: usize = 64;

/// The fours of the kernel that an invocation turns.
const FOURS_TURNED: usize = 16;

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

/// How a step of so many positions at most goes backwards, and the kernels of so many directions as it reads them.
pub(super) fn step_and_kernel(
    recorder: &mut Recorder<'_>,
    cell: &Cell,
    (kernels, directions): (&wgpu::Buffer, usize),
    most: usize,
) -> Result<(StepBack, wgpu::Buffer)> {
    let software = recorder.software();
    let software = software.filter(|software| can_be_turned(cell, directions, software.largest_binding));
    let kernel = match software {
        Some(_) => turned(recorder, cell, (kernels, directions))?,
        None => kernels.clone(),
    };
    Ok((step_of(cell, software.map(|software| (most, software.block))), kernel))
}

/// On a GPU, or in software with so many positions at most, where a subgroup reads so many lanes at once.
fn step_of(cell: &Cell, in_software: Option<(usize, usize)>) -> StepBack {
    let Some((most, block)) = in_software else {
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
    (
        shader,
        alone_constants(shader, cell, [rows, block / 4]),
        [rows, UNITS_ALONE],
    )
}

/// The constants of a step in software, whose invocations have so many positions and whose subgroups read so many fours of lanes at once.
pub(crate) fn alone_constants(shader: &Shader, cell: &Cell, [rows, fours]: [usize; 2]) -> Vec<u32> {
    constants_with(shader, cell, &[("ROWS", rows as u32), ("FOURS", fours as u32)])
}

/// The values of the kernels of so many directions as steps read them in software.
pub(super) fn turned_values(cell: &Cell, directions: usize) -> [usize; 4] {
    [directions, (cell.gates() * cell.units).div_ceil(4), cell.units, 4]
}

/// Whether steps can read them so in software, where a binding may have so many bytes.
pub(super) fn can_be_turned(cell: &Cell, directions: usize, largest: u64) -> bool {
    let values = turned_values(cell, directions).into_iter();
    values.fold(VALUE, |bytes, values| bytes.saturating_mul(values as u64)) <= largest
}

/// The kernels of so many directions as steps read them in software.
fn turned(
    recorder: &mut Recorder<'_>,
    cell: &Cell,
    (kernels, directions): (&wgpu::Buffer, usize),
) -> Result<wgpu::Buffer> {
    let values @ [_, fours, units, _] = turned_values(cell, directions);
    let turned = recorder.buffer(("turned kernel", 0), values.iter().product())?;
    let params = TurnFoursParams {
        units: cell.units as u32,
        columns: (cell.gates() * cell.units) as u32,
        directions: directions as u32,
    };
    let workgroups = (directions * units.div_ceil(UNITS_ALONE) * fours.div_ceil(FOURS_TURNED)) as u64;
    recorder.dispatch((&TURN_FOURS, &[]), &[kernels, &turned], params, workgroups);
    Ok(turned)
}
