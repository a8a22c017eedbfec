// product_ones: what a product reads of B, and what becomes of its sums, whatever its sizes are.

@group(0) @binding(3) var<storage, read> b: array<f32>;
@group(0) @binding(5) var<storage, read_write> c: array<f32>;

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
