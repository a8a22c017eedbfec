// step_values: what a step backwards multiplies, and what it makes of a product.

const TILE = 16u;

@group(0) @binding(0) var<uniform> params: StepBack;
@group(0) @binding(2) var<storage, read> unit_weights: array<f32>;     // [direction]
@group(0) @binding(3) var<storage, read> states: array<f32>;   // the cell state by row, or the hidden one where there is no other
@group(0) @binding(4) var<storage, read> upstream: array<f32>; // [direction, row][unit]
@group(0) @binding(5) var<storage, read_write> lanes: array<f32>;           // [direction, row][gate, unit]
@group(0) @binding(6) var<storage, read_write> recurrent_lanes: array<f32>; // where the recurrent product has lanes of its own
@group(0) @binding(7) var<storage, read_write> carry: array<f32>;           // [direction] [position][unit] of h, then of c

// The direction of the workgroup.
var<private> direction: u32;

fn finish(position: u32, unit: u32, product: f32) {
    let at = direction * 3u * params.cell_first + position * params.units + unit;
    if (params.runs_rule == 0u) {
        carry[at] += product;
        return;
    }
    let row = direction * params.rows + params.row + position;
    let before = state_before(params.states_first + direction * params.states_pitch, position, unit);
    let weights = weights_of(direction * 3u * params.units + unit, params.units);
    let cell = cell_gradient(at);
    let place = row * params.lanes_stride + unit;
    let hidden = upstream[row * params.units + unit] + carry[at] + product;
    let back = rule_back(Unit(lanes_at(place), weights, before, hidden, cell));
    put_lanes(place, back.lanes);
    carry[at] = back.hidden;
    if (HAS_CELL_STATE == 1u) {
        carry[params.cell_first + at] = back.cell;
    }
}
