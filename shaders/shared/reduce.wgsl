// reduce: one number of all 64 invocations of a workgroup, in a fixed order. All of them have to call it.

var<workgroup> partial: array<vec4<f32>, 64>;

// The largest value of each component over all invocations, or the sum.
fn over_all(lane: u32, mine: vec4<f32>, sums: bool) -> vec4<f32> {
    partial[lane] = mine;
    workgroupBarrier();
    for (var half = 32u; half > 0u; half /= 2u) {
        if (lane < half) {
            let other = partial[lane + half];
            partial[lane] = select(max(partial[lane], other), partial[lane] + other, sums);
        }
        workgroupBarrier();
    }
    let all = partial[0];
    workgroupBarrier();
    return all;
}
