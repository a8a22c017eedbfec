// kept_masked: a gate keeps of each value of A as it lies, or of what C gets of the product, the share that its factor for the row's position says.

const MASKS_C: u32 = 0u; // the host sets it

@group(0) @binding(6) var<storage, read> positions: array<u32>; // [row]
@group(0) @binding(7) var<storage, read> factors: array<f32>;   // [position][gate][column]

fn kept(value: f32, row: u32, column: u32) -> f32 {
    let position = positions[row];
    let factor = factors[params.factors_first + position * params.factors_stride + column];
    return select(value * factor, 0.0, factor == 0.0);
}

fn kept_of_a(value: f32, row: u32, column: u32) -> f32 {
    if (MASKS_C == 1u) {
        return value;
    }
    return kept(value, row, column);
}

fn kept_of_c(value: f32, row: u32, column: u32) -> f32 {
    if (MASKS_C == 1u) {
        return kept(value, row, column);
    }
    return value;
}
