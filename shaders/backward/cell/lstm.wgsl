// lstm: its rule backwards. With i f g o the activated gates and a the activated cell state c = f · before + i · g:
//
//   h = o · a     do = dh · a     dc = dc behind the step + dh · o · a′
//   di = dc · g   df = dc · before   dg = dc · i   dc before the step = dc · f
//
// With peepholes c reaches the gates too: o sees the new one, i and f the one before.

const GATES: u32 = 4u;
const SEPARATES: u32 = 0u;
const HAS_CELL_STATE: u32 = 1u;
const READS_STATES: u32 = 1u;

const HAS_UNIT_WEIGHTS: u32 = 0u; // the host sets these
const INPUT_FORGET: u32 = 0u;     // 1: f = 1 - i
const ACTIVATION: u32 = 1u;       // of g
const ALPHA: u32 = 0u;
const BETA: u32 = 0u;
const RECURRENT_ACTIVATION: u32 = 2u; // of i, f and o
const RECURRENT_ALPHA: u32 = 0u;
const RECURRENT_BETA: u32 = 0u;
const OUTPUT_ACTIVATION: u32 = 1u; // of the cell state on its way out
const OUTPUT_ALPHA: u32 = 0u;
const OUTPUT_BETA: u32 = 0u;

const FIRST_KINDS = vec4<u32>(RECURRENT_ACTIVATION, RECURRENT_ACTIVATION, ACTIVATION, 0u);
const SECOND_KINDS = vec4<u32>(RECURRENT_ACTIVATION, OUTPUT_ACTIVATION, 0u, 0u);

// The gradients of the lanes of a unit that go through the recurrent product, and the weights they meet there.
alias Column = vec4<f32>;

fn column_of(lanes: Lanes) -> Column {
    return lanes.both;
}

fn added(column: Column) -> f32 {
    return (column.x + column.y) + (column.z + column.w);
}

// The peepholes i f o of a unit.
fn weights_of(unit: u32, units: u32) -> vec4<f32> {
    if (HAS_UNIT_WEIGHTS == 0u) {
        return vec4<f32>();
    }
    return vec4<f32>(unit_weights[unit], unit_weights[units + unit], unit_weights[2u * units + unit], 0.0);
}

fn gate(x: f32, largest: f32, sum: f32) -> f32 {
    return activated(RECURRENT_ACTIVATION, RECURRENT_ALPHA, RECURRENT_BETA, x, largest, sum);
}

fn gate_pulled(x: f32, y: f32, d: f32, sum: f32) -> f32 {
    return pulled(RECURRENT_ACTIVATION, RECURRENT_ALPHA, RECURRENT_BETA, x, y, d, sum);
}

fn first_arguments(own: Lanes, weights: vec4<f32>, before: f32) -> vec4<f32> {
    return own.both + vec4<f32>(weights.xy * before, 0.0, 0.0);
}

// i, f and g.
fn first_values(x: vec4<f32>, row: Row) -> vec4<f32> {
    let input = gate(x.x, row.largest.x, row.sum.x);
    var forget = 1.0 - input;
    if (INPUT_FORGET == 0u) {
        forget = gate(x.y, row.largest.y, row.sum.y);
    }
    return vec4<f32>(input, forget, activated(ACTIVATION, ALPHA, BETA, x.z, row.largest.z, row.sum.z), 0.0);
}

// The argument of o, and the cell state behind the step.
fn second_arguments(own: Lanes, first: vec4<f32>, weights: vec4<f32>, before: f32) -> vec4<f32> {
    let cell = first.y * before + first.x * first.z;
    return vec4<f32>(own.both.w + weights.z * cell, cell, 0.0, 0.0);
}

fn second_clipped(x: vec4<f32>) -> vec4<f32> {
    return vec4<f32>(clipped(x.x), x.yzw);
}

// o and a.
fn second_values(x: vec4<f32>, row: Row) -> vec4<f32> {
    let a = activated(OUTPUT_ACTIVATION, OUTPUT_ALPHA, OUTPUT_BETA, x.y, row.largest.y, row.sum.y);
    return vec4<f32>(gate(x.x, row.largest.x, row.sum.x), a, 0.0, 0.0);
}

fn second_gradients(gates: Gates, unit: Unit) -> vec4<f32> {
    return vec4<f32>(unit.hidden * gates.second_y.y, unit.hidden * gates.second_y.x, 0.0, 0.0);
}

fn second_pulled(gates: Gates, d: vec4<f32>, sums: vec4<f32>) -> vec4<f32> {
    let x = gates.second_x;
    let y = gates.second_y;
    let of_cell = pulled_freely(OUTPUT_ACTIVATION, OUTPUT_ALPHA, OUTPUT_BETA, x.y, y.y, d.y, sums.y);
    return vec4<f32>(gate_pulled(x.x, y.x, d.x, sums.x), of_cell, 0.0, 0.0);
}

// Those of i, f and g, and of the cell state behind the step.
fn first_gradients(gates: Gates, second: vec4<f32>, unit: Unit) -> vec4<f32> {
    let dc = unit.cell + second.y + second.x * unit.weights.z;
    let of_forget = dc * unit.before;
    if (INPUT_FORGET == 1u) {
        return vec4<f32>(dc * gates.y.z - of_forget, 0.0, dc * gates.y.x, dc);
    }
    return vec4<f32>(dc * gates.y.z, of_forget, dc * gates.y.x, dc);
}

fn first_pulled(gates: Gates, d: vec4<f32>, sums: vec4<f32>) -> vec4<f32> {
    var of_forget = 0.0;
    if (INPUT_FORGET == 0u) {
        of_forget = gate_pulled(gates.x.y, gates.y.y, d.y, sums.y);
    }
    let of_candidate = pulled(ACTIVATION, ALPHA, BETA, gates.x.z, gates.y.z, d.z, sums.z);
    return vec4<f32>(gate_pulled(gates.x.x, gates.y.x, d.x, sums.x), of_forget, of_candidate, d.w);
}

fn back_of(gates: Gates, first: vec4<f32>, second: vec4<f32>, unit: Unit) -> Back {
    let before = first.w * gates.y.y + first.x * unit.weights.x + first.y * unit.weights.y;
    let lanes = Lanes(vec4<f32>(first.xyz, second.x), vec4<f32>());
    return Back(lanes, 0.0, before, gates.second_y.x * gates.second_y.y);
}
