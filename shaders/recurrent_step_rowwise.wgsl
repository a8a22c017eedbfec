// recurrent_step_rowwise: the same step for cells whose units need each other within a step: for an activation over all units,
// because r * h is multiplied again, or because the hidden state is a product of all units.
//
// A workgroup owns one position. It keeps in `projected` what comes of the lanes of a unit. Up to the last product an
// invocation reads and writes there only units of its own.
//
// Behind the recurrent kernel come the weights of the units, if there are such; then the projection, a vec4 of columns for
// each unit after the other.
//
// In training it is the step of every cell whose gates leave out hidden values of their own, which `left` does.

const DIRECTIONS: u32 = 1u; // in training the host sets it: both directions of a layer whose gates leave values out share a dispatch

@group(0) @binding(0) var<uniform> params: Step;
@group(0) @binding(1) var<storage, read> recurrent_kernel: array<Weights>;  // [direction][k][unit]
@group(0) @binding(2) var<storage, read_write> projected: array<Lanes>;     // [direction][row][unit]
@group(0) @binding(3) var<storage, read_write> hidden: array<f32>;          // [direction][row][column]
@group(0) @binding(4) var<storage, read_write> cell_state: array<f32>;      // [direction][position][unit]

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
    let number = workgroup.y * workgroups.x + workgroup.x;
    if (number >= DIRECTIONS * params.positions) {
        return;
    }
    let direction = select(0u, 1u, DIRECTIONS == 2u && number >= params.positions);
    let place = place_of(direction, number - direction * params.positions);
    let begin = place.begin;
    let current = place.current;

    for (var unit = lane; unit < units; unit += 64u) {
        let start = widened(projected[begin + unit]);
        var lanes = start;
        for (var k = 0u; k < params.output; k++) {
            let weights = widened(unpacked(recurrent_kernel[place.kernel + k * params.kernel_width + unit]));
            lanes += left(place.state, params.output, k, hidden[place.before + k]) * weights;
        }
        if (MULTIPLIES_RESET == 1u) {
            lanes = vec4<f32>(lanes.xy, start.z, lanes.w); // its turn comes below
        }
        projected[begin + unit] = first_arguments(narrowed(lanes), unit_weights(place, unit), state_before(place, unit));
    }
    let of_first = row_of(lane, begin);
    for (var unit = lane; unit < units; unit += 64u) {
        let before = state_before(place, unit);
        let arguments = second_arguments(projected[begin + unit], of_first, unit_weights(place, unit), before);
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
                let weight = widened(unpacked(recurrent_kernel[place.kernel + k * params.kernel_width + unit])).z;
                product += left(place.state, units, k, hidden[current + k]).z * weight;
            }
            let arguments = widened(projected[begin + unit]);
            projected[begin + unit] = narrowed(vec4<f32>(clipped(arguments.x + product), arguments.yzw));
        }
        storageBarrier();
    }
    let of_second = row_of(lane, begin);
    for (var unit = lane; unit < units; unit += 64u) {
        let state = state_of(projected[begin + unit], of_second, state_before(place, unit));
        if (HAS_CELL_STATE == 1u) {
            cell_state[place.state * params.cell_stride + unit] = state.cell;
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
