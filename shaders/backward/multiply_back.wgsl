// multiply_back: the gradient of one side of a product of two directions, upstream times the other side's rows. An invocation does one value.

@group(0) @binding(0) var<uniform> params: RowsBack;
@group(0) @binding(1) var<storage, read> index: array<u32>;
@group(0) @binding(2) var<storage, read> other: array<f32>;
@group(0) @binding(3) var<storage, read> upstream: array<f32>;
@group(0) @binding(4) var<storage, read_write> gradient: array<f32>; // [row][column]

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let number = (workgroup.y * workgroups.x + workgroup.x) * 256u + lane;
    let row = number / params.width;
    let column = number % params.width;
    if (row >= params.count) {
        return;
    }
    let wanted = index[params.index_first + row];
    var x = 0.0;
    if (wanted != NONE) {
        x = other[params.first + wanted * params.stride + column];
    }
    gradient[number] = upstream[params.upstream_first + row * params.upstream_stride + column] * x;
}
