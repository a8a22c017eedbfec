// recurrent_step_split: one time step for few positions, which use each weight a few times only.
//
//   lanes = projected + h·recurrent_kernel, and the cell's rule makes the state of them
//
// Such a step waits for memory. So a workgroup has few units, and its invocations share k: invocation (part, unit) sums up LENGTH
// products for each position of the workgroup. It asks for its first weights before h is in workgroup memory, and for the next ones
// before it uses those it has. The parts are added up in their order. Along x the second direction stands behind the first one.

const UNITS: u32 = 512u;     // rows and columns of the recurrent kernel: a size class. The host sets all of these.
const TILE: u32 = 4u;        // units of a workgroup; divides UNITS
const PARTS: u32 = 64u;      // parts of k; at least the positions of a workgroup, so that each has an invocation that finishes it
const QUADS: u32 = 2u;       // fours of weights that an invocation asks for at once; LENGTH is a multiple
const LOADS: u32 = 2u;       // how often an invocation loads h
const KEPT: u32 = 1u;        // positions whose sums find room at once; divides the positions of a workgroup
const PART_QUADS: u32 = 16u; // PARTS / 4,
const PART_REST: u32 = 0u;   // and what is left

const INVOCATIONS: u32 = TILE * PARTS;
const ROWS: u32 = GROUPS * GROUP;
const LENGTH: u32 = UNITS / PARTS;

@group(0) @binding(0) var<uniform> params: Step;
@group(0) @binding(1) var<storage, read> recurrent_kernel: array<Weights>; // [direction][k][unit]
@group(0) @binding(2) var<storage, read> projected: array<Lanes>;            // [direction][row][unit]
@group(0) @binding(3) var<storage, read_write> hidden: array<f32>;           // [direction][row][unit]
@group(0) @binding(4) var<storage, read_write> cell_state: array<f32>;       // [direction][position][unit]

var<workgroup> h: array<Group, GROUPS * UNITS>;          // [group][k]
var<workgroup> sums: array<Lanes, KEPT * INVOCATIONS>; // [position][part][unit]

// The sum of all parts.
fn total(begin: u32) -> Lanes {
    var sum = Lanes();
    //for q in PART_QUADS
    sum += (sums[begin + $qu * 4u * TILE] + sums[begin + ($qu * 4u + 1u) * TILE])
        + (sums[begin + ($qu * 4u + 2u) * TILE] + sums[begin + ($qu * 4u + 3u) * TILE]);
    //end
    //for q in PART_REST
    sum += sums[begin + (PART_QUADS * 4u + $qu) * TILE];
    //end
    return sum;
}

@compute @workgroup_size(INVOCATIONS)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let blocks = (params.units + TILE - 1u) / TILE;
    let direction = workgroup.x / blocks;
    let first = (workgroup.z * workgroups.y + workgroup.y) * ROWS;
    if (first >= params.positions) {
        return;
    }
    let part = lane / TILE;
    let unit = workgroup.x % blocks * TILE + lane % TILE;
    let kernel = direction * (UNITS + HAS_UNIT_WEIGHTS) * UNITS + unit;
    var at = kernel + part * LENGTH * UNITS;
    //for q in QUADS
    //for j in 4
    var next$q$j = recurrent_kernel[at + ($qu * 4u + $ju) * UNITS];
    //end
    //end
    let before_row = direction * params.hidden_pitch + params.previous_row;
    //for l in LOADS
    let item$l = min(lane + $lu * INVOCATIONS, GROUPS * UNITS - 1u);
    let h$l = h_of_group(before_row, first + item$l / UNITS * GROUP, item$l % UNITS);
    //end
    // the invocations of the first parts finish a position each
    let position = first + part;
    let is_own = part < ROWS && position < params.positions && unit < params.units;
    let cell_index = (direction * params.cell_pitch + position) * params.cell_stride + unit;
    var lanes = Lanes();
    var unit_weights = Lanes();
    var before = UnitState(0.0, 0.0);
    if (is_own) {
        let row = direction * params.projected_pitch + params.projected_row + position;
        lanes = projected[row * select(params.units, params.hidden_stride, LANES == 1u) + unit];
        before.hidden = h_before(before_row, position, unit);
        if (HAS_CELL_STATE == 1u) {
            before.cell = cell_state[cell_index];
        }
        if (HAS_UNIT_WEIGHTS == 1u) {
            unit_weights = unpacked(recurrent_kernel[kernel + UNITS * UNITS]);
        }
    }
    //for l in LOADS
    if (lane + $lu * INVOCATIONS < GROUPS * UNITS) {
        h[item$l] = h$l;
    }
    //end
    workgroupBarrier();
    //for g in GROUPS
    //for r in GROUP
    var sum$g$r = Lanes();
    //end
    //end
    for (var k = 0u; k < LENGTH; k += 4u * QUADS) {
        //for q in QUADS
        //for j in 4
        let w$q$j = unpacked(next$q$j);
        //end
        //end
        if (k + 4u * QUADS < LENGTH) {
            at += 4u * QUADS * UNITS;
            //for q in QUADS
            //for j in 4
            next$q$j = recurrent_kernel[at + ($qu * 4u + $ju) * UNITS];
            //end
            //end
        }
        //for q in QUADS
        //for j in 4
        //for g in GROUPS
        let h$q$j$g = h[$gu * UNITS + part * LENGTH + k + $qu * 4u + $ju];
        //for o in IS_ONE
        sum00 = fma(Lanes(h$q$j$g), w$q$j, sum00);
        //end
        //for o in IS_FOUR
        //for r in 4
        sum$g$r = fma(Lanes(h$q$j$g[$r]), w$q$j, sum$g$r);
        //end
        //end
        //end
        //end
        //end
    }
    //for g in GROUPS
    //for r in GROUP
    sums[($gu * GROUP + $ru) % KEPT * INVOCATIONS + lane] = sum$g$r;
    if (($gu * GROUP + $ru) % KEPT == KEPT - 1u) {
        workgroupBarrier();
        if (part / KEPT == ($gu * GROUP + $ru) / KEPT) {
            lanes += total(part % KEPT * INVOCATIONS + lane % TILE);
        }
        if ($gu * GROUP + $ru + 1u < ROWS) {
            workgroupBarrier();
        }
    }
    //end
    //end
    if (is_own) {
        let state = next_state(lanes, unit_weights, before);
        if (HAS_CELL_STATE == 1u) {
            cell_state[cell_index] = state.cell;
        }
        hidden[(direction * params.hidden_pitch + params.current_row + position) * params.hidden_stride + unit] = state.hidden;
    }
}
