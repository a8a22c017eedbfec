// turn_fours: the recurrent kernel as step_back_alone reads it: a unit of the state has four values of (gate, unit of the lanes) beside the same
// four of the next unit; zeros past the last value.
//
// A workgroup does 64 units, an invocation SEVERAL fours of one: a division costs as much as a four.

const SEVERAL = 16u;

// What the host tells it.
struct TurnFours {
    units: u32,
    columns: u32,      // gates and units
    directions: u32,
}

@group(0) @binding(0) var<uniform> params: TurnFours;
@group(0) @binding(1) var<storage, read> recurrent_kernel: array<f32>;      // [direction, unit][gate, unit of the lanes]
@group(0) @binding(2) var<storage, read_write> turned_kernel: array<vec4<f32>>; // [direction][four of (gate, unit of the lanes)][unit]

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let across = (params.units + 63u) / 64u;
    let fours = (params.columns + 3u) / 4u;
    let down = (fours + SEVERAL - 1u) / SEVERAL;
    let number = workgroup.y * workgroups.x + workgroup.x;
    let direction = number / (across * down);
    let unit = number % across * 64u + lane;
    if (direction >= params.directions || unit >= params.units) {
        return;
    }
    let first = number / across % down * SEVERAL;
    let row = (direction * params.units + unit) * params.columns;
    for (var number_of_four = first; number_of_four < min(first + SEVERAL, fours); number_of_four++) {
        let column = number_of_four * 4u;
        var four = vec4<f32>();
        //for i in 4
        if (column + $iu < params.columns) {
            four[$i] = recurrent_kernel[row + column + $iu];
        }
        //end
        turned_kernel[(direction * fours + number_of_four) * params.units + unit] = four;
    }
}
