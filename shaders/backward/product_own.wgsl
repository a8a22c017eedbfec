// product_own: what an invocation reads of A for its subgroup.

const BLOCK: u32 = 8u; // how far the sum goes on with that; a subgroup has no fewer invocations. The host sets it.

// The row of A, as it lies, of a number that is one, or a number that needs none.
fn row_or_listed(number: u32, is_row: bool) -> u32 {
    if (is_row) {
        return listed(number);
    }
    return number;
}

fn own_of_a(first: u32, more: u32, is_there: bool) -> f32 {
    if (!is_there) {
        return 0.0;
    }
    return a[first + more];
}
