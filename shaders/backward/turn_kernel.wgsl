// turn_kernel: the recurrent kernel as solo_back reads it, [direction, unit of the lanes][unit of the state]: STRIDE values each, of which GATES count; zeros
// past the last unit.

// What the host tells it.
struct TurnKernel {
    units: u32,
    width: u32,        // units of the size class
    directions: u32,
}

const GATES: u32 = 4u; // the host sets both
const STRIDE: u32 = 4u;

@group(0) @binding(0) var<uniform> params: TurnKernel;
@group(0) @binding(1) var<storage, read> recurrent_kernel: array<f32>; // [direction, unit of the state][gate, unit of the lanes]
@group(0) @binding(2) var<storage, read_write> turned_kernel: array<f32>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let number = (workgroup.y * workgroups.x + workgroup.x) * 256u + lane;
    let direction = number / (params.width * params.width);
    let of_lanes = number / params.width % params.width;
    let unit = number % params.width;
    if (direction >= params.directions) {
        return;
    }
    let kernel = direction * params.units + unit;
    for (var gate = 0u; gate < GATES; gate++) {
        var weight = 0.0;
        if (max(of_lanes, unit) < params.units) {
            weight = recurrent_kernel[(kernel * GATES + gate) * params.units + of_lanes];
        }
        turned_kernel[number * STRIDE + gate] = weight;
    }
}
