// column_sums: the sum of each column over the rows of a part, or that of its products with the values of other rows. An invocation does
// one column of one part.

const HAS_OTHER: u32 = 0u; // 1: the rows are multiplied by others; the host sets both
const HAS_INDEX: u32 = 0u; // 1: which a list names; a row that is none reads as zeros

@group(0) @binding(0) var<uniform> params: ColumnSums;
@group(0) @binding(1) var<storage, read> index: array<u32>;
@group(0) @binding(2) var<storage, read> rows: array<f32>;
@group(0) @binding(3) var<storage, read> other: array<f32>;
@group(0) @binding(4) var<storage, read_write> sums: array<f32>; // [part][column]

fn factor(row: u32, column: u32) -> f32 {
    if (HAS_OTHER == 0u) {
        return 1.0;
    }
    var wanted = row;
    if (HAS_INDEX == 1u) {
        wanted = index[params.index_first + row];
        if (wanted == NONE) {
            return 0.0;
        }
    }
    return other[params.other_first + wanted * params.other_stride + column];
}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let number = (workgroup.y * workgroups.x + workgroup.x) * 256u + lane;
    let part = number / params.columns;
    let column = number % params.columns;
    let begin = part * params.part;
    if (begin >= params.rows && part > 0u) {
        return;
    }
    let end = min(begin + params.part, params.rows);
    var sum = 0.0;
    for (var row = begin; row < end; row++) {
        sum += rows[params.first + row * params.stride + column] * factor(row, column);
    }
    sums[number] = sum;
}
