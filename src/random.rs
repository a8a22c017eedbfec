//! Random numbers that are counted, not drawn one after another: the same bits on every path, in any order, for any number of threads.
//!
//! The generator is Philox 4x32-10 (Salmon, Moraes, Dror and Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3"): ten rounds that
//! make four words of a counter of four words and a key of two. `shaders/shared` has the same rounds.

/// The words that one call makes.
pub(crate) const WORDS: usize = 4;

pub(crate) const ROUNDS: usize = 10;
const MULTIPLIERS: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
/// What the key grows by from round to round: the golden ratio, and √3 − 1.
const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];

/// The four words of a counter under a key.
pub(crate) fn philox(counter: [u32; WORDS], key: [u32; 2]) -> [u32; WORDS] {
    let ([mut c0, mut c1, mut c2, mut c3], [mut k0, mut k1]) = (counter, key);
    for _ in 0..ROUNDS {
        let [one, other] = [(MULTIPLIERS[0], c0), (MULTIPLIERS[1], c2)].map(|(a, b)| u64::from(a) * u64::from(b));
        (c0, c1, c2, c3) = (
            (other >> 32) as u32 ^ c1 ^ k0,
            other as u32,
            (one >> 32) as u32 ^ c3 ^ k1,
            one as u32,
        );
        (k0, k1) = (k0.wrapping_add(WEYL[0]), k1.wrapping_add(WEYL[1]));
    }
    [c0, c1, c2, c3]
}

/// A layer's number has at most so many bits.
pub(crate) const MOST_LAYERS: u32 = 0xFFFF;

/// What a forward pass in training has besides: the seed of what Dropout leaves out, and the number of the batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Noise {
    pub(crate) seed: u64,
    pub(crate) batch: u64,
}

impl Noise {
    /// The key of the generator: the seed, its low word first.
    pub(crate) fn key(self) -> [u32; 2] {
        [self.seed as u32, (self.seed >> 32) as u32]
    }

    /// The counter of four neighbouring features of a row: `[features / 4, row, layer, batch]`. A layer's number has at most 16 bits; the high
    /// bits of the batch stand above them.
    pub(crate) fn counter(self, layer: u32, row: u32, four: u32) -> [u32; WORDS] {
        [four, row, self.layer_word(layer), self.batch as u32]
    }

    /// The third word of a counter, which is one for a whole stage.
    pub(crate) fn layer_word(self, layer: u32) -> u32 {
        (layer & MOST_LAYERS) | (((self.batch >> 32) as u32) << 16)
    }

    /// What becomes of the features of a row where a share `rate` of them is left out: `factors` are 0, or 1 / (1 − rate), so that the
    /// expected value stays (inverted dropout, as in Keras). The first of them is of feature `first`, a multiple of [`WORDS`].
    pub(crate) fn dropout(self, (layer, row): (u32, u32), rate: f32, first: usize, factors: &mut [f32]) {
        let kept = kept_factor(rate);
        for (four, factors) in (first / WORDS..).zip(factors.chunks_mut(WORDS)) {
            let words = philox(self.counter(layer, row, four as u32), self.key());
            for (factor, word) in factors.iter_mut().zip(words) {
                *factor = if share(word) >= rate { kept } else { 0.0 };
            }
        }
    }
}

/// The row of the counter for what a gate leaves out of its input or of the hidden state, of one sequence at all its steps. What all gates leave
/// out of the input is what gate 0 does.
pub(crate) fn row_of_gate(sequence: u32, gate: usize, is_recurrent: bool) -> u32 {
    const GATES: u32 = 4;
    let stream = gate as u32 % GATES + if is_recurrent { GATES } else { 0 };
    sequence | stream << 29
}

/// What kept values are multiplied by; 0 where none is kept.
pub(crate) fn kept_factor(rate: f32) -> f32 {
    if rate < 1.0 { 1.0 / (1.0 - rate) } else { 0.0 }
}

/// A number from 0 up to, but not, 1, of the high 24 bits of a word.
pub(crate) fn share(word: u32) -> f32 {
    (word >> 8) as f32 * (1.0 / (1 << 24) as f32)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The known answers of the authors' library Random123 (`kat_vectors`).
    #[test]
    fn the_authors_known_answers() {
        let ones = u32::MAX;
        let known = [
            ([0; 4], [0; 2], [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]),
            (
                [ones; 4],
                [ones; 2],
                [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd],
            ),
            (
                [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
                [0xa409_3822, 0x299f_31d0],
                [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1],
            ),
        ];
        for (counter, key, words) in known {
            assert_eq!(philox(counter, key), words);
        }
    }

    #[test]
    fn a_share_is_left_out_and_the_expected_value_stays() {
        for rate in [0.0, 0.2, 0.5, 0.9, 1.0] {
            let mut factors = vec![f32::NAN; 1_000];
            let (mut dropped, mut sum) = (0, 0.0);
            for row in 0..100 {
                Noise { seed: 7, batch: 3 }.dropout((1, row), rate, 0, &mut factors);
                dropped += factors.iter().filter(|factor| **factor == 0.0).count();
                sum += factors.iter().map(|factor| f64::from(*factor)).sum::<f64>();
            }
            assert!(
                (dropped as f64 / 1e5 - f64::from(rate)).abs() < 5e-3,
                "{rate}: {dropped}"
            );
            assert!(rate == 1.0 || (sum / 1e5 - 1.0).abs() < 2e-2, "{rate}: {sum}");
        }
    }

    #[test]
    fn each_gate_has_rows_of_its_own() {
        let mut rows = Vec::new();
        for sequence in [0, 1, 2, 1 << 20] {
            for gate in 0..4 {
                rows.extend([false, true].map(|is_recurrent| row_of_gate(sequence, gate, is_recurrent)));
            }
        }
        // an input that all gates see alike has the rows of a Dropout
        assert_eq!((row_of_gate(5, 0, false), rows.len()), (5, 32));
        rows.sort_unstable();
        rows.dedup();
        assert_eq!(rows.len(), 32);
    }

    #[test]
    fn seed_batch_layer_row_and_feature_all_count() {
        let factors = |seed, batch, layer, row| {
            let mut factors = [f32::NAN; 61];
            Noise { seed, batch }.dropout((layer, row), 0.5, 0, &mut factors);
            factors
        };
        let one = factors(1, 2, 3, 4);
        assert_eq!(one, factors(1, 2, 3, 4));
        let others = [
            (2, 2, 3, 4),
            (1 | 1 << 40, 2, 3, 4),
            (1, 3, 3, 4),
            (1, 2 | 1 << 40, 3, 4),
            (1, 2, 4, 4),
            (1, 2, 3, 5),
        ];
        for (seed, batch, layer, row) in others {
            assert_ne!(one, factors(seed, batch, layer, row));
        }
        // a part of a row has the same numbers
        let mut part = [f32::NAN; 6];
        Noise { seed: 1, batch: 2 }.dropout((3, 4), 0.5, 8, &mut part);
        assert_eq!(part[..], one[8..14]);
    }
}
