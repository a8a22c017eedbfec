// masked_projection: what the input gives to the lanes of a cell in training whose gates leave out inputs of their own:
//
//   projected = bias + Σ factors of the gate and the position · rows · kernel
//
// An invocation makes the lanes of a unit of a row.

struct MaskedProjection {
    count: u32,         // rows to project,
    target_row: u32,    // the first of them to this row of `projected`
    first_entry: u32,   // entry of `positions` of the first row
    units: u32,
    width: u32,         // values of a row that count,
    row_stride: u32,    // and from one row to the next
    first_k: u32,       // the value with which this part of the kernel begins,
    last_k: u32,        // and the one behind its last
    kernel_stride: u32, // units of a row of `kernel` and of `projected`
    continues: u32,     // 1: `projected` has the sum of the parts before, instead of the bias
}

@group(0) @binding(0) var<uniform> params: MaskedProjection;
@group(0) @binding(1) var<storage, read> rows: array<f32>;              // [row][k]
@group(0) @binding(2) var<storage, read> kernel: array<Weights>;        // [k][unit]
@group(0) @binding(3) var<storage, read> bias: array<Lanes>;            // [unit]
@group(0) @binding(4) var<storage, read_write> projected: array<Lanes>; // [row][unit]
@group(0) @binding(6) var<storage, read> positions: array<u32>;         // of each row

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let number = (workgroup.y * workgroups.x + workgroup.x) * 256u + lane;
    let row = number / params.units;
    let unit = number % params.units;
    if (row >= params.count) {
        return;
    }
    let place = (params.target_row + row) * params.kernel_stride + unit;
    var sum = widened(bias[unit]);
    if (params.continues == 1u) {
        sum = widened(projected[place]);
    }
    let position = positions[params.first_entry + row];
    for (var k = params.first_k; k < params.last_k; k++) {
        let weights = widened(unpacked(kernel[(k - params.first_k) * params.kernel_stride + unit]));
        sum += left(position, params.width, k, rows[row * params.row_stride + k]) * weights;
    }
    projected[place] = narrowed(sum);
}
