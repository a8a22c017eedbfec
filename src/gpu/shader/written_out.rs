//! The operations on matrices, for tests on adapters that have none.

/// Products of matrices written out for a subgroup of 32: an invocation has 8 of the 256 sums of a matrix, and the matrices that are
/// multiplied are where they begin in workgroup memory.
const PRODUCTS: &str = "
struct Sums {
    low: vec4<f32>,
    high: vec4<f32>,
}

fn pairs(values: vec4<f32>) -> vec2<u32> {
    return vec2<u32>(pack2x16float(values.xy), pack2x16float(values.zw));
}

fn spread(pairs: vec2<u32>) -> vec4<f32> {
    return vec4<f32>(unpack2x16float(pairs.x), unpack2x16float(pairs.y));
}

fn multiply_add(lane: u32, a: u32, b: u32, before: Sums) -> Sums {
    var sums = before;
    // four, which the compiler does not see: it would write the loops out, and that takes it a minute
    let four = min(4u, 3u + params.SIZE);
    for (var quad = 0u; quad < four; quad++) {
        let x = spread(LEFT_SLAB[a + lane / 2u * LEFT_PITCH + quad]);
        for (var k = 0u; k < four; k++) {
            let w = b + (4u * quad + k) * RIGHT_PITCH + lane % 2u * 2u;
            sums.low += x[k] * spread(RIGHT_SLAB[w]);
            sums.high += x[k] * spread(RIGHT_SLAB[w + 1u]);
        }
    }
    return sums;
}

fn store_sums(lane: u32, matrix: Sums, begin: u32, pitch: u32) {
    let first = begin + lane / 2u * pitch + lane % 2u * 8u;
    for (var i = 0u; i < 4u; i++) {
        sums[first + i] = matrix.low[i];
        sums[first + 4u + i] = matrix.high[i];
    }
}
";

/// The same for the slabs of a text, each by its name and that of its pitch; `size` is a parameter of it that is never 0.
pub(crate) fn products(left: [&str; 2], right: [&str; 2], size: &str) -> String {
    let names = [
        ("LEFT_SLAB", left[0]),
        ("LEFT_PITCH", left[1]),
        ("RIGHT_SLAB", right[0]),
        ("RIGHT_PITCH", right[1]),
        ("SIZE", size),
    ];
    let replace = |text: String, (name, with): (&str, &str)| text.replace(name, with);
    names.into_iter().fold(PRODUCTS.to_owned(), replace)
}
