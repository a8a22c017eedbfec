// residency: how many workgroups of the make of recurrent_team run at the same time. Each signs in and stays until all have
// come. Whoever has waited too long writes down how many had come by then, and with that all leave.
//
// What decides is the registers and the workgroup memory that a workgroup takes, so both are held while it waits.

const ROWS: u32 = 2u; // as in recurrent_team. The host sets these four.
const WIDTH: u32 = 64u;
const PARTS: u32 = 4u;
const WEIGHTS: u32 = 16u;

const VECTORS: u32 = PARTS * WEIGHTS / 4u;
const HELD: u32 = ROWS * (VECTORS * (2u - min(PARTS - 1u, 1u)) + min(PARTS - 1u, 1u) * PARTS * WIDTH) + 1u;

@group(0) @binding(0) var<uniform> params: Residency;
@group(0) @binding(1) var<storage, read> held: array<vec4<f32>>;            // zeros: [part][weight]
@group(0) @binding(2) var<storage, read_write> counts: array<atomic<u32>>; // who came, how many had when one gave up, sums

var<workgroup> tile: array<vec4<f32>, HELD>;

@compute @workgroup_size(WIDTH, PARTS)
fn main(
    @builtin(local_invocation_id) invocation: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    var weights: array<vec4<f32>, WEIGHTS>;
    for (var k = 0u; k < WEIGHTS; k++) {
        weights[k] = held[invocation.y * WEIGHTS + k];
    }
    for (var at = lane; at < HELD; at += WIDTH * PARTS) {
        tile[at] = weights[at % WEIGHTS];
    }
    if (lane == 0u) {
        atomicAdd(&counts[0], 1u);
    }
    workgroupBarrier();
    if (lane == 0u) {
        var polls = 0u;
        var came = atomicLoad(&counts[0]);
        while (came < params.workgroups && atomicLoad(&counts[1]) == 0u && polls < params.most_polls) {
            polls++;
            came = atomicOr(&counts[0], 0u); // a mere load might be taken out of the loop
        }
        if (came < params.workgroups) {
            atomicCompareExchangeWeak(&counts[1], 0u, came);
        }
    }
    workgroupBarrier();
    // what is held counts as needed only because something comes of it
    var sum = tile[(lane * 7u + 1u) % HELD];
    for (var k = 0u; k < WEIGHTS; k++) {
        sum += weights[k] * tile[k % HELD];
    }
    if (dot(sum, sum) > 0.0) {
        atomicAdd(&counts[2], 1u);
    }
}
