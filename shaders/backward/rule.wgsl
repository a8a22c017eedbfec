// rule: what the rules of the cells have in common on the way back.
//
// A cell's text says what the arguments of its gates are and what they give, in two levels: the second ones need what the first ones give.
// Then the same backwards, from the gradient of what the second ones give to that of the lanes.

// The lanes of a unit by gate: sums of both products, or, where the recurrent product has lanes of its own, those of the input and these.
struct Lanes {
    both: vec4<f32>,
    recurrent: vec4<f32>,
}

// What the gradient of a unit's state behind a step becomes: that of its lanes, and of the states before the step besides what goes through
// the recurrent product. And what the unit gave, where that is projected.
struct Back {
    lanes: Lanes,
    hidden: f32,
    cell: f32,
    given: f32,
}

const HAS_CLIP: u32 = 0u; // the host sets these
const CLIP: u32 = 0u;     // the bits of that beyond which arguments are cut off
const HAS_ROWS: u32 = 0u; // 1: an activation is one over all units of a position
const HAS_PROJECTION: u32 = 0u;

fn clipped(x: f32) -> f32 {
    if (HAS_CLIP == 1u) {
        let most = bitcast<f32>(CLIP);
        return select(clamp(x, -most, most), x, (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u);
    }
    return x;
}

fn all_clipped(x: vec4<f32>) -> vec4<f32> {
    return vec4<f32>(clipped(x.x), clipped(x.y), clipped(x.z), clipped(x.w));
}

// The gradient of what an activation takes, x, from d, that of what it gives, y. Of one over a row `sum` is the sum of all `shares`.
fn pulled_freely(kind: u32, alpha: u32, beta: u32, x: f32, y: f32, d: f32, sum: f32) -> f32 {
    if (kind == ACTIVATION_SOFTMAX) {
        return y * (d - sum);
    }
    if (kind == ACTIVATION_LOG_SOFTMAX) {
        return d - exp(y) * sum;
    }
    return d * derivative(kind, bitcast<f32>(alpha), bitcast<f32>(beta), x);
}

// The same over a clipped argument. What is cut off has no slope.
fn pulled(kind: u32, alpha: u32, beta: u32, x: f32, y: f32, d: f32, sum: f32) -> f32 {
    if (HAS_CLIP == 1u && abs(x) > bitcast<f32>(CLIP)) {
        return 0.0;
    }
    return pulled_freely(kind, alpha, beta, x, y, d, sum);
}

fn shares(kinds: vec4<u32>, y: vec4<f32>, d: vec4<f32>) -> vec4<f32> {
    return d * select(y, vec4<f32>(1.0), kinds == vec4<u32>(ACTIVATION_LOG_SOFTMAX));
}

// A unit of a position at a step: its lanes and weights, the state before the step, and the gradients of the states behind it.
struct Unit {
    own: Lanes,
    weights: vec4<f32>,
    before: f32,
    hidden: f32,
    cell: f32,
}

// What its gates take and give. What is known of the rows counts where an activation is over all units.
struct Gates {
    x: vec4<f32>,
    y: vec4<f32>,
    second_x: vec4<f32>,
    second_y: vec4<f32>,
}

fn gates_of(unit: Unit, row: Row, second_row: Row) -> Gates {
    let x = first_arguments(unit.own, unit.weights, unit.before);
    let y = first_values(all_clipped(x), row);
    let second_x = second_arguments(unit.own, y, unit.weights, unit.before);
    return Gates(x, y, second_x, second_values(second_clipped(second_x), second_row));
}

// The rule backwards, where no activation is one over all units.
fn rule_back(unit: Unit) -> Back {
    let none = vec4<f32>();
    let gates = gates_of(unit, Row(), Row());
    let second = second_pulled(gates, second_gradients(gates, unit), none);
    return back_of(gates, first_pulled(gates, first_gradients(gates, second, unit), none), second, unit);
}
