// chunk: a workgroup of 256 invocations does a chunk of 4096 values, sixteen each, and adds up what they make of it in a fixed order.

const VALUES: u32 = 16u; // of an invocation

var<workgroup> parts: array<vec2<f32>, 256>;

// The first value of an invocation; the others follow 256 apart.
fn first_of(chunk: u32, lane: u32) -> u32 {
    return chunk * 256u * VALUES + lane;
}

// The sums over all invocations, known to the first one. All of them have to call it.
fn over_chunk(lane: u32, mine: vec2<f32>) -> vec2<f32> {
    parts[lane] = mine;
    workgroupBarrier();
    for (var half = 128u; half > 0u; half /= 2u) {
        if (lane < half) {
            parts[lane] += parts[lane + half];
        }
        workgroupBarrier();
    }
    return parts[0];
}
