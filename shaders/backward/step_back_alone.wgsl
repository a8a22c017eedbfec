// step_back_alone: step_back for adapters that run it on a CPU, where invocations that meet at a barrier cost more than what they would share.
// Each does a position and a unit by itself; the sums have the order and so the bits of the other text.

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let across = (params.units + TILE - 1u) / TILE;
    let number = workgroup.y * workgroups.x + workgroup.x;
    let position = number / across * TILE + lane / TILE;
    let unit = number % across * TILE + lane % TILE;
    if (position >= params.positions || unit >= params.units) {
        return;
    }
    // no step follows of a position that does not run it, so that there is nothing to multiply
    let inner = select(0u, GATES * params.units, position < params.next_positions);
    var sums = vec4<f32>();
    for (var k = 0u; k < inner; k += 4u) {
        var from_lanes = vec4<f32>();
        var from_kernel = vec4<f32>();
        //for i in 4
        from_lanes[$i] = next_lane(position, k + $iu);
        from_kernel[$i] = weight(unit, k + $iu);
        //end
        sums = fma(from_lanes, from_kernel, sums);
    }
    finish(position, unit, (sums.x + sums.y) + (sums.z + sums.w));
}
