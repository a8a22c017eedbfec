// unit: the end of a time step for one unit of one position, whatever its cell is: what product and bias have made of its
// lanes becomes its state. All strategies share it, so that they agree to the bit.
//
// A text of shaders/cell says what the lanes of a unit are and how three functions make its state of them:
// `first_arguments` gives the arguments of the activations that need nothing else, `second_arguments` takes these activations and gives the
// arguments of the others, `state_of` takes those and gives the state. In between, a strategy that has all units of a position
// can work out what an activation over the whole row needs to know of it.

// what the cell has; the host sets all of these
const LANES: u32 = 4u;            // numbers that a unit sums up: 4 or 1
const HAS_CELL_STATE: u32 = 1u;   // whether there is a cell state besides the hidden one
const HAS_UNIT_WEIGHTS: u32 = 0u; // whether a row of weights that are no part of a product stands behind the recurrent kernel
const MULTIPLIES_RESET: u32 = 0u; // whether what `second_arguments` leaves in z is multiplied by lane z of the recurrent kernel
const HAS_PROJECTION: u32 = 0u;   // whether the hidden state is a product of what `state_of` gives
const HAS_ROWS: u32 = 0u;         // whether an activation is one over the whole row
const HAS_CLIP: u32 = 0u;
const CLIP: u32 = 0u;             // the bits of that beyond which arguments are cut off

struct UnitState {
    hidden: f32,
    cell: f32,
}

fn clipped(x: f32) -> f32 {
    if (HAS_CLIP == 1u) {
        let most = bitcast<f32>(CLIP);
        // clamp may drop NaN
        return select(clamp(x, -most, most), x, (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u);
    }
    return x;
}

// Where no activation is one over a row.
fn next_state(lanes: Lanes, unit: Lanes, before: UnitState) -> UnitState {
    let row = Row();
    return state_of(second_arguments(first_arguments(lanes, unit, before), row, unit, before), row, before);
}
