// product_values: what a product is told, and what it reads of A.

const TURNS_A: u32 = 0u;   // 1: A lies as its transpose, so that the sum runs over its rows; the host sets all of these
const TURNS_B: u32 = 0u;
const HAS_INDEX: u32 = 0u; // 1: the rows of A, as they lie, are named by a list
const HAS_BIAS: u32 = 0u;

const SIDE = 64u;

@group(0) @binding(0) var<uniform> params: Product;
@group(0) @binding(1) var<storage, read> index: array<u32>;
@group(0) @binding(2) var<storage, read> a: array<f32>;
@group(0) @binding(4) var<storage, read> bias: array<f32>;

// The row of A, as it lies, that is meant.
fn listed(number: u32) -> u32 {
    if (HAS_INDEX == 1u) {
        return index[params.index_first + number];
    }
    return number;
}

fn a_at(lies_in: u32, column: u32) -> f32 {
    if (HAS_INDEX == 1u && lies_in == NONE) {
        return 0.0;
    }
    return a[params.a_first + lies_in * params.a_stride + column];
}
