// recurrent_step_matrix: one time step for many positions with weights in half precision, by the matrix units of a GPU.
//
//   lanes = projected + h·recurrent_kernel, and the cell's rule makes the state of them
//
// A workgroup has ROWS positions and QUADS fours of units, which are so many matrices of 16 columns. PARTS parts share k; a subgroup of a part
// has HIGH by WIDE matrices of 16 by 16 sums. Slabs of h and of weights lie in workgroup memory as halves; the next slab is asked for before
// this one is multiplied, and waits in registers. Sums are f32; they go through workgroup memory to the invocations that finish a unit.
//
// h is rounded to halves. A step leaves it rounded for the next one in `halves`, in one of two places by turns; the first step of
// a chunk reads `hidden` instead. Both directions of a layer share a dispatch, as in the other texts.
enable f16;
enable wgpu_cooperative_matrix;

const UNITS: u32 = 1024u; // rows and columns of the recurrent kernel: a multiple of SLAB and of 4·QUADS. The host sets all of these.
const ROWS: u32 = 64u;
const QUADS: u32 = 4u;
const SLAB: u32 = 64u;        // k of a slab
const PLACES: u32 = 1u;       // slabs that find room in workgroup memory: 1 or 2
const IS_SINGLE: u32 = 1u;    // whether that is 1
const AHEAD: u32 = 1u;        // slabs that wait in registers
const PARTS: u32 = 2u;
const HIGH: u32 = 2u;
const WIDE: u32 = 2u;
const DEEP: u32 = 2u;         // matrices along k of a slab for a part: SLAB / 16 / PARTS
const INVOCATIONS: u32 = 256u; // 32 for each subgroup
const H_LOADS: u32 = 4u;      // vec4 of h that an invocation loads of a slab: ROWS · SLAB / 4 / INVOCATIONS
const W_LOADS: u32 = 4u;      // and of weights: SLAB · 4 · QUADS / INVOCATIONS
const FROM_HALVES: u32 = 1u;  // whether h is read from `halves`,
const FROM_FLOATS: u32 = 0u;  // or from `hidden`
const BY_ROW: u32 = 0u;       // whether WIDE matrices of sums go through workgroup memory at once,
const BY_ONE: u32 = 1u;       // or one

const FOURS: u32 = SLAB / 4u;
const COLUMNS: u32 = 4u * QUADS;
// vec4 from one row of a slab to the next: 16 bytes more than there are, so that neighbours lie in other banks of the memory
const H_PITCH: u32 = FOURS + 2u;
const W_PITCH: u32 = COLUMNS + 2u;
const SUMS_PITCH: u32 = 20u; // values
const MATRIX: u32 = 16u * SUMS_PITCH + 8u; // from one matrix to the next, so that these too lie in other banks
const DOWN: u32 = ROWS / 16u / HIGH;
const ACROSS: u32 = QUADS / WIDE;
const HELD: u32 = 1u + BY_ROW * (WIDE - 1u);

@group(0) @binding(0) var<uniform> params: Step;
@group(0) @binding(1) var<storage, read> recurrent_kernel: array<vec4<f16>>;  // [direction][k][unit], times SCALE
@group(0) @binding(2) var<storage, read> projected: array<vec4<f32>>;         // [direction][row][unit]
@group(0) @binding(3) var<storage, read_write> hidden: array<vec4<f32>>;      // [direction][row][four units]
@group(0) @binding(4) var<storage, read_write> cell_state: array<vec4<f32>>;  // [direction][position][four units]
@group(0) @binding(5) var<storage, read_write> halves: array<vec4<f16>>;      // [direction][place][position][four units]

var<workgroup> h_slab: array<vec4<f16>, PLACES * ROWS * H_PITCH>; // [place][position][four of k]
var<workgroup> w_slab: array<vec4<f16>, PLACES * SLAB * W_PITCH>; // [place][k][unit]
var<workgroup> sums: array<f32, PARTS * DOWN * ACROSS * HELD * MATRIX>; // [subgroup][matrix][position][lane of a unit]

@compute @workgroup_size(INVOCATIONS)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
    @builtin(subgroup_id) subgroup: u32,
) {
    let blocks = UNITS / COLUMNS;
    let direction = workgroup.x / blocks;
    let first = (workgroup.z * workgroups.y + workgroup.y) * ROWS;
    if (first >= params.positions) {
        return;
    }
    let last = params.positions - 1u;
    let begin = workgroup.x % blocks * COLUMNS;
    let weights = direction * UNITS * UNITS + begin;
    //for l in W_LOADS
    let piece$l = lane + $lu * INVOCATIONS;
    let weights$l = weights + piece$l / COLUMNS * UNITS + piece$l % COLUMNS;
    //end
    //for l in H_LOADS
    let row$l = (lane + $lu * INVOCATIONS) / FOURS;
    let four$l = (lane + $lu * INVOCATIONS) % FOURS;
    let source$l = row_of(direction, min(first + row$l, last));
    //end
    //for q in AHEAD
    //for l in W_LOADS
    var w$q_$l = recurrent_kernel[weights$l + $qu * SLAB * UNITS];
    //end
    //for l in H_LOADS
    var h$q_$l = h_rounded(source$l, four$l + $qu * FOURS);
    //end
    //end
    // what it finishes: four units of a position
    let quad = lane % QUADS;
    let block = lane / QUADS / 16u;
    let position = first + lane / QUADS;
    let unit = begin + 4u * quad;
    let is_own = lane < ROWS * QUADS && position <= last && unit < params.units;
    let cell_index = ((direction * params.cell_pitch + position) * params.cell_stride + unit) / 4u;
    var before = vec4<f32>();
    var cell = vec4<f32>();
    //for j in 4
    var lanes$j = vec4<f32>();
    //end
    if (is_own) {
        let at = (direction * params.projected_pitch + params.projected_row + position) * params.units;
        //for j in 4
        lanes$j = projected[at + min(unit + $ju, params.units - 1u)];
        //end
        before = hidden[((direction * params.hidden_pitch + params.previous_row + position) * params.hidden_stride + unit) / 4u];
        if (HAS_CELL_STATE == 1u) {
            cell = cell_state[cell_index];
        }
    }
    // what its subgroup multiplies
    let part = subgroup / (DOWN * ACROSS);
    let matrix_rows = subgroup / ACROSS % DOWN * HIGH * 16u * H_PITCH + part * DEEP * 4u;
    let matrix_columns = part * DEEP * 16u * W_PITCH + subgroup % ACROSS * WIDE * 4u;
    //for i in HIGH
    //for j in WIDE
    var sum$i$j = coop_mat16x16<f32, C>();
    //end
    //end
    for (var slab = 0u; slab < UNITS / SLAB; slab += AHEAD) {
        //for q in AHEAD
        let in_h$q = (slab + $qu) % PLACES * ROWS * H_PITCH;
        let in_w$q = (slab + $qu) % PLACES * SLAB * W_PITCH;
        //for l in W_LOADS
        w_slab[in_w$q + piece$l / COLUMNS * W_PITCH + piece$l % COLUMNS] = w$q_$l;
        //end
        //for l in H_LOADS
        h_slab[in_h$q + row$l * H_PITCH + four$l] = h$q_$l;
        //end
        workgroupBarrier();
        if (slab + $qu + AHEAD < UNITS / SLAB) {
            //for l in W_LOADS
            w$q_$l = recurrent_kernel[weights$l + (slab + $qu + AHEAD) * SLAB * UNITS];
            //end
            //for l in H_LOADS
            h$q_$l = h_rounded(source$l, (slab + $qu + AHEAD) * FOURS + four$l);
            //end
        }
        //for k in DEEP
        {
            //for i in HIGH
            let a$i = coopLoadT<coop_mat16x16<f16, A>>(&h_slab[in_h$q + matrix_rows + $iu * 16u * H_PITCH + $ku * 4u], H_PITCH);
            //end
            //for j in WIDE
            let b$j = coopLoadT<coop_mat16x16<f16, B>>(&w_slab[in_w$q + matrix_columns + $ku * 16u * W_PITCH + $ju * 4u], W_PITCH);
            //end
            //for i in HIGH
            //for j in WIDE
            sum$i$j = coopMultiplyAdd(a$i, b$j, sum$i$j);
            //end
            //end
        }
        //end
        //for s in IS_SINGLE
        workgroupBarrier();
        //end
        //end
    }
    let sums_at = (block / HIGH * ACROSS + quad / WIDE) * HELD * MATRIX + lane / QUADS % 16u * SUMS_PITCH;
    //for i in HIGH
    //for j in WIDE
    coopStoreT(sum$i$j, &sums[(subgroup * HELD + $ju * BY_ROW) * MATRIX], SUMS_PITCH);
    //for o in BY_ONE
    workgroupBarrier();
    if (is_own && block % HIGH == $iu && quad % WIDE == $ju) {
        //for u in 4
        lanes$u += total(sums_at + 4u * $uu);
        //end
    }
    workgroupBarrier();
    //end
    //end
    //for o in BY_ROW
    workgroupBarrier();
    if (is_own && block % HIGH == $iu) {
        //for u in 4
        lanes$u += total(sums_at + quad % WIDE * MATRIX + 4u * $uu);
        //end
    }
    workgroupBarrier();
    //end
    //end
    if (is_own) {
        //for j in 4
        let state$j = next_state(lanes$j, vec4<f32>(), UnitState(before[$j], cell[$j]));
        //end
        let exists = vec4<u32>(unit, unit + 1u, unit + 2u, unit + 3u) < vec4<u32>(params.units);
        if (HAS_CELL_STATE == 1u) {
            cell_state[cell_index] = select(vec4<f32>(), vec4<f32>(state0.cell, state1.cell, state2.cell, state3.cell), exists);
        }
        let made = select(vec4<f32>(), vec4<f32>(state0.hidden, state1.hidden, state2.hidden, state3.hidden), exists);
        let row = direction * params.hidden_pitch + params.current_row + position;
        hidden[(row * params.hidden_stride + unit) / 4u] = made;
        halves[((2u * direction + params.halves_place) * params.cell_pitch + position) * (UNITS / 4u) + unit / 4u] = vec4<f16>(made);
    }
}

// The sum of all parts for a unit of a position.
fn total(at: u32) -> vec4<f32> {
    var sum = vec4<f32>();
    //for p in PARTS
    let at$p = at + $pu * DOWN * ACROSS * HELD * MATRIX;
    sum += vec4<f32>(sums[at$p], sums[at$p + 1u], sums[at$p + 2u], sums[at$p + 3u]);
    //end
    return sum * (1.0 / SCALE);
}

//for o in FROM_HALVES
// Where the h of a position begins, and four values of it: zeros past the units.
fn row_of(direction: u32, position: u32) -> u32 {
    return ((2u * direction + 1u - params.halves_place) * params.cell_pitch + position) * (UNITS / 4u);
}

fn h_rounded(row: u32, four: u32) -> vec4<f16> {
    return halves[row + four];
}
//end
//for o in FROM_FLOATS
fn row_of(direction: u32, position: u32) -> u32 {
    return (direction * params.hidden_pitch + params.previous_row + position) * params.hidden_stride / 4u;
}

fn h_rounded(row: u32, four: u32) -> vec4<f16> {
    let fours = params.hidden_stride / 4u;
    let exists = vec4<u32>(4u * four, 4u * four + 1u, 4u * four + 2u, 4u * four + 3u) < vec4<u32>(params.units);
    return vec4<f16>(select(vec4<f32>(), hidden[row + min(four, fours - 1u)], exists));
}
//end
