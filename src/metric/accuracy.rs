//! How often the outputs are right.

use crate::error::{Error, Result};
use crate::loss::{Targets, Wanted, largest};

/// The accuracies of Keras.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Accuracy {
    /// Each feature is true above this threshold.
    Binary(f32),
    /// The largest output is that of the largest target.
    Categorical,
    /// The largest output is that of the class with the target's number.
    Sparse,
}

impl Accuracy {
    /// What Keras's `"accuracy"` is for outputs and targets of these shapes.
    pub(super) fn of(outputs: &[usize], targets: &Targets<'_>) -> Self {
        let features = outputs.last().copied().unwrap_or(0);
        let has_one = targets.shape().last() == Some(&1);
        if features == 1 {
            Self::Binary(0.5)
        } else if targets.shape().len() < outputs.len() || (has_one && features > 1) {
            Self::Sparse
        } else {
            Self::Categorical
        }
    }

    /// Whether the threshold makes sense.
    pub(super) fn check(self) -> Result<()> {
        match self {
            Self::Binary(threshold) if !threshold.is_finite() => Err(Error::Value {
                argument: "threshold of the binary accuracy".to_owned(),
                expected: "a finite number".to_owned(),
                found: threshold.to_string(),
                repair: "give 0.5 for probabilities, 0 for logits".to_owned(),
            }),
            _ => Ok(()),
        }
    }

    pub(super) fn wanted(self) -> Wanted {
        match self {
            Self::Sparse => Wanted::Class,
            Self::Binary(_) | Self::Categorical => Wanted::Numbers,
        }
    }

    /// The share of a step's outputs that are right.
    pub(super) fn of_step(self, output: &[f64], target: &[f64]) -> f64 {
        let is_right = match self {
            Self::Binary(threshold) => {
                let is_right = |&(&output, &target): &(&f64, &f64)| {
                    let answer = if output > f64::from(threshold) { 1.0 } else { 0.0 };
                    answer == target
                };
                let right = output.iter().zip(target).filter(is_right).count();
                return right as f64 / output.len() as f64;
            }
            Self::Categorical => largest(output) == largest(target),
            Self::Sparse => largest(output).map(|class| class as f64) == target.first().copied(),
        };
        f64::from(u8::from(is_right))
    }
}
