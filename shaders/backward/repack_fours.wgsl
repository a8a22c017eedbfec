// repack_fours: repack where the values of a weight fill fours of a form, but for padding. An invocation does one of these.

@group(0) @binding(0) var<uniform> params: Repack;
@group(0) @binding(1) var<storage, read> sources: array<vec4<u32>>; // by four: places in `weights`, or NONE for zeros
@group(0) @binding(2) var<storage, read> weights: array<f32>;
@group(0) @binding(3) var<storage, read_write> packed: array<vec4<f32>>;

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
    let source = sources[number];
    var four = vec4<f32>();
    //for i in 4
    if (source[$i] != NONE) {
        four[$i] = weights[source[$i]];
    }
    //end
    packed[params.first + number] = four;
}
