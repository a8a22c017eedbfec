// repack: weights from the order of the layers to that of a shader of the forward pass, by a list of pairs. An invocation does one value.

const ADDS: u32 = 0u; // 1: to what is there; the host sets it

@group(0) @binding(0) var<uniform> params: Repack;
@group(0) @binding(1) var<storage, read> pairs: array<vec2<u32>>; // a place in `packed`, and one in `weights`
@group(0) @binding(2) var<storage, read> weights: array<f32>;
@group(0) @binding(3) var<storage, read_write> packed: array<f32>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let number = (workgroup.y * workgroups.x + workgroup.x) * 256u + lane;
    if (number >= params.count) {
        return;
    }
    let pair = pairs[number];
    var value = weights[pair.y];
    if (ADDS == 1u) {
        value += packed[pair.x];
    }
    packed[pair.x] = value;
}
