// reset: r * h of each row, where that is multiplied again; and of its gradient those of the lane of r and of h. A workgroup owns one row.

const BACK: u32 = 0u; // 1: from the gradient; the host sets it

@group(0) @binding(0) var<uniform> params: Reset;
@group(0) @binding(1) var<storage, read> before: array<u32>; // for each row the row of `states` with the state before it
@group(0) @binding(2) var<storage, read> states: array<f32>;
@group(0) @binding(3) var<storage, read_write> lanes: array<f32>;    // [row][gate, unit]
@group(0) @binding(4) var<storage, read_write> products: array<f32>; // [row][unit] from the first row on: r * h, or its gradient
@group(0) @binding(5) var<storage, read_write> carry: array<f32>;    // [row][unit] from the first row on: the gradient of h

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let number = workgroup.y * workgroups.x + workgroup.x;
    if (number >= params.rows) {
        return;
    }
    let units = params.units;
    let row = params.row + number;
    let reset_lane = row * params.lanes_stride + units;
    let state = params.states_first + before[row] * params.states_stride;
    let first = number * units;
    var high = -0x1.fffffep+127f; // the lowest finite number
    var sum = 0.0;
    if (HAS_ROWS == 1u) {
        for (var unit = lane; unit < units; unit += 64u) {
            high = max(high, clipped(lanes[reset_lane + unit]));
        }
        high = over_all(lane, vec4<f32>(high), false).x;
        for (var unit = lane; unit < units; unit += 64u) {
            sum += exp(clipped(lanes[reset_lane + unit]) - high);
        }
        sum = over_all(lane, vec4<f32>(sum), true).x;
    }
    if (BACK == 0u) {
        for (var unit = lane; unit < units; unit += 64u) {
            products[first + unit] = gate(clipped(lanes[reset_lane + unit]), high, sum) * states[state + unit];
        }
        return;
    }
    var of_row = 0.0;
    if (HAS_ROWS == 1u) {
        for (var unit = lane; unit < units; unit += 64u) {
            let y = gate(clipped(lanes[reset_lane + unit]), high, sum);
            of_row += shares(FIRST_KINDS, vec4<f32>(y), vec4<f32>(products[first + unit] * states[state + unit])).y;
        }
        of_row = over_all(lane, vec4<f32>(of_row), true).x;
    }
    for (var unit = lane; unit < units; unit += 64u) {
        let x = lanes[reset_lane + unit];
        let y = gate(clipped(x), high, sum);
        let product = products[first + unit];
        lanes[reset_lane + unit] = gate_pulled(x, y, product * states[state + unit], of_row);
        carry[first + unit] += y * product;
    }
}
