// scan_rowwise: the cell state of every row where an activation is one over all units. A workgroup owns one position.

@group(0) @binding(0) var<uniform> params: Scan;
@group(0) @binding(1) var<storage, read> starts: array<u32>; // for each step the row of position 0, and one more
@group(0) @binding(2) var<storage, read> lanes: array<f32>;
@group(0) @binding(3) var<storage, read> unit_weights: array<f32>;
@group(0) @binding(4) var<storage, read> carry: array<f32>;
@group(0) @binding(5) var<storage, read_write> cells: array<f32>; // up to the last step an invocation reads and writes units of its own

fn unit_of(row: u32, before_row: u32, unit: u32) -> Unit {
    var own = Lanes();
    //for g in GATES
    own.both[$g] = lanes[row * params.lanes_stride + $gu * params.units + unit];
    //end
    return Unit(own, weights_of(unit, params.units), cells[before_row * params.units + unit], 0.0, 0.0);
}

fn arguments(unit: Unit) -> vec4<f32> {
    return all_clipped(first_arguments(unit.own, unit.weights, unit.before));
}

fn row_of(lane: u32, row: u32, before_row: u32) -> Row {
    var high = vec4<f32>(-0x1.fffffep+127f); // the lowest finite number
    for (var unit = lane; unit < params.units; unit += 64u) {
        high = max(high, arguments(unit_of(row, before_row, unit)));
    }
    high = over_all(lane, high, false);
    var sum = vec4<f32>();
    for (var unit = lane; unit < params.units; unit += 64u) {
        sum += exp(arguments(unit_of(row, before_row, unit)) - high);
    }
    return Row(high, over_all(lane, sum, true));
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
    var before_row = position;
    if (params.first_step == 0u) {
        for (var unit = lane; unit < params.units; unit += 64u) {
            let number = position * params.units + unit;
            cells[number] = carry[params.start_first + number];
        }
    } else {
        let before = starts[params.first_step - 1u] + position;
        if (before >= starts[params.first_step]) { // it has ended
            return;
        }
        before_row = params.room + before;
    }
    for (var step = params.first_step; step < params.last_step; step++) {
        let row = starts[step] + position;
        if (row >= starts[step + 1u]) {
            break;
        }
        let of_first = row_of(lane, row, before_row);
        for (var unit = lane; unit < params.units; unit += 64u) {
            let gates = gates_of(unit_of(row, before_row, unit), of_first, Row());
            cells[(params.room + row) * params.units + unit] = gates.second_x.y;
        }
        before_row = params.room + row;
    }
}
