// gru: its lanes are z, r, what the input gives to n, and what h gives to n. Where r * h is multiplied again, the third has
// the bias of n too and gets that product later, and the fourth is nothing.

alias Lanes = vec4<f32>;

const ACTIVATION: u32 = 1u; // of n; the host sets all of these
const ALPHA: u32 = 0u;      // the bits of the activation's parameters
const BETA: u32 = 0u;
const RECURRENT_ACTIVATION: u32 = 2u; // of z and r
const RECURRENT_ALPHA: u32 = 0u;
const RECURRENT_BETA: u32 = 0u;

fn widened(lanes: Lanes) -> vec4<f32> {
    return lanes;
}

fn narrowed(lanes: vec4<f32>) -> Lanes {
    return lanes;
}

fn gate(x: f32, largest: f32, sum: f32) -> f32 {
    return activated(RECURRENT_ACTIVATION, RECURRENT_ALPHA, RECURRENT_BETA, x, largest, sum);
}

// The arguments of z and r; both parts of n.
fn first_arguments(lanes: Lanes, unit: Lanes, before: UnitState) -> Lanes {
    return vec4<f32>(clipped(lanes.x), clipped(lanes.y), lanes.z, lanes.w);
}

// The argument of n, and z. Where r * h is multiplied again, r * h too, and the argument lacks that product.
fn second_arguments(gates: Lanes, row: Row, unit: Lanes, before: UnitState) -> Lanes {
    let update = gate(gates.x, row.largest.x, row.sum.x);
    let reset = gate(gates.y, row.largest.y, row.sum.y);
    if (MULTIPLIES_RESET == 1u) {
        return vec4<f32>(gates.z, update, reset * before.hidden, 0.0);
    }
    // where x is infinite the lane of h has 0 * x, which is no number; in Keras h alone is there, and adds nothing
    let is_infinite = (bitcast<u32>(gates.z) & 0x7fffffffu) == 0x7f800000u;
    return vec4<f32>(clipped(select(gates.z + reset * gates.w, gates.z, is_infinite)), update, 0.0, 0.0);
}

fn state_of(arguments: Lanes, row: Row, before: UnitState) -> UnitState {
    let candidate = activated(ACTIVATION, ALPHA, BETA, arguments.x, row.largest.x, row.sum.x);
    let update = arguments.y;
    return UnitState(update * before.hidden + (1.0 - update) * candidate, 0.0);
}
