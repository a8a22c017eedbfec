// recurrent_step_rowwise: the same step for cells whose units need each other within a step: for an activation over all units,
// because r * h is multiplied again, or because the hidden state is a product of all units.
//
// A workgroup owns one position. It keeps in `projected` what comes of the lanes of a unit. Up to the last product an
// invocation reads and writes there only units of its own.
//
// Behind the recurrent kernel come the weights of the units, if there are such; then the projection, a vec4 of columns for
// each unit after the other.

@group(0) @binding(0) var<uniform> params: Step;
@group(0) @binding(1) var<storage, read> recurrent_kernel: array<Weights>;  // [k][unit]
@group(0) @binding(2) var<storage, read_write> projected: array<Lanes>;     // [row][unit]
@group(0) @binding(3) var<storage, read_write> hidden: array<f32>;          // [row][column]
@group(0) @binding(4) var<storage, read_write> cell_state: array<f32>;      // [position][unit]

const LOWEST: f32 = -0x1.fffffep+127f; // the lowest finite number

// What an activation over the row that begins at `begin` has to know of it.
fn row_of(lane: u32, begin: u32) -> Row {
    var row = Row();
    if (HAS_ROWS == 1u) {
        var high = vec4<f32>(LOWEST);
        for (var unit = lane; unit < params.units; unit += 64u) {
            high = max(high, widened(projected[begin + unit]));
        }
        high = over_all(lane, high, false);
        var sum = vec4<f32>();
        for (var unit = lane; unit < params.units; unit += 64u) {
            sum += exp(widened(projected[begin + unit]) - high);
        }
        row = Row(high, over_all(lane, sum, true));
    }
    return row;
}

// The state of a unit of a position before the step.
fn state_before(position: u32, unit: u32) -> UnitState {
    var cell = 0.0;
    if (HAS_CELL_STATE == 1u) {
        cell = cell_state[position * params.cell_stride + unit];
    }
    // where there are fewer columns than units nobody asks for it
    let column = min(unit, params.output - 1u);
    return UnitState(hidden[(params.previous_row + position) * params.hidden_stride + column], cell);
}

fn unit_weights(unit: u32) -> Lanes {
    if (HAS_UNIT_WEIGHTS == 1u) {
        return unpacked(recurrent_kernel[params.output * params.units + unit]);
    }
    return Lanes();
}

// The hidden state, from what the units have left in `projected`.
fn project(lane: u32, begin: u32, current: u32) {
    let vectors = (params.output + 3u) / 4u;
    let weights = (params.output + HAS_UNIT_WEIGHTS) * params.units;
    for (var vector = lane; vector < vectors; vector += 64u) {
        var sum = vec4<f32>();
        for (var k = 0u; k < params.units; k++) {
            sum += widened(projected[begin + k]).x * widened(unpacked(recurrent_kernel[weights + k * vectors + vector]));
        }
        // past the last column nobody writes
        for (var column = vector * 4u; column < min(vector * 4u + 4u, params.output); column++) {
            hidden[current + column] = sum[column % 4u];
        }
    }
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let units = params.units;
    let position = workgroup.y * workgroups.x + workgroup.x;
    if (position >= params.positions) {
        return;
    }
    let before = (params.previous_row + position) * params.hidden_stride;
    let current = (params.current_row + position) * params.hidden_stride;
    let begin = (params.projected_row + position) * select(units, params.cell_stride, LANES == 1u);

    for (var unit = lane; unit < units; unit += 64u) {
        let start = widened(projected[begin + unit]);
        var lanes = start;
        for (var k = 0u; k < params.output; k++) {
            lanes += hidden[before + k] * widened(unpacked(recurrent_kernel[k * units + unit]));
        }
        if (MULTIPLIES_RESET == 1u) {
            lanes = vec4<f32>(lanes.xy, start.z, lanes.w); // its turn comes below
        }
        projected[begin + unit] = first_arguments(narrowed(lanes), unit_weights(unit), state_before(position, unit));
    }
    let of_first = row_of(lane, begin);
    for (var unit = lane; unit < units; unit += 64u) {
        let arguments = second_arguments(projected[begin + unit], of_first, unit_weights(unit), state_before(position, unit));
        projected[begin + unit] = arguments;
        if (MULTIPLIES_RESET == 1u) {
            hidden[current + unit] = widened(arguments).z; // for the others, until the new hidden state takes its place
        }
    }
    if (MULTIPLIES_RESET == 1u) {
        storageBarrier();
        for (var unit = lane; unit < units; unit += 64u) {
            var product = 0.0;
            for (var k = 0u; k < units; k++) {
                product += hidden[current + k] * widened(unpacked(recurrent_kernel[k * units + unit])).z;
            }
            let arguments = widened(projected[begin + unit]);
            projected[begin + unit] = narrowed(vec4<f32>(clipped(arguments.x + product), arguments.yzw));
        }
        storageBarrier();
    }
    let of_second = row_of(lane, begin);
    for (var unit = lane; unit < units; unit += 64u) {
        let state = state_of(projected[begin + unit], of_second, state_before(position, unit));
        if (HAS_CELL_STATE == 1u) {
            cell_state[position * params.cell_stride + unit] = state.cell;
        }
        if (HAS_PROJECTION == 1u) {
            projected[begin + unit] = Lanes(state.hidden);
        } else {
            hidden[current + unit] = state.hidden;
        }
    }
    if (HAS_PROJECTION == 1u) {
        storageBarrier();
        project(lane, begin, current);
    }
}
