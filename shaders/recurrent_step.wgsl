// recurrent_step: one time step for the positions that still run, product and state in one.
//
//   lanes = projected + h·recurrent_kernel, and the cell's rule makes the state of them
//
// An invocation owns one unit of ROWS positions. Both directions of a layer share a dispatch: the workgroups of the second
// one stand behind those of the first along x. Of a recurrent kernel that is larger than a binding, the rows before `first_k`
// were added to `projected` by input_projection.

const ROWS: u32 = 4u; // positions of an invocation, 1 to 8. The host sets it.

@group(0) @binding(0) var<uniform> params: Step;
@group(0) @binding(1) var<storage, read> recurrent_kernel: array<Weights>; // [direction][k][unit]
@group(0) @binding(2) var<storage, read> projected: array<Lanes>;            // [direction][row][unit]
@group(0) @binding(3) var<storage, read_write> hidden: array<f32>;           // [direction][row][unit]
@group(0) @binding(4) var<storage, read_write> cell_state: array<f32>;       // [direction][position][unit]

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let units = params.units;
    let stride = params.hidden_stride;
    let blocks = (units + 63u) / 64u;
    let direction = workgroup.x / blocks;
    let unit = workgroup.x % blocks * 64u + lane;
    let first = (workgroup.z * workgroups.y + workgroup.y) * ROWS;
    if (unit >= units || first >= params.positions) {
        return;
    }
    let count = min(ROWS, params.positions - first);
    let kernel = kernel_begin(direction, 0u) + unit;
    let hidden_start = direction * params.hidden_pitch;
    let projected_start = direction * params.projected_pitch + params.projected_row;
    let cell_start = direction * params.cell_pitch;
    // positions past the end repeat the last one and are not stored
    var before: array<u32, ROWS>;
    var sums: array<Lanes, ROWS>;
    for (var row = 0u; row < ROWS; row++) {
        let position = first + min(row, count - 1u);
        before[row] = (hidden_start + params.previous_row + position) * stride;
        sums[row] = projected[(projected_start + position) * projected_stride(units, stride) + unit];
    }
    for (var k = params.first_k; k < units; k++) {
        let weight = unpacked(recurrent_kernel[(k - params.first_k) * params.kernel_width + kernel]);
        for (var row = 0u; row < ROWS; row++) {
            sums[row] += hidden[before[row] + k] * weight;
        }
    }
    for (var row = 0u; row < count; row++) {
        let position = first + row;
        let cell_index = (cell_start + position) * params.cell_stride + unit;
        let hidden_index = (hidden_start + params.current_row + position) * stride + unit;
        finish(sums[row], direction, unit, hidden[before[row] + unit], cell_index, hidden_index);
    }
}
