//! Sums of many numbers: in f64 and in a fixed order, so that every number of threads gives the same bits.

use rayon::prelude::*;

/// How many numbers one thread takes at once.
pub(crate) const CHUNK: usize = 4096;

/// From how many numbers on several threads are worth their start.
pub(crate) const PARALLEL: usize = 1 << 16;

/// How many sums run beside each other, so that the loop becomes vector instructions.
const LANES: usize = 16;

/// The sum of a term of each number.
pub(crate) fn sum(values: &[f32], term: impl Fn(f64) -> f64 + Sync) -> f64 {
    if values.len() < PARALLEL {
        return values
            .chunks(CHUNK)
            .fold(0.0, |sum, chunk| sum + of_chunk(chunk, &term));
    }
    let parts: Vec<f64> = values.par_chunks(CHUNK).map(|chunk| of_chunk(chunk, &term)).collect();
    parts.into_iter().fold(0.0, |sum, part| sum + part)
}

/// Whether all numbers are what they should be: part by part without a look back, so that the loop becomes vector instructions.
pub(crate) fn all(values: &[f32], is_right: impl Fn(f32) -> bool + Sync) -> bool {
    let are_right = |chunk: &[f32]| chunk.iter().fold(true, |all, &value| all & is_right(value));
    match values.len() < PARALLEL {
        true => values.chunks(CHUNK).all(are_right),
        false => values.par_chunks(CHUNK).all(are_right),
    }
}

fn of_chunk(chunk: &[f32], term: &impl Fn(f64) -> f64) -> f64 {
    let mut sums = [0.0_f64; LANES];
    for group in chunk.chunks(LANES) {
        for (sum, &value) in sums.iter_mut().zip(group) {
            *sum += term(f64::from(value));
        }
    }
    sums.into_iter().fold(0.0, |sum, lane| sum + lane)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test without threads has failed")]
mod tests {
    use super::*;
    use rayon::ThreadPoolBuilder;

    #[test]
    fn sums_are_right_and_the_same_for_every_number_of_threads() {
        for length in [
            0,
            1,
            15,
            16,
            17,
            CHUNK,
            CHUNK + 1,
            PARALLEL - 1,
            PARALLEL,
            PARALLEL + 4097,
        ] {
            let values: Vec<f32> = (0..length).map(|index| (index % 1000) as f32 - 3.5).collect();
            let expected: f64 = values.iter().map(|&value| f64::from(value) * f64::from(value)).sum();
            let by = |threads: usize| {
                let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                pool.install(|| sum(&values, |value| value * value))
            };
            assert!((by(1) - expected).abs() <= 1e-12 * expected, "{length}");
            assert_eq!(by(1).to_bits(), by(3).to_bits(), "{length}");
        }
        assert!(sum(&[1.0, f32::NAN], |value| value * value).is_nan());
    }
}
