// slab: the slabs of input_projection_tile in workgroup memory.
//
// Half of the invocations load rows, the others the kernel. In workgroup memory k is the outer index of the rows too, so that
// four rows are one load. What is loaded waits in registers until the slab before is summed up.

const SIDE: u32 = 16u;      // 16 or 8: invocations along rows, and along columns; k of a slab. The host sets these.
const QUADS: u32 = 4u;      // a quarter of it: vec4 of a slab along k
const WRITTEN: u32 = 4u;    // quads of k whose sums are written out: all but in software, where a compiler takes seconds for each
const SINGLE: u32 = 1u;     // 1: one place for a slab,
const DOUBLE: u32 = 0u;     // or two

const HALF: u32 = SIDE * SIDE / 2u;  // of the invocations
const WIDTH: u32 = 2u * SIDE;        // vec4 of a tile along rows, and along columns
const PLACE: u32 = SIDE * WIDTH;     // vec4 of a slab
const SPREAD: u32 = 32u / SIDE;      // moves what a quad of k writes to memory banks of its own

var<workgroup> row_slab: array<vec4<f32>, (1u + DOUBLE) * PLACE>;     // [k][four rows ^ k / 4 * SPREAD]
var<workgroup> kernel_slab: array<vec4<f32>, (1u + DOUBLE) * PLACE>;  // [k][column]

// What an invocation loads of a slab, as bits, so that both kinds take the same registers: a quad of k of four rows, or four vec4 of the kernel.
struct Loaded {
    //for i in 4
    part$i: vec4<u32>,
    //end
}

fn load(loads_rows: bool, places: vec4<u32>, is_past: bool) -> Loaded {
    var loaded = Loaded();
    if (!loads_rows) {
        //for i in 4
        loaded.part$i = bits_of(kernel[places[$i]]);
        //end
    } else if (!is_past) {
        //for i in 4
        loaded.part$i = bitcast<vec4<u32>>(rows[places[$i]]);
        //end
    }
    return loaded;
}

fn put(loads_rows: bool, place: u32, number: u32, loaded: Loaded) {
    if (!loads_rows) {
        //for i in 4
        kernel_slab[place + number + $iu * HALF] = unpacked_bits(loaded.part$i);
        //end
        return;
    }
    let quad = number % QUADS;
    let begin = place + quad * 4u * WIDTH + ((number / QUADS) ^ (quad * SPREAD));
    let by_k = transpose(mat4x4<f32>(
        //for i in 4
        bitcast<vec4<f32>>(loaded.part$i),
        //end
    ));
    //for j in 4
    row_slab[begin + $ju * WIDTH] = by_k[$j];
    //end
}
