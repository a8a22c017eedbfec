// step_back_alone: step_back for adapters that run it on a CPU, where invocations that meet at a barrier cost more than what they would share.
// Each does a unit of ROWS positions by itself, which share what it reads of the kernel; the sums have the order and so the bits of the other text.

const ROWS: u32 = 4u; // the host sets it

fn next_lanes(place: u32) -> vec4<f32> {
    if (SEPARATES == 1u) {
        return vec4<f32>(
            recurrent_lanes[place],
            recurrent_lanes[place + 1u],
            recurrent_lanes[place + 2u],
            recurrent_lanes[place + 3u],
        );
    }
    return vec4<f32>(lanes[place], lanes[place + 1u], lanes[place + 2u], lanes[place + 3u]);
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let across = (params.units + 63u) / 64u;
    let of_direction = (params.positions + ROWS - 1u) / ROWS * across;
    let flat = workgroup.y * workgroups.x + workgroup.x;
    direction = flat / of_direction;
    let number = flat % of_direction;
    let first = number / across * ROWS;
    let unit = number % across * 64u + lane;
    if (direction >= params.directions || unit >= params.units) {
        return;
    }
    // where no position runs the next step there is nothing to multiply; one that does not is read as the last that does
    let inner = select(0u, GATES * params.units, first < params.next_positions);
    let kernel = (direction * params.units + unit) * GATES * params.units;
    //for r in ROWS
    let position$r = first + $ru;
    let next$r = min(position$r, max(params.next_positions, 1u) - 1u);
    let lanes$r = (direction * params.rows + params.next_row + next$r) * params.lanes_stride;
    var sums$r = vec4<f32>();
    //end
    var k = 0u;
    for (; k + 4u <= inner; k += 4u) {
        let place = kernel + k;
        let from_kernel = vec4<f32>(
            recurrent_kernel[place],
            recurrent_kernel[place + 1u],
            recurrent_kernel[place + 2u],
            recurrent_kernel[place + 3u],
        );
        //for r in ROWS
        sums$r = fma(next_lanes(lanes$r + k), from_kernel, sums$r);
        //end
    }
    if (k < inner) {
        var from_kernel = vec4<f32>();
        //for i in 4
        from_kernel[$i] = weight(unit, k + $iu);
        //end
        //for r in ROWS
        var from_lanes$r = vec4<f32>();
        //for i in 4
        from_lanes$r[$i] = next_lane(next$r, k + $iu);
        //end
        sums$r = fma(from_lanes$r, from_kernel, sums$r);
        //end
    }
    //for r in ROWS
    if (position$r < params.positions) {
        let product = (sums$r.x + sums$r.y) + (sums$r.z + sums$r.w);
        finish(position$r, unit, select(0.0, product, position$r < params.next_positions));
    }
    //end
}
