// transform: a number of each feature times, another added, and the activation, over rows in place. An invocation does one value.

const HAS_WEIGHTS: u32 = 1u; // whether anything is multiplied and added; the host sets all of these
const ACTIVATION: u32 = 0u;
const ALPHA: u32 = 0u;       // the bits of what the activation takes
const BETA: u32 = 0u;

@group(0) @binding(0) var<uniform> params: Transform;
@group(0) @binding(1) var<storage, read> scale: array<f32>;
@group(0) @binding(2) var<storage, read> shift: array<f32>;
@group(0) @binding(3) var<storage, read_write> rows: array<f32>;

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
    let place = row * params.stride + column;
    var x = rows[place];
    if (HAS_WEIGHTS == 1u) {
        x = x * scale[column] + shift[column];
    }
    rows[place] = activate(ACTIVATION, bitcast<f32>(ALPHA), bitcast<f32>(BETA), x);
}
