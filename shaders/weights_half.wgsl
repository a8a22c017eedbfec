// weights_half: weights rounded to half precision, in half the bytes. What is unpacked is exact, and all of WebGPU can do it.

alias Weights = vec2<u32>; // of the four gates of a unit, or of four columns; the first in the low bits

fn unpacked(weights: Weights) -> vec4<f32> {
    return vec4<f32>(unpack2x16float(weights.x), unpack2x16float(weights.y));
}
