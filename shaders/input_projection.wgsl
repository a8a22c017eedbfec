// input_projection: projected = activation(rows · kernel + bias), all rows in one product.
// An invocation makes one vec4 of columns of four rows, so that each vec4 of the kernel is used four times.

override ACTIVATION: u32; // check: 2

const ROWS: u32 = 4u;

@group(0) @binding(0) var<uniform> params: Projection;
@group(0) @binding(1) var<storage, read> rows: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> kernel: array<vec4<f32>>; // [k][column]
@group(0) @binding(3) var<storage, read> bias: array<vec4<f32>>;   // [column]
@group(0) @binding(4) var<storage, read_write> projected: array<vec4<f32>>;

@compute @workgroup_size(16, 4)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
) {
    let columns = params.column_vectors;
    let inputs = params.input_vectors;
    let column = workgroup.x * 16u + local.x;
    let first = ((workgroup.z * workgroups.y + workgroup.y) * 4u + local.y) * ROWS;
    if (column >= columns || first >= params.count) {
        return;
    }
    // rows past the end repeat the last one and are not stored
    let last = params.count - 1u;
    let a = (params.source_row + first) * inputs;
    let b = (params.source_row + min(first + 1u, last)) * inputs;
    let c = (params.source_row + min(first + 2u, last)) * inputs;
    let d = (params.source_row + min(first + 3u, last)) * inputs;
    var sum_a = bias[column];
    var sum_b = sum_a;
    var sum_c = sum_a;
    var sum_d = sum_a;
    for (var k = 0u; k < inputs; k++) {
        let base = k * 4u * columns + column;
        let w = mat4x4<f32>(
            kernel[base],
            kernel[base + columns],
            kernel[base + 2u * columns],
            kernel[base + 3u * columns],
        );
        sum_a += w * rows[a + k];
        sum_b += w * rows[b + k];
        sum_c += w * rows[c + k];
        sum_d += w * rows[d + k];
    }
    let out = (params.target_row + first) * columns + column;
    projected[out] = activate4(ACTIVATION, sum_a);
    if (first + 1u <= last) { projected[out + columns] = activate4(ACTIVATION, sum_b); }
    if (first + 2u <= last) { projected[out + 2u * columns] = activate4(ACTIVATION, sum_c); }
    if (first + 3u <= last) { projected[out + 3u * columns] = activate4(ACTIVATION, sum_d); }
}
