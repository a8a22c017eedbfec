// product: C = A·B + bias, or C + A·B, by square tiles through workgroup memory. Either factor may lie as its transpose, and the rows
// of A may be named by a list; a row that is none reads as zeros. Where a gate leaves something out, `kept_of_a` or `kept_of_c` says what stays.
//
// A workgroup makes 64 rows and 64 columns of a part of the sum; an invocation four by four of them in registers. The sum of a part runs
// through its values in order, whatever the tile.

const DEPTH = 16u;

var<workgroup> a_slab: array<vec4<f32>, 256>; // [k][four rows]
var<workgroup> b_slab: array<vec4<f32>, 256>; // [k][four columns]

fn value_of_a(row: u32, k: u32, end: u32) -> f32 {
    if (row >= params.rows || k >= end) {
        return 0.0;
    }
    let entry = select(row, k, TURNS_A == 1u);
    let column = select(k, row, TURNS_A == 1u);
    return kept_of_a(a_at(listed(entry), column), entry, column);
}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let tiles_across = (params.columns + SIDE - 1u) / SIDE;
    let tiles_down = (params.rows + SIDE - 1u) / SIDE;
    let number = workgroup.y * workgroups.x + workgroup.x;
    let part = number / (tiles_across * tiles_down);
    let first_row = number / tiles_across % tiles_down * SIDE;
    let first_column = number % tiles_across * SIDE;
    let begin = part * params.part;
    if (begin >= params.inner && part > 0u) {
        return;
    }
    let end = min(begin + params.part, params.inner);
    // neighbours read what lies beside each other: along k, or along the four rows or columns
    let along_k = vec2<u32>(lane % DEPTH, lane / DEPTH);
    let across_k = vec2<u32>(lane / DEPTH, lane % DEPTH);
    let of_a = select(along_k, across_k, TURNS_A == 1u);
    let of_b = select(across_k, along_k, TURNS_B == 1u);
    let a_row = first_row + of_a.y * 4u;
    let b_column = first_column + of_b.y * 4u;
    let x = lane % 16u;
    let y = lane / 16u;
    //for r in 4
    var sum$r = vec4<f32>();
    //end
    for (var k = begin; k < end; k += DEPTH) {
        var from_a = vec4<f32>();
        var from_b = vec4<f32>();
        //for i in 4
        from_a[$i] = value_of_a(a_row + $iu, k + of_a.x, end);
        from_b[$i] = value_of_b(k + of_b.x, b_column + $iu, end);
        //end
        workgroupBarrier();
        a_slab[of_a.x * 16u + of_a.y] = from_a;
        b_slab[of_b.x * 16u + of_b.y] = from_b;
        workgroupBarrier();
        //for k in 16
        {
            let four = a_slab[$ku * 16u + y];
            let across = b_slab[$ku * 16u + x];
            //for r in 4
            sum$r = fma(vec4<f32>(four[$r]), across, sum$r);
            //end
        }
        //end
    }
    let first = params.c_first + part * params.part_stride;
    //for r in 4
    //for i in 4
    store(first, first_row + y * 4u + $ru, first_column + x * 4u + $iu, sum$r[$i]);
    //end
    //end
}
