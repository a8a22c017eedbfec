// loss_by_feature: the loss of each step that counts, as a mean over its features, and its gradient with respect to the outputs. A workgroup does a
// chunk of 4096 features and leaves the sum of their losses.
//
// The rules are those of src/loss/difference.rs, huber.rs and binary_crossentropy.rs. What does not count is not read; its gradient is 0 already.

const RULE: u32 = 0u; // the host sets it

const SQUARED: u32 = 0u; // what it may be
const ABSOLUTE: u32 = 1u;
const HUBER: u32 = 2u;
const BINARY_LOGITS: u32 = 3u;

@group(0) @binding(0) var<uniform> params: Loss;
@group(0) @binding(1) var<storage, read> steps: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> outputs: array<f32>;             // [step of all][feature]
@group(0) @binding(3) var<storage, read> targets: array<f32>;             // [step that counts][feature]
@group(0) @binding(4) var<storage, read_write> gradient: array<f32>;      // as outputs
@group(0) @binding(5) var<storage, read_write> sums: array<f32>;          // by chunk

// The loss of a feature and its derivative.
fn term(output: f32, wanted: f32) -> vec2<f32> {
    let error = output - wanted;
    switch RULE {
        case ABSOLUTE: { return vec2(abs(error), sign(error)); }
        case HUBER: {
            let delta = bitcast<f32>(params.delta);
            if (abs(error) <= delta) {
                return vec2(0.5 * error * error, error);
            }
            return vec2(delta * (abs(error) - 0.5 * delta), delta * sign(error));
        }
        case BINARY_LOGITS: {
            let tail = exp(-abs(output));
            let rest = tail / (1.0 + tail);
            // (of a sure and right output the difference is small: it is made of small numbers)
            let slope = select(rest - wanted, (1.0 - wanted) - rest, output >= 0.0);
            let away = select(-output * wanted, output * (1.0 - wanted), output >= 0.0);
            return vec2(away + log_1p(tail), slope);
        }
        default: { return vec2(error * error, 2.0 * error); }
    }
}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let chunk = workgroup.y * workgroups.x + workgroup.x;
    let first = first_of(chunk, lane);
    let count = params.count * params.width;
    var mine = 0.0;
    for (var value = 0u; value < VALUES; value++) {
        let place = first + value * 256u;
        if (place < count) {
            let step = steps[place / params.width];
            let output = step.x * params.width + place % params.width;
            let terms = bitcast<f32>(step.y) * term(outputs[output], targets[place]);
            gradient[output] = terms.y;
            mine += terms.x;
        }
    }
    let all = over_chunk(lane, vec2(mine, 0.0));
    if (lane == 0u && first < count) {
        sums[chunk] = all.x;
    }
}
