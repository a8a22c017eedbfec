// scatter: what a gather is backwards. Each row gets the sum of the rows that were read from it, target[r] += scale * source[reader], in the
// order of a list of its readers: readers[starts[r] .. starts[r + 1]]. An invocation does one value.

@group(0) @binding(0) var<uniform> params: Scatter;
@group(0) @binding(1) var<storage, read> starts: array<u32>;
@group(0) @binding(2) var<storage, read> readers: array<u32>;
@group(0) @binding(3) var<storage, read> source: array<f32>;
@group(0) @binding(4) var<storage, read_write> rows: array<f32>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let number = (workgroup.y * workgroups.x + workgroup.x) * 256u + lane;
    let row = number / params.width;
    let column = number % params.width;
    if (row >= params.rows) {
        return;
    }
    let end = starts[row + 1u];
    var sum = 0.0;
    for (var entry = starts[row]; entry < end; entry++) {
        sum += source[params.source_first + readers[entry] * params.source_stride + column];
    }
    rows[params.target_first + row * params.target_stride + column] += bitcast<f32>(params.scale) * sum;
}
