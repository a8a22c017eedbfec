// penalty: adds the gradient of a penalty l1 · Σ |w| + l2 · Σ w² to that of a tensor of weights w, and leaves both sums of each chunk.
// A workgroup does a chunk of 4096 values.
//
// The gradient is l1 · sign(w) + 2 · l2 · w, where the sign of 0 is 0, as in src/regularizer/mod.rs. (A GPU may take a subnormal weight for 0.)

@group(0) @binding(0) var<uniform> params: Penalty;
@group(0) @binding(1) var<storage, read> weights: array<f32>;
@group(0) @binding(2) var<storage, read_write> gradient: array<f32>;
@group(0) @binding(3) var<storage, read_write> sums: array<vec2<f32>>; // by chunk

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let chunk = workgroup.y * workgroups.x + workgroup.x;
    let first = first_of(chunk, lane);
    var mine = vec2<f32>();
    for (var value = 0u; value < VALUES; value++) {
        let place = first + value * 256u;
        if (place < params.count) {
            let w = weights[place / params.width * params.stride + place % params.width];
            gradient[place] += bitcast<f32>(params.l1) * sign(w) + bitcast<f32>(params.twice_l2) * w;
            mine += vec2(abs(w), w * w);
        }
    }
    let all = over_chunk(lane, mine);
    if (lane == 0u && first < params.count) {
        sums[params.first + chunk] = all;
    }
}
