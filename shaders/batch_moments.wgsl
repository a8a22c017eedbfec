// batch_moments: the mean of each column of a batch from the sums of parts, in their order; or its variance, and what the column is then
// multiplied by and what is added. An invocation does one column.

const OF_SQUARES: u32 = 0u; // the host sets it

struct BatchMoments {
    width: u32,            // columns
    parts: u32,            // sums of each
    count: u32,            // the bits of what their sum is divided by,
    epsilon: u32,          // and of what is added to a variance
}

@group(0) @binding(0) var<uniform> params: BatchMoments;
@group(0) @binding(1) var<storage, read> sums: array<f32>;         // [part][column]
@group(0) @binding(2) var<storage, read> weights: array<f32>;      // gamma, then beta
@group(0) @binding(3) var<storage, read_write> moments: array<f32>; // the means, then the variances
@group(0) @binding(4) var<storage, read_write> scale: array<f32>;
@group(0) @binding(5) var<storage, read_write> shift: array<f32>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let column = (workgroup.y * workgroups.x + workgroup.x) * 256u + lane;
    if (column >= params.width) {
        return;
    }
    var sum = 0.0;
    for (var part = 0u; part < params.parts; part++) {
        sum += sums[part * params.width + column];
    }
    let moment = sum / bitcast<f32>(params.count);
    if (OF_SQUARES == 0u) {
        moments[column] = moment;
        return;
    }
    moments[params.width + column] = moment;
    let by = weights[column] / sqrt(moment + bitcast<f32>(params.epsilon));
    scale[column] = by;
    shift[column] = weights[params.width + column] - moments[column] * by;
}
