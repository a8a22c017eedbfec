// wide: how a team of recurrent_team_wide is made up, and what its lanes do together.

const ROWS: u32 = 4u;              // positions of a team. The host sets these.
const UNITS: u32 = 32u;            // units of the size class; those past the units of the cell stay zero
const SLICE: u32 = 16u;            // units of a workgroup
const LANES_OF_SUBGROUP: u32 = 8u; // exactly
const UNITS_2: u32 = 1u;           // units of a subgroup: UNITS_2 · UNITS_1, each 1 or 2
const UNITS_1: u32 = 2u;
const ROWS_4: u32 = 1u;            // rows at a time: ROWS_4 · ROWS_2 · ROWS_1, each 1 or 2
const ROWS_2: u32 = 2u;
const ROWS_1: u32 = 2u;
const BATCHES: u32 = 1u;           // so often in a group
const TILES: u32 = 2u;             // groups that workgroup memory has room for, 1 or 2
const AHEAD: u32 = 0u;             // 1: the words of the next group are asked for before the sums of this one
const ONE_FIRST: u32 = 0u;         // 1: one word is asked for until it is there, and then all
const FOURS: u32 = 1u;             // fours of k that a lane has, UNITS / (4 · LANES_OF_SUBGROUP),
const SLOTS: u32 = 1u;             // and fours of h that an invocation waits for, ROWS / GROUPS · PITCH / THREADS, both rounded up
const REST: u32 = 1u;              // shuffles that are left, log2(LANES_OF_SUBGROUP / (OWN · TAKEN)),
const PAIRS_U2: u32 = 0u;          // and which shuffles halve
const PAIRS_U1: u32 = 1u;
const PAIRS_R4: u32 = 0u;
const PAIRS_R2: u32 = 1u;
const PAIRS_R1: u32 = 1u;

const OWN: u32 = UNITS_2 * UNITS_1;
const TAKEN: u32 = ROWS_4 * ROWS_2 * ROWS_1;
const GROUP: u32 = BATCHES * TAKEN;                  // rows of a group
const THREADS: u32 = SLICE / OWN * LANES_OF_SUBGROUP;
const MEMBERS: u32 = UNITS / SLICE;                  // workgroups of a team
const QUARTER: u32 = UNITS / 4u;                     // slot x of a row has h of x, QUARTER + x, 2 QUARTER + x and 3 QUARTER + x
const PITCH: u32 = FOURS * LANES_OF_SUBGROUP;        // slots of a row
const TILE: u32 = SLOTS * THREADS;                   // slots of a group,
const GROUP_WORDS: u32 = 4u * TILE;                  // and its words: those of a slot THREADS apart
const TEAM_WORDS: u32 = ROWS / GROUP * GROUP_WORDS;


// Of the positions of a team, first, first + pace, and so on, those that run where so many do.
fn rows_of(first: u32, positions: u32) -> u32 {
    return min(ROWS, (max(positions, first) - first + params.pace - 1u) / params.pace);
}

// Two sums of each lane become one: lanes without the bit have the lower one then, those with it the upper one.
fn halved(lower: Lanes, upper: Lanes, lane: u32, bit: u32) -> Lanes {
    let is_upper = (lane & bit) != 0u;
    return select(lower, upper, is_upper) + subgroupShuffleXor(select(upper, lower, is_upper), bit);
}

// Whether a slot of a group is one of h, and of a row that is wanted.
fn is_slot(slot: u32, rows: u32) -> bool {
    return slot / PITCH < min(rows, GROUP) && slot % PITCH < QUARTER;
}

fn h_of(row_of_hidden: u32, unit: u32) -> f32 {
    if (unit >= params.units) { return 0.0; }
    return hidden[row_of_hidden * params.stride + unit];
}

// A slot of a row of h before the first step of a launch; zeros past the end of the rows.
fn h_before(direction: u32, first: u32, row: u32, slot: u32, end: u32) -> vec4<f32> {
    if (row >= end || slot >= QUARTER) { return vec4<f32>(); }
    let source = direction * params.hidden_pitch + params.previous_row + first + row * params.pace;
    return vec4<f32>(h_of(source, slot), h_of(source, QUARTER + slot), h_of(source, 2u * QUARTER + slot), h_of(source, 3u * QUARTER + slot));
}
