// normalize_back: the gradients of a row that was normalised, of gamma and beta row by row. A workgroup owns one row. With n the normalised
// row and d the gradient of n: dx = (d - mean of d - n · mean of d · n) / deviation.

const ACTIVATION: u32 = 0u; // the host sets all of these
const ALPHA: u32 = 0u;      // the bits of what the activation takes
const BETA: u32 = 0u;

@group(0) @binding(0) var<uniform> params: RowsBack;
@group(0) @binding(1) var<storage, read> index: array<u32>;
@group(0) @binding(2) var<storage, read> rows: array<f32>;
@group(0) @binding(3) var<storage, read> gamma: array<f32>;
@group(0) @binding(4) var<storage, read> beta: array<f32>;
@group(0) @binding(5) var<storage, read> upstream: array<f32>;
@group(0) @binding(6) var<storage, read_write> gradient: array<f32>;          // of the row
@group(0) @binding(7) var<storage, read_write> gradient_of_gamma: array<f32>; // of this row, to be added up
@group(0) @binding(8) var<storage, read_write> gradient_of_beta: array<f32>;

fn value(wanted: u32, column: u32) -> f32 {
    if (wanted == NONE) {
        return 0.0;
    }
    return rows[params.first + wanted * params.stride + column];
}

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
    let wanted = index[params.index_first + row];
    let to = row * width;
    let above = params.upstream_first + row * params.upstream_stride;
    var sum = 0.0;
    for (var column = lane; column < width; column += 64u) {
        sum += value(wanted, column);
    }
    let mean = over_all(lane, vec4<f32>(sum), true).x / f32(width);
    var squares = 0.0;
    for (var column = lane; column < width; column += 64u) {
        let x = value(wanted, column) - mean;
        squares += x * x;
    }
    let deviation = sqrt(over_all(lane, vec4<f32>(squares), true).x / f32(width) + bitcast<f32>(params.epsilon));
    var sums = vec4<f32>();
    for (var column = lane; column < width; column += 64u) {
        let normal = (value(wanted, column) - mean) / deviation;
        let argument = normal * gamma[column] + beta[column];
        var d = upstream[above + column];
        var of_gamma = 0.0;
        if (d != 0.0) { // what nothing depends on may be anything
            d *= derivative(ACTIVATION, bitcast<f32>(ALPHA), bitcast<f32>(BETA), argument);
            of_gamma = d * normal;
            sums += vec4<f32>(d * gamma[column], of_gamma * gamma[column], 1.0, 0.0);
        }
        gradient_of_gamma[to + column] = of_gamma;
        gradient_of_beta[to + column] = d;
    }
    let means = over_all(lane, sums, true) / f32(width);
    for (var column = lane; column < width; column += 64u) {
        let normal = (value(wanted, column) - mean) / deviation;
        let of_normal = gradient_of_beta[to + column] * gamma[column];
        gradient[to + column] = select(0.0, (of_normal - means.x - normal * means.y) / deviation, means.z > 0.0);
    }
}
