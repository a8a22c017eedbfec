//! The option that cross-entropies with targets between 0 and 1 have in common.

use crate::error::{Error, Result};

/// Whether the share of label smoothing makes sense.
pub(super) fn check(share: f32) -> Result<()> {
    if (0.0..=1.0).contains(&share) {
        return Ok(());
    }
    Err(Error::Value {
        argument: "label_smoothing of the loss".to_owned(),
        expected: "a share from 0 to 1".to_owned(),
        found: share.to_string(),
        repair: "give the share that is spread over the classes: 0.1 for 10 %".to_owned(),
    })
}

/// A target of which a share is spread: `even` is what every class has where nothing is known.
pub(super) fn smooth(target: f64, share: f64, even: f64) -> f64 {
    target * (1.0 - share) + share * even
}
