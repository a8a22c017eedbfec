// product_alone: product for adapters that run it on a CPU, where invocations that meet at a barrier cost more than what they would share. Each
// makes four rows by four columns by itself; the sums have the order and so the bits of the other text.

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
    let row = number / tiles_across % tiles_down * SIDE + lane / 16u * 4u;
    let column = number % tiles_across * SIDE + lane % 16u * 4u;
    let begin = part * params.part;
    if ((begin >= params.inner && part > 0u) || row >= params.rows || column >= params.columns) {
        return;
    }
    let end = min(begin + params.part, params.inner);
    let last = params.rows - 1u;
    // the rows of A; one behind the last is read as the last, and not stored
    var rows = vec4<u32>();
    //for i in 4
    rows[$i] = min(row + $iu, last);
    if (TURNS_A == 0u) {
        rows[$i] = listed(rows[$i]);
    }
    var sum$i = vec4<f32>();
    //end
    for (var k = begin; k < end; k += 1u) {
        var from_a = vec4<f32>();
        var from_b = vec4<f32>();
        var lies_in = k;
        if (TURNS_A == 1u) {
            lies_in = listed(k);
        }
        //for i in 4
        from_a[$i] = a_at(select(rows[$i], lies_in, TURNS_A == 1u), select(k, rows[$i], TURNS_A == 1u));
        from_b[$i] = value_of_b(k, column + $iu, end);
        //end
        //for r in 4
        sum$r = fma(vec4<f32>(from_a[$r]), from_b, sum$r);
        //end
    }
    let first = params.c_first + part * params.part_stride;
    //for r in 4
    //for i in 4
    store(first, row + $ru, column + $iu, sum$r[$i]);
    //end
    //end
}
