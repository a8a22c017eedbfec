// product_fours: the same where the columns of B and C come in whole fours, which cost software hardly more than a number. B is not turned.

const WIDE = 4u;

alias Sum = vec4<f32>;

@group(0) @binding(3) var<storage, read> b: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> c: array<vec4<f32>>;

// Where the four of B begins in which a column lies.
fn places_of_b(column: u32) -> u32 {
    return (params.b_first + column) / 4u;
}

fn values_of_b(place: u32, k: u32) -> Sum {
    return b[place + k * (params.b_stride / 4u)];
}

fn store_wide(first: u32, row: u32, column: u32, sums: Sum) {
    if (row >= params.rows || column >= params.columns) {
        return;
    }
    let place = (first + row * params.c_stride + column) / 4u;
    var four = sums;
    if (HAS_BIAS == 1u) {
        let begin = params.bias_first + column;
        four += vec4<f32>(bias[begin], bias[begin + 1u], bias[begin + 2u], bias[begin + 3u]);
    }
    if (params.adds == 1u) {
        four += c[place];
    }
    c[place] = four;
}
