// step_rows: h of the positions of a workgroup of recurrent_step_split, in groups of one position or four. A group has one value of
// each of its positions side by side, so that one read serves them all; and neighbouring invocations load neighbouring k.

const GROUPS: u32 = 1u;  // groups of a workgroup. The host sets all of these.
const GROUP: u32 = 1u;   // positions of a group: 1 or 4
const IS_ONE: u32 = 1u;  // whether it is 1,
const IS_FOUR: u32 = 0u; // or 4

// Of a position past the end that of the last one, and past the units zero.
fn h_before(row: u32, position: u32, k: u32) -> f32 {
    let begin = (row + min(position, params.positions - 1u)) * params.hidden_stride;
    return select(0.0, hidden[begin + min(k, params.units - 1u)], k < params.units);
}

//for o in IS_ONE
alias Group = f32;

fn h_of_group(row: u32, position: u32, k: u32) -> Group {
    return h_before(row, position, k);
}
//end
//for o in IS_FOUR
alias Group = vec4<f32>;

fn h_of_group(row: u32, position: u32, k: u32) -> Group {
    return vec4<f32>(
        h_before(row, position, k),
        h_before(row, position + 1u, k),
        h_before(row, position + 2u, k),
        h_before(row, position + 3u, k),
    );
}
//end
