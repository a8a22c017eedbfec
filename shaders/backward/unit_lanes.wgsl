// unit_lanes: what a step backwards knows of a unit: its lanes, from `place` of their row on, and its states.

fn lanes_at(place: u32) -> Lanes {
    var own = Lanes();
    //for g in GATES
    own.both[$g] = lanes[place + $gu * params.units];
    //end
    //for s in SEPARATES
    //for g in GATES
    own.recurrent[$g] = recurrent_lanes[place + $gu * params.units];
    //end
    //end
    return own;
}

fn put_lanes(place: u32, own: Lanes) {
    //for g in GATES
    lanes[place + $gu * params.units] = own.both[$g];
    //end
    //for s in SEPARATES
    //for g in GATES
    recurrent_lanes[place + $gu * params.units] = own.recurrent[$g];
    //end
    //end
}

// The state of the step before that the rule reads.
fn state_before(position: u32, unit: u32) -> f32 {
    if (READS_STATES == 1u) {
        return states[params.states_first + (params.before_row + position) * params.states_stride + unit];
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
