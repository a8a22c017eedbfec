// step_wide: how a workgroup of recurrent_step_wide is made up, and what it reads of h.

const UNITS: u32 = 128u;            // rows and columns of the recurrent kernel: a size class. The host sets these.
const BLOCK: u32 = 32u;             // positions of a workgroup, at most
const GROUP: u32 = 8u;              // rows whose sums wait: those of which an invocation makes one state, or fewer
const LANES_OF_SUBGROUP: u32 = 32u; // exactly
const SPLIT: u32 = 1u;              // subgroups that share k
const TILES: u32 = 1u;              // times four rows of h that workgroup memory has room for, 1 or 2
const IS_FULL: u32 = 0u;            // 1: the cell has so many units as the size class
const IS_EVEN: u32 = 0u;            // 1: lanes have as many fours of k as all others, and invocations as many loads
const FOURS: u32 = 4u;              // fours of k that a lane has, QUARTER / (8 · SPLIT),
const LOADS: u32 = 1u;              // and fours of h that an invocation loads of four rows, TAKEN · QUARTER / THREADS, both rounded up

const THREADS: u32 = 256u;
const OWN: u32 = 2u;                // units of a lane
const TAKEN: u32 = 4u;              // rows that are summed up at a time: with two units as many sums as lanes share k
const SLICE: u32 = THREADS / (8u * SPLIT) * OWN; // units of a workgroup
const QUARTER: u32 = UNITS / 4u;
const NEIGHBOURS: u32 = LANES_OF_SUBGROUP / 8u; // lanes of a subgroup that have the same k

// Four values of h of a row; past the units zero.
fn h_before(row: u32, four: u32) -> vec4<f32> {
    if (IS_FULL == 1u) { return hidden[row * QUARTER + four]; }
    let fours = params.hidden_stride / 4u;
    let k = vec4<u32>(4u * four, 4u * four + 1u, 4u * four + 2u, 4u * four + 3u);
    return select(vec4<f32>(), hidden[row * fours + min(four, fours - 1u)], k < vec4<u32>(params.units));
}

// Four values of h in workgroup memory, of a row that begins there; past the units zero.
fn h_of_tile(row: u32, four: u32) -> vec4<f32> {
    if (IS_EVEN == 1u) { return tile[row + four]; }
    return select(vec4<f32>(), tile[row + min(four, QUARTER - 1u)], four < QUARTER);
}
