// lookup: which row of a table each wanted step names, row_numbers[i] = tokens[steps[i]].
// One invocation writes one number. Tokens that are bound in several parts take one dispatch for each.
// A token that names no row of the table names none: it reads as zeros. A negative i32 is such a token.

@group(0) @binding(0) var<uniform> params: Lookup;
@group(0) @binding(1) var<storage, read> steps: array<u32>;
@group(0) @binding(2) var<storage, read> tokens: array<u32>;
@group(0) @binding(3) var<storage, read_write> row_numbers: array<u32>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let number = (workgroup.y * workgroups.x + workgroup.x) * 256u + lane;
    if (number >= params.count) {
        return;
    }
    let step = steps[number];
    if (step < params.first_step || step >= params.last_step) {
        return;
    }
    let token = tokens[step - params.first_step];
    row_numbers[number] = select(NONE, token, token < params.table_rows);
}
