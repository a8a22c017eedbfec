// step_place: where the numbers lie that a workgroup of recurrent_step_rowwise reads and writes, and those that are read with them.

// Where the numbers of a position begin.
struct Place {
    begin: u32,   // its lanes
    before: u32,  // h before the step,
    current: u32, // and behind it
    state: u32,   // its row of the cell state, and of what gates leave out
    kernel: u32,  // the recurrent kernel of its direction,
    weights: u32, // and the weights of the units
}

fn place_of(direction: u32, position: u32) -> Place {
    let row = direction * params.hidden_pitch + position;
    let projected_row = direction * params.projected_pitch + params.projected_row + position;
    // rows and columns past the units are zero
    let rows = params.output + params.kernel_width - params.units;
    let kernel = direction * (rows + HAS_UNIT_WEIGHTS) * params.kernel_width;
    return Place(
        projected_row * select(params.units, params.cell_stride, LANES == 1u),
        (row + params.previous_row) * params.hidden_stride,
        (row + params.current_row) * params.hidden_stride,
        direction * params.cell_pitch + position,
        kernel,
        kernel + rows * params.kernel_width,
    );
}

// The state of a unit of a position before the step.
fn state_before(place: Place, unit: u32) -> UnitState {
    var cell = 0.0;
    if (HAS_CELL_STATE == 1u) {
        cell = cell_state[place.state * params.cell_stride + unit];
    }
    // where there are fewer columns than units nobody asks for it
    return UnitState(hidden[place.before + min(unit, params.output - 1u)], cell);
}

fn unit_weights(place: Place, unit: u32) -> Lanes {
    if (HAS_UNIT_WEIGHTS == 1u) {
        return unpacked(recurrent_kernel[place.weights + unit]);
    }
    return Lanes();
}
