//! What a loss is over a batch.

use super::steps::Totals;

/// The loss of a batch: the sum over the steps that count, and how many there are.
///
/// ```
/// use cellstate::{Loss, Targets};
/// use ndarray::array;
///
/// let outputs = array![[1.0_f32], [5.0]].into_dyn();
/// let value = Loss::MeanSquaredError.compute(outputs.view(), &Targets::from(array![0.0_f32, 2.0]), None, None, None)?;
/// assert_eq!((value.sum(), value.steps(), value.value()), (1.0 + 9.0, 2, 5.0));
/// # Ok::<(), cellstate::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LossValue {
    totals: Totals,
}

impl LossValue {
    pub(super) fn new(totals: Totals) -> Self {
        Self { totals }
    }

    /// The loss that is minimised: the sum divided by the number of steps that count, whatever their weights; 0 if none counts.
    ///
    /// ```
    /// use cellstate::{Loss, Targets};
    /// use ndarray::array;
    ///
    /// let outputs = array![[[1.0_f32], [f32::NAN]]].into_dyn();
    /// let targets = Targets::from(array![[0.0_f32, 0.0]]);
    /// let none = array![[false, false]];
    /// let value = Loss::MeanSquaredError.compute(outputs.view(), &targets, Some(none.view()), None, None)?;
    /// assert_eq!(value.value(), 0.0);
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[must_use]
    pub fn value(&self) -> f64 {
        match self.totals.steps {
            0 => 0.0,
            steps => self.totals.sum / steps as f64,
        }
    }

    /// The sum over the steps that count, each multiplied by its weight.
    ///
    /// ```
    /// use cellstate::{Loss, Targets};
    /// use ndarray::array;
    ///
    /// let (outputs, weights) = (array![[1.0_f32], [5.0]].into_dyn(), array![1.0_f32, 10.0].into_dyn());
    /// let targets = Targets::from(array![0.0_f32, 2.0]);
    /// let value = Loss::MeanSquaredError.compute(outputs.view(), &targets, None, Some(weights.view()), None)?;
    /// assert_eq!(value.sum(), 1.0 + 10.0 * 9.0);
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[must_use]
    pub fn sum(&self) -> f64 {
        self.totals.sum
    }

    /// How many steps count: those of the mask, without those of an ignored class. Of outputs without time steps each sequence
    /// is one.
    ///
    /// ```
    /// use cellstate::{Loss, Targets};
    /// use ndarray::array;
    ///
    /// let outputs = array![[[1.0_f32], [f32::NAN]]].into_dyn();
    /// let (targets, mask) = (Targets::from(array![[0.0_f32, 0.0]]), array![[true, false]]);
    /// let value = Loss::MeanSquaredError.compute(outputs.view(), &targets, Some(mask.view()), None, None)?;
    /// assert_eq!(value.steps(), 1);
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[must_use]
    pub fn steps(&self) -> usize {
        self.totals.steps
    }

    /// How many sequences the batch has. The loss of an epoch, as Keras 3.15 shows it, is the mean of its batches' values, weighted by
    /// this number.
    ///
    /// ```
    /// use cellstate::{Loss, Targets};
    /// use ndarray::array;
    ///
    /// let mut epoch = (0.0, 0);
    /// for (outputs, targets) in [(array![[1.0_f32], [5.0]], array![0.0_f32, 2.0]), (array![[3.0]], array![1.0])] {
    ///     let value = Loss::MeanSquaredError.compute(outputs.into_dyn().view(), &targets.into(), None, None, None)?;
    ///     epoch.0 += value.value() * value.batch() as f64;
    ///     epoch.1 += value.batch();
    /// }
    /// assert!((epoch.0 / epoch.1 as f64 - (5.0 * 2.0 + 4.0) / 3.0).abs() < 1e-12);
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[must_use]
    pub fn batch(&self) -> usize {
        self.totals.batch
    }
}
