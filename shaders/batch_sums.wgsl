// batch_sums: the sum of each column over the rows of a part, each as often as it counts; or that of the squared distances from the mean. An
// invocation does one column of one part.

const OF_SQUARES: u32 = 0u; // the host sets it

struct BatchSums {
    rows: u32,
    width: u32,            // values of a row that count,
    stride: u32,           // and from one row to the next
    part: u32,             // rows that an invocation adds up
}

@group(0) @binding(0) var<uniform> params: BatchSums;
@group(0) @binding(1) var<storage, read> counts: array<u32>;
@group(0) @binding(2) var<storage, read> moments: array<f32>; // the means
@group(0) @binding(3) var<storage, read> rows: array<f32>;
@group(0) @binding(4) var<storage, read_write> sums: array<f32>; // [part][column]

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let number = (workgroup.y * workgroups.x + workgroup.x) * 256u + lane;
    let part = number / params.width;
    let column = number % params.width;
    let begin = part * params.part;
    if (begin >= params.rows && part > 0u) {
        return;
    }
    let end = min(begin + params.part, params.rows);
    var sum = 0.0;
    for (var row = begin; row < end; row++) {
        let count = counts[row];
        if (count == 0u) { // what does not count may be no number
            continue;
        }
        var x = rows[row * params.stride + column];
        if (OF_SQUARES == 1u) {
            x -= moments[column];
            x *= x;
        }
        sum += f32(count) * x;
    }
    sums[number] = sum;
}
