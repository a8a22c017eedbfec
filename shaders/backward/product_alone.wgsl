// product_alone: product for adapters that run it on a CPU, where invocations that meet at a barrier cost more than what they would share. Each
// makes two columns of a tile by itself, sixteen rows at a time; all have the same rows, so that what they read of A is read once for all of them.
// The sums have the order and so the bits of the other text.

@compute @workgroup_size(32)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let tiles_across = (params.columns + SIDE - 1u) / SIDE;
    let tiles_down = (params.rows + SIDE - 1u) / SIDE;
    let number = workgroup.y * workgroups.x + workgroup.x;
    let part = number / (tiles_across * tiles_down);
    let tile = number / tiles_across % tiles_down * SIDE;
    let column = number % tiles_across * SIDE + lane * 2u;
    let begin = part * params.part;
    if ((begin >= params.inner && part > 0u) || column >= params.columns) {
        return;
    }
    let end = min(begin + params.part, params.inner);
    let last = min(tile + SIDE, params.rows);
    let c_first = params.c_first + part * params.part_stride;
    // where each column of B begins; one behind the last is read as the last, and not stored
    //for i in 2
    let b$i = params.b_first + min(column + $iu, params.columns - 1u) * select(1u, params.b_stride, TURNS_B == 1u);
    //end
    let b_step = select(params.b_stride, 1u, TURNS_B == 1u);
    for (var row = tile; row < last; row += 16u) {
        // and each row of A
        //for i in 16
        var a$i = min(row + $iu, params.rows - 1u);
        var is_there$i = true;
        if (TURNS_A == 0u) {
            let lies_in = listed(a$i);
            is_there$i = HAS_INDEX == 0u || lies_in != NONE;
            a$i = select(0u, lies_in, is_there$i) * params.a_stride;
        }
        a$i += params.a_first;
        var sum$i = vec2<f32>();
        //end
        for (var k = begin; k < end; k += 1u) {
            var a_row = k;
            var is_there = true;
            if (TURNS_A == 1u) {
                a_row = listed(k);
                is_there = HAS_INDEX == 0u || a_row != NONE;
                a_row = select(0u, a_row, is_there) * params.a_stride;
            }
            let b_row = k * b_step;
            let from_b = vec2<f32>(b[b0 + b_row], b[b1 + b_row]);
            //for i in 16
            sum$i = fma(vec2<f32>(select(0.0, a[a$i + a_row], is_there && is_there$i)), from_b, sum$i);
            //end
        }
        //for r in 16
        //for i in 2
        store(c_first, row + $ru, column + $iu, sum$r[$i]);
        //end
        //end
    }
}
