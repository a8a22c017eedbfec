// batch_rows_back: the gradients of rows that were normalised by column, in the place of those of beta row by row. With d and n as in
// `batch_back`, of the batch where the moments are its own:
//
//   dx = scale · (d - share · (sum of d + n · sum of d · n))
//
// and scale · d where they are not. A row's share is how often it counts, of all that count. An invocation does one value.

const OF_BATCH: u32 = 0u; // the host sets it

@group(0) @binding(0) var<uniform> params: RowsBack;
@group(0) @binding(1) var<storage, read> index: array<u32>;
@group(0) @binding(2) var<storage, read> rows: array<f32>;
@group(0) @binding(3) var<storage, read> moments: array<f32>; // means, then variances
@group(0) @binding(4) var<storage, read> scale: array<f32>;
@group(0) @binding(5) var<storage, read> counts: array<u32>;
@group(0) @binding(6) var<storage, read> gradient_of_gamma: array<f32>; // of all rows
@group(0) @binding(7) var<storage, read> gradient_of_beta: array<f32>;
@group(0) @binding(8) var<storage, read_write> gradient: array<f32>;

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
    var d = gradient[number];
    if (OF_BATCH == 1u && counts[row] > 0u) {
        let wanted = index[params.index_first + row];
        var x = 0.0;
        if (wanted != NONE) {
            x = rows[params.first + wanted * params.stride + column];
        }
        let normal = (x - moments[column]) / sqrt(moments[params.width + column] + bitcast<f32>(params.epsilon));
        let share = f32(counts[row]) * bitcast<f32>(params.share);
        d -= share * (gradient_of_beta[column] + normal * gradient_of_gamma[column]);
    }
    gradient[number] = scale[column] * d;
}
