// recurrent_step_tile: one time step for many positions, by tiles of them and of units.
//
//   lanes = projected + h·recurrent_kernel, and the cell's rule makes the state of them
//
// A workgroup has 8·ROWS positions and 16 units, an invocation ROWS positions (8 apart) and four neighbouring units, whose h and cell
// state it reads and writes as a vec4. ROWS parts share k: of each slab of 4·ROWS values a part takes four. A slab goes to workgroup
// memory through registers, which ask for it before the sums of the slab before; two of them find room there, so that one barrier a slab
// is enough. At the end part p is given the sums of all parts for the p-th positions, and finishes these.
//
// Both directions of a layer share a dispatch: the workgroups of the second one stand behind those of the first along x.

const UNITS: u32 = 1024u; // rows and columns of the recurrent kernel: a size class, a multiple of 4·ROWS. The host sets all of these.
const ROWS: u32 = 8u;     // positions of an invocation, and parts of k: 4 or 8
const LOADS: u32 = 2u;    // vec4 of h that an invocation loads of a slab: ROWS / 4

const TILE_ROWS: u32 = 8u * ROWS;
const SLAB: u32 = 4u * ROWS;
const INVOCATIONS: u32 = 32u * ROWS;
const SPREAD: u32 = 8u / ROWS;

@group(0) @binding(0) var<uniform> params: Step;
@group(0) @binding(1) var<storage, read> recurrent_kernel: array<Weights>;   // [direction][k][unit]
@group(0) @binding(2) var<storage, read> projected: array<Lanes>;              // [direction][row][unit]
@group(0) @binding(3) var<storage, read_write> hidden: array<vec4<f32>>;       // [direction][row][four units]
@group(0) @binding(4) var<storage, read_write> cell_state: array<vec4<f32>>;   // [direction][position][four units]

// [slab][part][position], a position moved within its eight by the part, which spreads what neighbours write over the banks
var<workgroup> h: array<vec4<f32>, 2u * ROWS * TILE_ROWS>;
// [slab][k][unit], unit 4x + j at x + 4j; at the end the sums, [part][j][invocation of a part]
var<workgroup> w: array<Lanes, 2u * SLAB * 16u>;

@compute @workgroup_size(INVOCATIONS)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let blocks = (params.units + 15u) / 16u;
    let direction = workgroup.x / blocks;
    let first = (workgroup.z * workgroups.y + workgroup.y) * TILE_ROWS;
    if (first >= params.positions) {
        return;
    }
    let last = params.positions - 1u;
    let begin = workgroup.x % blocks * 16u;
    let kernel = direction * (UNITS + HAS_UNIT_WEIGHTS) * UNITS;
    let before_row = direction * params.hidden_pitch + params.previous_row;
    // what it loads of each slab: one four of k of some positions, and a unit of some k
    let four = lane % ROWS;
    let k = lane / 16u;
    let weights = kernel + k * UNITS + begin + lane % 4u * 4u + lane / 4u % 4u;
    //for l in LOADS
    let row$l = lane / ROWS + $lu * 32u;
    let source$l = before_row + min(first + row$l, last);
    var h$l = h_before(source$l, four);
    //end
    //for l in 2
    var w$l = recurrent_kernel[weights + $lu * 2u * ROWS * UNITS];
    //end
    // what it sums up: positions y, y + 8 … and units 4x … of a part of k
    let part = lane / 32u;
    let y = lane % 32u / 4u;
    let x = lane % 4u;
    //for r in ROWS
    //for j in 4
    var sum$r$j = Lanes();
    //end
    //end
    for (var slab = 0u; slab < UNITS / SLAB; slab++) {
        let in_h = slab % 2u * ROWS * TILE_ROWS;
        let in_w = slab % 2u * SLAB * 16u;
        //for l in LOADS
        h[in_h + four * TILE_ROWS + (row$l ^ (four * SPREAD))] = h$l;
        //end
        //for l in 2
        w[in_w + $lu * INVOCATIONS + lane] = unpacked(w$l);
        //end
        workgroupBarrier();
        if (slab + 1u < UNITS / SLAB) {
            //for l in LOADS
            h$l = h_before(source$l, (slab + 1u) * ROWS + four);
            //end
            //for l in 2
            w$l = recurrent_kernel[weights + ((slab + 1u) * SLAB + $lu * 2u * ROWS) * UNITS];
            //end
        }
        //for r in ROWS
        let a$r = h[in_h + part * TILE_ROWS + (y ^ (part * SPREAD)) + $ru * 8u];
        //end
        //for k in 4
        //for j in 4
        let b$k$j = w[in_w + (part * 4u + $ku) * 16u + $ju * 4u + x];
        //end
        //for r in ROWS
        //for j in 4
        sum$r$j = fma(Lanes(a$r[$k]), b$k$j, sum$r$j);
        //end
        //end
        //end
    }
    let position = first + y + 8u * part;
    let unit = begin + 4u * x;
    let is_own = position <= last && unit < params.units;
    let cell_index = ((direction * params.cell_pitch + position) * params.cell_stride + unit) / 4u;
    var before = vec4<f32>();
    var cell = vec4<f32>();
    //for j in 4
    var lanes$j = Lanes();
    //end
    if (is_own) {
        let stride = select(params.units, params.hidden_stride, LANES == 1u);
        let at = (direction * params.projected_pitch + params.projected_row + position) * stride;
        //for j in 4
        lanes$j = projected[at + min(unit + $ju, params.units - 1u)];
        //end
        before = h_before(before_row + position, unit / 4u);
        if (HAS_CELL_STATE == 1u) {
            cell = cell_state[cell_index];
        }
    }
    //for r in ROWS
    workgroupBarrier();
    //for j in 4
    w[(part * 4u + $ju) * 32u + lane % 32u] = sum$r$j;
    //end
    workgroupBarrier();
    if (part == $ru) {
        //for j in 4
        lanes$j += total($ju * 32u + lane % 32u);
        //end
    }
    //end
    if (is_own) {
        //for j in 4
        let state$j = next_state(lanes$j, unit_weights(kernel, unit + $ju), UnitState(before[$j], cell[$j]));
        //end
        if (HAS_CELL_STATE == 1u) {
            let made = vec4<f32>(state0.cell, state1.cell, state2.cell, state3.cell);
            cell_state[cell_index] = select(vec4<f32>(), made, are_units(unit));
        }
        let row = direction * params.hidden_pitch + params.current_row + position;
        let made = vec4<f32>(state0.hidden, state1.hidden, state2.hidden, state3.hidden);
        hidden[(row * params.hidden_stride + unit) / 4u] = select(vec4<f32>(), made, are_units(unit));
    }
}
