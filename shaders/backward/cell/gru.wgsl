// gru: its rule backwards, where r multiplies what h gives to the candidate. With z, r and n activated, xn and hn both parts of n:
//
//   h = z · before + (1 - z) · n   dz = dh · (before - n)   dn = dh · (1 - z)   dh before the step = dh · z, and the product
//   n = act(xn + r · hn)           dxn = dn · act′          dr = dxn · hn       dhn = dxn · r

const GATES: u32 = 3u;
const SEPARATES: u32 = 1u;
const HAS_CELL_STATE: u32 = 0u;
const READS_STATES: u32 = 1u;

const ACTIVATION: u32 = 1u; // of n; the host sets these
const ALPHA: u32 = 0u;
const BETA: u32 = 0u;
const RECURRENT_ACTIVATION: u32 = 2u; // of z and r
const RECURRENT_ALPHA: u32 = 0u;
const RECURRENT_BETA: u32 = 0u;

fn weights_of(unit: u32, units: u32) -> vec4<f32> {
    return vec4<f32>();
}

fn gate(x: f32) -> f32 {
    return activate(RECURRENT_ACTIVATION, bitcast<f32>(RECURRENT_ALPHA), bitcast<f32>(RECURRENT_BETA), clipped(x));
}

fn gate_slope(x: f32) -> f32 {
    return slope(RECURRENT_ACTIVATION, RECURRENT_ALPHA, RECURRENT_BETA, x);
}

fn rule_back(own: Lanes, weights: vec4<f32>, before: f32, dh: f32, dc_behind: f32) -> Back {
    let sums = own.both + own.recurrent;
    let update = gate(sums.x);
    let reset = gate(sums.y);
    let argument = own.both.z + reset * own.recurrent.z;
    let candidate = activate(ACTIVATION, bitcast<f32>(ALPHA), bitcast<f32>(BETA), clipped(argument));
    let d_update = dh * (before - candidate) * gate_slope(sums.x);
    let d_candidate = dh * (1.0 - update) * slope(ACTIVATION, ALPHA, BETA, argument);
    let d_reset = d_candidate * own.recurrent.z * gate_slope(sums.y);
    let of_input = vec4<f32>(d_update, d_reset, d_candidate, 0.0);
    return Back(Lanes(of_input, vec4<f32>(d_update, d_reset, d_candidate * reset, 0.0)), dh * update, 0.0);
}
