// recurrent_team: many time steps in one dispatch, by workgroups that run at the same time. Those of a team share
// the units of ROWS positions: each keeps the weights of its own units, as recurrent_solo does, and waits for h of the others.
//
//   lanes = projected + h·recurrent_kernel, and the cell's rule makes the state of them
//
// A word of `exchange` is written once in a launch, by the workgroup whose unit it is, and says by itself whether it has
// come: it is zero before, and the inverse of the bits of h then. So no order between words is needed, and relaxed atomics
// are enough. That the workgroups run at the same time is promised by nobody, so waiting ends: who has polled too often
// raises the abort word, all leave, and the host runs everything again by another strategy.

const TILES: u32 = 2u - min(PARTS - 1u, 1u); // several parts wait for each other anyway, so one tile is enough
const HEAD: u32 = 4u;                        // words of `exchange` before those of the first step; the first counts tickets

@group(0) @binding(0) var<uniform> params: Launch;
@group(0) @binding(1) var<storage, read> recurrent_kernel: array<Weights>; // [direction][k][unit]
@group(0) @binding(2) var<storage, read> projected: array<Lanes>;            // [direction][row][unit]
@group(0) @binding(3) var<storage, read_write> hidden: array<f32>;           // [direction][row][unit]
@group(0) @binding(4) var<storage, read_write> cell_state: array<f32>;       // [direction][position][unit]
@group(0) @binding(5) var<storage, read> starts: array<u32>;                 // [step] the row of position 0
@group(0) @binding(6) var<storage, read_write> exchange: array<atomic<u32>>; // [step][team][row][unit] h
@group(0) @binding(7) var<storage, read_write> control: array<atomic<u32>>;  // the abort word: a step from 1 on, or 0

var<workgroup> tile: array<f32, TILES * ROWS * STATE>;                              // [before or after][row][k] h
var<workgroup> partial: array<Lanes, (2u - TILES) * PARTS * ROWS * WIDTH + 1u>;   // [part][row][unit] sums
var<workgroup> ticket: u32;
var<workgroup> leaving: atomic<u32>;

@compute @workgroup_size(WIDTH, PARTS)
fn main(
    @builtin(local_invocation_id) invocation: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    // by tickets, whichever workgroups start first form the first team
    if (lane == 0u) {
        ticket = atomicAdd(&exchange[0], 1u);
        atomicStore(&leaving, atomicLoad(&control[0]));
    }
    let number = workgroupUniformLoad(&ticket);
    let team = number / params.members;
    let direction = (params.first_team + team) % params.directions;
    let first = (params.first_team + team) / params.directions * ROWS;
    let units = params.units;
    let stride = params.stride;
    let first_unit = number % params.members * params.slice;
    let own = min(params.slice, units - first_unit); // units of this workgroup,
    let others = units - own;                        // and of the others of the team
    let unit = first_unit + invocation.x;
    let part = invocation.y;
    let hidden_start = direction * params.hidden_pitch + first;
    // past the last unit and past the last position all is zero
    var weights: array<Lanes, WEIGHTS>;
    keep(&weights, direction, part, units, unit, invocation.x < own);
    for (var at = lane; at < TILES * ROWS * STATE; at += WIDTH * PARTS) {
        let row = at / STATE;
        let k = at % STATE;
        tile[at] = 0.0;
        if (row < ROWS && first + row < starts[params.first_step + 1u] - starts[params.first_step] && k < stride) {
            tile[at] = hidden[(hidden_start + params.previous_row + row) * stride + k];
        }
    }
    var words = HEAD; // those of the step before, then those of the step
    for (var step = params.first_step; step < params.last_step; step++) {
        let before = (step - params.first_step) % TILES * ROWS * STATE; // where in the tile h is before the step,
        let after = (step - params.first_step + 1u) % TILES * ROWS * STATE; // and where after it
        let count = min(ROWS, max(starts[step + 1u] - starts[step], first) - first);
        // what the others have made of the step before; each invocation waits for words of its own
        let wanted = select(0u, count * others, step > params.first_step);
        var polls = 0u;
        for (var at = lane; at < wanted;) {
            let k = at % others + select(0u, own, at % others >= first_unit);
            let word = atomicLoad(&exchange[words + at / others * units + k]);
            if (word != 0u) {
                tile[before + at / others * STATE + k] = bitcast<f32>(~word);
                at += WIDTH * PARTS;
                continue;
            }
            polls++;
            // with a load only, a compiler would take the one above out of the loop too
            if (polls == params.most_polls || (polls % 64u == 0u && atomicOr(&control[0], 0u) != 0u)) {
                atomicStore(&control[0], step + 1u);
                atomicStore(&leaving, 1u);
                break;
            }
        }
        if (workgroupUniformLoad(&leaving) != 0u || count == 0u) {
            return;
        }
        let projected_row = direction * params.projected_pitch + first + starts[step] - params.projected_base;
        let current_row = hidden_start + starts[step] - params.hidden_base;
        words = HEAD + ((step - params.first_step) * params.teams + team) * ROWS * units;
        var sums: array<Lanes, ROWS>;
        for (var row = 0u; row < ROWS; row++) {
            sums[row] = Lanes();
            if (part == 0u && row < count && invocation.x < own) {
                sums[row] = projected[(projected_row + row) * projected_stride(units, stride) + unit];
            }
        }
        add_products(&sums, &weights, before + part * WEIGHTS);
        if (PARTS > 1u) {
            for (var row = 0u; row < ROWS; row++) {
                partial[(part * ROWS + row) * WIDTH + invocation.x] = sums[row];
            }
            workgroupBarrier();
        }
        for (var row = part; row < count && invocation.x < own; row += PARTS) {
            var lanes = select(Lanes(), sums[row], PARTS == 1u);
            for (var other = 0u; PARTS > 1u && other < PARTS; other++) {
                lanes += partial[(other * ROWS + row) * WIDTH + invocation.x];
            }
            let cell_index = (direction * params.cell_pitch + first + row) * stride + unit;
            let hidden_before = tile[before + row * STATE + unit];
            let hidden_index = (current_row + row) * stride + unit;
            let state = finish(lanes, direction, unit, hidden_before, cell_index, hidden_index);
            tile[after + row * STATE + unit] = state;
            let word = ~bitcast<u32>(state); // zero for one NaN, which goes as another
            atomicStore(&exchange[words + row * units + unit], select(word, ~0x7fc00000u, word == 0u));
        }
        workgroupBarrier(); // nobody waits before all of the workgroup have handed on
    }
}
