//! A number that a user gives to training: an f64, as Keras's are, which must make sense as an f32 too.

use crate::error::{Error, Result};

/// The numbers that make sense.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Range {
    /// Finite, 0 or more.
    NotNegative,
    /// Finite, more than 0 as an f32.
    Positive,
    /// From 0 to 1.
    Share,
    /// From 0 to less than 1 as an f32.
    BelowOne,
}

impl Range {
    fn contains(self, value: f64) -> bool {
        let single = value as f32;
        match self {
            Self::NotNegative => value >= 0.0 && single.is_finite(),
            Self::Positive => single > 0.0 && single.is_finite(),
            Self::Share => (0.0..=1.0).contains(&value),
            Self::BelowOne => value >= 0.0 && single < 1.0,
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::NotNegative => "a finite number, 0 or more",
            Self::Positive => "a finite number above 0",
            Self::Share => "a number from 0 to 1",
            Self::BelowOne => "a number from 0 to less than 1",
        }
    }
}

/// Whether a number is in its range; `what` names whose number it is ("Adam"), `repair` says which number is usual.
pub(crate) fn check(what: &str, name: &str, value: f64, range: Range, repair: &str) -> Result<()> {
    if range.contains(value) {
        return Ok(());
    }
    Err(Error::Value {
        argument: format!("{name} of {what}"),
        expected: range.words().to_owned(),
        found: value.to_string(),
        repair: repair.to_owned(),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that finds no error has failed")]
mod tests {
    use super::*;

    #[test]
    fn numbers_outside_of_their_range_are_refused() {
        let cases = [
            (Range::NotNegative, vec![0.0, 1e-300, 3.0], vec![-1e-9, 1e39]),
            (Range::Positive, vec![1e-30, 3.0], vec![0.0, -1.0, 1e-300, 1e39]),
            (Range::Share, vec![0.0, 0.5, 1.0], vec![-0.1, 1.1]),
            (
                Range::BelowOne,
                vec![0.0, 0.999_999],
                vec![-0.1, 1.0, 0.999_999_999_999],
            ),
        ];
        for (range, good, mut bad) in cases {
            bad.extend([f64::NAN, f64::INFINITY, f64::NEG_INFINITY]);
            for value in good {
                assert!(check("Adam", "x", value, range, "give 1").is_ok(), "{range:?} {value}");
            }
            for value in bad {
                let error = check("Adam", "x", value, range, "give 1").unwrap_err().to_string();
                assert!(
                    error.starts_with("x of Adam: expected") && error.ends_with("give 1"),
                    "{error}"
                );
            }
        }
    }
}
