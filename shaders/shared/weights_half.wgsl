// weights_half: weights rounded to half precision, in half the bytes; all of WebGPU can unpack them.
//
// The host stores them times SCALE, which makes normal numbers of all: a GPU may take others for zero (halves below 2⁻¹⁴).
// So what is unpacked is exact everywhere.

const SCALE = 1024.0;

alias Weights = vec2<u32>; // of the four lanes of a unit, or of four columns; the first in the low bits

fn unpacked(weights: Weights) -> vec4<f32> {
    return vec4<f32>(unpack2x16float(weights.x), unpack2x16float(weights.y)) * (1.0 / SCALE);
}

// As bits, which wait in registers for their use.
fn bits_of(weights: Weights) -> vec4<u32> {
    return vec4<u32>(weights, 0u, 0u);
}

fn unpacked_bits(bits: vec4<u32>) -> vec4<f32> {
    return unpacked(bits.xy);
}
