// What the host tells each dispatch of a step of an optimiser.

struct GradientSizes {
    count: u32,        // values of the gradient
    first: u32,        // where in `sizes` the first chunk stands
}

struct Penalty {
    count: u32,        // weights,
    width: u32,        // of a row of them,
    stride: u32,       // and from one row to the next
    first: u32,        // where in `sums` the first chunk stands
    l1: u32,           // the bits of the number
    twice_l2: u32,     // the same
}

// A step of an optimiser. From `scale` on the bits of numbers; a rule reads those that it has.
struct Update {
    count: u32,        // weights, or fours of them, which width and stride then count too
    width: u32,        // of a row of them,
    stride: u32,       // and from one row to the next
    scale: u32,        // of the gradient,
    limit: u32,        // and beyond which it is cut
    coupled_decay: u32,
    weight_decay: u32,
    learning_rate: u32,
    momentum: u32,
    gradient: u32,
    step: u32,
    keep_1: u32,
    rest_1: u32,
    keep_2: u32,
    rest_2: u32,
    epsilon_inside: u32,
    epsilon_outside: u32,
    largest: u32,      // that a scaled and cut gradient has to stay below
}
