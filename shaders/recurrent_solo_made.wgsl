// recurrent_solo_made: recurrent_solo for a GPU, made for a size class. A workgroup owns ROWS positions for many time steps, and
// keeps the weights as near as they find room (kept_weights.wgsl). As there, lanes = projected + h·recurrent_kernel.
//
// Invocation (unit, part) multiplies the rows of the recurrent kernel of its part for all positions. Then part p adds up and finishes
// positions p, p + PARTS …: their states stay in its registers, and their lanes of `projected` are asked for a step ahead.

const OUTS: u32 = 1u;   // positions that a part finishes,
const ACROSS: u32 = 2u; // and the parts that finish some. The host sets both.
const ROWS: u32 = OUTS * ACROSS; // positions of a workgroup
const SUMS: u32 = ROWS * WIDTH;  // the sums of a part

@group(0) @binding(0) var<uniform> params: Launch;
@group(0) @binding(1) var<storage, read> recurrent_kernel: array<Weights>; // [direction][k][unit]
@group(0) @binding(2) var<storage, read> projected: array<Lanes>;            // [direction][row][unit]
@group(0) @binding(3) var<storage, read_write> hidden: array<f32>;           // [direction][row][unit]
@group(0) @binding(4) var<storage, read_write> cell_state: array<f32>;       // [direction][position][unit]
@group(0) @binding(5) var<storage, read> starts: array<u32>;                 // [step] the row of position 0

// no vec4, though it is read in fours: who writes one component of a vec4 in workgroup memory may write the others too
var<workgroup> tile: array<f32, SUMS>;                              // [row][k] h before the step, times H_SCALE
var<workgroup> partial: array<Lanes, max((PARTS - 1u) * SUMS, 1u)>; // [part but the one that finishes][row][unit]

@compute @workgroup_size(WIDTH, PARTS)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_id) invocation: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let units = params.units;
    let stride = params.stride;
    let lanes_stride = projected_stride(units, stride);
    let direction = workgroup.x;
    let first = (workgroup.z * workgroups.y + workgroup.y) * ROWS;
    // the row of position 0 at a step, at the next and at the one after; none is after the last step of the launch
    var start = starts[params.first_step];
    var next = starts[params.first_step + 1u];
    var later = starts[min(params.first_step + 2u, params.last_step)];
    if (first >= next - start) {
        return;
    }
    let unit = invocation.x;
    let part = invocation.y;
    let finishes = unit < units && part < ACROSS;
    let hidden_before = direction * params.hidden_pitch + params.previous_row;
    let hidden_begin = direction * params.hidden_pitch - params.hidden_base;
    let projected_begin = direction * params.projected_pitch - params.projected_base;
    let own = kernel_begin(direction, part * DEPTH) + unit;
    //for k in REGISTERS
    let weights$k = keep(recurrent_kernel[own + $ku * WIDTH]);
    //end
    //for k in SHARED
    lent[$ku * INVOCATIONS + lane] = recurrent_kernel[own + (REGISTERS + $ku) * WIDTH];
    //end
    var of_unit = Lanes();
    if (HAS_UNIT_WEIGHTS == 1u) {
        of_unit = unpacked(recurrent_kernel[kernel_begin(direction, WIDTH) + unit]);
    }
    // past the last unit and past the last position all is zero
    for (var number = lane; number < SUMS; number += INVOCATIONS) {
        let position = first + number / WIDTH;
        let k = number % WIDTH;
        tile[number] = 0.0;
        if (position < next - start && k < units) {
            tile[number] = hidden[(hidden_before + position) * stride + k] * H_SCALE;
        }
    }
    //for o in OUTS
    let position$o = first + part + $ou * PARTS;
    let cell_index$o = (direction * params.cell_pitch + position$o) * stride + unit;
    var state$o = UnitState(0.0, 0.0);
    var lanes$o = Lanes();
    if (finishes && position$o < next - start) {
        lanes$o = projected[(projected_begin + start + position$o) * lanes_stride + unit];
        state$o.hidden = hidden[(hidden_before + position$o) * stride + unit];
        if (HAS_CELL_STATE == 1u) {
            state$o.cell = cell_state[cell_index$o];
        }
    }
    //end
    workgroupBarrier();
    for (var step = params.first_step; step < params.last_step; step++) {
        if (first >= next - start) {
            return;
        }
        let remaining = later - next; // positions of the next step of the launch
        let latest = starts[min(step + 3u, params.last_step)];
        //for o in OUTS
        var ahead$o = Lanes();
        if (finishes && position$o < remaining) {
            ahead$o = projected[(projected_begin + next + position$o) * lanes_stride + unit];
        }
        //for a in ACROSS
        var sum$o_$a = Lanes();
        let h$o_$a = ($ou * PARTS + $au) * WIDTH + part * DEPTH;
        //end
        //end
        //for k in REGISTERS
        //for o in OUTS
        //for a in ACROSS
        sum$o_$a = fma(Lanes(tile[h$o_$a + $ku]), kept(weights$k), sum$o_$a);
        //end
        //end
        //end
        //for k in SHARED
        let lent$k = scaled(lent[$ku * INVOCATIONS + lane]);
        //for o in OUTS
        //for a in ACROSS
        sum$o_$a = fma(Lanes(tile[h$o_$a + REGISTERS + $ku]), lent$k, sum$o_$a);
        //end
        //end
        //end
        //for k in CACHED
        let cached$k = scaled(recurrent_kernel[own + (REGISTERS + SHARED + $ku) * WIDTH]);
        //for o in OUTS
        //for a in ACROSS
        sum$o_$a = fma(Lanes(tile[h$o_$a + REGISTERS + SHARED + $ku]), cached$k, sum$o_$a);
        //end
        //end
        //end
        //for o in OUTS
        //for a in ACROSS
        if (part == $au) {
            lanes$o += sum$o_$a;
        } else {
            partial[(part - u32(part > $au)) * SUMS + ($ou * PARTS + $au) * WIDTH + unit] = sum$o_$a;
        }
        //end
        //end
        workgroupBarrier();
        //for o in OUTS
        if (finishes && position$o < next - start) {
            for (var other = 0u; other < PARTS - 1u; other++) {
                lanes$o += partial[other * SUMS + (position$o - first) * WIDTH + unit];
            }
            state$o = next_state(lanes$o, of_unit, state$o);
            tile[(position$o - first) * WIDTH + unit] = state$o.hidden * H_SCALE;
            hidden[(hidden_begin + start + position$o) * stride + unit] = state$o.hidden;
            if (HAS_CELL_STATE == 1u && position$o >= remaining) {
                cell_state[cell_index$o] = state$o.cell; // its last step of the launch
            }
        }
        lanes$o = ahead$o;
        //end
        workgroupBarrier();
        start = next;
        next = later;
        later = latest;
    }
}
