// inner_product: what `solo` and `team` share. Invocation (unit, part) keeps rows part·WEIGHTS … of the recurrent kernel of
// its unit and sums over these for all positions of its workgroup, whose h is in `tile`.

const ROWS: u32 = 2u;     // positions of a workgroup or a team, 1 to 8. The host sets these four.
const WIDTH: u32 = 64u;   // invocations of a part: at least the units of a workgroup
const PARTS: u32 = 4u;
const WEIGHTS: u32 = 16u; // rows of the recurrent kernel of a part, a multiple of four

const STATE: u32 = PARTS * WEIGHTS; // h of a position

// Past the last unit all is zero.
fn keep(weights: ptr<function, array<Lanes, WEIGHTS>>, direction: u32, part: u32, units: u32, unit: u32, is_own: bool) {
    for (var k = 0u; k < WEIGHTS; k++) {
        let row = part * WEIGHTS + k;
        (*weights)[k] = Lanes();
        if (is_own && row < units) {
            (*weights)[k] = unpacked(recurrent_kernel[kernel_begin(direction, row) + unit]);
        }
    }
}

// From element `begin` of the tile on, for the first of the positions.
fn add_products(sums: ptr<function, array<Lanes, ROWS>>, weights: ptr<function, array<Lanes, WEIGHTS>>, begin: u32) {
    for (var k = 0u; k < WEIGHTS; k += 4u) {
        for (var row = 0u; row < ROWS; row++) {
            let h = begin + row * STATE + k;
            (*sums)[row] += tile[h] * (*weights)[k];
            (*sums)[row] += tile[h + 1u] * (*weights)[k + 1u];
            (*sums)[row] += tile[h + 2u] * (*weights)[k + 2u];
            (*sums)[row] += tile[h + 3u] * (*weights)[k + 3u];
        }
    }
}
