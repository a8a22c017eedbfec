//! The schedules of Keras 3.15 (`keras.optimizers.schedules`): a learning rate for each step.

use std::f64::consts::PI;

use super::check_rate;
use crate::error::{Error, Result};
use crate::hyperparameter::{Range, check};

/// `initial_learning_rate · decay_rate ^ (step / decay_steps)`: Keras's `ExponentialDecay`.
///
/// ```
/// use cellstate::{Adam, ExponentialDecay};
///
/// let adam = Adam::new(ExponentialDecay::new(1e-2, 10_000, 0.9));
/// # let _ = adam;
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct ExponentialDecay {
    initial: f64,
    decay_steps: u64,
    decay_rate: f64,
    staircase: bool,
}

impl ExponentialDecay {
    /// Begins at `initial_learning_rate`; after each `decay_steps` steps it is `decay_rate` times what it was.
    ///
    /// ```
    /// use cellstate::{ExponentialDecay, LearningRate};
    ///
    /// assert_eq!(LearningRate::from(ExponentialDecay::new(0.1, 1000, 0.5)).at(2000), 0.1 * 0.25);
    /// ```
    #[must_use]
    pub fn new(initial_learning_rate: f64, decay_steps: u64, decay_rate: f64) -> Self {
        Self {
            initial: initial_learning_rate,
            decay_steps,
            decay_rate,
            staircase: false,
        }
    }

    /// Whether it changes once every `decay_steps` steps, instead of a little in every step (default false).
    ///
    /// ```
    /// use cellstate::{ExponentialDecay, LearningRate};
    ///
    /// assert_eq!(LearningRate::from(ExponentialDecay::new(0.1, 1000, 0.5).staircase(true)).at(999), 0.1);
    /// ```
    #[must_use]
    pub fn staircase(mut self, staircase: bool) -> Self {
        self.staircase = staircase;
        self
    }

    pub(super) fn at(&self, step: u64) -> f64 {
        let decays = match self.staircase {
            true => (step / self.decay_steps.max(1)) as f64,
            false => share(step, self.decay_steps),
        };
        self.initial * self.decay_rate.powf(decays)
    }

    pub(super) fn check(&self) -> Result<()> {
        const WHAT: &str = "ExponentialDecay";
        check_rate(WHAT, "initial_learning_rate", self.initial)?;
        check_steps(WHAT, self.decay_steps)?;
        let repair = "give a share: 0.96 takes 4 % away";
        check(WHAT, "decay_rate", self.decay_rate, Range::NotNegative, repair)
    }
}

/// Half a wave of a cosine, from the initial learning rate down to `alpha` times as much: Keras's `CosineDecay`.
///
/// ```
/// use cellstate::{Adam, CosineDecay};
///
/// let adam = Adam::new(CosineDecay::new(0.0, 9_000).warmup(1e-3, 1_000));
/// # let _ = adam;
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct CosineDecay {
    initial: f64,
    decay_steps: u64,
    alpha: f64,
    warmup: Option<(f64, u64)>,
}

impl CosineDecay {
    /// Falls from `initial_learning_rate` to 0 within `decay_steps` steps.
    ///
    /// ```
    /// use cellstate::{CosineDecay, LearningRate};
    ///
    /// let rate = LearningRate::from(CosineDecay::new(0.1, 1000));
    /// assert!((rate.at(500) - 0.05).abs() < 1e-9 && rate.at(2000) == 0.0);
    /// ```
    #[must_use]
    pub fn new(initial_learning_rate: f64, decay_steps: u64) -> Self {
        Self {
            initial: initial_learning_rate,
            decay_steps,
            alpha: 0.0,
            warmup: None,
        }
    }

    /// The share of the learning rate that is left at the end, from 0 to 1 (default 0).
    ///
    /// ```
    /// use cellstate::{CosineDecay, LearningRate};
    ///
    /// assert_eq!(LearningRate::from(CosineDecay::new(0.1, 1000).alpha(0.5)).at(1000), 0.05);
    /// ```
    #[must_use]
    pub fn alpha(mut self, alpha: f64) -> Self {
        self.alpha = alpha;
        self
    }

    /// Rises in a line from the initial learning rate to `target` within so many steps first, and falls from there: Keras's
    /// `warmup_target` and `warmup_steps`.
    ///
    /// ```
    /// use cellstate::{CosineDecay, LearningRate};
    ///
    /// let rate = LearningRate::from(CosineDecay::new(0.0, 1000).warmup(0.1, 100));
    /// assert_eq!([rate.at(0), rate.at(50), rate.at(100)], [0.0, 0.05, 0.1]);
    /// ```
    #[must_use]
    pub fn warmup(mut self, target: f64, steps: u64) -> Self {
        self.warmup = Some((target, steps));
        self
    }

    pub(super) fn at(&self, step: u64) -> f64 {
        let (from, step) = match self.warmup {
            Some((target, steps)) if step < steps => {
                return (target - self.initial) * share(step, steps) + self.initial;
            }
            Some((target, steps)) => (target, step - steps),
            None => (self.initial, step),
        };
        let wave = 0.5 * (1.0 + (PI * share(step, self.decay_steps).min(1.0)).cos());
        from * ((1.0 - self.alpha) * wave + self.alpha)
    }

    pub(super) fn check(&self) -> Result<()> {
        const WHAT: &str = "CosineDecay";
        check_rate(WHAT, "initial_learning_rate", self.initial)?;
        if let Some((target, _)) = self.warmup {
            check_rate(WHAT, "warmup_target", target)?;
        }
        check_steps(WHAT, self.decay_steps)?;
        let repair = "give a share of the learning rate: 0.1 leaves a tenth";
        check(WHAT, "alpha", self.alpha, Range::Share, repair)
    }
}

/// A learning rate for each of some ranges of steps: Keras's `PiecewiseConstantDecay`.
///
/// ```
/// use cellstate::{PiecewiseConstantDecay, Sgd};
///
/// let sgd = Sgd::new(PiecewiseConstantDecay::new(&[1000, 5000], &[0.1, 0.01, 0.001]));
/// # let _ = sgd;
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct PiecewiseConstantDecay {
    boundaries: Vec<u64>,
    values: Vec<f64>,
}

impl PiecewiseConstantDecay {
    /// The first of `values` up to and with the step of the first boundary, the second up to and with the second, and so on; the
    /// last behind all boundaries. There is one value more than boundaries.
    ///
    /// ```
    /// use cellstate::{LearningRate, PiecewiseConstantDecay};
    ///
    /// let rate = LearningRate::from(PiecewiseConstantDecay::new(&[1000], &[0.1, 0.01]));
    /// assert_eq!([rate.at(1000), rate.at(1001)], [0.1, 0.01]);
    /// ```
    #[must_use]
    pub fn new(boundaries: &[u64], values: &[f64]) -> Self {
        Self {
            boundaries: boundaries.to_vec(),
            values: values.to_vec(),
        }
    }

    /// The value of the range; a schedule without values, which the check refuses, has 0.
    pub(super) fn at(&self, step: u64) -> f64 {
        let range = self.boundaries.partition_point(|&boundary| boundary < step);
        self.values.get(range).copied().unwrap_or_default()
    }

    pub(super) fn check(&self) -> Result<()> {
        const WHAT: &str = "PiecewiseConstantDecay";
        let wanted = self.boundaries.len().saturating_add(1);
        if self.values.len() != wanted {
            return Err(Error::Size {
                argument: format!("values of {WHAT}"),
                expected: format!("{wanted} values for {} boundaries", self.boundaries.len()),
                found: format!("{} values", self.values.len()),
                repair: "give one value more than boundaries: the last is for the steps behind all of them".to_owned(),
            });
        }
        if !self.boundaries.is_sorted_by(|before, after| before < after) {
            return Err(Error::Value {
                argument: format!("boundaries of {WHAT}"),
                expected: "steps that grow".to_owned(),
                found: format!("{:?}", self.boundaries),
                repair: "sort the boundaries, and give each once".to_owned(),
            });
        }
        self.values
            .iter()
            .try_for_each(|&rate| check_rate(WHAT, "values", rate))
    }
}

/// From the initial learning rate down to another one, along a power of the share of the steps that is left: Keras's `PolynomialDecay`.
///
/// ```
/// use cellstate::{PolynomialDecay, Sgd};
///
/// let sgd = Sgd::new(PolynomialDecay::new(0.1, 10_000).end_learning_rate(0.01).power(2.0));
/// # let _ = sgd;
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct PolynomialDecay {
    initial: f64,
    decay_steps: u64,
    end: f64,
    power: f64,
    cycle: bool,
}

impl PolynomialDecay {
    /// Falls in a line from `initial_learning_rate` to 0.0001 within `decay_steps` steps.
    ///
    /// ```
    /// use cellstate::{LearningRate, PolynomialDecay};
    ///
    /// let rate = LearningRate::from(PolynomialDecay::new(0.1, 1000));
    /// assert_eq!([rate.at(0), rate.at(1000), rate.at(5000)], [0.1, 0.0001, 0.0001]);
    /// ```
    #[must_use]
    pub fn new(initial_learning_rate: f64, decay_steps: u64) -> Self {
        Self {
            initial: initial_learning_rate,
            decay_steps,
            end: 1e-4,
            power: 1.0,
            cycle: false,
        }
    }

    /// The learning rate at the end (default 0.0001).
    ///
    /// ```
    /// use cellstate::{LearningRate, PolynomialDecay};
    ///
    /// assert_eq!(LearningRate::from(PolynomialDecay::new(0.1, 1000).end_learning_rate(0.0)).at(1000), 0.0);
    /// ```
    #[must_use]
    pub fn end_learning_rate(mut self, rate: f64) -> Self {
        self.end = rate;
        self
    }

    /// The power (default 1: a line), 0 or more.
    ///
    /// ```
    /// use cellstate::{LearningRate, PolynomialDecay};
    ///
    /// let rate = LearningRate::from(PolynomialDecay::new(1.0, 1000).end_learning_rate(0.0).power(2.0));
    /// assert_eq!(rate.at(500), 0.25);
    /// ```
    #[must_use]
    pub fn power(mut self, power: f64) -> Self {
        self.power = power;
        self
    }

    /// Whether it begins above again at the end, each time for longer: `decay_steps` becomes its next multiple (default false).
    ///
    /// ```
    /// use cellstate::{LearningRate, PolynomialDecay};
    ///
    /// let rate = LearningRate::from(PolynomialDecay::new(1.0, 100).end_learning_rate(0.0).cycle(true));
    /// assert_eq!(rate.at(150), 0.25); // 50 of 200 steps are left
    /// ```
    #[must_use]
    pub fn cycle(mut self, cycle: bool) -> Self {
        self.cycle = cycle;
        self
    }

    pub(super) fn at(&self, step: u64) -> f64 {
        let done = share(step, self.decay_steps);
        let done = match self.cycle {
            true => done / done.ceil().max(1.0),
            false => done.min(1.0),
        };
        (self.initial - self.end) * (1.0 - done).powf(self.power) + self.end
    }

    pub(super) fn check(&self) -> Result<()> {
        const WHAT: &str = "PolynomialDecay";
        check_rate(WHAT, "initial_learning_rate", self.initial)?;
        check_rate(WHAT, "end_learning_rate", self.end)?;
        check_steps(WHAT, self.decay_steps)?;
        let repair = "give 1 for a line, 0.5 for a square root";
        check(WHAT, "power", self.power, Range::NotNegative, repair)
    }
}

/// Which part of the steps is done.
fn share(step: u64, steps: u64) -> f64 {
    step as f64 / steps.max(1) as f64
}

fn check_steps(what: &str, steps: u64) -> Result<()> {
    if steps > 0 {
        return Ok(());
    }
    Err(Error::Value {
        argument: format!("decay_steps of {what}"),
        expected: "at least 1".to_owned(),
        found: "0".to_owned(),
        repair: "give the number of steps (batches, not epochs) that it takes".to_owned(),
    })
}
