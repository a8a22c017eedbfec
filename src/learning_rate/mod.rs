//! How large the steps of an optimiser are, and how that changes while a model is trained.

mod plateau;
mod schedules;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "a test that finds no value has failed")]
mod tests;

pub(crate) use plateau::Plateau;
pub use plateau::ReduceOnPlateau;
pub use schedules::{CosineDecay, ExponentialDecay, PiecewiseConstantDecay, PolynomialDecay};

use crate::error::Result;
use crate::hyperparameter::{Range, check};

/// The learning rate of an optimiser: a number, or one of Keras's schedules over the steps.
///
/// Like all numbers of an optimiser it is an f64, as in Keras: `1 - 0.999` rounds otherwise in f32.
///
/// ```
/// use cellstate::{Adam, ExponentialDecay, LearningRate};
///
/// let adam = Adam::new(1e-3);
/// let slower_and_slower = Adam::new(ExponentialDecay::new(1e-3, 1000, 0.9));
/// assert_eq!(LearningRate::from(1e-3).at(5000), 1e-3);
/// assert_eq!(LearningRate::from(0.5_f32), LearningRate::Constant(0.5));
/// # let _ = (adam, slower_and_slower);
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum LearningRate {
    /// The same in all steps.
    Constant(f64),
    /// Multiplied by a number every so many steps.
    ExponentialDecay(ExponentialDecay),
    /// Half a wave of a cosine, after a warm-up where one is wanted.
    CosineDecay(CosineDecay),
    /// A number for each of some ranges of steps.
    PiecewiseConstantDecay(PiecewiseConstantDecay),
    /// A power of the share of the steps that is left.
    PolynomialDecay(PolynomialDecay),
}

impl LearningRate {
    /// The learning rate of a step; the first one is step 0.
    ///
    /// ```
    /// use cellstate::{ExponentialDecay, LearningRate};
    ///
    /// let rate = LearningRate::from(ExponentialDecay::new(0.1, 1000, 0.5).staircase(true));
    /// assert_eq!([rate.at(0), rate.at(999), rate.at(1000)], [0.1, 0.1, 0.05]);
    /// ```
    #[must_use]
    pub fn at(&self, step: u64) -> f64 {
        match self {
            Self::Constant(rate) => *rate,
            Self::ExponentialDecay(schedule) => schedule.at(step),
            Self::CosineDecay(schedule) => schedule.at(step),
            Self::PiecewiseConstantDecay(schedule) => schedule.at(step),
            Self::PolynomialDecay(schedule) => schedule.at(step),
        }
    }

    pub(crate) fn check(&self) -> Result<()> {
        match self {
            Self::Constant(rate) => check_rate("the optimizer", "learning_rate", *rate),
            Self::ExponentialDecay(schedule) => schedule.check(),
            Self::CosineDecay(schedule) => schedule.check(),
            Self::PiecewiseConstantDecay(schedule) => schedule.check(),
            Self::PolynomialDecay(schedule) => schedule.check(),
        }
    }
}

/// Whether a number can be a learning rate.
pub(crate) fn check_rate(what: &str, name: &str, rate: f64) -> Result<()> {
    let repair = "give a small number; 0.001 is usual for Adam, 0.01 for SGD";
    check(what, name, rate, Range::NotNegative, repair)
}

impl From<f64> for LearningRate {
    fn from(rate: f64) -> Self {
        Self::Constant(rate)
    }
}

impl From<f32> for LearningRate {
    fn from(rate: f32) -> Self {
        Self::Constant(f64::from(rate))
    }
}

impl From<ExponentialDecay> for LearningRate {
    fn from(schedule: ExponentialDecay) -> Self {
        Self::ExponentialDecay(schedule)
    }
}

impl From<CosineDecay> for LearningRate {
    fn from(schedule: CosineDecay) -> Self {
        Self::CosineDecay(schedule)
    }
}

impl From<PiecewiseConstantDecay> for LearningRate {
    fn from(schedule: PiecewiseConstantDecay) -> Self {
        Self::PiecewiseConstantDecay(schedule)
    }
}

impl From<PolynomialDecay> for LearningRate {
    fn from(schedule: PolynomialDecay) -> Self {
        Self::PolynomialDecay(schedule)
    }
}
