//! When a training ends for itself: what looks at a number epoch by epoch.

/// Ends a training when nothing gets better any more: `keras.callbacks.EarlyStopping` of Keras 3.15, with the best weights restored at
/// the end of the training. It looks at what [`Fit::monitor`](crate::Fit::monitor) names.
///
/// ```
/// use cellstate::{EarlyStopping, Fit};
///
/// let stopping = EarlyStopping::patience(5).maximize(true);
/// let fit = Fit::epochs(100).validation_split(0.2).monitor("val_accuracy").early_stopping(stopping);
/// let short = Fit::epochs(100).early_stopping(5);
/// # let _ = (fit, short);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EarlyStopping {
    pub(super) patience: usize,
    pub(super) min_delta: f64,
    pub(super) maximize: Option<bool>,
    pub(super) restores: bool,
}

impl EarlyStopping {
    /// Ends it after so many epochs in a row that were no better than the best one before.
    ///
    /// ```
    /// # use cellstate::{EarlyStopping, Fit};
    /// let fit = Fit::epochs(100).early_stopping(EarlyStopping::patience(5));
    /// # let _ = fit;
    /// ```
    #[must_use]
    pub fn patience(epochs: usize) -> Self {
        Self {
            patience: epochs,
            min_delta: 0.0,
            maximize: None,
            restores: true,
        }
    }

    /// Whether larger is better. By default of what is called an accuracy, and of nothing else, as Keras's `mode="auto"`.
    ///
    /// ```
    /// # use cellstate::EarlyStopping;
    /// assert_ne!(EarlyStopping::patience(5).maximize(true), EarlyStopping::from(5));
    /// ```
    #[must_use]
    pub fn maximize(mut self, maximize: bool) -> Self {
        self.maximize = Some(maximize);
        self
    }

    /// The same for a value that rises as things get better, or falls, unless somebody has said which.
    pub(super) fn of_rising(mut self, rises: bool) -> Self {
        self.maximize.get_or_insert(rises);
        self
    }

    /// By how much an epoch has to be better to count as better (default 0).
    ///
    /// ```
    /// # use cellstate::EarlyStopping;
    /// assert_eq!(EarlyStopping::patience(5).min_delta(0.0), EarlyStopping::from(5));
    /// ```
    #[must_use]
    pub fn min_delta(mut self, difference: f64) -> Self {
        self.min_delta = difference;
        self
    }

    /// Whether the weights of the best epoch are restored at the end (default true; Keras's default is false).
    ///
    /// ```
    /// # use cellstate::EarlyStopping;
    /// assert_eq!(EarlyStopping::patience(5).restore_best_weights(true), EarlyStopping::from(5));
    /// ```
    #[must_use]
    pub fn restore_best_weights(mut self, restores: bool) -> Self {
        self.restores = restores;
        self
    }
}

/// Only the patience.
impl From<usize> for EarlyStopping {
    fn from(patience: usize) -> Self {
        Self::patience(patience)
    }
}

/// What was seen so far of the number that is looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Watch {
    pub(super) best: Option<f64>,
    /// The epochs since then.
    pub(super) waited: usize,
    /// The number of that epoch, from 1.
    pub(super) epoch: Option<usize>,
}

impl Watch {
    /// Looks at the value of an epoch, as Keras's EarlyStopping does at its end; whether it is the best.
    pub(super) fn sees(&mut self, value: f64, epoch: usize, stopping: &EarlyStopping) -> bool {
        let is_best = match (self.best, stopping.maximize == Some(true)) {
            (None, _) => !value.is_nan(),
            (Some(best), true) => value - stopping.min_delta > best,
            (Some(best), false) => value + stopping.min_delta < best,
        };
        match is_best {
            true => (self.best, self.waited, self.epoch) = (Some(value), 0, Some(epoch)),
            false => self.waited = self.waited.saturating_add(1),
        }
        is_best
    }

    /// Whether nothing has got better for too long; the first epoch is never the last one, as in Keras.
    pub(super) fn ends(&self, epoch: usize, stopping: &EarlyStopping) -> bool {
        self.waited > 0 && self.waited >= stopping.patience && epoch > 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_gets_no_better_is_counted() {
        let stopping = EarlyStopping::patience(2).min_delta(0.1);
        let mut watch = Watch::default();
        let seen: Vec<(bool, usize, bool)> = [3.0, 2.0, 1.95, 2.5, 1.8, f64::NAN]
            .iter()
            .zip(1..)
            .map(|(&value, epoch)| {
                (
                    watch.sees(value, epoch, &stopping),
                    watch.waited,
                    watch.ends(epoch, &stopping),
                )
            })
            .collect();
        let expected = [(true, 0), (true, 0), (false, 1), (false, 2), (true, 0), (false, 1)];
        let ends = [false, false, false, true, false, false];
        assert!(
            seen.iter()
                .zip(expected)
                .zip(ends)
                .all(|((seen, (best, waited)), ends)| *seen == (best, waited, ends))
        );
        assert_eq!((watch.best, watch.epoch), (Some(1.8), Some(5)));
        let rises = EarlyStopping::patience(0).maximize(true);
        let mut watch = Watch::default();
        assert!(!watch.sees(f64::NAN, 1, &rises) && !watch.ends(1, &rises));
        assert!(watch.sees(0.5, 2, &rises) && !watch.ends(2, &rises));
        assert!(!watch.sees(0.5, 3, &rises) && watch.ends(3, &rises));
        assert!(watch.sees(0.6, 4, &rises));
    }
}
