// unit_states: the states of a unit around a step, and their gradients.

// The state of the step before that the rule reads. `first`: where in `states` the row 0 begins.
fn state_before(first: u32, position: u32, unit: u32) -> f32 {
    if (READS_STATES == 1u) {
        return states[first + (params.before_row + position) * params.states_stride + unit];
    }
    return 0.0;
}

// The gradient of the cell state that the step behind has left.
fn cell_gradient(at: u32) -> f32 {
    if (HAS_CELL_STATE == 1u) {
        return carry[params.cell_first + at];
    }
    return 0.0;
}
