// What a step backwards multiplies, and what it makes of a product.

fn next_lane(position: u32, k: u32) -> f32 {
    if (position >= params.next_positions || k >= GATES * params.units) {
        return 0.0;
    }
    let place = (params.next_row + position) * params.lanes_stride + k;
    if (SEPARATES == 1u) {
        return recurrent_lanes[place];
    }
    return lanes[place];
}

fn weight(unit: u32, k: u32) -> f32 {
    if (unit >= params.units || k >= GATES * params.units) {
        return 0.0;
    }
    return recurrent_kernel[unit * GATES * params.units + k];
}

fn finish(position: u32, unit: u32, product: f32) {
    let at = position * params.units + unit;
    if (params.runs_rule == 0u) {
        carry[at] += product;
        return;
    }
    let row = params.row + position;
    var before = 0.0;
    if (READS_STATES == 1u) {
        before = states[params.states_first + (params.before_row + position) * params.states_stride + unit];
    }
    var cell = 0.0;
    if (HAS_CELL_STATE == 1u) {
        cell = carry[params.cell_first + at];
    }
    let place = row * params.lanes_stride + unit;
    let hidden = upstream[row * params.units + unit] + carry[at] + product;
    let back = rule_back(Unit(lanes_at(place), weights_of(unit, params.units), before, hidden, cell));
    put_lanes(place, back.lanes);
    carry[at] = back.hidden;
    if (HAS_CELL_STATE == 1u) {
        carry[params.cell_first + at] = back.cell;
    }
}
