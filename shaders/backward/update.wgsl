// update: a step of an optimiser for a tensor of weights. An invocation does one weight w, or four, by its gradient g.
//
// The rules are those of src/optimizer/update.rs, in the order of operations of the CPU path. The new weights stand apart from the old ones, so
// that a step which leads to NaN or infinity is not taken.

const RULE: u32 = 0u; // the host sets all of these
const CLIPS: u32 = 0u; // 1: gradients are cut at a limit
const NESTEROV: u32 = 0u;
const CENTERED: u32 = 0u;
const HAS_MOMENTUM: u32 = 0u;
const AMSGRAD: u32 = 0u;
const HAS_GAPS: u32 = 0u; // 1: between rows of weights

const DESCENT: u32 = 0u; // what RULE may be
const MOMENTUM: u32 = 1u;
const RMS_PROP: u32 = 2u;
const MOMENTS: u32 = 3u;
const ADAGRAD: u32 = 4u;
const LION: u32 = 5u;

@group(0) @binding(0) var<uniform> params: Update;
@group(0) @binding(1) var<storage, read> gradients: array<Value>;
@group(0) @binding(2) var<storage, read> weights: array<Value>;
@group(0) @binding(3) var<storage, read> slots: array<Value>; // [slot][weight]
@group(0) @binding(4) var<storage, read_write> new_weights: array<Value>;
@group(0) @binding(5) var<storage, read_write> new_slots: array<Value>;
@group(0) @binding(6) var<storage, read_write> not_finite: array<atomic<u32>>; // 1: some gradient or new weight is NaN, infinite or too large

const INFINITY = 0x7f800000u; // its bits

// The bits of an absolute value.
fn magnitude(x: Value) -> Bits {
    return bitcast<Bits>(x) & Bits(0x7fffffffu);
}

fn number(bits: u32) -> f32 {
    return bitcast<f32>(bits);
}

fn slot(index: u32, place: u32) -> Value {
    return slots[index * params.count + place];
}

fn remember(index: u32, place: u32, value: Value) {
    new_slots[index * params.count + place] = value;
}

fn root(x: Value) -> Value {
    return sqrt(x + number(params.epsilon_inside)) + number(params.epsilon_outside);
}

fn with_momentum(w: Value, g: Value, place: u32) -> Value {
    let m = slot(0u, place) * number(params.momentum) + g * number(params.gradient);
    remember(0u, place, m);
    if (NESTEROV == 1u) {
        return w + number(params.step) * (m * number(params.momentum) + g * number(params.gradient));
    }
    return w + number(params.step) * m;
}

fn rms_prop(w: Value, g: Value, place: u32) -> Value {
    let v = number(params.keep_1) * slot(0u, place) + number(params.rest_1) * (g * g);
    remember(0u, place, v);
    var variance = v;
    if (CENTERED == 1u) {
        let a = number(params.keep_1) * slot(1u, place) + number(params.rest_1) * g;
        remember(1u, place, a);
        variance = max(v - a * a, Value());
    }
    let change = number(params.gradient) * g / root(variance);
    if (HAS_MOMENTUM == 0u) {
        return w + number(params.step) * change;
    }
    let m = number(params.momentum) * slot(1u + CENTERED, place) + change;
    remember(1u + CENTERED, place, m);
    return w + number(params.step) * m;
}

fn moments(w: Value, g: Value, place: u32) -> Value {
    var m = slot(0u, place);
    var v = slot(1u, place);
    m += (g - m) * number(params.rest_1);
    v += (g * g - v) * number(params.rest_2);
    remember(0u, place, m);
    remember(1u, place, v);
    if (AMSGRAD == 1u) {
        v = max(slot(2u, place), v);
        remember(2u, place, v);
    }
    let change = m * number(params.momentum) + g * number(params.gradient);
    return w - change / (sqrt(v) + number(params.epsilon_outside));
}

fn adagrad(w: Value, g: Value, place: u32) -> Value {
    let s = slot(0u, place) + g * g;
    remember(0u, place, s);
    return w + number(params.step) * g / root(s);
}

fn lion(w: Value, g: Value, place: u32) -> Value {
    let m = slot(0u, place);
    let direction = m * number(params.keep_1) + g * number(params.rest_1);
    remember(0u, place, m * number(params.keep_2) + g * number(params.rest_2));
    return w + number(params.step) * sign(direction);
}

fn follow(w: Value, g: Value, place: u32) -> Value {
    switch RULE {
        case MOMENTUM: { return with_momentum(w, g, place); }
        case RMS_PROP: { return rms_prop(w, g, place); }
        case MOMENTS: { return moments(w, g, place); }
        case ADAGRAD: { return adagrad(w, g, place); }
        case LION: { return lion(w, g, place); }
        default: { return w + number(params.step) * g; }
    }
}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let place = (workgroup.y * workgroups.x + workgroup.x) * 256u + lane;
    if (place >= params.count) {
        return;
    }
    // (divided only where that is needed)
    var weight = place;
    if (HAS_GAPS == 1u) {
        weight = place / params.width * params.stride + place % params.width;
    }
    let old = weights[weight];
    let raw = gradients[place];
    var g = raw * number(params.scale);
    if (CLIPS == 1u) {
        let limit = Value(number(params.limit));
        g = clamp(g, -limit, limit);
    }
    // compared by their bits, in which NaN is above infinity, and infinity above every number; a limit may have hidden either
    let is_bad = is_any(magnitude(raw) >= Bits(INFINITY)) || is_any(magnitude(g) >= Bits(params.largest));
    g += number(params.coupled_decay) * old;
    let w = follow(old - old * number(params.weight_decay) * number(params.learning_rate), g, place);
    new_weights[place] = w;
    if (is_bad || is_any(magnitude(w) >= Bits(INFINITY))) {
        atomicOr(&not_finite[0], 1u);
    }
}
