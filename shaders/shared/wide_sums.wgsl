// wide_sums: the weights that a lane keeps, and what its subgroup makes of them and of h. All values have names, so that they stay
// in registers.

// The weights of both units of a subgroup, of every LANES_OF_SUBGROUP-th four of k.
struct Kept {
    //for m in FOURS
    //for c in 4
    //for u in 2
    weights$m_$c$u: Lanes,
    //end
    //end
    //end
}

fn kept_by(lane: u32, direction: u32, own: u32) -> Kept {
    //for m in FOURS
    //for c in 4
    let kernel$m_$c = kernel_begin(direction, $cu * QUARTER + min($mu * LANES_OF_SUBGROUP + lane, QUARTER - 1u)) + own;
    //end
    //end
    return Kept(
        //for m in FOURS
        //for c in 4
        //for u in 2
        select(Lanes(), unpacked(recurrent_kernel[kernel$m_$c + $uu]), $mu * LANES_OF_SUBGROUP + lane < QUARTER),
        //end
        //end
        //end
    );
}

// Two sums of each lane become one: lanes without the bit have the lower one then, those with it the upper one.
fn halved(lower: Lanes, upper: Lanes, lane: u32, bit: u32) -> Lanes {
    let is_upper = (lane & bit) != 0u;
    return select(lower, upper, is_upper) + subgroupShuffleXor(select(upper, lower, is_upper), bit);
}

// The sums of the rows of a group, whose h begins with this slot. A lane adds up what belongs to its k, for all of them. Then each shuffle
// halves what a lane still has, until each has one row of one unit: unit lane % OWN and row lane / OWN % GROUP.
fn sum_of(kept: Kept, h: u32, lane: u32) -> Lanes {
    //for y in ROWS_2
    //for z in ROWS_1
    //for u in 2
    var sum$y$z$u = Lanes();
    //end
    //for m in FOURS
    let h$y$z_$m = tile[h + ($yu * 2u + $zu) * PITCH + $mu * LANES_OF_SUBGROUP + lane];
    //for c in 4
    //for u in 2
    sum$y$z$u = fma(Lanes(h$y$z_$m[$cu]), kept.weights$m_$c$u, sum$y$z$u);
    //end
    //end
    //end
    sum$y$z0 = halved(sum$y$z0, sum$y$z1, lane, 1u);
    //end
    //end
    //for p in PAIRS_R1
    //for y in ROWS_2
    sum$y00 = halved(sum$y00, sum$y10, lane, OWN);
    //end
    //end
    //for p in PAIRS_R2
    sum000 = halved(sum000, sum100, lane, 2u * OWN);
    //end
    //for p in REST
    sum000 += subgroupShuffleXor(sum000, (GROUP * OWN) << $pu);
    //end
    return sum000;
}
