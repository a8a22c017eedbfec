// scan: the cell state of every row, from the lanes of all rows: step by step, each unit of each position of each direction by itself. The
// state before the first step stands before the rows.

@group(0) @binding(0) var<uniform> params: Scan;
@group(0) @binding(1) var<storage, read> starts: array<u32>; // for each step the row of position 0, and one more
@group(0) @binding(2) var<storage, read> lanes: array<f32>;
@group(0) @binding(3) var<storage, read> unit_weights: array<f32>;
@group(0) @binding(4) var<storage, read> carry: array<f32>;
@group(0) @binding(5) var<storage, read_write> cells: array<f32>;

fn lanes_of(row: u32, unit: u32) -> Lanes {
    var own = Lanes();
    //for g in GATES
    own.both[$g] = lanes[row * params.lanes_stride + $gu * params.units + unit];
    //end
    return own;
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let values = params.positions * params.units;
    let of_direction = (values + 63u) / 64u;
    let flat = workgroup.y * workgroups.x + workgroup.x;
    let direction = flat / of_direction;
    let number = flat % of_direction * 64u + lane;
    if (direction >= params.directions || number >= values) {
        return;
    }
    let position = number / params.units;
    let unit = number % params.units;
    // the rows of the direction among those of both
    let lanes_row = direction * params.rows;
    let cells_row = direction * (params.room + params.rows);
    let weights = weights_of(direction * 3u * params.units + unit, params.units);
    var cell = 0.0;
    if (params.first_step == 0u) {
        cell = carry[direction * 3u * values + params.start_first + number];
        cells[cells_row * params.units + number] = cell;
    } else {
        let before = starts[params.first_step - 1u] + position;
        if (before >= starts[params.first_step]) { // it has ended
            return;
        }
        let row = cells_row + params.room + before;
        cell = cells[row * params.units + unit];
    }
    // the row of the step, and the one with which the next step begins; lanes are asked for a step ahead
    var row = starts[params.first_step] + position;
    var end = starts[params.first_step + 1u];
    var own = Lanes();
    if (row < end) {
        own = lanes_of(lanes_row + row, unit);
    }
    for (var step = params.first_step; step < params.last_step && row < end; step++) {
        let next_row = end + position;
        let next_end = starts[min(step + 2u, params.last_step)];
        var ahead = Lanes();
        if (next_row < next_end) {
            ahead = lanes_of(lanes_row + next_row, unit);
        }
        let gates = gates_of(Unit(own, weights, cell, 0.0, 0.0), Row(), Row());
        cell = gates.second_x.y;
        cells[(cells_row + params.room + row) * params.units + unit] = cell;
        own = ahead;
        row = next_row;
        end = next_end;
    }
}
