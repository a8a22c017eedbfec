//! A learning rate that falls when training makes no progress.

use super::check_rate;
use crate::error::Result;
use crate::hyperparameter::{Range, check};

/// Lowers the learning rate when a value has not become better for some epochs: Keras's callback `ReduceLROnPlateau`, with its
/// defaults. A value that is NaN is never a better one.
///
/// ```
/// use cellstate::ReduceOnPlateau;
///
/// // a fifth of the learning rate after 5 epochs in which the loss fell by less than 0.0001, but never less than 0.00001
/// let plateau = ReduceOnPlateau::new().factor(0.2).patience(5).min_learning_rate(1e-5);
/// assert!(plateau.check().is_ok());
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct ReduceOnPlateau {
    factor: f64,
    patience: u64,
    min_delta: f64,
    cooldown: u64,
    min_learning_rate: f64,
    maximize: Option<bool>,
}

/// What is known of the epochs so far.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Plateau {
    /// The best value so far.
    pub(crate) best: Option<f64>,
    /// How many epochs there was none that was better.
    pub(crate) wait: u64,
    /// For how many epochs more nobody counts.
    pub(crate) cooldown: u64,
}

impl Default for ReduceOnPlateau {
    fn default() -> Self {
        Self::new()
    }
}

impl ReduceOnPlateau {
    /// A tenth of the learning rate after 10 epochs without a value that is lower by more than 0.0001.
    ///
    /// ```
    /// assert_eq!(cellstate::ReduceOnPlateau::new(), cellstate::ReduceOnPlateau::default());
    /// ```
    #[must_use]
    pub fn new() -> Self {
        Self {
            factor: 0.1,
            patience: 10,
            min_delta: 1e-4,
            cooldown: 0,
            min_learning_rate: 0.0,
            maximize: None,
        }
    }

    /// What the learning rate is multiplied by, less than 1 (default 0.1).
    ///
    /// ```
    /// # use cellstate::ReduceOnPlateau;
    /// assert!(ReduceOnPlateau::new().factor(0.5).check().is_ok());
    /// assert!(ReduceOnPlateau::new().factor(1.0).check().is_err());
    /// ```
    #[must_use]
    pub fn factor(mut self, factor: f64) -> Self {
        self.factor = factor;
        self
    }

    /// How many epochs without a better value it takes (default 10).
    ///
    /// ```
    /// # use cellstate::ReduceOnPlateau;
    /// assert_eq!(ReduceOnPlateau::new().patience(10), ReduceOnPlateau::new());
    /// ```
    #[must_use]
    pub fn patience(mut self, epochs: u64) -> Self {
        self.patience = epochs;
        self
    }

    /// By how much a value must be better (default 0.0001).
    ///
    /// ```
    /// # use cellstate::ReduceOnPlateau;
    /// assert!(ReduceOnPlateau::new().min_delta(f64::NAN).check().is_err());
    /// ```
    #[must_use]
    pub fn min_delta(mut self, difference: f64) -> Self {
        self.min_delta = difference;
        self
    }

    /// How many epochs nobody counts after the learning rate fell (default 0).
    ///
    /// ```
    /// # use cellstate::ReduceOnPlateau;
    /// assert_eq!(ReduceOnPlateau::new().cooldown(0), ReduceOnPlateau::new());
    /// ```
    #[must_use]
    pub fn cooldown(mut self, epochs: u64) -> Self {
        self.cooldown = epochs;
        self
    }

    /// The learning rate below which it does not fall (default 0).
    ///
    /// ```
    /// # use cellstate::ReduceOnPlateau;
    /// assert!(ReduceOnPlateau::new().min_learning_rate(-1.0).check().is_err());
    /// ```
    #[must_use]
    pub fn min_learning_rate(mut self, rate: f64) -> Self {
        self.min_learning_rate = rate;
        self
    }

    /// Whether a larger value is the better one, Keras's `mode="max"` and `"min"`. By default of what is called an accuracy, and of nothing else: `mode="auto"`.
    ///
    /// ```
    /// # use cellstate::ReduceOnPlateau;
    /// assert_ne!(ReduceOnPlateau::new().maximize(true), ReduceOnPlateau::new());
    /// ```
    #[must_use]
    pub fn maximize(mut self, maximize: bool) -> Self {
        self.maximize = Some(maximize);
        self
    }

    /// The same for a value that rises as things get better, or falls, unless somebody has said which.
    pub(crate) fn of_rising(mut self, rises: bool) -> Self {
        self.maximize.get_or_insert(rises);
        self
    }

    /// Whether the numbers make sense.
    ///
    /// # Errors
    ///
    /// [`Error::Value`](crate::Error::Value) that names the number.
    ///
    /// ```
    /// # use cellstate::ReduceOnPlateau;
    /// let error = ReduceOnPlateau::new().factor(10.0).check().unwrap_err();
    /// assert!(error.to_string().starts_with("factor of ReduceOnPlateau"));
    /// ```
    pub fn check(&self) -> Result<()> {
        const WHAT: &str = "ReduceOnPlateau";
        let repair = "give what the learning rate is multiplied by: 0.1 for a tenth";
        check(WHAT, "factor", self.factor, Range::BelowOne, repair)?;
        let repair = "give the difference that counts; 0.0001 is usual";
        check(WHAT, "min_delta", self.min_delta, Range::NotNegative, repair)?;
        check_rate(WHAT, "min_learning_rate", self.min_learning_rate)
    }

    /// Takes in the value of an epoch; gives the new learning rate, if there is one.
    pub(crate) fn observe(&self, plateau: &mut Plateau, value: f64, learning_rate: f64) -> Option<f64> {
        if plateau.cooldown > 0 {
            plateau.cooldown -= 1;
            plateau.wait = 0;
        }
        if self.is_better(value, plateau.best) {
            plateau.best = Some(value);
            plateau.wait = 0;
            return None;
        }
        if plateau.cooldown > 0 {
            return None;
        }
        plateau.wait = plateau.wait.saturating_add(1);
        if plateau.wait < self.patience || learning_rate <= self.min_learning_rate {
            return None;
        }
        plateau.cooldown = self.cooldown;
        plateau.wait = 0;
        Some((learning_rate * self.factor).max(self.min_learning_rate))
    }

    fn is_better(&self, value: f64, best: Option<f64>) -> bool {
        match best {
            None => !value.is_nan(),
            Some(best) if self.maximize == Some(true) => value - self.min_delta > best,
            Some(best) => value + self.min_delta < best,
        }
    }
}
