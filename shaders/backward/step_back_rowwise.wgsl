// step_back_rowwise: the rule of a time step backwards for cells whose units need each other within a step: for an activation over all
// units, because r * h is multiplied again, or because the hidden state is a product of all units; and for cells whose gates leave out
// values of their own. The products are dispatches of their own.
//
// A workgroup owns one position. Each of its loops works out anew what it needs, and the last one writes.

@group(0) @binding(0) var<uniform> params: PositionsBack;
@group(0) @binding(1) var<storage, read> unit_weights: array<f32>;
@group(0) @binding(2) var<storage, read> states: array<f32>;    // the cell state by row, or the hidden one where there is no other
@group(0) @binding(3) var<storage, read> gradients: array<f32>; // [position][unit] of what the rule gives
@group(0) @binding(4) var<storage, read_write> lanes: array<f32>;           // [row][gate, unit]
@group(0) @binding(5) var<storage, read_write> recurrent_lanes: array<f32>; // where the recurrent product has lanes of its own
@group(0) @binding(6) var<storage, read_write> carry: array<f32>;           // [position][unit] of h, then of c
@group(0) @binding(7) var<storage, read_write> unprojected: array<f32>;     // [row][unit] of what is projected

fn lanes_place(position: u32, unit: u32) -> u32 {
    return (params.row + position) * params.lanes_stride + unit;
}

fn unit_of(position: u32, unit: u32) -> Unit {
    let at = position * params.units + unit;
    let own = lanes_at(lanes_place(position, unit));
    let given = gradients[params.gradients_first + at];
    let before = state_before(params.states_first, position, unit);
    return Unit(own, weights_of(unit, params.units), before, given, cell_gradient(at));
}

// What is known of the rows of a position.
struct Rows {
    first: Row,
    second: Row,
    sums: vec4<f32>,        // of the shares of the gradients of what the first arguments give,
    second_sums: vec4<f32>, // and of what the second ones give
}

// What one loop over the units works out for the others.
const FIRST_ROW = 0u;
const SECOND_ROW = 1u;
const SECOND_SUMS = 2u;
const SUMS = 3u;

fn arguments(what: u32, unit: Unit, rows: Rows) -> vec4<f32> {
    let gates = gates_of(unit, rows.first, rows.second);
    if (what == FIRST_ROW) {
        return all_clipped(gates.x);
    }
    return second_clipped(gates.second_x);
}

fn row_of(lane: u32, position: u32, what: u32, rows: Rows) -> Row {
    var high = vec4<f32>(-0x1.fffffep+127f); // the lowest finite number
    for (var unit = lane; unit < params.units; unit += 64u) {
        high = max(high, arguments(what, unit_of(position, unit), rows));
    }
    high = over_all(lane, high, false);
    var sum = vec4<f32>();
    for (var unit = lane; unit < params.units; unit += 64u) {
        sum += exp(arguments(what, unit_of(position, unit), rows) - high);
    }
    return Row(high, over_all(lane, sum, true));
}

fn sums_of(lane: u32, position: u32, what: u32, rows: Rows) -> vec4<f32> {
    var sums = vec4<f32>();
    for (var number = lane; number < params.units; number += 64u) {
        let unit = unit_of(position, number);
        let gates = gates_of(unit, rows.first, rows.second);
        let of_second = second_gradients(gates, unit);
        if (what == SECOND_SUMS) {
            sums += shares(SECOND_KINDS, gates.second_y, of_second);
        } else {
            let second = second_pulled(gates, of_second, rows.second_sums);
            sums += shares(FIRST_KINDS, gates.y, first_gradients(gates, second, unit));
        }
    }
    return over_all(lane, sums, true);
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let position = workgroup.y * workgroups.x + workgroup.x;
    if (position >= params.positions) {
        return;
    }
    var rows = Rows();
    if (HAS_ROWS == 1u) {
        rows.first = row_of(lane, position, FIRST_ROW, rows);
        rows.second = row_of(lane, position, SECOND_ROW, rows);
        rows.second_sums = sums_of(lane, position, SECOND_SUMS, rows);
        rows.sums = sums_of(lane, position, SUMS, rows);
    }
    for (var number = lane; number < params.units; number += 64u) {
        let unit = unit_of(position, number);
        let gates = gates_of(unit, rows.first, rows.second);
        let second = second_pulled(gates, second_gradients(gates, unit), rows.second_sums);
        let first = first_pulled(gates, first_gradients(gates, second, unit), rows.sums);
        let back = back_of(gates, first, second, unit);
        put_lanes(lanes_place(position, number), back.lanes);
        if (HAS_CELL_STATE == 1u) {
            carry[params.cell_first + position * params.units + number] = back.cell;
        }
        if (HAS_PROJECTION == 1u) {
            unprojected[(params.row + position) * params.units + number] = back.given;
        } else {
            carry[position * params.units + number] = back.hidden;
        }
    }
}
