// rule: what the rules of the cells have in common on the way back.

// The lanes of a unit by gate: sums of both products, or, where the recurrent product has lanes of its own, those of the input and these.
struct Lanes {
    both: vec4<f32>,
    recurrent: vec4<f32>,
}

// What the gradient of a unit's state behind a step becomes: that of its lanes, and of the states before the step besides what goes through
// the recurrent product.
struct Back {
    lanes: Lanes,
    hidden: f32,
    cell: f32,
}

const HAS_CLIP: u32 = 0u; // the host sets both
const CLIP: u32 = 0u;     // the bits of that beyond which arguments are cut off

fn clipped(x: f32) -> f32 {
    if (HAS_CLIP == 1u) {
        let most = bitcast<f32>(CLIP);
        return select(clamp(x, -most, most), x, (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u);
    }
    return x;
}

// The slope of an activation over a clipped argument. What is cut off has none.
fn slope(kind: u32, alpha: u32, beta: u32, x: f32) -> f32 {
    if (HAS_CLIP == 1u && abs(x) > bitcast<f32>(CLIP)) {
        return 0.0;
    }
    return derivative(kind, bitcast<f32>(alpha), bitcast<f32>(beta), x);
}
