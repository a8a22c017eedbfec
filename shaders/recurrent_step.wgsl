// recurrent_step: one time step of an LSTM for the positions that still run, product, gates and state in one.
//
//   i, f, o = recurrent_activation(projected + h·recurrent_kernel)
//   g       =           activation(projected + h·recurrent_kernel)
//   c = f * c + i * g
//   h = o * activation(c)
//
// An invocation owns one unit of ROWS positions. A vec4 holds the gates i f g o of a unit. Both directions of a layer
// share a dispatch: the workgroups of the second one stand behind those of the first along x.

override ROWS: u32;                 // check: 4   positions of an invocation, 1 to 8
override ACTIVATION: u32;           // check: 1
override ALPHA: u32;                // check: 0   the bits of the activation's parameters
override BETA: u32;                 // check: 0
override RECURRENT_ACTIVATION: u32; // check: 2
override RECURRENT_ALPHA: u32;      // check: 0
override RECURRENT_BETA: u32;       // check: 0

@group(0) @binding(0) var<uniform> params: Step;
@group(0) @binding(1) var<storage, read> recurrent_kernel: array<Weights>; // [direction][k][unit]
@group(0) @binding(2) var<storage, read> projected: array<vec4<f32>>;        // [direction][row][unit]
@group(0) @binding(3) var<storage, read_write> hidden: array<f32>;           // [direction][row][unit]
@group(0) @binding(4) var<storage, read_write> cell_state: array<f32>;       // [direction][position][unit]

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let units = params.units;
    let stride = params.stride;
    let blocks = (units + 63u) / 64u;
    let direction = workgroup.x / blocks;
    let unit = workgroup.x % blocks * 64u + lane;
    let first = (workgroup.z * workgroups.y + workgroup.y) * ROWS;
    if (unit >= units || first >= params.positions) {
        return;
    }
    let count = min(ROWS, params.positions - first);
    let kernel = direction * units * units + unit;
    let hidden_start = direction * params.hidden_pitch;
    let projected_start = direction * params.projected_pitch + params.projected_row;
    let cell_start = direction * params.cell_pitch;
    // positions past the end repeat the last one and are not stored
    var before: array<u32, 8>;
    var gates: array<vec4<f32>, 8>;
    for (var row = 0u; row < ROWS; row++) {
        let position = first + min(row, count - 1u);
        before[row] = (hidden_start + params.previous_row + position) * stride;
        gates[row] = projected[(projected_start + position) * units + unit];
    }
    for (var k = 0u; k < units; k++) {
        let weight = unpacked(recurrent_kernel[k * units + kernel]);
        for (var row = 0u; row < ROWS; row++) {
            gates[row] += hidden[before[row] + k] * weight;
        }
    }
    for (var row = 0u; row < count; row++) {
        let position = first + row;
        let cell_index = (cell_start + position) * stride + unit;
        let state = next_state(RECURRENT_ACTIVATION, bitcast<f32>(RECURRENT_ALPHA), bitcast<f32>(RECURRENT_BETA),
            ACTIVATION, bitcast<f32>(ALPHA), bitcast<f32>(BETA), gates[row], cell_state[cell_index]);
        cell_state[cell_index] = state.cell;
        hidden[(hidden_start + params.current_row + position) * stride + unit] = state.hidden;
    }
}
