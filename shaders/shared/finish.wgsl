// finish: what the strategies without a row do with the finished lanes of a unit.

// Where a row of the recurrent kernel of a direction begins. Its rows and columns are as many as `kernel_width` says, those past the
// units are zero; the weights of the units are one more row. (A kernel that comes in parts has no such row, and one direction.)
fn kernel_begin(direction: u32, row: u32) -> u32 {
    return (direction * (params.kernel_width + HAS_UNIT_WEIGHTS) + row) * params.kernel_width;
}

// Elements of `projected` from one row to the next.
fn projected_stride(units: u32, stride: u32) -> u32 {
    return select(units, stride, LANES == 1u);
}

// Makes and stores the state of a unit of a position, and returns the hidden part.
fn finish(lanes: Lanes, direction: u32, unit: u32, hidden_before: f32, cell_index: u32, hidden_index: u32) -> f32 {
    var before = UnitState(hidden_before, 0.0);
    if (HAS_CELL_STATE == 1u) {
        before = UnitState(hidden_before, cell_state[cell_index]);
    }
    var weights = Lanes();
    if (HAS_UNIT_WEIGHTS == 1u) {
        weights = unpacked(recurrent_kernel[kernel_begin(direction, params.kernel_width) + unit]);
    }
    let state = next_state(lanes, weights, before);
    if (HAS_CELL_STATE == 1u) {
        cell_state[cell_index] = state.cell;
    }
    hidden[hidden_index] = state.hidden;
    return state.hidden;
}
