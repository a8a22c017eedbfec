// batch_back: of rows that were multiplied and added to by column, the gradients of gamma and beta row by row. With n the normalised value
// and d the gradient of n · gamma + beta these are d · n and d. An invocation does one value.

const ACTIVATION: u32 = 0u; // the host sets all of these
const ALPHA: u32 = 0u;      // the bits of what the activation takes
const BETA: u32 = 0u;

@group(0) @binding(0) var<uniform> params: RowsBack;
@group(0) @binding(1) var<storage, read> index: array<u32>;
@group(0) @binding(2) var<storage, read> rows: array<f32>;
@group(0) @binding(3) var<storage, read> moments: array<f32>; // means, then variances
@group(0) @binding(4) var<storage, read> scale: array<f32>;
@group(0) @binding(5) var<storage, read> shift: array<f32>;
@group(0) @binding(6) var<storage, read> upstream: array<f32>;
@group(0) @binding(7) var<storage, read_write> gradient_of_gamma: array<f32>; // of this row, to be added up
@group(0) @binding(8) var<storage, read_write> gradient_of_beta: array<f32>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let number = (workgroup.y * workgroups.x + workgroup.x) * 256u + lane;
    let row = number / params.width;
    let column = number % params.width;
    if (row >= params.count) {
        return;
    }
    let wanted = index[params.index_first + row];
    var x = 0.0;
    if (wanted != NONE) {
        x = rows[params.first + wanted * params.stride + column];
    }
    let above = upstream[params.upstream_first + row * params.upstream_stride + column];
    let argument = x * scale[column] + shift[column];
    var d = 0.0;
    var of_gamma = 0.0;
    if (above != 0.0) { // what nothing depends on may be anything
        d = above * derivative(ACTIVATION, bitcast<f32>(ALPHA), bitcast<f32>(BETA), argument);
        of_gamma = d * (x - moments[column]) / sqrt(moments[params.width + column] + bitcast<f32>(params.epsilon));
    }
    gradient_of_gamma[number] = of_gamma;
    gradient_of_beta[number] = d;
}
