// wide: how a team of recurrent_team_wide is made up.

const ROWS: u32 = 4u;              // positions of a team. The host sets these.
const UNITS: u32 = 32u;            // units of the size class; those past the units of the cell stay zero
const SLICE: u32 = 16u;            // units of a workgroup
const LANES_OF_SUBGROUP: u32 = 8u; // exactly
const ROWS_2: u32 = 2u;            // rows of a group: ROWS_2 · ROWS_1, each 1 or 2
const ROWS_1: u32 = 2u;
const TILES: u32 = 1u;             // 2 where there are several groups: the words of the next one travel while a group is worked on
const FOURS: u32 = 1u;             // fours of k that a lane has, UNITS / (4 · LANES_OF_SUBGROUP),
const SLOTS: u32 = 1u;             // and fours of h that an invocation waits for, GROUP · PITCH / THREADS, both rounded up
const REST: u32 = 0u;              // shuffles that are left, log2(LANES_OF_SUBGROUP / (OWN · GROUP)),
const PAIRS_R2: u32 = 1u;          // and whether rows are halved
const PAIRS_R1: u32 = 1u;

const OWN: u32 = 2u;                                 // units of a subgroup
const GROUP: u32 = ROWS_2 * ROWS_1;                  // rows of a group
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
