// recurrent_team_wide: teams for many positions. Sums stay in registers and are added up by shuffles within a subgroup.
//
// A subgroup owns OWN units and its lanes share k: a lane keeps the weights of every LANES_OF_SUBGROUP-th four of k. TAKEN rows are summed up
// at a time; then each shuffle halves what a lane still has, until each has one row of one unit. The rows of a team go in GROUPS, each
// with words of its own: while a group is worked on, the words of the others travel.
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

var<workgroup> tile: array<vec4<f32>, TILES * TILE>; // [row][slot] h before the step
var<workgroup> ticket: u32;
var<workgroup> leaving: atomic<u32>;

@compute @workgroup_size(SLICE / (UNITS_2 * UNITS_1) * LANES_OF_SUBGROUP)
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
    //for m in FOURS
    //for c in 4
    let kernel$m_$c = kernel_begin(direction, $cu * QUARTER + min($mu * LANES_OF_SUBGROUP + lane, QUARTER - 1u)) + own;
    //for v in UNITS_2
    //for u in UNITS_1
    let weights$m_$c$v$u = select(Lanes(), unpacked(recurrent_kernel[kernel$m_$c + $vu * 2u + $uu]), $mu * LANES_OF_SUBGROUP + lane < QUARTER);
    //end
    //end
    //end
    //end
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
    //for i in SLOTS
    let slot$i = $iu * THREADS + at; // that this invocation fills
    //for c in 4
    var word$i_$c = 0u;
    //end
    //end
    var polls = 0u;
    var turn = 0u;
    var is_given_up = false;
    for (var step = params.first_step; step < params.last_step && !is_given_up; step++) {
        let next = starts[min(step + 2u, params.last_step)]; // asked for a step ahead
        let count = rows_of(first, end - start);
        if (count == 0u) { break; }
        var lanes = lanes_next;
        if (row < rows_of(first, next - end) && is_unit) { lanes_next = projected[(projected_at + end) * projected_pitch + unit]; }
        let words = HEAD + ((step - params.first_step) * params.teams + team) * TEAM_WORDS; // of this step,
        let words_before = words - params.teams * TEAM_WORDS;                               // and of the one before
        for (var begin = 0u; begin < count; begin += GROUP) { // a group, by its first row
            let place = turn % TILES * TILE;
            turn++;
            if (step == params.first_step) {
                //for i in SLOTS
                tile[place + slot$i] = h_before(direction, first, begin + slot$i / PITCH, slot$i % PITCH, min(count, begin + GROUP));
                //end
            } else {
                let asked = words_before + begin / GROUP * GROUP_WORDS + at;
                var least = 0u;
                //for a in AHEAD
                least = ABSENT;
                //for i in SLOTS
                //for c in 4
                least = min(least, word$i_$c);
                //end
                //end
                //end
                //for i in SLOTS
                let is_wanted$i = is_slot(slot$i, count - begin);
                //end
                while (least == 0u) {
                    polls++;
                    if (polls >= params.most_polls || (polls % 256u == 0u && atomicOr(&control[0], 0u) != 0u)) {
                        atomicStore(&control[0], step + 1u);
                        atomicStore(&leaving, 1u);
                        break;
                    }
                    //for f in ONE_FIRST
                    if (word_at(select(0u, asked, is_wanted0)) == 0u) { continue; }
                    //end
                    // all at once: what is not there yet is asked for again with the rest
                    //for i in SLOTS
                    //for c in 4
                    word$i_$c = word_at(select(0u, asked + ($iu * 4u + $cu) * THREADS, is_wanted$i));
                    //end
                    //end
                    least = ABSENT;
                    //for i in SLOTS
                    //for c in 4
                    word$i_$c = select(ABSENT, word$i_$c, is_wanted$i);
                    least = min(least, word$i_$c);
                    //end
                    //end
                }
                //for i in SLOTS
                tile[place + slot$i] = bitcast<vec4<f32>>(~vec4<u32>(word$i_0, word$i_1, word$i_2, word$i_3));
                //end
            }
            if (workgroupUniformLoad(&leaving) != 0u) {
                is_given_up = true;
                break;
            }
            //for a in AHEAD
            let is_last = begin + GROUP >= count; // then the first group of the next step follows
            let following = select(begin + GROUP, 0u, is_last);
            let asked_next = select(words_before, words, is_last) + following / GROUP * GROUP_WORDS + at;
            let count_next = select(count, rows_of(first, next - end), is_last) - following;
            let has_words = is_last || step > params.first_step;
            //for i in SLOTS
            let is_next$i = has_words && is_slot(slot$i, count_next);
            //for c in 4
            word$i_$c = word_at(select(0u, asked_next + ($iu * 4u + $cu) * THREADS, is_next$i));
            //end
            //end
            //end
            for (var batch = 0u; batch < BATCHES && begin + batch * TAKEN < count; batch++) {
                let h = place + batch * TAKEN * PITCH + lane;
                //for x in ROWS_4
                //for y in ROWS_2
                //for z in ROWS_1
                //for v in UNITS_2
                //for u in UNITS_1
                var sum$x$y$z$v$u = Lanes();
                //end
                //end
                //for m in FOURS
                let h$x$y$z_$m = tile[h + ($xu * 4u + $yu * 2u + $zu) * PITCH + $mu * LANES_OF_SUBGROUP];
                //for c in 4
                //for v in UNITS_2
                //for u in UNITS_1
                sum$x$y$z$v$u = fma(Lanes(h$x$y$z_$m[$cu]), weights$m_$c$v$u, sum$x$y$z$v$u);
                //end
                //end
                //end
                //end
                //end
                //end
                //end
                //for p in PAIRS_U1
                //for x in ROWS_4
                //for y in ROWS_2
                //for z in ROWS_1
                //for v in UNITS_2
                sum$x$y$z$v0 = halved(sum$x$y$z$v0, sum$x$y$z$v1, lane, 1u);
                //end
                //end
                //end
                //end
                //end
                //for p in PAIRS_U2
                //for x in ROWS_4
                //for y in ROWS_2
                //for z in ROWS_1
                sum$x$y$z00 = halved(sum$x$y$z00, sum$x$y$z10, lane, UNITS_1);
                //end
                //end
                //end
                //end
                //for p in PAIRS_R1
                //for x in ROWS_4
                //for y in ROWS_2
                sum$x$y000 = halved(sum$x$y000, sum$x$y100, lane, OWN);
                //end
                //end
                //end
                //for p in PAIRS_R2
                //for x in ROWS_4
                sum$x0000 = halved(sum$x0000, sum$x1000, lane, 2u * OWN);
                //end
                //end
                //for p in PAIRS_R4
                sum00000 = halved(sum00000, sum10000, lane, 4u * OWN);
                //end
                //for p in REST
                sum00000 += subgroupShuffleXor(sum00000, (TAKEN * OWN) << $pu);
                //end
                if (lane / (TAKEN * OWN) == begin / TAKEN + batch) { lanes += sum00000; }
            }
            if (TILES == 1u) { workgroupBarrier(); }
            if (row / GROUP == begin / GROUP && row < count) {
                if (is_unit) { state = next_state(lanes, unit_weights, state); }
                hand_on(words + word, state.hidden);
                if (is_unit) { hidden[(hidden_start + start - params.hidden_base + position) * params.stride + unit] = state.hidden; }
            }
            if (IN_TURN == 1u) { workgroupBarrier(); } // nobody waits before all of the workgroup have handed on
            //for a in AHEAD
            //for i in SLOTS
            //for c in 4
            word$i_$c = select(ABSENT, word$i_$c, is_next$i);
            //end
            //end
            //end
        }
        start = end; end = next;
    }
    if (HAS_CELL_STATE == 1u && row < present && is_unit) { cell_state[cell_at] = state.cell; }
}
