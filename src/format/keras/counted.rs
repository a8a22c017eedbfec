//! What an HDF5 file may ask of the reader.

use std::sync::atomic::{AtomicU64, Ordering};

use hdf5_pure::{FormatError, Source};

use crate::error::Result;
use crate::format::file::File;

/// The bytes of a file, of which only so many are handed out: trees whose branches meet again, and texts that many name, are read
/// often.
pub(super) struct Counted {
    bytes: Vec<u8>,
    left: AtomicU64,
}

impl Counted {
    pub(super) fn new(bytes: Vec<u8>) -> Self {
        /// What a file of any size may have read, and what it may for each of its bytes.
        const ANYWAY: u64 = 64 << 20;
        const OF_A_BYTE: u64 = 64;
        Self {
            left: AtomicU64::new((bytes.len() as u64).saturating_mul(OF_A_BYTE).saturating_add(ANYWAY)),
            bytes,
        }
    }
}

impl Source for Counted {
    fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> std::result::Result<(), FormatError> {
        /// What a read costs besides its bytes.
        const EACH: u64 = 64;
        let cost = (buffer.len() as u64).saturating_add(EACH);
        let spent = |left: u64| left.checked_sub(cost);
        if self
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, spent)
            .is_err()
        {
            let text = "the file leads the reader round in circles: more is read than a file of its size can hold";
            return Err(FormatError::Source(text.to_owned()));
        }
        let range = usize::try_from(offset).ok().and_then(|begin| {
            let end = begin.checked_add(buffer.len())?;
            self.bytes.get(begin..end)
        });
        match range {
            Some(bytes) => {
                buffer.copy_from_slice(bytes);
                Ok(())
            }
            None => Err(FormatError::UnexpectedEof {
                expected: buffer.len(),
                available: self.bytes.len(),
            }),
        }
    }
}

/// A tree of a dense group is a few levels deep; the reader calls itself once for each.
pub(super) fn check_trees(file: &File<'_>, member: &str, bytes: &[u8]) -> Result<()> {
    const DEEPEST: u16 = 32;
    let deep = |header: &[u8]| match header {
        // signature, version 0, one of the types that there are, node size, record size, depth
        [b'B', b'T', b'H', b'D', 0, 0..=11, _, _, _, _, _, _, low, high] => u16::from_le_bytes([*low, *high]) > DEEPEST,
        _ => false,
    };
    match bytes.windows(14).position(deep) {
        None => Ok(()),
        Some(at) => Err(file.content(
            match member {
                "" => format!("byte {at}"),
                member => format!("{member}, byte {at}"),
            },
            format!("a B-tree of at most {DEEPEST} levels"),
            "a deeper one",
            "save the model again with Keras",
        )),
    }
}
