// dropout: some values of each row become zero and the others grow, in place; the rows of training, and backwards their gradients. Which ones
// says a counter, so that the same are left out both times. An invocation does four values.

@group(0) @binding(0) var<uniform> params: Dropout;
@group(0) @binding(1) var<storage, read> numbers: array<u32>; // rows of the same number leave the same out
@group(0) @binding(2) var<storage, read_write> rows: array<f32>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let invocation = (workgroup.y * workgroups.x + workgroup.x) * 256u + lane;
    let fours = (params.width + 3u) / 4u;
    let row = invocation / fours;
    let four = invocation % fours;
    if (row >= params.count) {
        return;
    }
    let counter = vec4<u32>(four, numbers[params.first_entry + row], params.layer_word, params.batch_word);
    let words = philox(counter, vec2<u32>(params.first_key, params.second_key), params.rounds);
    let place = row * params.stride + four * 4u;
    //for i in 4
    if (four * 4u + $iu < params.width) {
        // the high 24 bits are a share from 0 up to 1
        let is_kept = f32(words[$i] >> 8u) * (1.0 / 16777216.0) >= bitcast<f32>(params.rate);
        rows[place + $iu] = select(0.0, rows[place + $iu] * bitcast<f32>(params.kept), is_kept);
    }
    //end
}
