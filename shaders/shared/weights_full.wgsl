// weights_full: weights as they are. A shader that reads weights has this file or weights_half before it, as its pipeline
// asks for.

alias Weights = vec4<f32>; // of the four lanes of a unit, or of four columns

fn unpacked(weights: Weights) -> vec4<f32> {
    return weights;
}

// As bits, which wait in registers for their use.
fn bits_of(weights: Weights) -> vec4<u32> {
    return bitcast<vec4<u32>>(weights);
}

fn unpacked_bits(bits: vec4<u32>) -> vec4<f32> {
    return bitcast<vec4<f32>>(bits);
}
