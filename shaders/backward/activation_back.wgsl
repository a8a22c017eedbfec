// activation_back: the gradient of what an activation has taken, of that of what it gave. An invocation does one value.

const HAS_INDEX: u32 = 0u; // 1: the rows that went in are named by a list; the host sets all of these
const ACTIVATION: u32 = 0u;
const ALPHA: u32 = 0u;     // the bits of what the activation takes
const BETA: u32 = 0u;

@group(0) @binding(0) var<uniform> params: RowsBack;
@group(0) @binding(1) var<storage, read> index: array<u32>;
@group(0) @binding(2) var<storage, read> arguments: array<f32>;
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
    var wanted = row;
    if (HAS_INDEX == 1u) {
        wanted = index[params.index_first + row];
    }
    var x = 0.0;
    if (wanted != NONE) {
        x = arguments[params.first + wanted * params.stride + column];
    }
    let d = upstream[params.upstream_first + row * params.upstream_stride + column];
    // what nothing depends on may be anything
    gradient[number] = select(d * derivative(ACTIVATION, bitcast<f32>(ALPHA), bitcast<f32>(BETA), x), 0.0, d == 0.0);
}
