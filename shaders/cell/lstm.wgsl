// lstm: a unit with a cell state; its lanes are the gates i f g o.

alias Lanes = vec4<f32>;

const ACTIVATION: u32 = 1u; // of g; the host sets all of these
const ALPHA: u32 = 0u;      // the bits of the activation's parameters
const BETA: u32 = 0u;
const RECURRENT_ACTIVATION: u32 = 2u; // of i, f and o
const RECURRENT_ALPHA: u32 = 0u;
const RECURRENT_BETA: u32 = 0u;
const OUTPUT_ACTIVATION: u32 = 1u; // of the cell state on its way out
const OUTPUT_ALPHA: u32 = 0u;
const OUTPUT_BETA: u32 = 0u;
const INPUT_FORGET: u32 = 0u; // 1: f = 1 - i

fn widened(lanes: Lanes) -> vec4<f32> {
    return lanes;
}

fn narrowed(lanes: vec4<f32>) -> Lanes {
    return lanes;
}

fn gate(x: f32, largest: f32, sum: f32) -> f32 {
    return activated(RECURRENT_ACTIVATION, RECURRENT_ALPHA, RECURRENT_BETA, x, largest, sum);
}

// The arguments of i, f and g. That of o may have to wait for the new cell state.
fn first_arguments(lanes: Lanes, unit: Lanes, before: UnitState) -> Lanes {
    var gates = lanes;
    if (HAS_UNIT_WEIGHTS == 1u) { // peepholes i f o
        gates += vec4<f32>(unit.xy * before.cell, 0.0, 0.0);
    }
    return vec4<f32>(clipped(gates.x), clipped(gates.y), clipped(gates.z), gates.w);
}

// The argument of o, and the new cell state.
fn second_arguments(gates: Lanes, row: Row, unit: Lanes, before: UnitState) -> Lanes {
    let input = gate(gates.x, row.largest.x, row.sum.x);
    var forget = 1.0 - input;
    if (INPUT_FORGET == 0u) {
        forget = gate(gates.y, row.largest.y, row.sum.y);
    }
    let candidate = activated(ACTIVATION, ALPHA, BETA, gates.z, row.largest.z, row.sum.z);
    let cell = forget * before.cell + input * candidate;
    var output = gates.w;
    if (HAS_UNIT_WEIGHTS == 1u) {
        output += unit.z * cell;
    }
    return vec4<f32>(clipped(output), cell, 0.0, 0.0);
}

fn state_of(arguments: Lanes, row: Row, before: UnitState) -> UnitState {
    let output = gate(arguments.x, row.largest.x, row.sum.x);
    let cell = arguments.y;
    return UnitState(output * activated(OUTPUT_ACTIVATION, OUTPUT_ALPHA, OUTPUT_BETA, cell, row.largest.y, row.sum.y), cell);
}
