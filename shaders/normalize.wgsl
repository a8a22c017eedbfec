// normalize: each row brought to mean 0 and variance 1, then gamma, beta and the activation, in place. A workgroup owns one row.

const ACTIVATION: u32 = 0u; // the host sets all of these
const ALPHA: u32 = 0u;      // the bits of what the activation takes
const BETA: u32 = 0u;

@group(0) @binding(0) var<uniform> params: Transform;
@group(0) @binding(1) var<storage, read> gamma: array<f32>;
@group(0) @binding(2) var<storage, read> beta: array<f32>;
@group(0) @binding(3) var<storage, read_write> rows: array<f32>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = workgroup.y * workgroups.x + workgroup.x;
    if (row >= params.count) {
        return;
    }
    let width = params.width;
    let base = row * params.stride;
    var sum = 0.0;
    for (var column = lane; column < width; column += 64u) {
        sum += rows[base + column];
    }
    let mean = over_all(lane, vec4<f32>(sum), true).x / f32(width);
    var squares = 0.0;
    for (var column = lane; column < width; column += 64u) {
        let x = rows[base + column] - mean;
        squares += x * x;
    }
    let variance = over_all(lane, vec4<f32>(squares), true).x / f32(width);
    let deviation = sqrt(variance + bitcast<f32>(params.epsilon));
    for (var column = lane; column < width; column += 64u) {
        let x = (rows[base + column] - mean) / deviation * gamma[column] + beta[column];
        rows[base + column] = activate(ACTIVATION, bitcast<f32>(ALPHA), bitcast<f32>(BETA), x);
    }
}
