// input_projection_few: what input_projection does, for few rows on a GPU: k is split over the invocations of a workgroup.
//
// With few rows there are few sums, and the kernel is read once, so what counts is how many loads are under way. A workgroup makes
// COLUMNS vec4 of columns of a few rows. Of its 256 invocations PARTS work on each vec4: part p sums up quads p, p + PARTS,
// p + 2 PARTS … of k, AHEAD of them at a time. Then the parts are added in their order, through workgroup memory.

const COLUMNS: u32 = 8u;    // COLUMNS * PARTS = 256. The host sets these.
const PARTS: u32 = 32u;
const ROUNDS: u32 = 1u;     // an invocation makes HELD * ROUNDS rows; the sums of HELD rows are added at a time
const HELD: u32 = 4u;
const AHEAD: u32 = 2u;      // quads of k whose weights are asked for before any is used
const TAIL: u32 = 1u;       // 1: if AHEAD is more than one
const SUMMED: u32 = 8u;     // parts whose addition is written out
const ACTIVATION: u32 = 0u;
const ALPHA: u32 = 0u;      // the bits of its parameters
const BETA: u32 = 0u;

const SUMS: u32 = HELD * COLUMNS;

@group(0) @binding(0) var<uniform> params: Projection;
@group(0) @binding(1) var<storage, read> rows: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> kernel: array<Weights>; // [k][column]
@group(0) @binding(3) var<storage, read> bias: array<vec4<f32>>;   // [column]
@group(0) @binding(4) var<storage, read_write> projected: array<vec4<f32>>;

var<workgroup> parts: array<vec4<f32>, PARTS * SUMS>; // [part][row][column]

fn store(row: u32, column: u32, sum: vec4<f32>) {
    if (row >= params.count || column >= params.column_vectors) {
        return;
    }
    let place = (params.target_row + row) * params.column_vectors + column;
    var value = sum;
    if (params.continues == 1u) {
        value += projected[place];
    } else {
        value += bias[column];
    }
    if (params.finishes == 1u) {
        value = activate4(ACTIVATION, bitcast<f32>(ALPHA), bitcast<f32>(BETA), value);
    }
    projected[place] = value;
}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let first = (workgroup.z * workgroups.y + workgroup.y) * ROUNDS * HELD;
    if (first >= params.count) {
        return;
    }
    let columns = params.column_vectors;
    let inputs = params.input_vectors;
    let part = lane / COLUMNS;
    // rows and columns past the end repeat the last one
    let column = min(workgroup.x * COLUMNS + lane % COLUMNS, columns - 1u);
    //for t in ROUNDS
    //for r in HELD
    let begin$t_$r = (params.source_row + min(first + $tu * HELD + $ru, params.count - 1u)) * params.row_vectors + params.first_vector;
    var sum$t_$r = vec4<f32>();
    //end
    //end
    var k = part;
    for (; k + (AHEAD - 1u) * PARTS < inputs; k += AHEAD * PARTS) {
        //for a in AHEAD
        //for j in 4
        let packed$a_$j = kernel[((k + $au * PARTS) * 4u + $ju) * columns + column];
        //end
        //end
        //for a in AHEAD
        {
            //for j in 4
            let w$j = unpacked(packed$a_$j);
            //end
            //for t in ROUNDS
            //for r in HELD
            let x$t_$r = rows[begin$t_$r + k + $au * PARTS];
            //end
            //end
            //for t in ROUNDS
            //for r in HELD
            //for j in 4
            sum$t_$r = fma(vec4<f32>(x$t_$r[$j]), w$j, sum$t_$r);
            //end
            //end
            //end
        }
        //end
    }
    //for a in TAIL
    for (; k < inputs; k += PARTS) {
        //for j in 4
        let w$j = unpacked(kernel[(k * 4u + $ju) * columns + column]);
        //end
        //for t in ROUNDS
        //for r in HELD
        let x$t_$r = rows[begin$t_$r + k];
        //for j in 4
        sum$t_$r = fma(vec4<f32>(x$t_$r[$j]), w$j, sum$t_$r);
        //end
        //end
        //end
    }
    //end
    //for t in ROUNDS
    //for r in HELD
    parts[part * SUMS + $ru * COLUMNS + lane % COLUMNS] = sum$t_$r;
    //end
    workgroupBarrier();
    if (lane < SUMS) {
        var sum$t = vec4<f32>();
        for (var p = 0u; p < PARTS; p += SUMMED) {
            //for p in SUMMED
            sum$t += parts[(p + $pu) * SUMS + lane];
            //end
        }
        store(first + $tu * HELD + lane / COLUMNS, workgroup.x * COLUMNS + lane % COLUMNS, sum$t);
    }
    workgroupBarrier();
    //end
}
