// product_twos: the columns that an invocation of product_alone makes, whatever their number is.

const WIDE = 2u;

alias Sum = vec2<f32>;

// Where two columns of B begin, one behind the last as the last.
fn places_of_b(column: u32) -> vec2<u32> {
    let columns = vec2<u32>(column, min(column + 1u, params.columns - 1u));
    return params.b_first + columns * select(1u, params.b_stride, TURNS_B == 1u);
}

fn values_of_b(places: vec2<u32>, k: u32) -> Sum {
    let down = k * select(params.b_stride, 1u, TURNS_B == 1u);
    return vec2<f32>(b[places.x + down], b[places.y + down]);
}

fn store_wide(first: u32, row: u32, column: u32, sums: Sum) {
    store(first, row, column, sums.x);
    store(first, row, column + 1u, sums.y);
}
