// simple_rnn: one lane.

alias Lanes = f32;

const ACTIVATION: u32 = 1u; // the host sets these
const ALPHA: u32 = 0u;      // the bits of the activation's parameters
const BETA: u32 = 0u;

fn widened(lanes: Lanes) -> vec4<f32> {
    return vec4<f32>(lanes, 0.0, 0.0, 0.0);
}

fn narrowed(lanes: vec4<f32>) -> Lanes {
    return lanes.x;
}

fn first_arguments(lanes: Lanes, unit: Lanes, before: UnitState) -> Lanes {
    return clipped(lanes);
}

fn second_arguments(argument: Lanes, row: Row, unit: Lanes, before: UnitState) -> Lanes {
    return argument;
}

fn state_of(argument: Lanes, row: Row, before: UnitState) -> UnitState {
    return UnitState(activated(ACTIVATION, ALPHA, BETA, argument, row.largest.x, row.sum.x), 0.0);
}
