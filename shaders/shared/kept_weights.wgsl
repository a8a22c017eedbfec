// kept_weights: rows of the recurrent kernel that an invocation (unit, part) keeps for a whole launch. It has DEPTH of them: the first in its
// registers, the next in workgroup memory, and what finds room in neither is read from the cache in each step.

// the host sets all of these
const WIDTH: u32 = 64u;    // units of the size class: the rows and columns of the recurrent kernel
const PARTS: u32 = 4u;     // a power of two
const REGISTERS: u32 = 8u; // rows of a part in registers,
const SHARED: u32 = 4u;    // in workgroup memory,
const CACHED: u32 = 4u;    // and in the cache
const HALVES: u32 = 0u;    // 1: weights are halves,
const WHOLES: u32 = 1u;    // or they are not
const PACKED: u32 = 0u;    // 1: what registers keep is unpacked in each step,
const UNPACKED: u32 = 1u;  // or once

const DEPTH: u32 = WIDTH / PARTS;
const INVOCATIONS: u32 = WIDTH * PARTS;

var<workgroup> lent: array<Weights, max(SHARED * INVOCATIONS, 1u)>; // [k][invocation]; each reads what it has written itself

// Halves are multiplied as they are stored, times SCALE, and h is divided by it: h is one number, and its weights are four.
//for h in HALVES
const H_SCALE = 1.0 / SCALE;
fn scaled(weights: Weights) -> Lanes {
    return vec4<f32>(unpack2x16float(weights.x), unpack2x16float(weights.y));
}
//end
//for w in WHOLES
const H_SCALE = 1.0;
fn scaled(weights: Weights) -> Lanes {
    return unpacked(weights);
}
//end

//for p in PACKED
alias Kept = Weights;
fn keep(weights: Weights) -> Kept {
    return weights;
}
fn kept(weights: Kept) -> Lanes {
    return scaled(weights);
}
//end
//for u in UNPACKED
alias Kept = Lanes;
fn keep(weights: Weights) -> Kept {
    return scaled(weights);
}
fn kept(weights: Kept) -> Lanes {
    return weights;
}
//end
