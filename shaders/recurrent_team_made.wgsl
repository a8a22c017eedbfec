// recurrent_team_made: recurrent_team for a GPU, in a text made for a size class. Loops are written out and what they keep has
// names, so that it stays in registers: the weights of a workgroup's units, their states, and the words it waits for.
//
// An invocation asks for all of its words (words.wgsl) at once, and again for those that were missing: a round costs one trip.
// Waiting ends: who has asked in vain too often in a launch raises the abort word, all leave, and the host runs all again.

const ROWS: u32 = 1u;     // positions of a team. The host sets these.
const UNITS: u32 = 32u;   // units of the size class; those past the units of the cell stay zero
const SLICE: u32 = 16u;   // units of a workgroup
const PARTS: u32 = 4u;    // invocations that share the sum of a unit
const WEIGHTS: u32 = 8u;  // UNITS / PARTS: rows of the recurrent kernel that an invocation keeps
const WORDS: u32 = 1u;    // words that an invocation waits for, ROWS · UNITS / THREADS,
const STATES: u32 = 1u;   // and states that it makes, ROWS / PARTS, both rounded up

const THREADS: u32 = SLICE * PARTS;
const MEMBERS: u32 = UNITS / SLICE; // workgroups of a team

@group(0) @binding(0) var<uniform> params: Launch;
@group(0) @binding(1) var<storage, read> recurrent_kernel: array<Weights>; // [direction][k][unit]
@group(0) @binding(2) var<storage, read> projected: array<Lanes>;            // [direction][row][unit]
@group(0) @binding(3) var<storage, read_write> hidden: array<f32>;           // [direction][row][unit]
@group(0) @binding(4) var<storage, read_write> cell_state: array<f32>;       // [direction][position][unit]
@group(0) @binding(5) var<storage, read> starts: array<u32>;                 // [step] the row of position 0
@group(0) @binding(6) var<storage, read_write> exchange: array<atomic<u32>>; // [step][team][row][unit] h
@group(0) @binding(7) var<storage, read_write> control: array<atomic<u32>>;  // the abort word: a step from 1 on, or 0

// no vec4, though h is read in fours: who writes one component of a vec4 in workgroup memory may write the others too
var<workgroup> tile: array<f32, WORDS * THREADS>;             // [row][k] h before the step
var<workgroup> partial: array<Lanes, PARTS * ROWS * SLICE>;   // [part][row][unit] sums
var<workgroup> ticket: u32;
var<workgroup> leaving: atomic<u32>;

@compute @workgroup_size(SLICE * PARTS)
fn main(@builtin(local_invocation_index) lane: u32) {
    // by tickets, whichever workgroups start first form the first team
    if (lane == 0u) {
        ticket = atomicAdd(&exchange[0], 1u);
        atomicStore(&leaving, atomicLoad(&control[0]));
    }
    let number = workgroupUniformLoad(&ticket);
    if (params.first_step == params.last_step) {
        count_who_came(lane);
        return;
    }
    let team = number / MEMBERS;
    let direction = (params.first_team + team) % params.directions;
    let first = (params.first_team + team) / params.directions * ROWS;
    let part = lane / SLICE;
    let unit = number % MEMBERS * SLICE + lane % SLICE;
    let is_unit = unit < params.units;
    let kernel = kernel_begin(direction, part * WEIGHTS) + unit;
    //for k in WEIGHTS
    let weights$k = unpacked(recurrent_kernel[kernel + $ku * UNITS]);
    //end
    var unit_weights = Lanes();
    if (HAS_UNIT_WEIGHTS == 1u) {
        unit_weights = unpacked(recurrent_kernel[kernel_begin(direction, UNITS) + unit]);
    }
    var start = starts[params.first_step];
    var end = starts[params.first_step + 1u]; // of the rows of the step
    let present = min(ROWS, max(end - start, first) - first);
    let hidden_start = direction * params.hidden_pitch + first;
    let cell_start = (direction * params.cell_pitch + first) * params.stride + unit;
    //for o in STATES
    let row$o = part + $ou * PARTS;
    var state$o = UnitState(0.0, 0.0);
    if (row$o < present && is_unit) {
        state$o.hidden = hidden[(hidden_start + params.previous_row + row$o) * params.stride + unit];
        if (HAS_CELL_STATE == 1u) { state$o.cell = cell_state[cell_start + row$o * params.stride]; }
    }
    //end
    for (var at = lane; at < WORDS * THREADS; at += THREADS) {
        tile[at] = 0.0;
        if (at / UNITS < present && at % UNITS < params.units) {
            tile[at] = hidden[(hidden_start + params.previous_row + at / UNITS) * params.stride + at % UNITS];
        }
    }
    var polls = 0u;
    for (var step = params.first_step; step < params.last_step; step++) {
        let next = starts[min(step + 2u, params.last_step)]; // asked for a step ahead
        let count = min(ROWS, max(end - start, first) - first);
        let projected_row = direction * params.projected_pitch + first + start - params.projected_base;
        //for o in STATES
        var lanes$o = Lanes();
        if (row$o < count && is_unit) {
            lanes$o = projected[(projected_row + row$o) * projected_stride(params.units, params.stride) + unit];
        }
        //end
        let words = HEAD + ((step - params.first_step) * params.teams + team) * (ROWS * UNITS); // of this step
        if (step > params.first_step) {
            let asked = words - params.teams * (ROWS * UNITS) + lane;
            //for i in WORDS
            var word$i = select(ABSENT, 0u, (lane + $iu * THREADS) / UNITS < count);
            //end
            loop {
                var is_missing = false;
                //for i in WORDS
                if (word$i == 0u) {
                    word$i = word_at(asked + $iu * THREADS);
                    is_missing = is_missing || word$i == 0u;
                }
                //end
                if (!is_missing) { break; }
                polls++;
                if (polls >= params.most_polls || (polls % 256u == 0u && atomicOr(&control[0], 0u) != 0u)) {
                    atomicStore(&control[0], step + 1u);
                    atomicStore(&leaving, 1u);
                    break;
                }
            }
            //for i in WORDS
            tile[lane + $iu * THREADS] = bitcast<f32>(~word$i);
            //end
        }
        if (workgroupUniformLoad(&leaving) != 0u || count == 0u) { break; }
        //for r in ROWS
        var sum$r = Lanes();
        //end
        //for k in WEIGHTS
        //for r in ROWS
        sum$r = fma(Lanes(tile[part * WEIGHTS + $ru * UNITS + $ku]), weights$k, sum$r);
        //end
        //end
        //for r in ROWS
        partial[(part * ROWS + $ru) * SLICE + lane % SLICE] = sum$r;
        //end
        workgroupBarrier();
        let current_row = hidden_start + start - params.hidden_base;
        //for o in STATES
        if (row$o < count) {
            if (is_unit) {
                //for p in PARTS
                lanes$o += partial[($pu * ROWS + row$o) * SLICE + lane % SLICE];
                //end
                state$o = next_state(lanes$o, unit_weights, state$o);
            }
            hand_on(words + row$o * UNITS + unit, state$o.hidden);
            if (is_unit) { hidden[(current_row + row$o) * params.stride + unit] = state$o.hidden; }
        }
        //end
        if (IN_TURN == 1u) { workgroupBarrier(); } // nobody waits before all of the workgroup have handed on
        start = end; end = next;
    }
    //for o in STATES
    if (HAS_CELL_STATE == 1u && row$o < present && is_unit) {
        cell_state[cell_start + row$o * params.stride] = state$o.cell;
    }
    //end
}
