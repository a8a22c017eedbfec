// simple_rnn: its rule backwards.

const GATES: u32 = 1u;
const SEPARATES: u32 = 0u;
const HAS_CELL_STATE: u32 = 0u;
const READS_STATES: u32 = 0u;

const ACTIVATION: u32 = 1u; // the host sets these
const ALPHA: u32 = 0u;
const BETA: u32 = 0u;

const FIRST_KINDS = vec4<u32>(ACTIVATION, 0u, 0u, 0u);
const SECOND_KINDS = vec4<u32>();

// The gradient of the lane of a unit, and the weight that it meets in the recurrent product.
alias Column = f32;

fn column_of(lanes: Lanes) -> Column {
    return lanes.both.x;
}

fn added(column: Column) -> f32 {
    return column;
}

fn weights_of(unit: u32, units: u32) -> vec4<f32> {
    return vec4<f32>();
}

fn first_arguments(own: Lanes, weights: vec4<f32>, before: f32) -> vec4<f32> {
    return own.both;
}

fn first_values(x: vec4<f32>, row: Row) -> vec4<f32> {
    return vec4<f32>(activated(ACTIVATION, ALPHA, BETA, x.x, row.largest.x, row.sum.x), 0.0, 0.0, 0.0);
}

// There are no others.
fn second_arguments(own: Lanes, first: vec4<f32>, weights: vec4<f32>, before: f32) -> vec4<f32> {
    return vec4<f32>();
}

fn second_clipped(x: vec4<f32>) -> vec4<f32> {
    return x;
}

fn second_values(x: vec4<f32>, row: Row) -> vec4<f32> {
    return x;
}

fn second_gradients(gates: Gates, unit: Unit) -> vec4<f32> {
    return vec4<f32>();
}

fn second_pulled(gates: Gates, d: vec4<f32>, sums: vec4<f32>) -> vec4<f32> {
    return d;
}

fn first_gradients(gates: Gates, second: vec4<f32>, unit: Unit) -> vec4<f32> {
    return vec4<f32>(unit.hidden, 0.0, 0.0, 0.0);
}

fn first_pulled(gates: Gates, d: vec4<f32>, sums: vec4<f32>) -> vec4<f32> {
    return vec4<f32>(pulled(ACTIVATION, ALPHA, BETA, gates.x.x, gates.y.x, d.x, sums.x), 0.0, 0.0, 0.0);
}

fn back_of(gates: Gates, first: vec4<f32>, second: vec4<f32>, unit: Unit) -> Back {
    return Back(Lanes(first, vec4<f32>()), 0.0, 0.0, 0.0);
}
