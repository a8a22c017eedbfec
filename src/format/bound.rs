//! How much a file may ask for.

/// Deflate makes a byte of up to 1032, but of weights and configurations hardly ever more than this; and tensors that share their numbers
/// are hardly ever more of them.
const MOST_OF_A_BYTE: u64 = 64;

/// A value of JSON takes some bytes of text and some tens of memory, and the weights beside it are not text.
#[cfg(feature = "keras")]
const MOST_TEXT_OF_A_BYTE: u64 = 8;

/// What a file of any size may ask for.
const ANYWAY: u64 = 1 << 20;

/// How many bytes may come of a file of so many, when it is decompressed and its tensors are read.
pub(crate) fn most_bytes(file: usize) -> u64 {
    (file as u64).saturating_mul(MOST_OF_A_BYTE).saturating_add(ANYWAY)
}

/// The same of text that is taken apart.
#[cfg(feature = "keras")]
pub(crate) fn most_text(file: usize) -> u64 {
    (file as u64).saturating_mul(MOST_TEXT_OF_A_BYTE).saturating_add(ANYWAY)
}
