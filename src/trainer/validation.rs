//! What a training is judged by.

use std::fmt;

use super::examples::Examples;
use super::order::split;
use crate::error::{Error, Result};

/// What a training is judged by behind each epoch.
#[derive(Clone, Debug)]
pub(super) enum Validation<'a> {
    Nothing,
    Split(f64),
    Data(Box<Examples<'a, 'a>>),
}

impl Validation<'_> {
    /// How many of the examples are for training, the first ones.
    pub(super) fn training(&self, examples: usize) -> Result<usize> {
        let Self::Split(share) = *self else {
            return Ok(examples);
        };
        // that it is a share is checked first: NaN is none
        if !(0.0..1.0).contains(&share) {
            return Err(wrong(
                "validation_split",
                "a share from 0 up to, but not, 1",
                share,
                "give 0.2 for 20 %",
            ));
        }
        if share == 0.0 {
            return Ok(examples);
        }
        split(examples, share).ok_or_else(|| {
            let expected = "a share that leaves something for training and for validation";
            let found = format!("{share} of {examples} sequences");
            wrong(
                "validation_split",
                expected,
                found,
                "give another share, or `validation_data`",
            )
        })
    }
}

/// An option that makes no sense.
pub(super) fn wrong(argument: &str, expected: &str, found: impl fmt::Display, repair: &str) -> Error {
    Error::Value {
        argument: argument.to_owned(),
        expected: expected.to_owned(),
        found: found.to_string(),
        repair: repair.to_owned(),
    }
}
