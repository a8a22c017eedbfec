// product_values: what a product reads of A and B, and what becomes of its sums.

const TURNS_A: u32 = 0u;   // 1: A lies as its transpose, so that the sum runs over its rows; the host sets all of these
const TURNS_B: u32 = 0u;
const HAS_INDEX: u32 = 0u; // 1: the rows of A, as they lie, are named by a list
const HAS_BIAS: u32 = 0u;

const SIDE = 64u;

@group(0) @binding(0) var<uniform> params: Product;
@group(0) @binding(1) var<storage, read> index: array<u32>;
@group(0) @binding(2) var<storage, read> a: array<f32>;
@group(0) @binding(3) var<storage, read> b: array<f32>;
@group(0) @binding(4) var<storage, read> bias: array<f32>;
@group(0) @binding(5) var<storage, read_write> c: array<f32>;

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

fn value_of_b(k: u32, column: u32, end: u32) -> f32 {
    if (column >= params.columns || k >= end) {
        return 0.0;
    }
    let lies_in = select(k, column, TURNS_B == 1u);
    return b[params.b_first + lies_in * params.b_stride + select(column, k, TURNS_B == 1u)];
}

fn store(first: u32, row: u32, column: u32, value: f32) {
    if (row >= params.rows || column >= params.columns) {
        return;
    }
    let place = first + row * params.c_stride + column;
    var sum = kept_of_c(value, row, column);
    if (HAS_BIAS == 1u) {
        sum += bias[params.bias_first + column];
    }
    if (params.adds == 1u) {
        sum += c[place];
    }
    c[place] = sum;
}
