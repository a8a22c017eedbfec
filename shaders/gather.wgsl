// gather, place and merge: rows by their numbers, rows[r] (op)= source[index[r]].
// One invocation writes one value. A source that is cut into several buffers takes one dispatch for each.

const SET: u32 = 0u;
const ADD: u32 = 1u;
const MULTIPLY: u32 = 2u;
const AVERAGE: u32 = 3u;

@group(0) @binding(0) var<uniform> params: Gather;
@group(0) @binding(1) var<storage, read> index: array<u32>;
@group(0) @binding(2) var<storage, read> source: array<f32>;
@group(0) @binding(3) var<storage, read_write> rows: array<f32>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let number = (workgroup.y * workgroups.x + workgroup.x) * 256u + lane;
    let row = number / params.written;
    let column = number % params.written;
    if (row >= params.count) {
        return;
    }
    let wanted = index[params.first_index + row];
    let here = wanted >= params.source_start && wanted < params.source_end;
    if (!here && !(wanted == NONE && params.handles_none == 1u)) {
        return;
    }
    var value = 0.0;
    if (here && column < params.width) {
        value = source[(wanted - params.source_start + params.source_row) * params.source_stride + column];
    }
    let target_index = (params.target_row + row) * params.target_stride + params.target_column + column;
    switch params.operation {
        case ADD: { value = rows[target_index] + value; }
        case MULTIPLY: { value = rows[target_index] * value; }
        case AVERAGE: { value = (rows[target_index] + value) * 0.5; }
        default: {}
    }
    rows[target_index] = value;
}
