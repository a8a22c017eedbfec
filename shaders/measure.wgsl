// measure: small programs whose time says what the GPU costs (src/gpu/measure.rs).

const KIND: u32 = 0u; // which of them. The host sets it.

const DISPATCH: u32 = 0u; // nothing but that the next dispatch depends on this one
const PRODUCTS: u32 = 1u; // multiplications with an addition, in registers
const BYTES: u32 = 2u;    // loads that are independent of each other

@group(0) @binding(0) var<uniform> params: Measure;
@group(0) @binding(1) var<storage, read_write> words: array<vec4<u32>>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let own = workgroup.x * 256u + lane;
    if (KIND == DISPATCH && lane == 0u) {
        words[workgroup.x] += vec4<u32>(1u);
    }
    if (KIND == PRODUCTS) {
        let factor = vec4<f32>(f32(lane) * 1e-9);
        //for s in 8
        var sum$s = vec4<f32>(f32(own) + $s.0);
        //end
        for (var number = 0u; number < params.count; number++) {
            //for s in 8
            sum$s = fma(sum$s, factor, sum$s);
            //end
        }
        var sum = vec4<f32>();
        //for s in 8
        sum += sum$s;
        //end
        if (dot(sum, sum) == 1.5) { // never, and no compiler knows
            words[0] = bitcast<vec4<u32>>(sum);
        }
    }
    if (KIND == BYTES) {
        var sum = vec4<u32>();
        for (var number = 0u; number < params.count; number++) {
            //for s in 8
            let word$s = words[(lane + (number * 8u + $su) * 256u) & params.mask];
            //end
            //for s in 8
            sum += word$s;
            //end
        }
        if (sum.x + sum.w == 0xfedcba98u) {
            words[0] = sum;
        }
    }
}
