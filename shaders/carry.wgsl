// carry: what a mask on the GPU leaves out of a recurrence that has run a step of all sequences.
// CARRY, behind each step: a sequence whose step does not count gets h and c from before the step; of the others c is kept for the next step.
// ZERO, at the end, where a masked output is zero: the rows of the steps that do not count.
// One invocation does one column of a row.

const CARRY: u32 = 0u;
const ZERO: u32 = 1u;
const LENGTHS: u32 = 0u;

@group(0) @binding(0) var<uniform> params: Carry;
@group(0) @binding(1) var<storage, read> mask: array<u32>;
@group(0) @binding(2) var<storage, read_write> hidden: array<f32>;
@group(0) @binding(3) var<storage, read_write> cell_state: array<f32>;
@group(0) @binding(4) var<storage, read_write> kept: array<f32>;

// Whether a step counts, by the length of its sequence, or by its byte of (batch, time_steps).
fn counts(sequence: u32, time: u32) -> bool {
    if (params.mask_kind == LENGTHS) {
        return time < mask[sequence];
    }
    let place = sequence * params.time_steps + time;
    return ((mask[place / 4u] >> (8u * (place % 4u))) & 0xffu) != 0u;
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
    if (params.operation == ZERO) {
        if (!is_run && column < params.output && ((params.zeroed >> direction) & 1u) == 1u) {
            hidden[current] = 0.0;
        }
        return;
    }
    let cell = (direction * params.batch + sequence) * params.cell_stride + column;
    if (is_run) {
        if (column < params.units) {
            kept[cell] = cell_state[cell];
        }
        return;
    }
    if (column < params.output) {
        hidden[current] = hidden[(hidden_start + params.previous_row) * params.hidden_stride + column];
    }
    if (column < params.units) {
        cell_state[cell] = kept[cell];
    }
}
