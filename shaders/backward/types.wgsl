// What the host tells each dispatch of the way back. Strides, widths and the places named `first` count values (f32).

struct Product {
    rows: u32,         // of C
    columns: u32,
    inner: u32,        // what the sum runs over
    part: u32,         // of which a part sums up so many,
    part_stride: u32,  // and puts its C so far behind that of the part before
    index_first: u32,  // entry of `index` that names the first row of A
    a_first: u32,
    a_stride: u32,
    b_first: u32,
    b_stride: u32,
    bias_first: u32,
    c_first: u32,
    c_stride: u32,
    adds: u32,         // 1: to what C has
    factors_first: u32,  // of what is left out, if anything is,
    factors_stride: u32, // and from one position to the next
}

struct Loss {
    count: u32,        // steps that count
    width: u32,        // features of a step
    delta: u32,        // the bits of the limit of a Huber loss
}

struct Parts {
    count: u32,        // values of a part
    parts: u32,
    part_stride: u32,
    target_first: u32,
    width: u32,        // values of a row of the target,
    target_stride: u32, // and from one row to the next
    adds: u32,         // 1: to what is there
}

struct ColumnSums {
    rows: u32,
    columns: u32,
    part: u32,         // rows that an invocation adds up
    first: u32,
    stride: u32,
    other_first: u32,  // of what the rows are multiplied by,
    other_stride: u32,
    index_first: u32,  // and the entry of `index` that names the first of those rows
}

struct Scatter {
    rows: u32,         // of the target
    width: u32,        // values that are added to each
    source_first: u32,
    source_stride: u32,
    target_first: u32,
    target_stride: u32,
    scale: u32,        // the bits of what they are multiplied by
}

struct Scan {
    first_step: u32,   // the steps first_step .. last_step
    last_step: u32,
    positions: u32,    // of the batch
    units: u32,
    lanes_stride: u32,
    room: u32,         // rows of `cells` before the one of the first step
    start_first: u32,  // where in `carry` the state before the first step begins
    rows: u32,         // of a direction; those of the second one stand behind those of the first
    directions: u32,
}

struct StepBack {
    positions: u32,       // that run this step
    row: u32,             // of position 0
    next_positions: u32,  // that run the next one
    next_row: u32,
    before_row: u32,      // row of `states` with the state of position 0 before the step
    units: u32,
    lanes_stride: u32,
    states_first: u32,
    states_stride: u32,
    cell_first: u32,      // where in `carry` the gradient of the cell state begins
    runs_rule: u32,       // 0: behind the first step, where nothing but the product is wanted
    rows: u32,            // of a direction; those of the second one stand behind those of the first
    states_pitch: u32,    // from the states of a direction to those of the next
    directions: u32,
}

struct Repack {
    count: u32,        // pairs, or fours
    first: u32,        // the first of these fours in `packed`, counted in fours
}

// Of a step, by workgroups that own a position each.
struct PositionsBack {
    positions: u32,      // that run this step
    row: u32,            // of position 0
    before_row: u32,     // row of `states` with the state of position 0 before the step
    units: u32,
    lanes_stride: u32,
    states_first: u32,
    states_stride: u32,
    gradients_first: u32, // where in `gradients` those of position 0 begin,
    cell_first: u32,      // and where in `carry` the gradient of the cell state
}

struct Reset {
    rows: u32,
    row: u32,            // the first of them
    units: u32,
    lanes_stride: u32,
    states_first: u32,
    states_stride: u32,
}

struct RowsBack {
    count: u32,        // rows
    width: u32,
    index_first: u32,  // entry of `index` that names the first row of what is read,
    first: u32,
    stride: u32,
    upstream_first: u32,
    upstream_stride: u32,
    epsilon: u32,      // the bits of what is added to a variance,
    share: u32,        // and of the share in the sums of a batch of a row that counts once
}
