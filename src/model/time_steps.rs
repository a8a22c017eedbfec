//! The time steps that a plan takes and gives.

use crate::error::{Error, Result};
use crate::layer::shape::Shape;
use crate::model::plan::{Operation, Plan};

impl Plan {
    /// Whether the input is one value for each sequence, which is run as a single time step.
    pub(crate) fn takes_last(&self) -> bool {
        matches!(self.before, Shape::Last { .. })
    }

    /// Whether that single time step is no axis of the output: behind a RepeatVector or a Reshape the steps are real ones.
    pub(crate) fn gives_last(&self) -> bool {
        let makes_steps =
            |operation: &Operation| matches!(operation, Operation::RepeatVector { .. } | Operation::Reshape { .. });
        self.takes_last() && !self.operations.iter().any(makes_steps)
    }

    /// Whether a batch of so many time steps, the input of the model, is what a layer wants that reads all of them at once.
    pub(crate) fn check_time_steps(&self, found: usize) -> Result<()> {
        match &self.wanted_steps {
            Some((wanted, layer)) if *wanted != found => Err(Error::Size {
                argument: format!("time steps of the batch for {layer}"),
                expected: wanted.to_string(),
                found: found.to_string(),
                repair: format!("pad or cut every sequence to {wanted} time steps, or build the model for {found}"),
            }),
            _ => Ok(()),
        }
    }

    /// The time steps of the section's input where the model's has so many, if it may have so many.
    pub(crate) fn input_steps(&self, time_steps: usize) -> Result<usize> {
        self.check_time_steps(time_steps)?;
        Ok(match self.before {
            Shape::Last { .. } => 1,
            Shape::Sequences {
                time_steps: Some(repeated),
                ..
            } => repeated,
            _ => time_steps,
        })
    }

    /// The sequences that the section runs over, and their time steps, where the model's input has so many sequences, time steps and inner ones.
    pub(crate) fn size_within(&self, (batch, time_steps, within): (usize, usize, usize)) -> Result<(usize, usize)> {
        Ok(match self.is_inner {
            true => (batch.saturating_mul(time_steps), self.input_steps(within)?),
            false => (batch, self.input_steps(time_steps)?),
        })
    }

    /// The most time steps that a layer sees where the input has so many.
    pub(crate) fn most_steps(&self, time_steps: usize) -> usize {
        let repeated = self.operations.iter().map(|operation| match operation {
            Operation::RepeatVector { time_steps } => *time_steps,
            Operation::Reshape {
                to: [time_steps, _], ..
            } => *time_steps,
            _ => 0,
        });
        repeated.max().unwrap_or(0).max(time_steps)
    }
}
