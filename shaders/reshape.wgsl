// reshape: the values of the rows of a list, one row behind the other, as rows of another width. An invocation writes one value.
// A source that is cut into several buffers takes one dispatch for each.

@group(0) @binding(0) var<uniform> params: Reshape;
@group(0) @binding(1) var<storage, read> index: array<u32>;
@group(0) @binding(2) var<storage, read> source: array<f32>;
@group(0) @binding(3) var<storage, read_write> rows: array<f32>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let place = (workgroup.y * workgroups.x + workgroup.x) * 256u + lane;
    let row = place / params.stride;
    let column = place % params.stride;
    if (row >= params.count) {
        return;
    }
    // which row of the list has the value; what stands behind the width of a row is zero
    let value = params.first_value + row * params.width + column;
    let is_value = column < params.width;
    var wanted = NONE;
    if (is_value) {
        wanted = index[params.first_entry + value / params.source_width];
    }
    if (wanted >= params.source_start && wanted < params.source_end) {
        let source_row = wanted - params.source_start + params.source_row;
        rows[place] = source[source_row * params.source_stride + value % params.source_width];
    } else if (wanted == NONE && params.handles_none == 1u) {
        rows[place] = 0.0;
    }
}
