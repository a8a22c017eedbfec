// counted_rows: a list of rows without those whose results nothing depends on, so that what they hold, NaN too, reaches no sum: they may be
// padding. An invocation does one entry.

@group(0) @binding(0) var<uniform> params: RowsBack;
@group(0) @binding(1) var<storage, read> index: array<u32>;
@group(0) @binding(2) var<storage, read> upstream: array<f32>;
@group(0) @binding(3) var<storage, read_write> counted: array<u32>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = (workgroup.y * workgroups.x + workgroup.x) * 256u + lane;
    if (row >= params.count) {
        return;
    }
    let above = params.upstream_first + row * params.upstream_stride;
    var wanted = NONE;
    for (var column = 0u; column < params.width; column++) {
        if (upstream[above + column] != 0.0) {
            wanted = index[params.index_first + row];
            break;
        }
    }
    counted[row] = wanted;
}
