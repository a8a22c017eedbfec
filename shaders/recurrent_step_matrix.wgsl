// recurrent_step_matrix: one time step for many positions with weights in half precision, by the matrix units of a GPU.
//
//   lanes = projected + h·recurrent_kernel, and the cell's rule makes the state of them
//
// A workgroup has ROWS positions and QUADS fours of units, which are so many matrices of 16 columns. PARTS parts share k; a subgroup of a part
// has HIGH by two matrices of 16 by 16 sums. A slab of h and one of weights lie in workgroup memory as halves; the next ones are asked for
// before these are multiplied, and wait in registers. Sums are f32; they go through workgroup memory to the invocations that finish a unit.
// h is rounded to halves where it is multiplied, and nowhere else. Both directions of a layer share a dispatch, as in the other texts.
enable f16;
enable wgpu_cooperative_matrix;

const UNITS: u32 = 1024u;   // rows and columns of the recurrent kernel: a multiple of SLAB and of 4·QUADS. The host sets all of these.
const ROWS: u32 = 64u;
const QUADS: u32 = 4u;
const SLAB: u32 = 128u;     // k of a slab
const PARTS: u32 = 2u;
const HIGH: u32 = 2u;
const DEEP: u32 = 4u;       // matrices along k of a slab for a part: SLAB / 16 / PARTS
const H_LOADS: u32 = 8u;    // vec4 of h that an invocation loads of a slab: ROWS · SLAB / 4 / INVOCATIONS
const W_LOADS: u32 = 8u;    // and of weights: SLAB · 4 · QUADS / INVOCATIONS

const INVOCATIONS: u32 = 256u; // eight subgroups of 32
const FOURS: u32 = SLAB / 4u;
const COLUMNS: u32 = 4u * QUADS;
// vec4 from one row of a slab to the next: 16 bytes more than there are, so that neighbours lie in other banks of the memory
const H_PITCH: u32 = FOURS + 2u;
const W_PITCH: u32 = COLUMNS + 2u;
const SUMS_PITCH: u32 = 20u; // values
const MATRIX: u32 = 16u * SUMS_PITCH + 8u; // from one matrix to the next, so that these too lie in other banks
const DOWN: u32 = ROWS / 16u / HIGH;
const ACROSS: u32 = QUADS / 2u;

@group(0) @binding(0) var<uniform> params: Step;
@group(0) @binding(1) var<storage, read> recurrent_kernel: array<vec4<f16>>;  // [direction][k][unit], times SCALE
@group(0) @binding(2) var<storage, read> projected: array<vec4<f32>>;         // [direction][row][unit]
@group(0) @binding(3) var<storage, read_write> hidden: array<vec4<f32>>;      // [direction][row][four units]
@group(0) @binding(4) var<storage, read_write> cell_state: array<vec4<f32>>;  // [direction][position][four units]

var<workgroup> h_slab: array<vec4<f16>, ROWS * H_PITCH>; // [position][four of k]
var<workgroup> w_slab: array<vec4<f16>, SLAB * W_PITCH>; // [k][unit]
var<workgroup> sums: array<f32, PARTS * DOWN * ACROSS * MATRIX>; // [subgroup][position][lane of a unit]

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
    let begin = workgroup.x % blocks * COLUMNS;
    // what it loads of a slab
    //for l in W_LOADS
    let piece$l = lane + $lu * INVOCATIONS;
    let weights$l = (direction * UNITS + piece$l / COLUMNS) * UNITS + begin + piece$l % COLUMNS;
    var w$l = recurrent_kernel[weights$l];
    //end
    //for l in H_LOADS
    let row$l = (lane + $lu * INVOCATIONS) / FOURS;
    let four$l = (lane + $lu * INVOCATIONS) % FOURS;
    let source$l = row_before(direction, min(first + row$l, params.positions - 1u));
    var h$l = h_rounded(source$l, four$l);
    //end
    // what it finishes: four units of a position
    let quad = lane % QUADS;
    let block = lane / QUADS / 16u;
    let position = first + lane / QUADS;
    let unit = begin + 4u * quad;
    let is_own = lane < ROWS * QUADS && position < params.positions && unit < params.units;
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
        before = hidden[row_before(direction, position) + unit / 4u];
        if (HAS_CELL_STATE == 1u) {
            cell = cell_state[cell_index];
        }
    }
    // what its subgroup multiplies
    let part = subgroup / (DOWN * ACROSS);
    let matrix_rows = subgroup / ACROSS % DOWN * HIGH * 16u * H_PITCH + part * DEEP * 4u;
    let matrix_columns = part * DEEP * 16u * W_PITCH + subgroup % ACROSS * 8u;
    //for i in HIGH
    //for j in 2
    var sum$i$j = coop_mat16x16<f32, C>();
    //end
    //end
    for (var k = 0u; k < UNITS; k += SLAB) {
        //for l in W_LOADS
        w_slab[piece$l / COLUMNS * W_PITCH + piece$l % COLUMNS] = w$l;
        //end
        //for l in H_LOADS
        h_slab[row$l * H_PITCH + four$l] = h$l;
        //end
        workgroupBarrier();
        if (k + SLAB < UNITS) {
            //for l in W_LOADS
            w$l = recurrent_kernel[weights$l + (k + SLAB) * UNITS];
            //end
            //for l in H_LOADS
            h$l = h_rounded(source$l, (k + SLAB) / 4u + four$l);
            //end
        }
        //for d in DEEP
        {
            //for i in HIGH
            let a$i = coopLoadT<coop_mat16x16<f16, A>>(&h_slab[matrix_rows + $iu * 16u * H_PITCH + $du * 4u], H_PITCH);
            //end
            //for j in 2
            let b$j = coopLoadT<coop_mat16x16<f16, B>>(&w_slab[matrix_columns + $du * 16u * W_PITCH + $ju * 4u], W_PITCH);
            //end
            //for i in HIGH
            //for j in 2
            sum$i$j = coopMultiplyAdd(a$i, b$j, sum$i$j);
            //end
            //end
        }
        //end
        workgroupBarrier();
    }
    // a matrix of each subgroup after the other
    let sums_at = (block / HIGH * ACROSS + quad / 2u) * MATRIX + lane / QUADS % 16u * SUMS_PITCH;
    //for i in HIGH
    //for j in 2
    coopStoreT(sum$i$j, &sums[subgroup * MATRIX], SUMS_PITCH);
    workgroupBarrier();
    if (is_own && block % HIGH == $iu && quad % 2u == $ju) {
        //for u in 4
        lanes$u += total(sums_at + 4u * $uu);
        //end
    }
    workgroupBarrier();
    //end
    //end
    if (is_own) {
        finish(direction * params.hidden_pitch + params.current_row + position, cell_index, unit, mat4x4<f32>(lanes0, lanes1, lanes2, lanes3), before, cell);
    }
}
