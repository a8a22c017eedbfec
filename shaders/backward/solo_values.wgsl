// solo_values: what a workgroup of solo_back has of positions, units and weights, and what it reads.

// What the host tells each launch.
struct SoloBack {
    first_step: u32,   // the steps last_step - 1 .. first_step
    last_step: u32,
    steps: u32,        // of the schedule
    units: u32,
    lanes_stride: u32,
    room: u32,         // rows of `states` before the one of the first step
    states_first: u32,
    states_stride: u32,
    cell_first: u32,   // where in `carry` the gradient of the cell state begins
    rows: u32,         // of a direction; those of the second one stand behind those of the first
    states_pitch: u32, // from the states of a direction to those of the next
    directions: u32,
}

// the host sets all of these
const WIDTH: u32 = 64u;    // units of the size class
const PARTS: u32 = 4u;     // a power of two
const REGISTERS: u32 = 8u; // rows of the kernel of a part in registers,
const SHARED: u32 = 4u;    // in workgroup memory,
const CACHED: u32 = 4u;    // and in the cache
const OUTS: u32 = 1u;      // positions that a part finishes,
const ACROSS: u32 = 2u;    // and the parts that finish some

const ROWS: u32 = OUTS * ACROSS; // positions of a workgroup
const SUMS: u32 = ROWS * WIDTH;  // the sums of a part
const DEPTH: u32 = WIDTH / PARTS;
const INVOCATIONS: u32 = WIDTH * PARTS;

@group(0) @binding(0) var<uniform> params: SoloBack;
@group(0) @binding(1) var<storage, read> turned_kernel: array<Column>; // [direction, unit of the lanes][unit of the state]
@group(0) @binding(2) var<storage, read> unit_weights: array<f32>; // [direction]
@group(0) @binding(3) var<storage, read> states: array<f32>;   // the cell state by row, or the hidden one where there is no other
@group(0) @binding(4) var<storage, read> upstream: array<f32>; // [direction, row][unit]
@group(0) @binding(5) var<storage, read> starts: array<u32>;   // for each step the row of position 0, and one more
@group(0) @binding(6) var<storage, read_write> lanes: array<f32>;           // [direction, row][gate, unit]
@group(0) @binding(7) var<storage, read_write> recurrent_lanes: array<f32>; // where the recurrent product has lanes of its own
@group(0) @binding(8) var<storage, read_write> carry: array<f32>;           // [direction] [position][unit] of h, then of c

var<workgroup> tile: array<Column, SUMS>;                         // [position][unit] the gradients of the lanes of the step behind
var<workgroup> partial: array<f32, max((PARTS - 1u) * SUMS, 1u)>; // [part but the one that finishes][position][unit]
var<workgroup> lent: array<Column, max(SHARED * INVOCATIONS, 1u)>; // [k][invocation]; each reads what it has written itself

// The direction of the workgroup.
var<private> direction: u32;

// What the rule reads of a unit of a position at a step.
struct Asked {
    own: Lanes,
    before: f32,   // the state before the step
    upstream: f32,
}

fn ask(step: u32, row: u32, position: u32, unit: u32) -> Asked {
    var before = 0.0;
    if (READS_STATES == 1u) {
        var state_row = position;
        if (step > 0u) {
            state_row += params.room + starts[step - 1u];
        }
        before = states[params.states_first + direction * params.states_pitch + state_row * params.states_stride + unit];
    }
    let own_row = direction * params.rows + row;
    return Asked(lanes_at(own_row * params.lanes_stride + unit), before, upstream[own_row * params.units + unit]);
}
