// add_parts: the sums of parts, added up in their order. An invocation does one value.

@group(0) @binding(0) var<uniform> params: Parts;
@group(0) @binding(1) var<storage, read> parts: array<f32>;
@group(0) @binding(2) var<storage, read_write> sums: array<f32>;

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
    var sum = 0.0;
    for (var part = 0u; part < params.parts; part++) {
        sum += parts[part * params.part_stride + number];
    }
    let place = params.target_first + number / params.width * params.target_stride + number % params.width;
    if (params.adds == 1u) {
        sum += sums[place];
    }
    sums[place] = sum;
}
