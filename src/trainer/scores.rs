//! A loss with the metrics beside it.

use std::fmt;

/// What [`Trainer::evaluate`](crate::Trainer::evaluate) gives, and each epoch of a [`History`](crate::History): the loss, and the metrics by
/// their names, as Keras 3.15 reports them.
///
/// ```
/// use cellstate::{Adam, Dense, Device, Examples, Loss, Model, Sequences, Trainer};
/// use ndarray::{Array3, array};
///
/// let model = Model::builder().add(Dense::new(2, 1)).build()?;
/// let mut trainer = Trainer::new(model, &Device::cpu(), Loss::MeanSquaredError, Adam::new(1e-3))?;
/// let test = Examples::new(Sequences::from(Array3::zeros((3, 1, 2))), Array3::<f32>::zeros((3, 1, 1)))?;
/// let scores = trainer.evaluate(&test)?;
/// assert_eq!(scores.loss(), 0.0);
/// println!("{scores}");
/// # Ok::<(), cellstate::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scores {
    loss: f64,
    metrics: Vec<(String, f64)>,
}

impl Scores {
    pub(super) fn new(loss: f64, metrics: Vec<(String, f64)>) -> Self {
        Self { loss, metrics }
    }

    /// The loss: the mean over the batches, each weighted by its number of sequences, with the penalties of regularisers.
    ///
    /// ```
    /// assert_eq!(cellstate::Scores::default().loss(), 0.0);
    /// ```
    #[must_use]
    pub fn loss(&self) -> f64 {
        self.loss
    }

    /// The metrics by name, in the order in which the trainer was given them.
    ///
    /// ```
    /// assert!(cellstate::Scores::default().metrics().is_empty());
    /// ```
    #[must_use]
    pub fn metrics(&self) -> &[(String, f64)] {
        &self.metrics
    }

    /// The metric of this name, or the loss under `"loss"`.
    ///
    /// ```
    /// assert_eq!(cellstate::Scores::default().get("loss"), Some(0.0));
    /// assert_eq!(cellstate::Scores::default().get("accuracy"), None);
    /// ```
    #[must_use]
    pub fn get(&self, name: &str) -> Option<f64> {
        let metric = || self.metrics.iter().find(|(metric, _)| metric == name);
        match name {
            "loss" => Some(self.loss),
            _ => metric().map(|(_, value)| *value),
        }
    }
}

/// `loss 0.1234, accuracy 0.9`
impl fmt::Display for Scores {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "loss {}", short(self.loss))?;
        for (name, value) in &self.metrics {
            write!(formatter, ", {name} {}", short(*value))?;
        }
        Ok(())
    }
}

/// A number as a table shows it: four decimals, or an exponent where those would say nothing.
pub(super) fn short(value: f64) -> String {
    match value.abs() {
        size if size != 0.0 && !(1e-3..1e6).contains(&size) => format!("{value:.3e}"),
        _ => format!("{value:.4}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_found_by_name_and_printed() {
        let scores = Scores::new(1.5e-5, vec![("accuracy".to_owned(), 0.75)]);
        assert_eq!(scores.get("accuracy"), Some(0.75));
        assert_eq!(scores.get("val_loss"), None);
        assert_eq!(scores.to_string(), "loss 1.500e-5, accuracy 0.7500");
        assert_eq!(
            [0.0, 0.001, 2e6, f64::NAN].map(short),
            ["0.0000", "0.0010", "2.000e6", "NaN"]
        );
    }
}
