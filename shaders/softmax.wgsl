// softmax: softmax or log_softmax over each row, in place. A workgroup owns one row.

const ACTIVATION: u32 = 15u; // the host sets it

@group(0) @binding(0) var<uniform> params: Projection;
@group(0) @binding(1) var<storage, read_write> projected: array<f32>;

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
    let base = (params.target_row + row) * params.column_vectors * 4u;
    var high = -0x1.fffffep+127f; // the lowest finite number
    for (var column = lane; column < width; column += 64u) {
        high = max(high, projected[base + column]);
    }
    high = over_all(lane, vec4<f32>(high), false).x;
    var sum = 0.0;
    for (var column = lane; column < width; column += 64u) {
        sum += exp(projected[base + column] - high);
    }
    sum = over_all(lane, vec4<f32>(sum), true).x;
    for (var column = lane; column < width; column += 64u) {
        let x = projected[base + column] - high;
        projected[base + column] = select(exp(x) / sum, x - log(sum), ACTIVATION == ACTIVATION_LOG_SOFTMAX);
    }
}
