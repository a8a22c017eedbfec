//! Which of many cases a test tries, where compiling all of their shaders would take minutes.
//!
//! The seed is that of the property tests, another one in each run of `scripts/test`, which prints it: in the course of many runs every
//! case has been tried. Without a seed the same cases are tried each time. CELLSTATE_THOROUGH=1 tries all of them.

/// Whether the case of this number is among those that are tried, of which one in so many is.
pub(crate) fn is_drawn(number: usize, one_in: usize) -> bool {
    let is_thorough = std::env::var_os("CELLSTATE_THOROUGH").is_some_and(|value| !value.is_empty());
    is_thorough || number.wrapping_add(seed()).is_multiple_of(one_in)
}

fn seed() -> usize {
    let Ok(seed) = std::env::var("PROPTEST_RNG_SEED") else {
        return 0;
    };
    let parsed = seed.parse();
    assert!(parsed.is_ok(), "PROPTEST_RNG_SEED is a number, not {seed}");
    parsed.unwrap_or(0)
}
