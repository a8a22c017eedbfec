// input_projection_tile: what input_projection does, for many rows on a GPU: by square tiles through workgroup memory.
//
// A workgroup makes 8 * SIDE rows and as many columns; an invocation 8 rows of two vec4 of columns in registers: rows 4 y .. 4 y + 3
// and as many half a tile on, column x and the one half a tile on. k goes by in slabs of SIDE. In workgroup memory k is the
// outer index of the rows too, so that four rows are one load: four loads serve 64 multiplications. Half of the invocations load rows,
// the others the kernel; the next slab is asked for before this one is summed up, and waits in registers. With two places for
// a slab one barrier a slab is enough.
//
// A sum runs through k in order, whatever the tile. Rows and columns past the end repeat the last one. Rows are zero from `input_vectors`
// on, and so is the kernel, which has whole slabs.

const ACTIVATES: u32 = 0u;  // 1: there is an activation
const ACTIVATION: u32 = 0u;
const ALPHA: u32 = 0u;      // the bits of its parameters
const BETA: u32 = 0u;

@group(0) @binding(0) var<uniform> params: Projection;
@group(0) @binding(1) var<storage, read> rows: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> kernel: array<Weights>; // [k][column]
@group(0) @binding(3) var<storage, read> bias: array<vec4<f32>>;   // [column]
@group(0) @binding(4) var<storage, read_write> projected: array<vec4<f32>>;

fn store(row: u32, column: u32, of_column: vec4<f32>, sum: vec4<f32>) {
    if (row < params.count && column < params.column_vectors) {
        let place = (params.target_row + row) * params.column_vectors + column;
        if (params.continues == 1u) {
            projected[place] += sum;
        } else {
            projected[place] = of_column + sum;
        }
    }
}

// In place, as the invocation itself has stored it.
fn activate_at(row: u32, column: u32) {
    if (row < params.count && column < params.column_vectors) {
        let place = (params.target_row + row) * params.column_vectors + column;
        projected[place] = activate4(ACTIVATION, bitcast<f32>(ALPHA), bitcast<f32>(BETA), projected[place]);
    }
}

@compute @workgroup_size(SIDE * SIDE)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let first_row = (workgroup.z * workgroups.y + workgroup.y) * 4u * WIDTH;
    if (first_row >= params.count) {
        return;
    }
    // 32 neighbours are 8 along the columns and 4 along the rows, so that few words of memory serve all of them
    let x = lane % 8u + lane / 32u % (SIDE / 8u) * 8u;
    let y = lane / 8u % 4u + lane / (4u * SIDE) * 4u;
    let loads_rows = lane < HALF;
    let number = lane % HALF;
    let quad = number % QUADS;
    let four = vec4<u32>(0u, 1u, 2u, 3u);
    let row = min(first_row + number / QUADS * 4u + four, vec4<u32>(params.count - 1u));
    var places = (params.source_row + row) * params.row_vectors + params.first_vector + quad;
    var step = QUADS;
    if (!loads_rows) {
        let column = min(workgroup.x * WIDTH + number % WIDTH, params.column_vectors - 1u);
        places = (number / WIDTH + four * (SIDE / 4u)) * params.column_vectors + column;
        step = SIDE * params.column_vectors;
    }
    //for s in 4
    //for r in 4
    var sum$s$r = vec4<f32>();
    //end
    //end
    var place = 0u;
    var loaded = load(loads_rows, places, quad >= params.input_vectors);
    put(loads_rows, place, number, loaded);
    workgroupBarrier();
    for (var k = 0u; k < params.input_vectors; k += QUADS) {
        let next = k + QUADS;
        if (next < params.input_vectors) {
            places += step;
            loaded = load(loads_rows, places, next + quad >= params.input_vectors);
        }
        for (var begin = 0u; begin < QUADS; begin += WRITTEN) { // once on a GPU
            //for q in WRITTEN
            let quad$q = begin + $qu;
            let row$q = place + quad$q * 4u * WIDTH + (y ^ (quad$q * SPREAD));
            //for j in 4
            {
                let kernel_at = place + x + (quad$q * 4u + $ju) * WIDTH;
                //for h in 2
                let a$h = row_slab[row$q + $ju * WIDTH + $hu * SIDE];
                let b$h = kernel_slab[kernel_at + $hu * SIDE];
                //end
                //for r in 4
                sum0$r = fma(vec4<f32>(a0[$r]), b0, sum0$r);
                sum1$r = fma(vec4<f32>(a0[$r]), b1, sum1$r);
                sum2$r = fma(vec4<f32>(a1[$r]), b0, sum2$r);
                sum3$r = fma(vec4<f32>(a1[$r]), b1, sum3$r);
                //end
            }
            //end
            //end
        }
        if (next < params.input_vectors) {
            //for s in SINGLE
            workgroupBarrier();
            //end
            place = DOUBLE * PLACE - place;
            put(loads_rows, place, number, loaded);
            workgroupBarrier();
        }
    }
    let column = workgroup.x * WIDTH + x;
    // before anything is stored: a compiler cannot know that a store leaves the bias as it is, and would ask for it again each time
    let bias0 = bias[min(column, params.column_vectors - 1u)];
    let bias1 = bias[min(column + SIDE, params.column_vectors - 1u)];
    //for r in 4
    store(first_row + 4u * y + $ru, column, bias0, sum0$r);
    store(first_row + 4u * y + $ru, column + SIDE, bias1, sum1$r);
    store(first_row + 4u * (y + SIDE) + $ru, column, bias0, sum2$r);
    store(first_row + 4u * (y + SIDE) + $ru, column + SIDE, bias1, sum3$r);
    //end
    //for a in ACTIVATES
    // a loop, so that the activation stands in the code once
    for (var i = 0u; i < select(0u, 16u, params.finishes == 1u); i++) {
        activate_at(first_row + 4u * (y + i / 8u * SIDE) + i % 4u, column + i / 4u % 2u * SIDE);
    }
    //end
}
