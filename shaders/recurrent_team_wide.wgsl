// recurrent_team_wide: teams whose sums stay in registers and are added up by shuffles within a subgroup (wide_sums.wgsl).
//
// A subgroup owns OWN units and its lanes share k. The rows of a team go in groups, each with words of its own: while a group is worked
// on, the words of the next one travel.
//
// Row r of a team is position first + r · pace, so that the rows of all teams shrink alike when sequences end.

@group(0) @binding(0) var<uniform> params: Launch;
@group(0) @binding(1) var<storage, read> recurrent_kernel: array<Weights>; // [direction][k][unit]
@group(0) @binding(2) var<storage, read> projected: array<Lanes>;            // [direction][row][unit]
@group(0) @binding(3) var<storage, read_write> hidden: array<f32>;           // [direction][row][unit]
@group(0) @binding(4) var<storage, read_write> cell_state: array<f32>;       // [direction][position][unit]
@group(0) @binding(5) var<storage, read> starts: array<u32>;                 // [step] the row of position 0
@group(0) @binding(6) var<storage, read_write> exchange: array<atomic<u32>>; // [step][team][group][four][part][invocation] h
@group(0) @binding(7) var<storage, read_write> control: array<atomic<u32>>;  // the abort word: a step from 1 on, or 0

var<workgroup> tile: array<vec4<f32>, TILES * TILE>; // [row][slot] h before the step; who writes a slot writes all of it
var<workgroup> ticket: u32;
var<workgroup> leaving: atomic<u32>;

@compute @workgroup_size(SLICE / 2u * LANES_OF_SUBGROUP)
fn main(@builtin(local_invocation_index) at: u32, @builtin(subgroup_id) subgroup: u32, @builtin(subgroup_invocation_id) lane: u32) {
    if (at == 0u) {
        ticket = atomicAdd(&exchange[0], 1u);
        atomicStore(&leaving, atomicLoad(&control[0]));
    }
    let number = workgroupUniformLoad(&ticket);
    if (params.first_step == params.last_step) {
        count_who_came(at);
        return;
    }
    let team = number / MEMBERS;
    let direction = (params.first_team + team) % params.directions;
    let first = params.first_position + team / params.directions;
    let own = number % MEMBERS * SLICE + subgroup * OWN;
    let kept = kept_by(lane, direction, own);
    // what this lane makes the states of
    let unit = own + lane % OWN;
    let row = lane / OWN;
    let is_unit = unit < params.units;
    var unit_weights = Lanes();
    if (HAS_UNIT_WEIGHTS == 1u) { unit_weights = unpacked(recurrent_kernel[kernel_begin(direction, UNITS) + unit]); }
    let slot = row % GROUP * PITCH + unit % QUARTER;
    let word = row / GROUP * GROUP_WORDS + (slot / THREADS * 4u + unit / QUARTER) * THREADS + slot % THREADS;
    var start = starts[params.first_step];
    var end = starts[params.first_step + 1u]; // of the rows of the step
    let present = rows_of(first, end - start);
    let position = first + row * params.pace;
    let hidden_start = direction * params.hidden_pitch;
    let cell_at = (direction * params.cell_pitch + position) * params.stride + unit;
    let projected_at = direction * params.projected_pitch + position - params.projected_base;
    let projected_pitch = projected_stride(params.units, params.stride);
    var lanes_next = Lanes();
    var state = UnitState(0.0, 0.0);
    if (row < present && is_unit) {
        lanes_next = projected[(projected_at + start) * projected_pitch + unit];
        state.hidden = hidden[(hidden_start + params.previous_row + position) * params.stride + unit];
        if (HAS_CELL_STATE == 1u) { state.cell = cell_state[cell_at]; }
    }
    var come = Words();
    var polls = 0u;
    var turn = 0u;
    var is_given_up = false;
    for (var step = params.first_step; step < params.last_step && !is_given_up; step++) {
        let next = starts[min(step + 2u, params.last_step)]; // asked for a step ahead
        let count = rows_of(first, end - start);
        if (count == 0u) { break; }
        let count_next = rows_of(first, next - end);
        var lanes = lanes_next;
        if (row < count_next && is_unit) { lanes_next = projected[(projected_at + end) * projected_pitch + unit]; }
        let words = HEAD + ((step - params.first_step) * params.teams + team) * TEAM_WORDS; // of this step,
        let words_before = words - params.teams * TEAM_WORDS;                               // and of the one before
        for (var begin = 0u; begin < count; begin += GROUP) { // a group, by its first row
            let place = turn % TILES * TILE;
            turn++;
            if (step == params.first_step) {
                //for i in SLOTS
                let slot$i = $iu * THREADS + at;
                tile[place + slot$i] = h_before(direction, first, begin + slot$i / PITCH, slot$i % PITCH, min(count, begin + GROUP));
                //end
            } else {
                if (TILES == 1u) { come = Words(); } // nothing was asked for ahead
                come = waited(come, words_before + begin / GROUP * GROUP_WORDS, count - begin, at, step, &polls);
                //for i in SLOTS
                tile[place + $iu * THREADS + at] = bitcast<vec4<f32>>(~vec4<u32>(come.word$i_0, come.word$i_1, come.word$i_2, come.word$i_3));
                //end
            }
            if (workgroupUniformLoad(&leaving) != 0u) {
                is_given_up = true;
                break;
            }
            let is_last = begin + GROUP >= count; // then the first group of the next step follows
            let following = select(begin + GROUP, 0u, is_last);
            let has_words = is_last || step > params.first_step;
            let rows_next = select(0u, select(count - following, count_next, is_last), has_words);
            if (TILES == 2u) { come = asked(select(words_before, words, is_last) + following / GROUP * GROUP_WORDS, rows_next, at); }
            let sum = sum_of(kept, place, lane);
            if (row / GROUP == begin / GROUP) { lanes += sum; }
            if (TILES == 1u) { workgroupBarrier(); }
            if (row / GROUP == begin / GROUP && row < count) {
                if (is_unit) { state = next_state(lanes, unit_weights, state); }
                hand_on(words + word, state.hidden);
                if (is_unit) { hidden[(hidden_start + start - params.hidden_base + position) * params.stride + unit] = state.hidden; }
            }
            if (IN_TURN == 1u) { workgroupBarrier(); } // nobody waits before all of the workgroup have handed on
            if (TILES == 2u) { come = wanted(come, rows_next, at); }
        }
        start = end; end = next;
    }
    if (HAS_CELL_STATE == 1u && row < present && is_unit) { cell_state[cell_at] = state.cell; }
}
