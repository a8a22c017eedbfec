// loss_by_class: the cross-entropy of each step that counts, of the logits of its classes, and its gradient with respect to these. A workgroup does a
// step and leaves its loss.
//
// The rules are those of src/loss/categorical_crossentropy.rs and sparse_categorical_crossentropy.rs. What does not count is not read; its
// gradient is 0 already.

const HAS_CLASS: u32 = 0u; // 1: a step has one class, else a probability for each; the host sets it

@group(0) @binding(0) var<uniform> params: Loss;
@group(0) @binding(1) var<storage, read> steps: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> outputs: array<f32>;             // [step of all][class]
@group(0) @binding(3) var<storage, read> targets: array<f32>;             // [step that counts][class], if there are any
@group(0) @binding(4) var<storage, read_write> gradient: array<f32>;      // as outputs
@group(0) @binding(5) var<storage, read_write> sums: array<f32>;          // by step that counts

const LANES: u32 = 64u;
const LEAST = -3.402823466e38;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let number = workgroup.y * workgroups.x + workgroup.x;
    // (all invocations have to meet, so a workgroup too many does a step again and says nothing)
    let counts = number < params.count;
    let last = min(number, params.count - 1u);
    let step = steps[last];
    let begin = step.x * params.width;
    var largest = LEAST;
    for (var column = lane; column < params.width; column += LANES) {
        largest = max(largest, outputs[begin + column]);
    }
    largest = over_all(lane, vec4<f32>(largest), false).x;
    // how many are the largest; Σ eˣ of all others; Σ target, and Σ target · (largest - x)
    var mine = vec4<f32>();
    for (var column = lane; column < params.width; column += LANES) {
        let below = outputs[begin + column] - largest;
        var wanted = f32(column == step.z);
        if (HAS_CLASS == 0u) {
            wanted = targets[last * params.width + column];
        }
        let is_largest = below == 0.0;
        mine += vec4(select(vec2(0.0, exp(below)), vec2(1.0, 0.0), is_largest), wanted, -wanted * below);
    }
    let all = over_all(lane, mine, true);
    // the sum of all eˣ without the 1 of a largest: of a sure step this is small and made of small numbers
    let rest = (all.x - 1.0) + all.y;
    let sum = all.x + all.y;
    let factor = bitcast<f32>(step.y);
    for (var column = lane; column < params.width; column += LANES) {
        let below = outputs[begin + column] - largest;
        var wanted = f32(column == step.z);
        if (HAS_CLASS == 0u) {
            wanted = targets[last * params.width + column];
        }
        // whole · share - target, with share = 1 - rest / sum of a largest one
        var slope = all.z * (exp(below) / sum) - wanted;
        if (below == 0.0) {
            slope = (all.z - wanted) - all.z * (rest / sum);
        }
        if (counts) {
            gradient[begin + column] = factor * slope;
        }
    }
    if (counts && lane == 0u) {
        sums[last] = factor * (all.z * log_1p(rest) + all.w);
    }
}
