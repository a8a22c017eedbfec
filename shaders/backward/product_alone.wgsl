// product_alone: product for adapters that run it on a CPU, where invocations that meet at a barrier cost more than what they would share. Each
// makes WIDE columns of eight rows by itself. A read costs as much as a branch for each invocation, whether or not all of them read the same: of
// A, which all invocations multiply, each reads other values of k and tells its subgroup. The sums have the order and so the bits of the other text.

const ROWS = 8u;

@compute @workgroup_size(SIDE / WIDE)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
    @builtin(subgroup_invocation_id) in_subgroup: u32,
) {
    let across = (params.columns + SIDE - 1u) / SIDE;
    let down = (params.rows + ROWS - 1u) / ROWS;
    let number = workgroup.y * workgroups.x + workgroup.x;
    let part = number / (across * down);
    let row = number / across % down * ROWS;
    let begin = part * params.part;
    if (begin >= params.inner && part > 0u) {
        return;
    }
    let end = min(begin + params.part, params.inner);
    // columns behind the last ones are read as these, and not stored: a subgroup is whole
    let wanted = number % across * SIDE + lane * WIDE;
    let of_b = places_of_b(min(wanted, params.columns - 1u));
    // where each row of A begins; one behind the last is read as the last, and not stored
    let a_down = select(params.a_stride, 1u, TURNS_A == 1u);
    //for i in 8
    let row$i = min(row + $iu, params.rows - 1u);
    let lies_in$i = row_or_listed(row$i, TURNS_A == 0u);
    let a$i = params.a_first + select(0u, lies_in$i, lies_in$i != NONE) * a_down;
    var sum$i = Sum();
    //end
    let a_step = select(1u, params.a_stride, TURNS_A == 1u);
    for (var k = begin; k < end; k += BLOCK) {
        let own = k + in_subgroup % BLOCK;
        var lies_in = NONE;
        if (own < end) {
            lies_in = row_or_listed(own, TURNS_A == 1u);
        }
        //for i in 8
        let own$i = own_of_a(a$i, lies_in * a_step, max(lies_in, lies_in$i) != NONE);
        //end
        //for k in BLOCK
        // (behind the end A is zero)
        let from_b$k = values_of_b(of_b, min(k + $ku, end - 1u));
        //for i in 8
        sum$i = fma(Sum(subgroupBroadcast(own$i, $ku)), from_b$k, sum$i);
        //end
        //end
    }
    let c_first = params.c_first + part * params.part_stride;
    //for r in 8
    store_wide(c_first, row + $ru, wanted, sum$r);
    //end
}
