// softmax_back: the gradient of what softmax or log_softmax has taken, of that of what it gave and of what it gave. A workgroup owns one row.

const ACTIVATION: u32 = 15u; // the host sets it

@group(0) @binding(0) var<uniform> params: RowsBack;
@group(0) @binding(1) var<storage, read> given: array<f32>;
@group(0) @binding(2) var<storage, read> upstream: array<f32>;
@group(0) @binding(3) var<storage, read_write> gradient: array<f32>; // [row][column]

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
    let at = params.first + row * params.stride;
    let above = params.upstream_first + row * params.upstream_stride;
    var sums = vec4<f32>(); // and how much depends on the row: what nothing depends on may be anything
    for (var column = lane; column < width; column += 64u) {
        let d = upstream[above + column];
        if (d != 0.0) {
            sums += vec4<f32>(d * select(given[at + column], 1.0, ACTIVATION == ACTIVATION_LOG_SOFTMAX), 1.0, 0.0, 0.0);
        }
    }
    sums = over_all(lane, sums, true);
    let sum = sums.x;
    for (var column = lane; column < width; column += 64u) {
        let y = given[at + column];
        let d = upstream[above + column];
        let made = select(y * (d - sum), d - exp(y) * sum, ACTIVATION == ACTIVATION_LOG_SOFTMAX);
        gradient[row * width + column] = select(0.0, made, sums.y > 0.0);
    }
}
