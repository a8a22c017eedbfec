// step_back_alone: step_back for adapters that run it on a CPU, where invocations that meet at a barrier cost more than what they would share.
// Each does a unit of ROWS positions by itself, which share what it reads of the kernel; the sums have the order and so the bits of the other text.
//
// A read costs as much as a branch for each invocation, whether or not all of them read the same, and a vec4 hardly more than a number. So the
// kernel is turned before the first step (turn_fours), and of the lanes, which all invocations multiply, each reads others and tells its subgroup.

const ROWS: u32 = 4u; // the host sets both
const FOURS: u32 = 2u; // of the lanes that a subgroup reads at once, at most a quarter of its invocations

const BLOCK = 4u * FOURS;

@group(0) @binding(1) var<storage, read> recurrent_kernel: array<vec4<f32>>; // turned: [direction][four of (gate, unit of the lanes)][unit]

fn own_lane(place: u32, counts: bool) -> f32 {
    if (!counts) {
        return 0.0;
    }
    if (SEPARATES == 1u) {
        return recurrent_lanes[place];
    }
    return lanes[place];
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
    @builtin(subgroup_invocation_id) in_subgroup: u32,
) {
    let across = (params.units + 63u) / 64u;
    let of_direction = (params.positions + ROWS - 1u) / ROWS * across;
    let flat = workgroup.y * workgroups.x + workgroup.x;
    let of_all = flat / of_direction;
    if (of_all >= params.directions) {
        return;
    }
    direction = of_all;
    let number = flat % of_direction;
    let first = number / across * ROWS;
    // one behind the last unit does that again, and stores nothing: a subgroup is whole
    let wanted = number % across * 64u + lane;
    let unit = min(wanted, params.units - 1u);
    // where no position runs the next step there is nothing to multiply; one that does not is read as the last that does
    let inner = select(0u, GATES * params.units, first < params.next_positions);
    let kernel = of_all * ((GATES * params.units + 3u) / 4u) * params.units + unit;
    //for r in ROWS
    let position$r = first + $ru;
    let next$r = min(position$r, max(params.next_positions, 1u) - 1u);
    let lanes$r = (of_all * params.rows + params.next_row + next$r) * params.lanes_stride;
    var sums$r = vec4<f32>();
    //end
    for (var k = 0u; k < inner; k += BLOCK) {
        let own = k + in_subgroup % BLOCK;
        //for r in ROWS
        let own$r = own_lane(lanes$r + own, own < inner);
        //end
        //for f in FOURS
        // (behind the last four the lanes are zero)
        let from_kernel$f = recurrent_kernel[kernel + min(k + $fu * 4u, inner - 1u) / 4u * params.units];
        //for r in ROWS
        let next$r$f = vec4<f32>(
            subgroupBroadcast(own$r, $fu * 4u),
            subgroupBroadcast(own$r, $fu * 4u + 1u),
            subgroupBroadcast(own$r, $fu * 4u + 2u),
            subgroupBroadcast(own$r, $fu * 4u + 3u),
        );
        sums$r = fma(next$r$f, from_kernel$f, sums$r);
        //end
        //end
    }
    if (wanted >= params.units) {
        return;
    }
    //for r in ROWS
    if (position$r < params.positions) {
        let product = (sums$r.x + sums$r.y) + (sums$r.z + sums$r.w);
        finish(position$r, unit, select(0.0, product, position$r < params.next_positions));
    }
    //end
}
