// gru: its rule backwards. With z, r and n activated, xn and hn both parts of n:
//
//   h = z · before + (1 - z) · n   dz = dh · (before - n)   dn = dh · (1 - z)   dh before the step = dh · z, and the product
//   n = act(xn + r · hn)           dxn = dn · act′          dr = dxn · hn       dhn = dxn · r
//
// Where r * h is multiplied again, that product is in xn, and hn is nothing: the gradient of r comes later, by `reset`.

const GATES: u32 = 3u;
const HAS_CELL_STATE: u32 = 0u;
const READS_STATES: u32 = 1u;

const SEPARATES: u32 = 1u;        // whether hn is a lane of its own; the host sets these
const MULTIPLIES_RESET: u32 = 0u; // whether r * h is multiplied again
const ACTIVATION: u32 = 1u;       // of n
const ALPHA: u32 = 0u;
const BETA: u32 = 0u;
const RECURRENT_ACTIVATION: u32 = 2u; // of z and r
const RECURRENT_ALPHA: u32 = 0u;
const RECURRENT_BETA: u32 = 0u;

const FIRST_KINDS = vec4<u32>(RECURRENT_ACTIVATION, RECURRENT_ACTIVATION, 0u, 0u);
const SECOND_KINDS = vec4<u32>(ACTIVATION, 0u, 0u, 0u);

// The gradients of the lanes of a unit that go through the recurrent product, and the weights they meet there.
alias Column = vec3<f32>;

fn column_of(lanes: Lanes) -> Column {
    return lanes.recurrent.xyz;
}

fn added(column: Column) -> f32 {
    return (column.x + column.y) + column.z;
}

fn weights_of(unit: u32, units: u32) -> vec4<f32> {
    return vec4<f32>();
}

fn gate(x: f32, largest: f32, sum: f32) -> f32 {
    return activated(RECURRENT_ACTIVATION, RECURRENT_ALPHA, RECURRENT_BETA, x, largest, sum);
}

fn gate_pulled(x: f32, y: f32, d: f32, sum: f32) -> f32 {
    return pulled(RECURRENT_ACTIVATION, RECURRENT_ALPHA, RECURRENT_BETA, x, y, d, sum);
}

fn first_arguments(own: Lanes, weights: vec4<f32>, before: f32) -> vec4<f32> {
    return own.both + own.recurrent;
}

// z and r.
fn first_values(x: vec4<f32>, row: Row) -> vec4<f32> {
    return vec4<f32>(gate(x.x, row.largest.x, row.sum.x), gate(x.y, row.largest.y, row.sum.y), 0.0, 0.0);
}

// The argument of n.
fn second_arguments(own: Lanes, first: vec4<f32>, weights: vec4<f32>, before: f32) -> vec4<f32> {
    return vec4<f32>(own.both.z + first.y * own.recurrent.z, 0.0, 0.0, 0.0);
}

fn second_clipped(x: vec4<f32>) -> vec4<f32> {
    return all_clipped(x);
}

fn second_values(x: vec4<f32>, row: Row) -> vec4<f32> {
    return vec4<f32>(activated(ACTIVATION, ALPHA, BETA, x.x, row.largest.x, row.sum.x), 0.0, 0.0, 0.0);
}

fn second_gradients(gates: Gates, unit: Unit) -> vec4<f32> {
    return vec4<f32>(unit.hidden * (1.0 - gates.y.x), 0.0, 0.0, 0.0);
}

fn second_pulled(gates: Gates, d: vec4<f32>, sums: vec4<f32>) -> vec4<f32> {
    let of_candidate = pulled(ACTIVATION, ALPHA, BETA, gates.second_x.x, gates.second_y.x, d.x, sums.x);
    return vec4<f32>(of_candidate, 0.0, 0.0, 0.0);
}

fn first_gradients(gates: Gates, second: vec4<f32>, unit: Unit) -> vec4<f32> {
    let of_update = unit.hidden * (unit.before - gates.second_y.x);
    return vec4<f32>(of_update, second.x * unit.own.recurrent.z, 0.0, 0.0);
}

fn first_pulled(gates: Gates, d: vec4<f32>, sums: vec4<f32>) -> vec4<f32> {
    let of_update = gate_pulled(gates.x.x, gates.y.x, d.x, sums.x);
    return vec4<f32>(of_update, gate_pulled(gates.x.y, gates.y.y, d.y, sums.y), 0.0, 0.0);
}

fn back_of(gates: Gates, first: vec4<f32>, second: vec4<f32>, unit: Unit) -> Back {
    // the lane of r stays what it is until its gradient is known
    let of_reset = select(first.y, unit.own.both.y, MULTIPLIES_RESET == 1u);
    let of_input = vec4<f32>(first.x, of_reset, second.x, 0.0);
    let of_state = vec4<f32>(first.xy, second.x * gates.y.y, 0.0);
    return Back(Lanes(of_input, of_state), unit.hidden * gates.y.x, 0.0, 0.0);
}
