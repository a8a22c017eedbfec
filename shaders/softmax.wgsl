// softmax: softmax or log_softmax over each row, in place. A workgroup owns one row.

override ACTIVATION: u32; // check: 15

@group(0) @binding(0) var<uniform> params: Projection;
@group(0) @binding(1) var<storage, read_write> projected: array<f32>;

var<workgroup> partial: array<f32, 64>;

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
    partial[lane] = high;
    workgroupBarrier();
    for (var half = 32u; half > 0u; half /= 2u) {
        if (lane < half) {
            partial[lane] = max(partial[lane], partial[lane + half]);
        }
        workgroupBarrier();
    }
    high = partial[0];
    workgroupBarrier();
    var sum = 0.0;
    for (var column = lane; column < width; column += 64u) {
        sum += exp(projected[base + column] - high);
    }
    partial[lane] = sum;
    workgroupBarrier();
    for (var half = 32u; half > 0u; half /= 2u) {
        if (lane < half) {
            partial[lane] += partial[lane + half];
        }
        workgroupBarrier();
    }
    sum = partial[0];
    for (var column = lane; column < width; column += 64u) {
        let x = projected[base + column] - high;
        projected[base + column] = select(exp(x) / sum, x - log(sum), ACTIVATION == ACTIVATION_LOG_SOFTMAX);
    }
}
