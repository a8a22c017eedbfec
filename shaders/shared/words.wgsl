// words: how the workgroups of a team hand each other h. A word of `exchange` is written once in a launch, by the workgroup whose unit it
// is, and says by itself whether it has come: it is zero before, and the inverse of the bits of h then. So no order between
// words is needed, and relaxed atomics are enough.

// The host sets these.
const COHERENT: u32 = 1u; // whether a load sees what another workgroup has stored; else only what changes a word does
const IN_TURN: u32 = 0u;  // whether invocations of a workgroup may run one after the other, so that one that waits keeps the next from running

const HEAD: u32 = 4u;            // words before those of the first step: tickets, and what the probe finds out
const ABSENT: u32 = 0xffffffffu; // the word of h = 0, for positions that do not run

// What has been handed on at a word, or zero.
fn word_at(at: u32) -> u32 {
    if (COHERENT == 1u) {
        return atomicLoad(&exchange[at]);
    }
    return atomicOr(&exchange[at], 0u);
}

fn hand_on(at: u32, h: f32) {
    let bits = ~bitcast<u32>(h);
    let word = select(bits, ~0x7fc00000u, bits == 0u); // zero for one NaN, which goes as another
    if (COHERENT == 1u) {
        atomicStore(&exchange[at], word);
    } else {
        atomicExchange(&exchange[at], word);
    }
}

// A launch without steps is the probe: each workgroup signs in and stays until all have come, or until one has waited for
// too long and writes down how many had come by then. It is counted with the registers and the workgroup memory of the launches to come,
// for they are of the same pipeline.
fn count_who_came(lane: u32) {
    if (lane == 0u) {
        var polls = 0u;
        var came = atomicOr(&exchange[0], 0u);
        while (came < params.teams && atomicOr(&exchange[1], 0u) == 0u && polls < params.most_polls) {
            polls++;
            came = atomicOr(&exchange[0], 0u);
        }
        if (came < params.teams) {
            atomicCompareExchangeWeak(&exchange[1], 0u, came);
        }
    }
    workgroupBarrier(); // who waits here keeps registers
}
