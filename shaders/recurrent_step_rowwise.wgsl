// recurrent_step_rowwise: the same step for activations that need all units of a row at once (softmax, log_softmax).
// A workgroup owns one position: it finishes the gates in `projected`, where each gate is then a strided row.

override ACTIVATION: u32;           // check: 1
override ALPHA: u32;                // check: 0   the bits of the activation's parameters
override BETA: u32;                 // check: 0
override RECURRENT_ACTIVATION: u32; // check: 15
override RECURRENT_ALPHA: u32;      // check: 0
override RECURRENT_BETA: u32;       // check: 0

@group(0) @binding(0) var<uniform> params: Step;
@group(0) @binding(1) var<storage, read> recurrent_kernel: array<vec4<f32>>; // [k][unit]
@group(0) @binding(2) var<storage, read_write> projected: array<vec4<f32>>;  // [row][unit]
@group(0) @binding(3) var<storage, read_write> hidden: array<f32>;           // [row][unit]
@group(0) @binding(4) var<storage, read_write> cell_state: array<f32>;           // [position][unit]

var<workgroup> partial: array<vec4<f32>, 64>;

// The largest value of each component over all invocations.
fn largest(lane: u32, mine: vec4<f32>) -> vec4<f32> {
    partial[lane] = mine;
    workgroupBarrier();
    for (var half = 32u; half > 0u; half /= 2u) {
        if (lane < half) {
            partial[lane] = max(partial[lane], partial[lane + half]);
        }
        workgroupBarrier();
    }
    let all = partial[0];
    workgroupBarrier();
    return all;
}

// The sum of each component over all invocations, in a fixed order.
fn total(lane: u32, mine: vec4<f32>) -> vec4<f32> {
    partial[lane] = mine;
    workgroupBarrier();
    for (var half = 32u; half > 0u; half /= 2u) {
        if (lane < half) {
            partial[lane] += partial[lane + half];
        }
        workgroupBarrier();
    }
    let all = partial[0];
    workgroupBarrier();
    return all;
}

// One component: rowwise kinds from the row's largest value and sum, the others by themselves.
fn finish(kind: u32, alpha: f32, beta: f32, x: f32, row_largest: f32, row_sum: f32) -> f32 {
    if (kind == ACTIVATION_SOFTMAX) {
        return exp(x - row_largest) / row_sum;
    }
    if (kind == ACTIVATION_LOG_SOFTMAX) {
        return x - row_largest - log(row_sum);
    }
    return activate(kind, alpha, beta, x);
}

fn of_gate(x: f32, row_largest: f32, row_sum: f32) -> f32 {
    return finish(RECURRENT_ACTIVATION, bitcast<f32>(RECURRENT_ALPHA), bitcast<f32>(RECURRENT_BETA), x, row_largest, row_sum);
}

fn of_cell(x: f32, row_largest: f32, row_sum: f32) -> f32 {
    return finish(ACTIVATION, bitcast<f32>(ALPHA), bitcast<f32>(BETA), x, row_largest, row_sum);
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let units = params.units;
    let stride = params.stride;
    let position = workgroup.y * workgroups.x + workgroup.x;
    if (position >= params.positions) {
        return;
    }
    let before = (params.previous_row + position) * stride;
    let row = (params.projected_row + position) * units;
    let lowest = vec4<f32>(-0x1.fffffep+127f);

    // each invocation reads and writes only units of its own, so `projected` needs no barrier
    var high = lowest;
    for (var unit = lane; unit < units; unit += 64u) {
        var gate = projected[row + unit];
        for (var k = 0u; k < units; k++) {
            gate += hidden[before + k] * recurrent_kernel[k * units + unit];
        }
        projected[row + unit] = gate;
        high = max(high, gate);
    }
    high = largest(lane, high);
    var sum = vec4<f32>();
    for (var unit = lane; unit < units; unit += 64u) {
        sum += exp(projected[row + unit] - high);
    }
    sum = total(lane, sum);

    var cell_high = lowest;
    for (var unit = lane; unit < units; unit += 64u) {
        let gate = projected[row + unit];
        let input = of_gate(gate.x, high.x, sum.x);
        let forget = of_gate(gate.y, high.y, sum.y);
        let candidate = of_cell(gate.z, high.z, sum.z);
        let cell = forget * cell_state[position * stride + unit] + input * candidate;
        cell_state[position * stride + unit] = cell;
        cell_high = max(cell_high, vec4<f32>(cell));
    }
    cell_high = largest(lane, cell_high);
    var cell_sum = vec4<f32>();
    for (var unit = lane; unit < units; unit += 64u) {
        cell_sum += vec4<f32>(exp(cell_state[position * stride + unit] - cell_high.x));
    }
    cell_sum = total(lane, cell_sum);
    for (var unit = lane; unit < units; unit += 64u) {
        let output = of_gate(projected[row + unit].w, high.w, sum.w);
        let cell = of_cell(cell_state[position * stride + unit], cell_high.x, cell_sum.x);
        hidden[(params.current_row + position) * stride + unit] = output * cell;
    }
}
