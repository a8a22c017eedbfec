// recurrent_step: one time step for the positions that still run, product and state in one.
//
//   lanes = projected + h·recurrent_kernel, and the cell's rule makes the state of them
//
// An invocation owns one unit of ROWS positions. Both directions of a layer share a dispatch: the workgroups of the second
// one stand behind those of the first along x. Of a recurrent kernel that is larger than a binding, the rows before `first_k`
// were added to `projected` by input_projection.

// On a CPU a read costs as much as a branch for each invocation, also where all of them read the same. Where SHARES is 1 each reads another value of
// h and tells its subgroup, for BLOCK values of k at once. SHARES and BLOCK do not change the order of a sum.

const ROWS: u32 = 4u; // positions of an invocation, 1 to 8. The host sets all of these.
const BLOCK: u32 = 1u; // at most the invocations of a subgroup
const SHARES: u32 = 0u;

@group(0) @binding(0) var<uniform> params: Step;
@group(0) @binding(1) var<storage, read> recurrent_kernel: array<Weights>; // [direction][k][unit]
@group(0) @binding(2) var<storage, read> projected: array<Lanes>;            // [direction][row][unit]
@group(0) @binding(3) var<storage, read_write> hidden: array<f32>;           // [direction][row][unit]
@group(0) @binding(4) var<storage, read_write> cell_state: array<f32>;       // [direction][position][unit]

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
    //for s in SHARES
    @builtin(subgroup_invocation_id) in_subgroup: u32,
    //end
) {
    let units = params.units;
    let stride = params.hidden_stride;
    let blocks = (units + 63u) / 64u;
    let direction = workgroup.x / blocks;
    let first = (workgroup.z * workgroups.y + workgroup.y) * ROWS;
    if (first >= params.positions) {
        return;
    }
    // one behind the last unit does that again, and stores nothing: a subgroup is whole
    let wanted = workgroup.x % blocks * 64u + lane;
    let unit = min(wanted, units - 1u);
    let kernel = kernel_begin(direction, 0u) + unit;
    let hidden_start = direction * params.hidden_pitch;
    let projected_start = direction * params.projected_pitch + params.projected_row;
    let cell_start = direction * params.cell_pitch;
    // positions past the end repeat the last one and are not stored
    //for r in ROWS
    let position$r = min(first + $ru, params.positions - 1u);
    let before$r = (hidden_start + params.previous_row + position$r) * stride;
    var sums$r = projected[(projected_start + position$r) * projected_stride(units, stride) + unit];
    //end
    var k = params.first_k;
    //for s in SHARES
    for (; k + BLOCK <= units; k += BLOCK) {
        //for r in ROWS
        let own$r = hidden[before$r + k + in_subgroup % BLOCK];
        //end
        //for b in BLOCK
        let weight$b = unpacked(recurrent_kernel[(k + $bu - params.first_k) * params.kernel_width + kernel]);
        //for r in ROWS
        sums$r += subgroupBroadcast(own$r, $bu) * weight$b;
        //end
        //end
    }
    //end
    for (; k < units; k++) {
        let weight = unpacked(recurrent_kernel[(k - params.first_k) * params.kernel_width + kernel]);
        //for r in ROWS
        sums$r += hidden[before$r + k] * weight;
        //end
    }
    if (wanted >= units) {
        return;
    }
    //for r in ROWS
    if (first + $ru < params.positions) {
        let cell_index = (cell_start + position$r) * params.cell_stride + unit;
        let hidden_index = (hidden_start + params.current_row + position$r) * stride + unit;
        finish(sums$r, direction, unit, hidden[before$r + unit], cell_index, hidden_index);
    }
    //end
}
