//! The sizes that a layer may have.

use crate::error::{Error, Result};

/// A size of a layer has to be at least one and small enough for the GPU's 32-bit numbers.
pub(crate) fn check_size(argument: &str, value: usize) -> Result<()> {
    const LARGEST: usize = 1 << 23;
    if (1..=LARGEST).contains(&value) {
        return Ok(());
    }
    Err(Error::Value {
        argument: argument.to_owned(),
        expected: format!("a number from 1 to {LARGEST}"),
        found: value.to_string(),
        repair: "give the layer its real size".to_owned(),
    })
}
