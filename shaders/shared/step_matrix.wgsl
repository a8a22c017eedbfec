// step_matrix: what recurrent_step_matrix reads besides its slabs, and how it adds its parts up and finishes four neighbouring units.

// Where the h of a position begins before this step.
fn row_before(direction: u32, position: u32) -> u32 {
    return (direction * params.hidden_pitch + params.previous_row + position) * params.hidden_stride / 4u;
}

// Which of four values from one on are those of units.
fn are_units(first: u32) -> vec4<bool> {
    return vec4<u32>(first, first + 1u, first + 2u, first + 3u) < vec4<u32>(params.units);
}

// Four values of h of a row; past the units zero.
fn h_rounded(row: u32, four: u32) -> vec4<f16> {
    let fours = params.hidden_stride / 4u;
    return vec4<f16>(select(vec4<f32>(), hidden[row + min(four, fours - 1u)], are_units(4u * four)));
}

// The sum of all parts for a unit of a position.
fn total(at: u32) -> vec4<f32> {
    var sum = vec4<f32>();
    //for p in PARTS
    let at$p = at + $pu * DOWN * ACROSS * MATRIX;
    sum += vec4<f32>(sums[at$p], sums[at$p + 1u], sums[at$p + 2u], sums[at$p + 3u]);
    //end
    return sum * (1.0 / SCALE);
}

// The new state of four units of a position, in their row of `hidden` and their place in `cell_state`; past the units zero.
fn finish(row: u32, cell_index: u32, unit: u32, lanes: mat4x4<f32>, before: vec4<f32>, cell: vec4<f32>) {
    //for j in 4
    let state$j = next_state(lanes[$j], vec4<f32>(), UnitState(before[$j], cell[$j]));
    //end
    let exists = are_units(unit);
    if (HAS_CELL_STATE == 1u) {
        cell_state[cell_index] = select(vec4<f32>(), vec4<f32>(state0.cell, state1.cell, state2.cell, state3.cell), exists);
    }
    let made = vec4<f32>(state0.hidden, state1.hidden, state2.hidden, state3.hidden);
    hidden[(row * params.hidden_stride + unit) / 4u] = select(vec4<f32>(), made, exists);
}
