// recurrent_step_wide: one time step for many units. Weights stay in registers, and the rows of h pass by.
//
//   lanes = projected + h·recurrent_kernel, and the cell's rule makes the state of them
//
// A workgroup has SLICE units and all of k. SPLIT of its subgroups share k, and so do eight lanes of each; a lane keeps the weights
// of two units for its fours of k. Four rows are summed up at a time, for both units; then each shuffle halves the sums that a lane
// still has, until each has one. The sums of GROUP rows wait in workgroup memory, until invocations make a state each: that of a row and
// a unit.
//
// Along x the second direction stands behind the first one.

@group(0) @binding(0) var<uniform> params: Step;
@group(0) @binding(1) var<storage, read> recurrent_kernel: array<Weights>; // [direction][k][unit]
@group(0) @binding(2) var<storage, read> projected: array<Lanes>;            // [direction][row][unit]
@group(0) @binding(3) var<storage, read_write> hidden: array<vec4<f32>>;     // [direction][row][four units]
@group(0) @binding(4) var<storage, read_write> cell_state: array<f32>;       // [direction][position][unit]

var<workgroup> sums: array<Lanes, SPLIT * GROUP * SLICE>;      // [part][row of a group][unit]
var<workgroup> tile: array<vec4<f32>, TILES * TAKEN * QUARTER>; // [turn][row][four of k]

@compute @workgroup_size(THREADS)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(subgroup_id) subgroup: u32,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    let blocks = (params.units + SLICE - 1u) / SLICE;
    let direction = workgroup.x / blocks;
    let first = (workgroup.z * workgroups.y + workgroup.y) * BLOCK;
    if (first >= params.positions) {
        return;
    }
    let at = subgroup * LANES_OF_SUBGROUP + lane;
    let begin = workgroup.x % blocks * SLICE;
    let part = subgroup % SPLIT;
    // neighbours have the same k, so that few words of h serve a subgroup
    let lane_k = lane / NEIGHBOURS;
    let own = (subgroup / SPLIT * NEIGHBOURS + lane % NEIGHBOURS) * OWN;
    let slot = part * FOURS * 8u + lane_k;
    // of its two units the one first whose sums it will keep, so that what it hands on is always the second of what it has
    let unit_bit = lane_k / 4u;
    let kernel = direction * (UNITS + HAS_UNIT_WEIGHTS) * UNITS + begin;
    //for m in FOURS
    //for c in 4
    //for u in 2
    let weights$m_$c_$u = unpacked(recurrent_kernel[kernel + (min(slot + $mu * 8u, QUARTER - 1u) * 4u + $cu) * UNITS + own + ($uu ^ unit_bit)]);
    //end
    //end
    //end
    let count = min(BLOCK, params.positions - first);
    let before_row = direction * params.hidden_pitch + params.previous_row + first;
    //for l in LOADS
    let row$l = ($lu * THREADS + at) / QUARTER; // of four
    let four$l = ($lu * THREADS + at) % QUARTER;
    var next$l = h_before(before_row + min(row$l, count - 1u), four$l);
    //end
    // what this invocation makes of each group
    let row = at / SLICE;
    let unit = begin + at % SLICE;
    let is_unit = unit < params.units;
    var unit_weights = Lanes();
    if (HAS_UNIT_WEIGHTS == 1u) { unit_weights = unpacked(recurrent_kernel[kernel + UNITS * UNITS + at % SLICE]); }
    let projected_stride = select(params.units, params.hidden_stride, LANES == 1u);
    var turn = 0u;
    for (var group = 0u; group < count; group += GROUP) {
        let end = min(count, group + GROUP);
        let position = first + group + row;
        let is_own = row < GROUP && group + row < end && is_unit;
        let cell_index = (direction * params.cell_pitch + position) * params.cell_stride + unit;
        var lanes = Lanes();
        var state = UnitState(0.0, 0.0);
        if (is_own) {
            lanes = projected[(direction * params.projected_pitch + params.projected_row + position) * projected_stride + unit];
            state.hidden = hidden[((before_row + group + row) * params.hidden_stride + unit) / 4u][unit % 4u];
            if (HAS_CELL_STATE == 1u) { state.cell = cell_state[cell_index]; }
        }
        for (var taken = group; taken < end; taken += TAKEN) {
            if (TILES == 1u) { workgroupBarrier(); } // nobody reads the rows before any more
            let place = turn % TILES * TAKEN * QUARTER;
            turn++;
            //for l in LOADS
            if (IS_EVEN == 1u || row$l < TAKEN) { tile[place + $lu * THREADS + at] = next$l; }
            //end
            workgroupBarrier();
            // asked for now, needed after the sums; at last rows that nobody needs
            //for l in LOADS
            next$l = h_before(before_row + min(taken + TAKEN + row$l, count - 1u), four$l);
            //end
            // a lane has its own row first, and its own unit
            //for y in 2
            //for z in 2
            //for u in 2
            var sum$y$z_$u = Lanes();
            //end
            //for m in FOURS
            let h$y$z_$m = h_of_tile(place + (($yu * 2u + $zu) ^ (lane_k % 4u)) * QUARTER, slot + $mu * 8u);
            //for c in 4
            //for u in 2
            sum$y$z_$u = fma(Lanes(h$y$z_$m[$cu]), weights$m_$c_$u, sum$y$z_$u);
            //end
            //end
            //end
            //end
            //end
            //for u in 2
            //for y in 2
            sum$y0_$u += subgroupShuffleXor(sum$y1_$u, NEIGHBOURS);
            //end
            sum00_$u += subgroupShuffleXor(sum10_$u, 2u * NEIGHBOURS);
            //end
            sum00_0 += subgroupShuffleXor(sum00_1, 4u * NEIGHBOURS);
            sums[(part * GROUP + taken - group + lane_k % 4u) * SLICE + own + unit_bit] = sum00_0;
        }
        workgroupBarrier();
        //for p in SPLIT
        lanes += sums[$pu * GROUP * SLICE + min(at, GROUP * SLICE - 1u)];
        //end
        let made = next_state(lanes, unit_weights, state);
        if (HAS_CELL_STATE == 1u && is_own) { cell_state[cell_index] = made.cell; }
        // one of four invocations stores what they have made
        let value = select(0.0, made.hidden, is_unit);
        let leader = lane - lane % 4u;
        let values = vec4<f32>(
            subgroupShuffle(value, leader),
            subgroupShuffle(value, leader + 1u),
            subgroupShuffle(value, leader + 2u),
            subgroupShuffle(value, leader + 3u),
        );
        if (is_own && lane == leader) {
            let target_row = direction * params.hidden_pitch + params.current_row + position;
            hidden[(target_row * params.hidden_stride + unit) / 4u] = values;
        }
    }
}
