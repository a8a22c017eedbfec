// weights_one: weights of units with one lane, as they are.

alias Weights = f32;

fn unpacked(weights: Weights) -> f32 {
    return weights;
}
