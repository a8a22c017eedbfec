// gradient_sizes: of each chunk of a gradient the largest absolute value, and the sum of the squares of its values over a power of two.
// A workgroup does a chunk of 4096 values.
//
// The power of two is the largest one that is not above the largest value, so that no square overflows or vanishes which counts. Absolute
// values are compared by their bits, in which NaN is above infinity, and infinity above every number.

@group(0) @binding(0) var<uniform> params: GradientSizes;
@group(0) @binding(1) var<storage, read> gradient: array<u32>;            // the bits of its values
@group(0) @binding(2) var<storage, read_write> sizes: array<vec2<u32>>;   // by chunk: the bits of the largest, and those of the sum

const EXPONENT: u32 = 0x7f800000u;

var<workgroup> largest: array<u32, 256>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let chunk = workgroup.y * workgroups.x + workgroup.x;
    let first = first_of(chunk, lane);
    var mine = 0u;
    for (var value = 0u; value < VALUES; value++) {
        let place = first + value * 256u;
        if (place < params.count) {
            mine = max(mine, gradient[place] & 0x7fffffffu);
        }
    }
    largest[lane] = mine;
    workgroupBarrier();
    for (var half = 128u; half > 0u; half /= 2u) {
        if (lane < half) {
            largest[lane] = max(largest[lane], largest[lane + half]);
        }
        workgroupBarrier();
    }
    let of_all = largest[0];
    // 2^-e for the power of two 2^e; the bits are those of a number as long as the largest is finite
    let inverse = bitcast<f32>(0x7f000000u - min(of_all & EXPONENT, 0x7e800000u));
    var sum = 0.0;
    for (var value = 0u; value < VALUES; value++) {
        let place = first + value * 256u;
        if (place < params.count && of_all < EXPONENT) {
            let scaled = bitcast<f32>(gradient[place]) * inverse;
            sum += scaled * scaled;
        }
    }
    let squares = over_chunk(lane, vec2(sum, 0.0)).x;
    if (lane == 0u && first < params.count) {
        sizes[params.first + chunk] = vec2(of_all, bitcast<u32>(squares));
    }
}
