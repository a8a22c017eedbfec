// product_alone_fours: product_alone where the columns of B and C come in whole fours, which cost software hardly more than a number. An
// invocation makes four columns of eight rows. The sums have the order and so the bits of the other texts.

@group(0) @binding(3) var<storage, read> b: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> c: array<vec4<f32>>;

const ROWS = 8u;

@compute @workgroup_size(16)
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
    // columns behind the last four are read as these, and not stored: a subgroup is whole
    let wanted = number % across * SIDE + lane * 4u;
    let column = min(wanted, params.columns - 4u);
    let b_first = (params.b_first + column) / 4u;
    let b_step = params.b_stride / 4u;
    // where each row of A begins; one behind the last is read as the last, and not stored
    let a_down = select(params.a_stride, 1u, TURNS_A == 1u);
    //for i in 8
    let row$i = min(row + $iu, params.rows - 1u);
    let lies_in$i = row_or_listed(row$i, TURNS_A == 0u);
    let a$i = params.a_first + select(0u, lies_in$i, lies_in$i != NONE) * a_down;
    var sum$i = vec4<f32>();
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
        let from_b$k = b[b_first + min(k + $ku, end - 1u) * b_step];
        //for i in 8
        sum$i = fma(vec4<f32>(subgroupBroadcast(own$i, $ku)), from_b$k, sum$i);
        //end
        //end
    }
    if (wanted >= params.columns) {
        return;
    }
    var more = vec4<f32>();
    if (HAS_BIAS == 1u) {
        let first = params.bias_first + column;
        more = vec4<f32>(bias[first], bias[first + 1u], bias[first + 2u], bias[first + 3u]);
    }
    let c_first = params.c_first + part * params.part_stride + column;
    //for r in 8
    store(c_first, row + $ru, sum$r + more);
    //end
}

fn store(first: u32, row: u32, sums: vec4<f32>) {
    if (row >= params.rows) {
        return;
    }
    let place = (first + row * params.c_stride) / 4u;
    if (params.adds == 1u) {
        c[place] += sums;
        return;
    }
    c[place] = sums;
}
