// gather, place and merge: rows by their numbers, rows[r] (op)= source[index[r]].
// An invocation writes VALUES values, 256 apart: it asks for all of them before it writes the first one, for it waits twice for each,
// for the number of the row and for its value. A source that is cut into several buffers takes one dispatch for each.

const VALUES: u32 = 4u; // of each invocation; the host counts with it

const SET: u32 = 0u;
const ADD: u32 = 1u;
const MULTIPLY: u32 = 2u;
const AVERAGE: u32 = 3u;

@group(0) @binding(0) var<uniform> params: Gather;
@group(0) @binding(1) var<storage, read> index: array<u32>;
@group(0) @binding(2) var<storage, read> source: array<f32>;
@group(0) @binding(3) var<storage, read_write> rows: array<f32>;

fn put(place: u32, value: f32) {
    switch params.operation {
        case ADD: { rows[place] += value; }
        case MULTIPLY: { rows[place] *= value; }
        case AVERAGE: { rows[place] = (rows[place] + value) * 0.5; }
        default: { rows[place] = value; }
    }
}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let begin = (workgroup.y * workgroups.x + workgroup.x) * 256u * VALUES + lane;
    //for i in 4
    let row$i = (begin + $iu * 256u) / params.written;
    let column$i = (begin + $iu * 256u) % params.written;
    var wanted$i = NONE;
    if (row$i < params.count) {
        wanted$i = index[params.first_index + row$i];
    }
    //end
    //for i in 4
    let here$i = wanted$i >= params.source_start && wanted$i < params.source_end;
    var value$i = 0.0;
    if (here$i && column$i < params.width) {
        value$i = source[(wanted$i - params.source_start + params.source_row) * params.source_stride + column$i];
    }
    //end
    //for i in 4
    if (row$i < params.count && (here$i || (wanted$i == NONE && params.handles_none == 1u))) {
        put((params.target_row + row$i) * params.target_stride + params.target_column + column$i, value$i);
    }
    //end
}
