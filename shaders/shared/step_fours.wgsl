// step_fours: what recurrent_step_tile reads besides its slabs, four neighbouring units at a time, and how it adds its parts up.

// Which of four values from one on are those of units.
fn are_units(first: u32) -> vec4<bool> {
    return vec4<u32>(first, first + 1u, first + 2u, first + 3u) < vec4<u32>(params.units);
}

// Four values of h of a row; past the units zero.
fn h_before(row: u32, four: u32) -> vec4<f32> {
    let fours = params.hidden_stride / 4u;
    return select(vec4<f32>(), hidden[row * fours + min(four, fours - 1u)], are_units(4u * four));
}

// The weights of a unit that are no part of a product, of a recurrent kernel that begins there.
fn unit_weights(kernel: u32, unit: u32) -> Lanes {
    if (HAS_UNIT_WEIGHTS == 1u) {
        return unpacked(recurrent_kernel[kernel + UNITS * UNITS + unit]);
    }
    return Lanes();
}

// The sum of all parts for a unit of a position.
fn total(at: u32) -> Lanes {
    var sum = Lanes();
    //for p in ROWS
    sum += w[$pu * 128u + at];
    //end
    return sum;
}
