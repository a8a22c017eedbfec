//! How much a file may ask for.

/// Deflate makes a byte of up to 1032, but of weights and configurations hardly ever more than this.
const MOST_OF_A_BYTE: u64 = 128;

/// What a file of any size may ask for.
const ANYWAY: u64 = 1 << 20;

/// How many bytes may come of a file of so many, when it is decompressed and its tensors are read.
pub(super) fn most_bytes(file: usize) -> u64 {
    (file as u64).saturating_mul(MOST_OF_A_BYTE).saturating_add(ANYWAY)
}
