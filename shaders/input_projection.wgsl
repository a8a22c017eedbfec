// input_projection: projected = activation(rows · kernel + bias), all rows in one product.
//
//   projected[r][c] = activation(bias[c] + rows[r][0] * kernel[0][c] + rows[r][1] * kernel[1][c] + …)
//
// An invocation makes one vec4 of columns of ROWS rows, so that each vec4 of the kernel is used ROWS times. Where a
// workgroup is all columns (COLUMNS = 64) its invocations read the same rows.
//
// A row is summed by the same expression in the same order whatever ROWS is, and no sum takes anything from another row:
// its bits depend neither on the number of rows nor on what stands in them. A kernel that is larger than a binding comes in
// parts, a dispatch each: a part goes on with the sums of the one before, so that this changes no bit either.

const ROWS: u32 = 4u;       // rows of an invocation, 1 to MOST_ROWS. The host sets these.
const COLUMNS: u32 = 16u;   // vec4 of columns that a workgroup makes; a power of two, at most 64
const ACTIVATION: u32 = 2u;
const ALPHA: u32 = 0u;      // the bits of the activation's parameters
const BETA: u32 = 0u;

const INVOCATIONS: u32 = 64u;
const MOST_ROWS: u32 = 8u;

@group(0) @binding(0) var<uniform> params: Projection;
@group(0) @binding(1) var<storage, read> rows: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> kernel: array<Weights>; // [k][column]
@group(0) @binding(3) var<storage, read> bias: array<vec4<f32>>;   // [column]
@group(0) @binding(4) var<storage, read_write> projected: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let columns = params.column_vectors;
    let inputs = params.input_vectors;
    let column = workgroup.x * COLUMNS + lane % COLUMNS;
    let tile = (workgroup.z * workgroups.y + workgroup.y) * (INVOCATIONS / COLUMNS) + lane / COLUMNS;
    let first = tile * ROWS;
    if (column >= columns || first >= params.count) {
        return;
    }
    // rows past the end repeat the last one and are not stored
    let last = params.count - 1u;
    var begin: array<u32, MOST_ROWS>;
    var sums: array<vec4<f32>, MOST_ROWS>;
    for (var row = 0u; row < ROWS; row++) {
        let number = min(first + row, last);
        begin[row] = (params.source_row + number) * params.row_vectors + params.first_vector;
        sums[row] = bias[column];
        if (params.continues == 1u) {
            sums[row] = projected[(params.target_row + number) * columns + column];
        }
    }
    for (var k = 0u; k < inputs; k++) {
        let base = k * 4u * columns + column;
        let w = mat4x4<f32>(
            unpacked(kernel[base]),
            unpacked(kernel[base + columns]),
            unpacked(kernel[base + 2u * columns]),
            unpacked(kernel[base + 3u * columns]),
        );
        for (var row = 0u; row < ROWS; row++) {
            sums[row] += w * rows[begin[row] + k];
        }
    }
    for (var row = 0u; row < ROWS; row++) {
        if (first + row <= last) {
            var value = sums[row];
            if (params.finishes == 1u) {
                value = activate4(ACTIVATION, bitcast<f32>(ALPHA), bitcast<f32>(BETA), value);
            }
            projected[(params.target_row + first + row) * columns + column] = value;
        }
    }
}
