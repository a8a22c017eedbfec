// Shared by all shaders: what the host tells each dispatch, by a uniform of its own.
// Row numbers count whole rows; strides and widths count values (f32) unless they say vec4.

// A row number that is no row: it reads as zeros.
const NONE: u32 = 0xffffffffu;

struct Gather {
    first_index: u32,      // entry of `index` that names the first row
    target_row: u32,       // row of `rows` that is written first
    count: u32,            // rows to write
    target_stride: u32,
    target_column: u32,    // column that is written first
    width: u32,            // values copied from a row
    written: u32,          // values written to a row; those past `width` are zero
    source_stride: u32,
    source_start: u32,     // rows source_start .. source_end lie in this buffer,
    source_end: u32,
    source_row: u32,       // the first of them at this row of it
    handles_none: u32,     // 1: rows that are none are written by this dispatch
    operation: u32,        // SET, ADD, MULTIPLY or AVERAGE
}

struct Lookup {
    count: u32,            // steps to look up
    first_step: u32,       // the tokens of the steps first_step .. last_step lie in this part of the buffer
    last_step: u32,
    table_rows: u32,
}

struct Carry {
    operation: u32,        // CARRY or ZERO
    mask_kind: u32,        // LENGTHS, or a byte for each step
    time_steps: u32,
    batch: u32,            // also the rows of `cell_state` from one direction to the next
    first_step: u32,       // the step of the first row, in the order of processing
    count: u32,            // rows of a direction: all sequences of one step or more
    directions: u32,
    backward: u32,         // bit d: direction d runs from the last time step to the first
    zeroed: u32,           // bit d: outputs of direction d that do not count are zero
    previous_row: u32,     // row of `hidden` of sequence 0 before the step,
    current_row: u32,      // and after it, or of the first step
    output: u32,           // values of a row of `hidden` that count,
    units: u32,            // and of `cell_state`; 0 without such a state
    hidden_stride: u32,
    hidden_pitch: u32,
    cell_stride: u32,
}

struct Projection {
    source_row: u32,       // row of `rows` that is read first
    target_row: u32,       // row of `projected` that is written first
    count: u32,            // rows
    row_vectors: u32,      // vec4 of a row of `rows`,
    first_vector: u32,     // of which those from here on are multiplied by this part of the kernel,
    input_vectors: u32,    // so many
    continues: u32,        // 1: `projected` has the sum of the parts before, instead of the bias
    finishes: u32,         // 1: no part follows, so that the activation is taken
    column_vectors: u32,   // vec4 of a row of `projected`
    width: u32,            // values of a row of `projected` that count
}

struct Transform {
    count: u32,            // rows to change
    stride: u32,           // values from one row to the next,
    width: u32,            // and those of a row that count
    epsilon: u32,          // the bits of what is added to the variance
}

struct Dropout {
    first_entry: u32,      // entry of `numbers` of the first row
    count: u32,            // rows to change
    width: u32,            // values of a row that count,
    stride: u32,           // and from one row to the next
    rate: u32,             // the bits of the share that is left out,
    kept: u32,             // and of what the others are multiplied by
    first_key: u32,        // the words of the generator
    second_key: u32,
    layer_word: u32,
    batch_word: u32,
    rounds: u32,           // of the generator
}

struct Reshape {
    first_entry: u32,      // entry of `index` that names the row with the first value,
    first_value: u32,      // and which value of that row it is
    count: u32,            // rows to write
    width: u32,            // values of a row,
    stride: u32,           // and from one row to the next; those past the width are zero
    source_width: u32,     // values of a row of `source`
    source_stride: u32,
    source_start: u32,     // rows source_start .. source_end lie in this buffer,
    source_end: u32,
    source_row: u32,       // the first of them at this row of it
    handles_none: u32,     // 1: values of rows that are none are written by this dispatch
}

struct Step {
    previous_row: u32,     // row of `hidden` with the state of position 0 before the step
    current_row: u32,      // row of `hidden` for its state after the step
    projected_row: u32,    // row of `projected` of position 0
    positions: u32,        // positions that run this step
    units: u32,
    output: u32,           // values of a row of `hidden` that count: the units, but for a projection
    hidden_stride: u32,    // values of a row of `hidden`,
    cell_stride: u32,      // and of `cell_state`
    hidden_pitch: u32,     // rows of `hidden` from one direction to the next,
    projected_pitch: u32,  // of `projected`,
    cell_pitch: u32,       // and of `cell_state`
    first_k: u32,          // the row of the recurrent kernel with which this part of it begins
    kernel_width: u32,     // columns of the recurrent kernel, in units
}

struct Launch {
    previous_row: u32,     // row of `hidden` with the state of position 0 before the first step
    hidden_base: u32,      // what to take from a row of `starts` for its row of `hidden`
    projected_base: u32,   // and for its row of `projected`; both modulo 2³²
    first_step: u32,       // the steps to run: first_step .. last_step
    last_step: u32,
    units: u32,
    stride: u32,           // values of a row of `hidden` and `cell_state`
    hidden_pitch: u32,     // rows of `hidden` from one direction to the next,
    projected_pitch: u32,  // of `projected`,
    cell_pitch: u32,       // and of `cell_state`
    slice: u32,            // from here on for teams: units of a workgroup; the last one of a team may have fewer
    members: u32,          // workgroups of a team
    teams: u32,            // teams of the launch,
    first_team: u32,       // and the first of them; team t has direction t % directions and tile t / directions
    directions: u32,
    most_polls: u32,       // how often an invocation asks for what is not there yet: in one step, on a GPU in all of them
    kernel_width: u32,     // columns of the recurrent kernel, in units
    first_position: u32,   // for wide teams: the first position of the launch,
    pace: u32,             // and positions from one row of a team to the next
}

struct Measure {
    count: u32, // passes of the loop
    mask: u32,  // the number of the last vec4 of `words`; one less than a power of two
}
