// recurrent_solo: many time steps in one dispatch. A workgroup owns ROWS positions for all of them, so nobody waits for
// another workgroup: the weights are read once, and h goes from step to step by workgroup memory.
//
//   lanes = projected + h·recurrent_kernel, and the cell's rule makes the state of them
//
// Invocation (unit, part) sums over rows of the recurrent kernel of its own (inner_product.wgsl). Then the parts share the
// positions out among them, add up and finish.

const SUMS: u32 = ROWS * WIDTH; // the sums of a part

@group(0) @binding(0) var<uniform> params: Launch;
@group(0) @binding(1) var<storage, read> recurrent_kernel: array<Weights>; // [direction][k][unit]
@group(0) @binding(2) var<storage, read> projected: array<Lanes>;            // [direction][row][unit]
@group(0) @binding(3) var<storage, read_write> hidden: array<f32>;           // [direction][row][unit]
@group(0) @binding(4) var<storage, read_write> cell_state: array<f32>;       // [direction][position][unit]
@group(0) @binding(5) var<storage, read> starts: array<u32>;                 // [step] the row of position 0

// no vec4, though they are read in fours: who writes one component of a vec4 in workgroup memory may write the others too
var<workgroup> tile: array<f32, 2u * ROWS * STATE>;                             // [before or after][row][k] h
var<workgroup> partial: array<Lanes, min(PARTS - 1u, 1u) * PARTS * SUMS + 1u>;   // [part][row][unit]

@compute @workgroup_size(WIDTH, PARTS)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_id) invocation: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let units = params.units;
    let stride = params.stride;
    let direction = workgroup.x;
    let first = (workgroup.z * workgroups.y + workgroup.y) * ROWS;
    let running = starts[params.first_step + 1u] - starts[params.first_step];
    if (first >= running) {
        return;
    }
    let unit = invocation.x;
    let part = invocation.y;
    let hidden_start = direction * params.hidden_pitch + first;
    let projected_start = direction * params.projected_pitch + first;
    let cell_start = direction * params.cell_pitch + first;

    // past the last unit and past the last position all is zero
    var weights: array<Lanes, WEIGHTS>;
    keep(&weights, direction, part, units, unit, unit < units);
    let present = min(ROWS, running - first);
    for (var number = lane; number < 2u * ROWS * STATE; number += WIDTH * PARTS) {
        let row = number / STATE;
        let k = number % STATE;
        tile[number] = 0.0;
        if (row < present && k < stride) {
            tile[number] = hidden[(hidden_start + params.previous_row + row) * stride + k];
        }
    }
    workgroupBarrier();

    var before = 0u;             // where in the tile h is before the step,
    var after = ROWS * STATE;  // and where after it
    for (var step = params.first_step; step < params.last_step; step++) {
        let start = starts[step];
        let positions = starts[step + 1u] - start;
        if (first >= positions) {
            return;
        }
        let count = min(ROWS, positions - first);
        let projected_row = projected_start + start - params.projected_base;
        let current_row = hidden_start + start - params.hidden_base;

        var sums: array<Lanes, ROWS>;
        for (var row = 0u; row < ROWS; row++) {
            sums[row] = Lanes();
            if (PARTS == 1u && row < count && unit < units) {
                sums[row] = projected[(projected_row + row) * projected_stride(units, stride) + unit];
            }
        }
        add_products(&sums, &weights, before + part * WEIGHTS);
        if (PARTS > 1u) {
            for (var row = 0u; row < ROWS; row++) {
                partial[part * SUMS + row * WIDTH + unit] = sums[row];
            }
            workgroupBarrier();
        }
        for (var row = part; row < count; row += PARTS) {
            if (unit >= units) {
                break;
            }
            var lanes = sums[row];
            if (PARTS > 1u) {
                lanes = projected[(projected_row + row) * projected_stride(units, stride) + unit];
                for (var other = 0u; other < PARTS; other++) {
                    lanes += partial[other * SUMS + row * WIDTH + unit];
                }
            }
            let cell_index = (cell_start + row) * stride + unit;
            let hidden_before = tile[before + row * STATE + unit];
            let hidden_index = (current_row + row) * stride + unit;
            tile[after + row * STATE + unit] = finish(lanes, direction, unit, hidden_before, cell_index, hidden_index);
        }
        workgroupBarrier();
        let swapped = before;
        before = after;
        after = swapped;
    }
}
