// carry: what a mask on the GPU leaves out of a recurrence that has run a step of all sequences.
// CARRY, behind each step: a sequence whose step does not count gets h and c from before the step; of the others c is kept for the next step.
// ZERO, at the end: the rows of the steps that do not count, all of them where a masked output is zero, else those before the first one
// that counts. They have shown the h of the beginning.
// One invocation does one column of a row.

const CARRY: u32 = 0u;
const ZERO: u32 = 1u;
const LENGTHS: u32 = 0u;

@group(0) @binding(0) var<uniform> params: Carry;
@group(0) @binding(1) var<storage, read> mask: array<u32>;
@group(0) @binding(2) var<storage, read_write> hidden: array<f32>;
@group(0) @binding(3) var<storage, read_write> cell_state: array<f32>;
// c after the last step that counted; then for each sequence of each direction one more than its first step that counted, 0 before
@group(0) @binding(4) var<storage, read_write> kept: array<u32>;

// Whether a step counts, by the length of its sequence, or by its byte of (batch, time_steps).
fn counts(sequence: u32, time: u32) -> bool {
    if (params.mask_kind == LENGTHS) {
        return time < mask[sequence];
    }
    let byte = sequence * params.time_steps + time;
    return ((mask[byte / 4u] >> (8u * (byte % 4u))) & 0xffu) != 0u;
}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let number = (workgroup.y * workgroups.x + workgroup.x) * 256u + lane;
    let columns = max(params.output, params.units);
    let column = number % columns;
    let row = (number / columns) % params.count;
    let direction = number / columns / params.count;
    if (direction >= params.directions) {
        return;
    }
    let sequence = row % params.batch;
    let step = params.first_step + row / params.batch;
    let is_backward = ((params.backward >> direction) & 1u) == 1u;
    let is_run = counts(sequence, select(step, params.time_steps - 1u - step, is_backward));
    let hidden_start = direction * params.hidden_pitch + row;
    let current = (hidden_start + params.current_row) * params.hidden_stride + column;
    let place = direction * params.batch + sequence;
    let first = params.directions * params.batch * params.cell_stride + place;
    if (params.operation == ZERO) {
        let is_before = kept[first] == 0u || step + 1u < kept[first];
        let is_zero = is_before || ((params.zeroed >> direction) & 1u) == 1u;
        if (!is_run && is_zero && column < params.output) {
            hidden[current] = 0.0;
        }
        return;
    }
    let cell = place * params.cell_stride + column;
    if (is_run) {
        if (column < params.units) {
            kept[cell] = bitcast<u32>(cell_state[cell]);
        }
        // one invocation alone looks at it here
        if (column == 0u && kept[first] == 0u) {
            kept[first] = step + 1u;
        }
        return;
    }
    if (column < params.output) {
        hidden[current] = hidden[(hidden_start + params.previous_row) * params.hidden_stride + column];
    }
    if (column < params.units) {
        cell_state[cell] = bitcast<f32>(kept[cell]);
    }
}
