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

// The peepholes i f o of a unit.
fn weights_of(unit: u32, units: u32) -> vec4<f32> {
    if (HAS_UNIT_WEIGHTS == 0u) {
        return vec4<f32>();
    }
    return vec4<f32>(unit_weights[unit], unit_weights[units + unit], unit_weights[2u * units + unit], 0.0);
}

fn gate(x: f32) -> f32 {
    return activate(RECURRENT_ACTIVATION, bitcast<f32>(RECURRENT_ALPHA), bitcast<f32>(RECURRENT_BETA), clipped(x));
}

fn gate_slope(x: f32) -> f32 {
    return slope(RECURRENT_ACTIVATION, RECURRENT_ALPHA, RECURRENT_BETA, x);
}

// i, f and g.
fn gates_of(lanes: vec4<f32>) -> vec3<f32> {
    let input = gate(lanes.x);
    var forget = 1.0 - input;
    if (INPUT_FORGET == 0u) {
        forget = gate(lanes.y);
    }
    return vec3<f32>(input, forget, activate(ACTIVATION, bitcast<f32>(ALPHA), bitcast<f32>(BETA), clipped(lanes.z)));
}

// The cell state behind a step.
fn cell_after(lanes: vec4<f32>, weights: vec4<f32>, before: f32) -> f32 {
    let gates = gates_of(lanes + vec4<f32>(weights.xy * before, 0.0, 0.0));
    return gates.y * before + gates.x * gates.z;
}

fn rule_back(own: Lanes, weights: vec4<f32>, before: f32, dh: f32, dc_behind: f32) -> Back {
    var lanes = own.both + vec4<f32>(weights.xy * before, 0.0, 0.0);
    let gates = gates_of(lanes);
    let c = gates.y * before + gates.x * gates.z;
    lanes.w += weights.z * c;
    let output = gate(lanes.w);
    let a = activate(OUTPUT_ACTIVATION, bitcast<f32>(OUTPUT_ALPHA), bitcast<f32>(OUTPUT_BETA), c);
    let a_slope = derivative(OUTPUT_ACTIVATION, bitcast<f32>(OUTPUT_ALPHA), bitcast<f32>(OUTPUT_BETA), c);
    let d_output = dh * a * gate_slope(lanes.w);
    let dc = dc_behind + dh * output * a_slope + d_output * weights.z;
    var d_input = dc * gates.z;
    var d_forget = dc * before;
    if (INPUT_FORGET == 1u) {
        d_input -= d_forget;
        d_forget = 0.0;
    } else {
        d_forget *= gate_slope(lanes.y);
    }
    d_input *= gate_slope(lanes.x);
    let d_candidate = dc * gates.x * slope(ACTIVATION, ALPHA, BETA, lanes.z);
    let d_before = dc * gates.y + d_input * weights.x + d_forget * weights.y;
    let d_lanes = vec4<f32>(d_input, d_forget, d_candidate, d_output);
    return Back(Lanes(d_lanes, vec4<f32>()), 0.0, d_before);
}
