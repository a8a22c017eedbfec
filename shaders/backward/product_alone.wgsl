// product_alone: product for adapters that run it on a CPU, where invocations that meet at a barrier cost more than what they would share. Each
// makes two columns of eight rows by itself; a workgroup has the same rows, so that what its invocations read of A is read once for all of them.
// The sums have the order and so the bits of the other text.

const ROWS = 8u;

@compute @workgroup_size(32)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let across = (params.columns + SIDE - 1u) / SIDE;
    let down = (params.rows + ROWS - 1u) / ROWS;
    let number = workgroup.y * workgroups.x + workgroup.x;
    let part = number / (across * down);
    let row = number / across % down * ROWS;
    let column = number % across * SIDE + lane * 2u;
    let begin = part * params.part;
    if ((begin >= params.inner && part > 0u) || column >= params.columns) {
        return;
    }
    let end = min(begin + params.part, params.inner);
    // where each column of B and each row of A begins; one behind the last is read as the last, and not stored
    let b_across = select(1u, params.b_stride, TURNS_B == 1u);
    let b0 = params.b_first + column * b_across;
    let b1 = params.b_first + min(column + 1u, params.columns - 1u) * b_across;
    let a_down = select(params.a_stride, 1u, TURNS_A == 1u);
    //for i in 8
    let row$i = min(row + $iu, params.rows - 1u);
    let lies_in$i = row_or_listed(row$i, TURNS_A == 0u);
    let a$i = params.a_first + select(0u, lies_in$i, lies_in$i != NONE) * a_down;
    var sum$i = vec2<f32>();
    //end
    let a_step = select(1u, params.a_stride, TURNS_A == 1u);
    let b_step = select(params.b_stride, 1u, TURNS_B == 1u);
    for (var k = begin; k < end; k += 1u) {
        let lies_in = row_or_listed(k, TURNS_A == 1u);
        let a_row = select(0u, lies_in, lies_in != NONE) * a_step;
        let from_b = vec2<f32>(b[b0 + k * b_step], b[b1 + k * b_step]);
        //for i in 8
        sum$i = fma(vec2<f32>(select(0.0, a[a$i + a_row], max(lies_in, lies_in$i) != NONE)), from_b, sum$i);
        //end
    }
    let c_first = params.c_first + part * params.part_stride;
    //for r in 8
    store(c_first, row + $ru, column, sum$r.x);
    store(c_first, row + $ru, column + 1u, sum$r.y);
    //end
}

fn row_or_listed(number: u32, is_row: bool) -> u32 {
    if (is_row) {
        return listed(number);
    }
    return number;
}
