// finish: what the strategies without a row do with the finished lanes of a unit.

// Rows of the recurrent kernel of a direction. (A kernel that comes in parts has no weights of units behind it.)
fn kernel_rows(units: u32) -> u32 {
    return units + HAS_UNIT_WEIGHTS;
}

// Elements of `projected` from one row to the next.
fn projected_stride(units: u32, stride: u32) -> u32 {
    return select(units, stride, LANES == 1u);
}

// Makes and stores the state of a unit of a position, and returns the hidden part.
fn finish(lanes: Lanes, direction: u32, units: u32, unit: u32, hidden_before: f32, cell_index: u32, hidden_index: u32) -> f32 {
    var before = UnitState(hidden_before, 0.0);
    if (HAS_CELL_STATE == 1u) {
        before = UnitState(hidden_before, cell_state[cell_index]);
    }
    var weights = Lanes();
    if (HAS_UNIT_WEIGHTS == 1u) {
        weights = unpacked(recurrent_kernel[(direction * kernel_rows(units) + units) * units + unit]);
    }
    let state = next_state(lanes, weights, before);
    if (HAS_CELL_STATE == 1u) {
        cell_state[cell_index] = state.cell;
    }
    hidden[hidden_index] = state.hidden;
    return state.hidden;
}
