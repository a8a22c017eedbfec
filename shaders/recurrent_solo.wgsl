// recurrent_solo: many time steps of an LSTM in one dispatch. A workgroup owns ROWS positions for all of them, so nobody
// waits for another workgroup: the weights are read once, and h goes from step to step by workgroup memory.
//
//   i, f, o = recurrent_activation(projected + h·recurrent_kernel)
//   g       =           activation(projected + h·recurrent_kernel)
//   c = f * c + i * g
//   h = o * activation(c)
//
// A vec4 holds the gates i f g o of a unit. Invocation (unit, part) keeps rows part·WEIGHTS … of the recurrent kernel of its
// unit and sums over these for all positions. Then the parts share the positions out among them, add up and finish.

override ACTIVATION: u32;           // check: 1
override ALPHA: u32;                // check: 0   the bits of the activation's parameters
override BETA: u32;                 // check: 0
override RECURRENT_ACTIVATION: u32; // check: 2
override RECURRENT_ALPHA: u32;      // check: 0
override RECURRENT_BETA: u32;       // check: 0
const ROWS: u32 = 2u;               // positions of a workgroup, 1 to 8. The host sets these four.
const WIDTH: u32 = 64u;             // invocations of a part: at least the units
const PARTS: u32 = 4u;
const WEIGHTS: u32 = 16u;           // rows of the recurrent kernel of a part, a multiple of four

const STATE: u32 = PARTS * WEIGHTS; // h of a position
const SUMS: u32 = ROWS * WIDTH;            // the sums of a part

@group(0) @binding(0) var<uniform> params: Solo;
@group(0) @binding(1) var<storage, read> recurrent_kernel: array<Weights>; // [direction][k][unit]
@group(0) @binding(2) var<storage, read> projected: array<vec4<f32>>;        // [direction][row][unit]
@group(0) @binding(3) var<storage, read_write> hidden: array<f32>;           // [direction][row][unit]
@group(0) @binding(4) var<storage, read_write> cell_state: array<f32>;       // [direction][position][unit]
@group(0) @binding(5) var<storage, read> starts: array<u32>;                 // [step] the row of position 0

// no vec4, though they are read in fours: who writes one component of a vec4 in workgroup memory may write the others too
var<workgroup> tile: array<f32, 2u * ROWS * STATE>;                             // [before or after][row][k] h
var<workgroup> partial: array<vec4<f32>, min(PARTS - 1u, 1u) * PARTS * SUMS + 1u>; // [part][row][unit]

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
    if (first >= params.positions) {
        return;
    }
    let unit = invocation.x;
    let part = invocation.y;
    let hidden_start = direction * params.hidden_pitch + first;
    let projected_start = direction * params.projected_pitch + first;
    let cell_start = direction * params.cell_pitch + first;

    // past the last unit and past the last position all is zero
    var weights: array<vec4<f32>, WEIGHTS>;
    for (var k = 0u; k < WEIGHTS; k++) {
        let row = part * WEIGHTS + k;
        weights[k] = vec4<f32>();
        if (unit < units && row < units) {
            weights[k] = unpacked(recurrent_kernel[(direction * units + row) * units + unit]);
        }
    }
    let present = min(ROWS, params.positions - first);
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

        var sums: array<vec4<f32>, ROWS>;
        for (var row = 0u; row < ROWS; row++) {
            sums[row] = vec4<f32>();
            if (PARTS == 1u && row < count && unit < units) {
                sums[row] = projected[(projected_row + row) * units + unit];
            }
        }
        for (var k = 0u; k < WEIGHTS; k += 4u) {
            for (var row = 0u; row < ROWS; row++) {
                let h = before + row * STATE + part * WEIGHTS + k;
                sums[row] += tile[h] * weights[k];
                sums[row] += tile[h + 1u] * weights[k + 1u];
                sums[row] += tile[h + 2u] * weights[k + 2u];
                sums[row] += tile[h + 3u] * weights[k + 3u];
            }
        }
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
            var gate = sums[row];
            if (PARTS > 1u) {
                gate = projected[(projected_row + row) * units + unit];
                for (var other = 0u; other < PARTS; other++) {
                    gate += partial[other * SUMS + row * WIDTH + unit];
                }
            }
            let cell_index = (cell_start + row) * stride + unit;
            let state = next_state(RECURRENT_ACTIVATION, bitcast<f32>(RECURRENT_ALPHA), bitcast<f32>(RECURRENT_BETA),
                ACTIVATION, bitcast<f32>(ALPHA), bitcast<f32>(BETA), gate, cell_state[cell_index]);
            cell_state[cell_index] = state.cell;
            hidden[(current_row + row) * stride + unit] = state.hidden;
            tile[after + row * STATE + unit] = state.hidden;
        }
        workgroupBarrier();
        let swapped = before;
        before = after;
        after = swapped;
    }
}
