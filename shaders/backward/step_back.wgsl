// step_back: a time step backwards, of all positions that run it. The gradient of the hidden state behind the step is
//
//   upstream + what is carried + dlanes of the next step · recurrent_kernelᵀ
//
// (carried: of the final state where no step follows, and the part that went past the next step's lanes), and the rule of the cell makes of it
// the gradient of the lanes, in their place, and what is carried to the step before.
//
// A workgroup does 16 positions by 16 units, an invocation one of each; the product goes by in slabs of 64 through workgroup memory.

@group(0) @binding(1) var<storage, read> recurrent_kernel: array<f32>; // [direction, unit][gate, unit]

// rows of 17, so that 16 neighbours in a column do not meet in a bank
var<workgroup> lane_slab: array<vec4<f32>, 272>;   // [position][four of k]
var<workgroup> kernel_slab: array<vec4<f32>, 272>; // [unit][four of k]

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let across = (params.units + TILE - 1u) / TILE;
    let of_direction = (params.positions + TILE - 1u) / TILE * across;
    let flat = workgroup.y * workgroups.x + workgroup.x;
    // (workgroups behind the last one find no position)
    let of_all = min(flat / of_direction, params.directions - 1u);
    direction = of_all; // which browsers take for another one in each invocation
    let number = flat - of_all * of_direction;
    let first_position = number / across * TILE;
    let first_unit = number % across * TILE;
    let x = lane % TILE;
    let y = lane / TILE;
    // no position of the tile runs the next step, so that there is nothing to multiply
    let inner = select(0u, GATES * params.units, first_position < params.next_positions);
    var sums = vec4<f32>();
    for (var k = 0u; k < inner; k += 64u) {
        var from_lanes = vec4<f32>();
        var from_kernel = vec4<f32>();
        //for i in 4
        from_lanes[$i] = next_lane(first_position + y, k + x * 4u + $iu);
        from_kernel[$i] = weight(first_unit + y, k + x * 4u + $iu);
        //end
        workgroupBarrier();
        lane_slab[y * 17u + x] = from_lanes;
        kernel_slab[y * 17u + x] = from_kernel;
        workgroupBarrier();
        //for k in 16
        sums = fma(lane_slab[y * 17u + $ku], kernel_slab[x * 17u + $ku], sums);
        //end
    }
    let position = first_position + y;
    let unit = first_unit + x;
    if (position < params.positions && unit < params.units) {
        finish(position, unit, (sums.x + sums.y) + (sums.z + sums.w));
    }
}

fn next_lane(position: u32, k: u32) -> f32 {
    if (position >= params.next_positions || k >= GATES * params.units) {
        return 0.0;
    }
    let place = (direction * params.rows + params.next_row + position) * params.lanes_stride + k;
    if (SEPARATES == 1u) {
        return recurrent_lanes[place];
    }
    return lanes[place];
}

fn weight(unit: u32, k: u32) -> f32 {
    if (unit >= params.units || k >= GATES * params.units) {
        return 0.0;
    }
    return recurrent_kernel[(direction * params.units + unit) * GATES * params.units + k];
}
